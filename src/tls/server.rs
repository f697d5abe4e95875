//! The gate's side of TLS: certificate, key and trust as they are now, swapped whole when the files change.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::client::{ClientCertificate, Trust};
use super::files::{ClientCertificates, Files, Flaw, Material, Part, Raw};
use super::{Certificate, Distrust};

/// What is offered to clients, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS as it is now.
pub struct Server {
    files: Files,
    live: ArcSwap<Live>,
    /// Whom clients' certificates are verified by; shared with those that were shown.
    trust: Arc<Trust>,
    /// What was last read, so that looking often costs little.
    seen: Mutex<Raw>,
}

/// What one reading of the files made.
struct Live {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    certificate: Certificate,
    client_ca_ends: Option<SystemTime>,
}

/// What looking at the files again found.
#[derive(Debug)]
pub enum Change {
    /// They are as before.
    None,
    /// They are others, and in force.
    Taken,
    /// They cannot be taken; what was before stays in force.
    Refused(Flaw),
}

impl Server {
    /// Reads the files.
    ///
    /// # Errors
    /// They are not what TLS can be served with.
    pub fn read(files: Files, now: SystemTime) -> Result<Self, Flaw> {
        let raw = files.read()?;
        let live = Live::of(&raw, &files, now)?;
        let trust = Arc::new(Trust::of(live.verifier.clone()));
        Ok(Self { files, live: ArcSwap::from_pointee(live), trust, seen: Mutex::new(raw) })
    }

    /// Looks at the files again, and takes what changed.
    pub fn look(&self, now: SystemTime) -> Change {
        let raw = match self.files.read() {
            Ok(raw) => raw,
            Err(flaw) => return Change::Refused(flaw),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == raw {
            return Change::None;
        }
        match Live::of(&raw, &self.files, now) {
            Ok(live) => {
                self.trust.swap(live.verifier.clone());
                self.live.store(Arc::new(live));
                *seen = raw;
                Change::Taken
            }
            Err(flaw) => Change::Refused(flaw),
        }
    }

    /// What a handshake goes by that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.live.load().config)
    }

    /// What a client showed in a handshake that went well.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn shown(&self, chain: &[CertificateDer<'_>]) -> Result<Option<ClientCertificate>, Distrust> {
        let Some(first) = chain.first() else {
            return Ok(None);
        };
        let certificate = Certificate::read(first).ok_or(Distrust::Unreadable)?;
        Ok(Some(ClientCertificate::new(chain, certificate, Arc::clone(&self.trust))))
    }

    /// Where it all is.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The gate's certificate.
    pub fn certificate(&self) -> Certificate {
        self.live.load().certificate.clone()
    }

    /// When the first of the authorities ends that sign for clients.
    pub fn client_ca_ends(&self) -> Option<SystemTime> {
        self.live.load().client_ca_ends
    }
}

impl Live {
    fn of(raw: &Raw, files: &Files, now: SystemTime) -> Result<Self, Flaw> {
        let Material { chain, key, certificate, client_ca } = raw.understand(now)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client_ca_ends = client_ca.as_ref().map(|(_, ends)| *ends);
        let verifier = match (client_ca, &files.clients) {
            (Some((authorities, _)), Some((_, clients))) => Some(verifier(authorities, *clients, &provider)?),
            _ => None,
        };
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let clients = versions.map_err(|error| Flaw::Rustls(Part::ClientCa, error))?;
        let shows = match &verifier {
            Some(verifier) => clients.with_client_cert_verifier(Arc::clone(verifier)),
            None => clients.with_no_client_auth(),
        };
        let mut config = shows.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Flaw::Mismatch,
            _ => Flaw::UnusableKey,
        })?;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        if verifier.is_some() {
            // A session that is taken up again is not verified again, and who may connect can change.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { config: Arc::new(config), verifier, certificate, client_ca_ends })
    }
}

fn verifier(
    authorities: RootCertStore,
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Flaw> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider));
    let builder = match clients {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| Flaw::Rustls(Part::ClientCa, rustls::Error::General(error.to_string())))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("files", &self.files).finish_non_exhaustive()
    }
}
