//! The pooled connections to a server.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::connections::Counting;
use super::kept::Kept;
use super::names::{Moved, Names, Resolver};
use super::retry;
use super::settings::{Settings, TlsSettings};
use super::{Connections, Endpoints};
use crate::clock;
use crate::secret::{Reference, Secret};
use crate::tls::{self, Flaw, Part};

/// Carries requests to a server.
pub(super) type Client = legacy::Client<Counting<HttpsConnector<HttpConnector<Resolver>>>, Full<Bytes>>;

/// Kept-alive connections go before Node's and Python's servers close them (after 5 s), so that no request is written
/// into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// So much of a reply is read before it is wanted, for each call whose caller is slow.
const BUFFER: usize = 128 << 10;

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
    client: Kept<Client>,
    names: Arc<Names>,
}

impl Pool {
    /// Those to a server there. Nothing is connected yet.
    ///
    /// # Errors
    /// The authorities of the machine cannot be read, or a file that the settings name.
    pub(super) fn new(endpoints: &Endpoints, settings: &Settings, connections: Arc<Connections>) -> io::Result<Self> {
        let names = Arc::new(Names::of_system());
        Ok(Self { client: client(endpoints, settings, connections, Resolver(Arc::clone(&names)))?, names })
    }

    /// What carries the next request.
    pub(super) fn now(&self) -> Arc<Client> {
        self.client.now()
    }

    /// Looks whether its files have changed.
    pub(super) fn renew(&self) {
        self.client.renew();
    }

    /// Looks names up again. Connections to where one leads no more are used for no other request.
    pub(super) async fn look_up(&self) {
        if self.names.renew().await == Moved::Away {
            self.client.again();
        }
    }
}

/// Sends what the gate itself has to say. A kept connection that the server has closed meanwhile took nothing of it.
pub(super) async fn say(client: &Client, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, legacy::Error> {
    for _ in 1..retry::MOST {
        match client.request(request.clone()).await {
            Err(error) if is_unwritten(&error) => {}
            said => return said,
        }
    }
    client.request(request).await
}

/// Whether nothing of the request was written: hyper gives it back then, and calls it cancelled.
pub(super) fn is_unwritten(error: &legacy::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    !error.is_connect() && cause.is_some_and(hyper::Error::is_canceled)
}

/// Whether no connection stood in time.
pub(super) fn is_late(error: &legacy::Error) -> bool {
    let mut cause = error.source().filter(|_| error.is_connect());
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A client for a server there. It is made anew when its files change; what is under way goes on over the connections of before.
fn client(
    endpoints: &Endpoints,
    settings: &Settings,
    connections: Arc<Connections>,
    resolver: Resolver,
) -> io::Result<Kept<Client>> {
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
        Ok(pooled(Counting { connector, patience, connections: Arc::clone(&connections) }))
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

fn pooled(connector: Counting<HttpsConnector<HttpConnector<Resolver>>>) -> Client {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(1024)
        .http1_max_buf_size(BUFFER)
        .set_host(true)
        // Whether something is sent again is decided, and counted, by who sends it.
        .retry_canceled_requests(false)
        .build(connector)
}
