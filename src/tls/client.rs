//! What a client showed of itself when it connected. It is looked at anew with every request: a connection may outlive it.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use super::{Certificate, Names};

/// A client's certificate. Its chain was verified when it was shown.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    certificate: Certificate,
    trust: Arc<Trust>,
    /// The verifier that it last held before; none at first, for that of the handshake may be gone already.
    held_before: ArcSwapOption<Verifier>,
}

/// Why a certificate counts no longer, or never did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It cannot be read.
    Unreadable,
    /// Its time is over.
    Expired,
    /// No authority of now stands for it.
    Unknown,
}

/// Who stands for clients, as it is now.
pub(super) struct Trust(ArcSwap<Verifier>);

struct Verifier(Option<Arc<dyn ClientCertVerifier>>);

impl Trust {
    pub(super) fn of(verifier: Option<Arc<dyn ClientCertVerifier>>) -> Self {
        Self(ArcSwap::from_pointee(Verifier(verifier)))
    }

    pub(super) fn swap(&self, verifier: Option<Arc<dyn ClientCertVerifier>>) {
        self.0.store(Arc::new(Verifier(verifier)));
    }
}

impl ClientCertificate {
    pub(super) fn new(chain: &[CertificateDer<'_>], certificate: Certificate, trust: Arc<Trust>) -> Self {
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Self { chain, certificate, trust, held_before: ArcSwapOption::empty() }
    }

    /// Whom it names, if it still counts.
    ///
    /// # Errors
    /// It does not.
    pub fn names(&self, now: SystemTime) -> Result<&Names, Distrust> {
        if now >= self.certificate.ends() {
            return Err(Distrust::Expired);
        }
        let trust = self.trust.0.load_full();
        let known = self.held_before.load().as_ref().is_some_and(|before| Arc::ptr_eq(before, &trust));
        if !known {
            trust.verify(&self.chain, now)?;
            self.held_before.store(Some(trust));
        }
        Ok(self.certificate.names())
    }

    /// Until when it is good.
    pub fn ends(&self) -> SystemTime {
        self.certificate.ends()
    }
}

impl Verifier {
    fn verify(&self, chain: &[CertificateDer<'static>], now: SystemTime) -> Result<(), Distrust> {
        let (Some(verifier), Some((first, between))) = (&self.0, chain.split_first()) else {
            return Err(Distrust::Unknown);
        };
        let since = now.duration_since(UNIX_EPOCH).map_err(|_before_1970| Distrust::Unknown)?;
        let holds = verifier.verify_client_cert(first, between, UnixTime::since_unix_epoch(since));
        holds.map(|_verified| ()).map_err(|error| {
            tracing::debug!(%error, "a client's certificate counts no longer");
            Distrust::Unknown
        })
    }
}

impl PartialEq for ClientCertificate {
    /// Whether it is the same one.
    fn eq(&self, other: &Self) -> bool {
        self.chain.first() == other.chain.first()
    }
}

impl Eq for ClientCertificate {}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "the client's certificate cannot be read",
            Self::Expired => "the client's certificate has expired",
            Self::Unknown => "no authority of `client_ca` stands for the client's certificate",
        })
    }
}

impl std::error::Error for Distrust {}
