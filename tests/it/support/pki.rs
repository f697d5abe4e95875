//! Authorities and certificates of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate, and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// One that may sign for hosts below this domain only.
    pub(crate) fn only_for(name: &str, domain: &str) -> Self {
        let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
        Self::with(name, |params| {
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        })
    }

    fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For the gate, on loopback.
    pub(crate) fn server(&self) -> Pair {
        self.sign(&["localhost", "127.0.0.1"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// For a client with these names: URIs, mailboxes, or else hosts.
    pub(crate) fn client(&self, names: &[&str]) -> Pair {
        self.client_with(names, |_| {})
    }

    pub(crate) fn client_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.sign(&[], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.subject_alt_names = names.iter().map(|name| named(name)).collect();
            change(params);
        })
    }

    pub(crate) fn sign(&self, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(hosts).expect("names");
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_hours(1)).into();
        params.not_after = (now + Duration::from_hours(24 * 90)).into();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs").pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// Another authority under this one.
    pub(crate) fn sub(&self, name: &str) -> (Self, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("it signs").pem();
        (Self { pem: pem.clone(), issuer: Issuer::new(params, key) }, pem)
    }
}

impl Pair {
    /// Writes both into a folder: `tls.crt` and `tls.key`, as a Kubernetes Secret has them.
    pub(crate) fn write(&self, folder: &Path) {
        for (name, text) in self.files() {
            put(&folder.join(name), &text);
        }
    }

    pub(crate) fn files(&self) -> [(String, String); 2] {
        [("tls.crt".to_owned(), self.certificate.clone()), ("tls.key".to_owned(), self.key.clone())]
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(|der| der.expect("PEM")).collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM")
    }
}

/// Writes a file in one step.
pub(crate) fn put(path: &Path, text: &str) {
    let next: PathBuf = path.with_extension("next");
    fs::write(&next, text).expect("it can be written");
    fs::rename(&next, path).expect("a rename replaces a file");
}

fn named(name: &str) -> SanType {
    let text = name.try_into().expect("ASCII");
    match name {
        uri if uri.contains("://") => SanType::URI(text),
        email if email.contains('@') => SanType::Rfc822Name(text),
        _ => SanType::DnsName(text),
    }
}
