//! The files that TLS needs: the gate's certificate and key, and the authorities that sign for clients.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Certificate;
use crate::secret::{Reference, Secret, Unreadable};

/// No such file is longer: the bundle of all public authorities has 220 KiB.
const MAX_BYTES: u64 = 1 << 20;

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The gate's certificate, and those between it and an authority, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: Reference,
    /// Who signs for clients. `None`: no client is asked for a certificate.
    pub clients: Option<(PathBuf, ClientCertificates)>,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Whoever shows none, or one of another authority, gets no connection.
    Required,
    /// Whoever shows none is heard, too. One of another authority is refused all the same.
    Optional,
}

/// Which of the files it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The gate's certificate.
    Certificate,
    /// Its key.
    Key,
    /// The authorities that sign for clients.
    ClientCa,
    /// The authorities that sign for a server.
    Ca,
}

/// Why the files cannot be taken. Never quotes a key.
#[derive(Debug)]
pub enum Flaw {
    /// A file cannot be read.
    Io(Part, io::Error),
    /// The key cannot be read.
    Key(Unreadable),
    /// It is too long.
    TooLong(Part),
    /// It is not PEM, or what it holds cannot be read.
    Form(Part),
    /// It holds nothing of its kind.
    Nothing(Part),
    /// The key is none that TLS can use.
    UnusableKey,
    /// The key is not that of the certificate.
    Mismatch,
    /// The certificate was good until then.
    Expired(SystemTime),
    /// The certificate is good from then on only.
    NotYet(SystemTime),
    /// What else TLS has against them.
    Rustls(Part, rustls::Error),
}

/// What stood in the files at one moment, as bytes.
#[derive(PartialEq, Eq)]
pub(super) struct Raw {
    certificate: Vec<u8>,
    key: Secret,
    client_ca: Option<Vec<u8>>,
}

/// The same, understood.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) certificate: Certificate,
    /// The authorities that sign for clients, and which of them ends first.
    pub(super) client_ca: Option<(RootCertStore, SystemTime)>,
}

impl Files {
    /// The folders to watch: a mounted secret changes by the swap of a link beside the files.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let key = if let Reference::File(path) = &self.key { Some(path) } else { None };
        let files = [Some(&self.certificate), key, self.clients.as_ref().map(|(path, _)| path)];
        files.into_iter().flatten().filter_map(|path| path.parent())
    }

    pub(super) fn read(&self) -> Result<Raw, Flaw> {
        let client_ca = self.clients.as_ref().map(|(path, _)| bytes(Part::ClientCa, path)).transpose()?;
        Ok(Raw {
            certificate: bytes(Part::Certificate, &self.certificate)?,
            key: self.key.read().map_err(Flaw::Key)?,
            client_ca,
        })
    }
}

impl Raw {
    /// # Errors
    /// Something is wrong with one of the files by itself.
    pub(super) fn understand(&self, now: SystemTime) -> Result<Material, Flaw> {
        let Identity { chain, key, certificate } = identity(&self.certificate, &self.key, now)?;
        let client_ca = self.client_ca.as_deref().map(|pem| authorities(Part::ClientCa, pem)).transpose()?;
        Ok(Material { chain, key, certificate, client_ca })
    }
}

/// What somebody shows of itself: a certificate, those between it and an authority, and its key.
#[derive(Debug)]
pub struct Identity {
    /// All certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
    /// The first one, read.
    pub certificate: Certificate,
}

/// Reads a certificate and a key, both in PEM.
///
/// # Errors
/// Something is wrong with one of them by itself, or the certificate is not good now.
pub fn identity(certificate: &[u8], key: &Secret, now: SystemTime) -> Result<Identity, Flaw> {
    let chain = certificates(Part::Certificate, certificate)?;
    let certificate = chain.first().and_then(Certificate::read).ok_or(Flaw::Form(Part::Certificate))?;
    if now >= certificate.ends() {
        return Err(Flaw::Expired(certificate.ends()));
    }
    if now < certificate.begins() {
        return Err(Flaw::NotYet(certificate.begins()));
    }
    // What the parser says of a key may quote it.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => Flaw::Nothing(Part::Key),
        _ => Flaw::Form(Part::Key),
    })?;
    Ok(Identity { chain, key, certificate })
}

/// The authorities of a file, and when the first of them ends.
///
/// # Errors
/// It holds none, or something else.
pub fn authorities(part: Part, pem: &[u8]) -> Result<(RootCertStore, SystemTime), Flaw> {
    let mut store = RootCertStore::empty();
    let mut ends = Vec::new();
    for der in certificates(part, pem)? {
        ends.push(Certificate::read(&der).ok_or(Flaw::Form(part))?.ends());
        store.add(der).map_err(|error| Flaw::Rustls(part, error))?;
    }
    let first = ends.into_iter().min().ok_or(Flaw::Nothing(part))?;
    Ok((store, first))
}

fn certificates(part: Part, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_may_quote| Flaw::Form(part))?;
    if all.is_empty() { Err(Flaw::Nothing(part)) } else { Ok(all) }
}

fn bytes(part: Part, path: &Path) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let length = read.map_err(|error| Flaw::Io(part, error))?;
    if u64::try_from(length).unwrap_or(u64::MAX) > MAX_BYTES { Err(Flaw::TooLong(part)) } else { Ok(bytes) }
}

impl Flaw {
    /// Which file it is about.
    pub fn part(&self) -> Part {
        match self {
            Self::Io(part, _)
            | Self::TooLong(part)
            | Self::Form(part)
            | Self::Nothing(part)
            | Self::Rustls(part, _) => *part,
            Self::Key(_) | Self::UnusableKey | Self::Mismatch => Part::Key,
            Self::Expired(_) | Self::NotYet(_) => Part::Certificate,
        }
    }

    /// What to do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Io(..) | Self::Key(_) => "is it mounted, and may this process read it?",
            Self::Nothing(Part::Key) | Self::Form(Part::Key) => {
                "a key begins with `-----BEGIN PRIVATE KEY-----` (or `EC` or `RSA PRIVATE KEY`), and has no password"
            }
            Self::TooLong(_) | Self::Form(_) | Self::Nothing(_) => {
                "a certificate begins with `-----BEGIN CERTIFICATE-----`"
            }
            Self::UnusableKey => "use an ECDSA (P-256, P-384), Ed25519 or RSA key (2048 bits or more)",
            Self::Mismatch => {
                "`openssl x509 -pubkey -noout -in CERTIFICATE` and `openssl pkey -pubout -in KEY` must print the same"
            }
            Self::Expired(_) => "renew it; what renews it may have stopped",
            Self::NotYet(_) => "is the clock of this machine right?",
            Self::Rustls(..) => "give certificates of authorities, each with `CA:TRUE`",
        }
    }
}

impl Part {
    /// Its key in `tollgate.yaml`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::ClientCa => "client_ca",
            Self::Ca => "ca",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.part().key();
        match self {
            Self::Io(_, error) => write!(f, "the file of `{key}` cannot be read: {error}"),
            Self::Key(unreadable) => write!(f, "there is no key: {unreadable}"),
            Self::TooLong(_) => write!(f, "the file of `{key}` is longer than {MAX_BYTES} bytes"),
            Self::Form(_) => write!(f, "the file of `{key}` is not sound PEM"),
            Self::Nothing(_) => write!(f, "there is nothing for `{key}` in the file"),
            Self::UnusableKey => f.write_str("the key is none that TLS can use"),
            Self::Mismatch => f.write_str("the key is not that of the certificate"),
            Self::Expired(at) => write!(f, "the certificate has expired, on {}", day(*at)),
            Self::NotYet(at) => write!(f, "the certificate is not valid before {}", day(*at)),
            Self::Rustls(_, error) => write!(f, "the authorities of `{key}` cannot be taken: {error}"),
        }
    }
}

impl std::error::Error for Flaw {}

/// A moment as a day, in UTC.
fn day(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .map_or_else(|_far| "a day out of reach".to_owned(), |at| at.strftime("%F").to_string())
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}
