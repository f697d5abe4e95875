//! The pooled connections to a server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Scheme, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connections::Counting;
use super::{Connections, Endpoints};

/// Carries requests to a server.
pub(super) type Client = legacy::Client<Counting<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// A connection stands within this, or the server is not there.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// Kept-alive connections go before Node's and Python's servers close them (after 5 s), so that no request is written
/// into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// A client for a server there. Nothing is connected yet.
pub(super) fn client(endpoints: &Endpoints, connections: Arc<Connections>) -> std::io::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let urls = || endpoints.streamable().into_iter().chain(endpoints.sse());
    let (tls, plain) =
        (|url: &Uri| url.scheme() == Some(&Scheme::HTTPS), |url: &Uri| url.scheme() != Some(&Scheme::HTTPS));
    let connector = if urls().any(tls) {
        let with_roots = HttpsConnectorBuilder::new().with_native_roots()?;
        // What is to be encrypted never goes out in clear by mistake.
        let https = if urls().any(plain) { with_roots.https_or_http() } else { with_roots.https_only() };
        https.enable_http1().wrap_connector(connector)
    } else {
        let no_roots = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(no_roots).https_or_http().enable_http1().wrap_connector(connector)
    };
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(1024)
        .set_host(true)
        .build(Counting { connector, connections }))
}
