//! A place on loopback from where every connection leads through TLS: what speaks bytes to it speaks them to the gate.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::pki::Pair;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Tunnel {
    /// Whoever begins as HTTP/2 does gets a connection on which it was agreed.
    pub(crate) async fn start(to: SocketAddr, config: ClientConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, config.clone()));
            }
        });
        Self { address, accepting }
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, mut config: ClientConfig) {
    let mut first = [0; 3];
    let begun = near.peek(&mut first).await.is_ok();
    config.alpn_protocols = if begun && first == *b"PRI" { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    if let Ok(mut far) = connect(to, config).await {
        // Whichever side breaks off, the other hears of it by the close.
        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
    }
}

/// One connection through TLS.
pub(crate) async fn connect(
    to: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// A client that trusts this authority, and shows this certificate if one is given.
pub(crate) fn client(authority: &str, shows: Option<&Pair>) -> ClientConfig {
    client_of(authority, shows, rustls::ALL_VERSIONS)
}

/// The same, of these versions of TLS.
pub(crate) fn client_of(
    authority: &str,
    shows: Option<&Pair>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(der.expect("PEM")).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let builder = builder.with_root_certificates(roots);
    match shows {
        Some(pair) => builder.with_client_auth_cert(pair.chain(), pair.private_key()).expect("a pair"),
        None => builder.with_no_client_auth(),
    }
}
