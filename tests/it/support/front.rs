//! TLS before a server that speaks none: it asks for a client's certificate, if it is to.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::pki::Pair;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    shown: watch::Receiver<Option<CertificateDer<'static>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Front {
    /// Before the server there, with this certificate, for clients of this authority only.
    pub(crate) async fn start(to: SocketAddr, own: &Pair, clients: &str) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(clients.as_bytes()) {
            roots.add(der.expect("PEM")).expect("an authority");
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_client_cert_verifier(verifier.build().expect("authorities"));
        let config = config.with_single_cert(own.chain(), own.private_key()).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, shown) = watch::channel(None);
        let tell = Arc::new(tell);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, acceptor.clone(), Arc::clone(&tell)));
            }
        });
        Self { address, shown, accepting }
    }

    /// The certificate that the last client showed.
    pub(crate) fn shown(&self) -> Option<CertificateDer<'static>> {
        self.shown.borrow().clone()
    }
}

async fn carry(
    near: TcpStream,
    to: SocketAddr,
    acceptor: TlsAcceptor,
    tell: Arc<watch::Sender<Option<CertificateDer<'static>>>>,
) {
    let Ok(mut near) = acceptor.accept(near).await else {
        return;
    };
    let chain = near.get_ref().1.peer_certificates().unwrap_or_default();
    tell.send_replace(chain.first().map(|der| der.clone().into_owned()));
    let mut far = TcpStream::connect(to).await.expect("the server is there");
    // Whichever side breaks off, the other hears of it by the close.
    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
}
