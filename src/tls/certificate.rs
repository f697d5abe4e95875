//! What stands in a certificate, as far as it matters here: how long it is good for, and whom it names.
//!
//! Whether its signatures hold is not asked here. The subject's common name is never looked at: it is no name of a kind
//! (RFC 9525, 1.4).

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

use super::SOON;
use super::spiffe::{SCHEME, SpiffeId};

/// A certificate that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    begins: SystemTime,
    ends: SystemTime,
    names: Names,
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// A workload: the certificate is an X.509-SVID.
    Workload(SpiffeId),
    /// Whatever else it says.
    Plain {
        /// Its URIs.
        uris: Vec<String>,
        /// Its host names, in lower case.
        hosts: Vec<String>,
        /// Its mailboxes.
        emails: Vec<String>,
    },
    /// It speaks of SPIFFE, and not as X509-SVID has it.
    Unsound(&'static str),
}

impl Certificate {
    /// Reads one. `None`: it is not an X.509 certificate.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let read = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = read.tbs_certificate();
        let (begins, ends) = (tbs.validity().not_before.to_system_time(), tbs.validity().not_after.to_system_time());
        let names = tbs.get_extension::<SubjectAltName>().ok()?.map(|(_, names)| names.0).unwrap_or_default();
        let uris: Vec<String> = names.iter().filter_map(uri).collect();
        let is_spiffe = |uri: &String| uri.get(..SCHEME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME));
        let names = if uris.iter().any(is_spiffe) {
            svid(tbs, &uris)
        } else {
            let (hosts, emails) = (names.iter().filter_map(host).collect(), names.iter().filter_map(email).collect());
            Names::Plain { uris, hosts, emails }
        };
        Some(Self { begins, ends, names })
    }

    /// From when it is good.
    pub fn begins(&self) -> SystemTime {
        self.begins
    }

    /// Until when it is good.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// Whom it names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether somebody should look after it: little time is left, and less than a third of its life. What lives for
    /// hours is renewed by a machine.
    pub fn ends_soon(&self, now: SystemTime) -> bool {
        let life = self.ends.duration_since(self.begins).unwrap_or(Duration::ZERO);
        self.ends.duration_since(now).unwrap_or(Duration::ZERO) < SOON.min(life / 3)
    }
}

/// The rules for the certificate of a workload (X509-SVID, 2 to 4 and 5.2).
fn svid(tbs: &x509_cert::TbsCertificate, uris: &[String]) -> Names {
    let [uri] = uris else {
        return Names::Unsound("it has a SPIFFE id, and another URI beside it");
    };
    let Some(id) = SpiffeId::parse(uri) else {
        return Names::Unsound("its SPIFFE id is not one of a workload");
    };
    match (tbs.get_extension::<BasicConstraints>(), tbs.get_extension::<KeyUsage>()) {
        (Ok(Some((_, constraints))), _) if constraints.ca => Names::Unsound("it is one that signs others"),
        (Ok(_), Ok(Some((_, usage)))) if usage.key_cert_sign() || usage.crl_sign() => {
            Names::Unsound("its key may sign other certificates")
        }
        (Ok(_), Ok(Some((_, usage)))) if usage.digital_signature() => Names::Workload(id),
        (Ok(_), Ok(_)) => Names::Unsound("its key usage does not say digitalSignature"),
        (Err(_), _) | (_, Err(_)) => Names::Unsound("its extensions cannot be read"),
    }
}

fn uri(name: &GeneralName) -> Option<String> {
    if let GeneralName::UniformResourceIdentifier(uri) = name { Some(uri.as_str().to_owned()) } else { None }
}

fn host(name: &GeneralName) -> Option<String> {
    if let GeneralName::DnsName(host) = name { Some(host.as_str().to_ascii_lowercase()) } else { None }
}

fn email(name: &GeneralName) -> Option<String> {
    if let GeneralName::Rfc822Name(email) = name { Some(email.as_str().to_owned()) } else { None }
}
