//! SPIFFE ids: `spiffe://trust-domain/path` (SPIFFE-ID, 2).

use std::fmt;
use std::sync::Arc;

/// The identity of a workload, in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId(Arc<str>);

/// How every one begins.
pub(super) const SCHEME: &str = "spiffe://";
const LONGEST: usize = 2048;
const LONGEST_TRUST_DOMAIN: usize = 255;

impl SpiffeId {
    /// Reads the id of a workload: one with a path, for a trust domain alone names no workload.
    pub fn parse(text: &str) -> Option<Self> {
        let (trust_domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
        let domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        let is_domain = (1..=LONGEST_TRUST_DOMAIN).contains(&trust_domain.len()) && trust_domain.bytes().all(domain);
        let is_path = path.split('/').all(is_segment);
        (text.len() <= LONGEST && is_domain && is_path).then(|| Self(Arc::from(text)))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for id in ["spiffe://example.org/a", "spiffe://example.org/ns/prod/sa/Billing_2.x-y", "spiffe://a_b-c.1/x"] {
            assert_eq!(SpiffeId::parse(id).map(|id| id.to_string()).as_deref(), Some(id));
        }
        let long = format!("spiffe://example.org/{}", "x".repeat(2048));
        for id in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/./a",
            "spiffe://Example.org/a",
            "SPIFFE://example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/a%2fb",
            "spiffe://example.org/ä",
            "spiffe://example.org/a b",
            "spiffe://example.org/*",
            "https://example.org/a",
            &long,
        ] {
            assert_eq!(SpiffeId::parse(id), None, "{id}");
        }
    }
}
