//! `certificates` of a principals file: as written, and compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Certificates, Holder, Name, Pattern};
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::identity::Claim;
use crate::tls::SpiffeId;

/// Whose certificate counts as whose, by one name in it: `uri`, `dns` or `email`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Certificate")]
pub(in crate::identity) struct CertificateSource {
    /// Who it is in logs and limits. With a pattern each is called by its SPIFFE id, and this is left out.
    pub(in crate::identity) id: Option<Spanned<String>>,
    /// A URI in the certificate. A SPIFFE id may have one `*`, for a part of one segment of its path.
    #[schemars(example = "spiffe://example.org/ns/prod/sa/billing")]
    uri: Option<Spanned<String>>,
    /// A host in the certificate.
    #[schemars(example = "build.example.com")]
    dns: Option<Spanned<String>>,
    /// A mailbox in the certificate.
    #[schemars(example = "ops@example.com")]
    email: Option<Spanned<String>>,
    /// Roles of the policy files that it holds.
    #[schemars(length(min = 1))]
    pub(in crate::identity) roles: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is known of its holder, for conditions on arguments (`claim: NAME`).
    #[serde(default)]
    pub(in crate::identity) claims: BTreeMap<Box<str>, Claim>,
}

/// What an entry goes by.
pub(in crate::identity) enum Written {
    /// One name.
    Exact(Name),
    /// Many.
    Pattern(Pattern),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl CertificateSource {
    /// What it goes by, or what is wrong with that.
    pub(in crate::identity) fn written(&self, file: &SourceFile, at: At, found: &mut Diagnostics) -> Option<Written> {
        let (written, read) = match (&self.uri, &self.dns, &self.email) {
            (Some(text), None, None) => (text, uri(&text.value)),
            (None, Some(text), None) => (text, dns(&text.value)),
            (None, None, Some(text)) => (text, email(&text.value)),
            _ => {
                let problem =
                    file.error(Code::InvalidCertificateName, at, "exactly one name tells whose certificate it is");
                found.push(problem.help("give `uri`, `dns` or `email`; for another name, write another entry"));
                return None;
            }
        };
        let problem = |message| file.error(Code::InvalidCertificateName, written.referenced, message);
        match (read, &self.id) {
            (Err(expected), _) => {
                let message = format!("{} is no name that counts", quoted(&written.value));
                found.push(problem(message).help(expected));
                None
            }
            (Ok(Written::Pattern(_)), Some(id)) => {
                let problem = file.error(Code::InvalidCertificateName, id.referenced, "one `id` for many workloads");
                found.push(
                    problem.help("leave it out: each is called by its SPIFFE id, and has its own limits and sessions"),
                );
                None
            }
            (Ok(Written::Exact(_)), None) => {
                found.push(
                    file.error(Code::InvalidCertificateName, at, "nothing says who this is")
                        .help("say who it is in logs: `id: …`"),
                );
                None
            }
            (Ok(written), _) => Some(written),
        }
    }
}

impl Certificates {
    /// Takes an entry, if none goes by the same already.
    #[must_use]
    pub(in crate::identity) fn insert(&mut self, written: Written, holder: Holder) -> Inserted {
        match written {
            Written::Exact(name) if self.exact.contains_key(&name) => Inserted::Twice,
            Written::Exact(name) => {
                self.exact.insert(name, holder);
                Inserted::Once
            }
            Written::Pattern(pattern) if self.patterns.iter().any(|(known, _)| *known == pattern) => Inserted::Twice,
            Written::Pattern(pattern) => {
                self.patterns.push((pattern, holder));
                Inserted::Once
            }
        }
    }
}

/// Whether an entry is the first of its kind.
pub(in crate::identity) enum Inserted {
    Once,
    Twice,
}

/// Who goes by an entry.
pub(in crate::identity) fn compile(id: Option<Arc<str>>, roles: Vec<Arc<str>>, source: &CertificateSource) -> Holder {
    Holder { id, roles, claims: source.claims.clone() }
}

fn uri(text: &str) -> Result<Written, &'static str> {
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    if begins("spiffe:") {
        let exact = SpiffeId::parse(text).map(|id| Written::Exact(Name::Uri(id.as_str().into())));
        return exact.or_else(|| Pattern::parse(text).map(Written::Pattern)).ok_or(
            "a SPIFFE id is `spiffe://trust-domain/path`: the domain in lower case, no empty segment, and at most one `*`, in the path",
        );
    }
    let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if is_uri && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('*') {
        Ok(Written::Exact(Name::Uri(text.into())))
    } else {
        Err("write the whole URI, as it stands in the certificate; only SPIFFE ids may have a `*`")
    }
}

fn dns(text: &str) -> Result<Written, &'static str> {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(Written::Exact(Name::Dns(text.to_ascii_lowercase().into())))
    } else {
        Err("write a host name such as `build.example.com`, without `*`")
    }
}

fn email(text: &str) -> Result<Written, &'static str> {
    let is_mailbox = text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty());
    if is_mailbox && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('*') {
        Ok(Written::Exact(Name::Email(text.into())))
    } else {
        Err("write a mailbox such as `ops@example.com`, as it stands in the certificate")
    }
}
