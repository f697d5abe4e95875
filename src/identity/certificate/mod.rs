//! Client certificates: known by the names in them, never by their common name. That they are genuine is `tls`'s to prove.

mod source;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Claims, Principal, Proof, is_principal_id};
use crate::tls::{ClientCertificate, Distrust, Names, SpiffeId};

pub(super) use source::{CertificateSource, Inserted, compile};

/// The certificates of the policy, by the one name that counts of each.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    exact: HashMap<Name, Holder>,
    patterns: Vec<(Pattern, Holder)>,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// A URI; a SPIFFE id is one.
    Uri(Box<str>),
    /// A host, in lower case.
    Dns(Box<str>),
    /// A mailbox.
    Email(Box<str>),
}

/// A SPIFFE id in which `*` stands for a part of one segment of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    before: Box<str>,
    after: Box<str>,
}

/// Who a name is.
#[derive(Debug)]
pub struct Holder {
    /// What it is called; `None`: as its SPIFFE id.
    id: Option<Arc<str>>,
    /// The roles it holds.
    pub roles: Vec<Arc<str>>,
    /// What is known of it.
    pub claims: Claims,
}

/// Why a certificate proves nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// It counts no longer, or never did.
    Distrust(Distrust),
    /// It speaks of SPIFFE, and not as X509-SVID has it.
    Unsound(&'static str),
    /// The policy knows none of its names.
    Unknown,
    /// The policy knows it by several entries; which counts would depend on who reads.
    Several,
    /// Its SPIFFE id cannot be the id of a caller.
    UnfitId,
}

impl Certificates {
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whose certificate this is.
    pub(super) fn identify(
        &self,
        certificate: &Arc<ClientCertificate>,
        now: SystemTime,
    ) -> Result<Arc<Principal>, CertificateError> {
        let holder = match certificate.names(now).map_err(CertificateError::Distrust)? {
            Names::Workload(id) => self.workload(id)?,
            Names::Plain { uris, hosts, emails } => self.plain(uris, hosts, emails)?,
            Names::Unsound(why) => return Err(CertificateError::Unsound(why)),
        };
        let id = match (&holder.id, certificate.names(now)) {
            (Some(id), _) => Arc::clone(id),
            (None, Ok(Names::Workload(id))) if is_principal_id(id.as_str()) => Arc::from(id.as_str()),
            (None, _) => return Err(CertificateError::UnfitId),
        };
        let proof = Proof::Certificate(Arc::clone(certificate));
        let principal = Principal::new(id, holder.roles.iter().cloned(), proof).with(holder.claims.clone());
        Ok(Arc::new(principal.until(Some(certificate.ends()))))
    }

    /// An entry of its own counts before patterns.
    fn workload(&self, id: &SpiffeId) -> Result<&Holder, CertificateError> {
        if let Some(holder) = self.exact.get(&Name::Uri(id.as_str().into())) {
            return Ok(holder);
        }
        only_one(self.patterns.iter().filter(|(pattern, _)| pattern.matches(id)).map(|(_, holder)| holder))
    }

    fn plain(&self, uris: &[String], hosts: &[String], emails: &[String]) -> Result<&Holder, CertificateError> {
        let uris = uris.iter().map(|uri| Name::Uri(uri.as_str().into()));
        let hosts = hosts.iter().map(|host| Name::Dns(host.as_str().into()));
        let emails = emails.iter().map(|email| Name::Email(email.as_str().into()));
        only_one(uris.chain(hosts).chain(emails).filter_map(|name| self.exact.get(&name)))
    }

    /// All entries, by the names as they are written.
    pub(super) fn by_name(&self) -> BTreeMap<String, &Holder> {
        let exact = self.exact.iter().map(|(name, holder)| (name.to_string(), holder));
        exact.chain(self.patterns.iter().map(|(pattern, holder)| (pattern.to_string(), holder))).collect()
    }
}

fn only_one<'a>(mut holders: impl Iterator<Item = &'a Holder>) -> Result<&'a Holder, CertificateError> {
    match (holders.next(), holders.next()) {
        (Some(holder), None) => Ok(holder),
        (None, _) => Err(CertificateError::Unknown),
        (Some(_), Some(_)) => Err(CertificateError::Several),
    }
}

impl Holder {
    /// What it is called; `None`: as its SPIFFE id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl Pattern {
    /// Reads a SPIFFE id with one `*` in its path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.split_once('*')?;
        // What it matches must be an id, and the trust domain must be spelt out.
        let in_path = before.strip_prefix("spiffe://")?.contains('/');
        (in_path && SpiffeId::parse(&format!("{before}x{after}")).is_some())
            .then(|| Self { before: before.into(), after: after.into() })
    }

    fn matches(&self, id: &SpiffeId) -> bool {
        let middle = id.as_str().strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('/'))
    }
}

impl CertificateError {
    /// A word for logs and labels.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Distrust(Distrust::Expired) => "expired_certificate",
            Self::Distrust(Distrust::Unknown | Distrust::Unreadable) => "untrusted_certificate",
            Self::Unsound(_) | Self::UnfitId => "unsound_certificate",
            Self::Unknown => "unknown_certificate",
            Self::Several => "ambiguous_certificate",
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distrust(distrust) => distrust.fmt(f),
            Self::Unsound(why) => write!(f, "the client's certificate is no sound X509-SVID: {why}"),
            Self::Unknown => f.write_str("no entry under `certificates` has a name of the client's certificate"),
            Self::Several => f.write_str("several entries under `certificates` fit the client's certificate"),
            Self::UnfitId => f.write_str("the SPIFFE id of the client is too long to be the id of a caller"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "uri {uri}"),
            Self::Dns(host) => write!(f, "dns {host}"),
            Self::Email(email) => write!(f, "email {email}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uri {}*{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stays_within_one_segment_of_the_path() {
        let matches = |pattern: &str, id: &str| Pattern::parse(pattern).unwrap().matches(&SpiffeId::parse(id).unwrap());
        assert!(matches("spiffe://a.org/ns/prod/sa/*", "spiffe://a.org/ns/prod/sa/billing"));
        assert!(matches("spiffe://a.org/ns/*/sa/web", "spiffe://a.org/ns/prod/sa/web"));
        assert!(matches("spiffe://a.org/web-*", "spiffe://a.org/web-1"));
        for (pattern, id) in [
            ("spiffe://a.org/ns/prod/sa/*", "spiffe://a.org/ns/prod/sa/billing/admin"),
            ("spiffe://a.org/ns/*/sa/web", "spiffe://a.org/ns/x/sa/y/sa/web"),
            ("spiffe://a.org/web-*", "spiffe://a.org/web-"),
            ("spiffe://a.org/*", "spiffe://b.org/x"),
            ("spiffe://a.org/*-x", "spiffe://a.org/-x"),
        ] {
            assert!(
                !SpiffeId::parse(id).is_some_and(|id| Pattern::parse(pattern).unwrap().matches(&id)),
                "{pattern} {id}"
            );
        }
        for text in
            ["spiffe://*/a", "spiffe://a.org*/a", "spiffe://a.org/*/*", "https://a.org/*", "*", "spiffe://a.org/a"]
        {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
