//! The pooled connections to a server.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http::{Request, Response};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::connections::Counting;
use super::kept::Kept;
use super::links::{Links, SendError};
use super::names::{Moved, Names, Resolver};
use super::retry;
use super::settings::{Settings, TlsSettings};
use super::{Connections, Endpoints, ReplyStream};
use crate::clock;
use crate::secret::{Reference, Secret};
use crate::tls::{self, Flaw, Part};

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schemes {
    Http,
    Https,
    Both,
}

/// What is read from files: authorities, and a certificate with its key.
#[derive(Clone, Copy, Debug)]
struct Read<'a> {
    ca: Option<&'a Secret>,
    identity: Option<(&'a Secret, &'a Secret)>,
}

/// The connections to a server.
#[derive(Debug)]
pub(super) struct Pool {
    links: Kept<Links>,
    names: Arc<Names>,
}

impl Pool {
    /// Those to a server there. Nothing is connected yet.
    ///
    /// # Errors
    /// The authorities of the machine cannot be read, or a file that the settings name.
    pub(super) fn new(endpoints: &Endpoints, settings: &Settings, connections: Arc<Connections>) -> io::Result<Self> {
        let names = Arc::new(Names::of_system());
        Ok(Self { links: links(endpoints, settings, connections, Resolver(Arc::clone(&names)))?, names })
    }

    /// What carries the next request.
    pub(super) fn now(&self) -> Arc<Links> {
        self.links.now()
    }

    /// Looks whether its files have changed, and closes what was not used for too long.
    pub(super) fn renew(&self) {
        self.links.renew();
        self.links.now().sweep();
    }

    /// Looks the name of a URL up again. Connections to where it leads no more are used for no other request.
    pub(super) async fn look_up(&self, url: &Uri) {
        if self.names.renew(url.host().unwrap_or_default(), clock::monotonic()).await == Moved::Away {
            self.links.again();
        }
    }
}

/// Sends what the gate itself has to say. A kept connection that the server has closed meanwhile took nothing of it.
pub(super) async fn say(links: &Arc<Links>, request: Request<Full<Bytes>>) -> Result<Response<ReplyStream>, SendError> {
    for _ in 1..retry::MOST {
        match links.request(request.clone()).await {
            Err(SendError::Unwritten(_)) => {}
            said => return said,
        }
    }
    links.request(request).await
}

/// Connections to a server there. They are made anew when its files change; what is under way goes on over those of before.
fn links(
    endpoints: &Endpoints,
    settings: &Settings,
    connections: Arc<Connections>,
    resolver: Resolver,
) -> io::Result<Kept<Links>> {
    let schemes = Schemes::of(endpoints);
    let TlsSettings { ca, identity, server_name } = settings.tls.clone();
    let patience = settings.timeouts.connect;
    let has_ca = ca.is_some();
    let identity = identity.into_iter().flat_map(|(certificate, key)| [Reference::File(certificate), key]);
    let files: Vec<Reference> = ca.map(Reference::File).into_iter().chain(identity).collect();
    Kept::read("tls", files, move |files| {
        let read = match files {
            [ca, certificate, key] => Read { ca: Some(ca), identity: Some((certificate, key)) },
            [certificate, key] => Read { ca: None, identity: Some((certificate, key)) },
            [ca] if has_ca => Read { ca: Some(ca), identity: None },
            _ => Read { ca: None, identity: None },
        };
        let mut tcp = HttpConnector::new_with_resolver(resolver.clone());
        tcp.set_connect_timeout(Some(patience));
        let connector = connector(tcp, config(schemes, read)?, schemes, server_name.clone());
        Ok(Links::new(Counting { connector, patience, connections: Arc::clone(&connections) }))
    })
}

impl Schemes {
    fn of(endpoints: &Endpoints) -> Self {
        let is_https = |url: &Uri| url.scheme() == Some(&Scheme::HTTPS);
        match (endpoints.all().any(is_https), endpoints.all().all(is_https)) {
            (_, true) => Self::Https,
            (true, false) => Self::Both,
            (false, false) => Self::Http,
        }
    }
}

/// TLS with what is in the files now.
fn config(schemes: Schemes, Read { ca, identity }: Read<'_>) -> Result<ClientConfig, String> {
    let told = |flaw: Flaw| format!("{flaw} ({})", flaw.way_out());
    let builder = ClientConfig::builder();
    let builder = match (schemes, ca) {
        (Schemes::Http, _) => builder.with_root_certificates(RootCertStore::empty()),
        (Schemes::Https | Schemes::Both, Some(pem)) => {
            let (authorities, _) = tls::authorities(Part::Ca, pem.expose().as_bytes()).map_err(told)?;
            builder.with_root_certificates(authorities)
        }
        (Schemes::Https | Schemes::Both, None) => builder.with_native_roots().map_err(|error| error.to_string())?,
    };
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let identity = tls::identity(certificate.expose().as_bytes(), key, clock::wall()).map_err(told)?;
    builder.with_client_auth_cert(identity.chain, identity.key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => told(Flaw::Mismatch),
        _ => told(Flaw::UnusableKey),
    })
}

fn connector(
    mut connector: HttpConnector<Resolver>,
    config: ClientConfig,
    schemes: Schemes,
    server_name: Option<ServerName<'static>>,
) -> HttpsConnector<HttpConnector<Resolver>> {
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    // What is to be encrypted never goes out in clear by mistake.
    let https = if schemes == Schemes::Https { builder.https_only() } else { builder.https_or_http() };
    let https = match server_name {
        Some(name) => https.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => https,
    };
    https.enable_http1().wrap_connector(connector)
}
