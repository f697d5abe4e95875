//! `servers.NAME.assertion`: how a server is told who asks, so that it can verify it.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;

use super::build::{Span, span};
use super::credential::REFERENCE;
use super::given::reference;
use super::shown::Written;
use crate::diagnostic::{Code, Diagnostics, Spanned, quoted};
use crate::duration::DURATION;
use crate::mcp::Reserved;
use crate::secret::Reference;
use crate::upstream::{AssertionSettings, OWN_CLAIMS};

const HEADER: &str = "x-tollgate-assertion";
const LIFETIME: Span = Span(Duration::from_mins(1), Duration::from_secs(5)..=Duration::from_mins(10));
const MAX_KEYS: usize = 8;
const MAX_CLAIMS: usize = 32;

/// A signed statement of who asks: a short-lived JWT with each message. `/.well-known/jwks.json` on the admin port verifies it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Assertion")]
pub(super) struct AssertionSource {
    /// Where the keys are kept: `env:NAME` or `file:/PATH`. The first one signs, all are published. `tollgate keys signing` makes one.
    #[schemars(length(min = 1, max = MAX_KEYS), inner(regex(pattern = REFERENCE)), example = ["file:/run/secrets/assertion-key"])]
    keys: Spanned<Vec<Spanned<String>>>,
    /// What the gate is called in `iss`.
    #[schemars(length(min = 1), example = "https://mcp.example.com/mcp")]
    issuer: Spanned<String>,
    /// What the server is called in `aud`. Its name in this file if not said.
    #[schemars(length(min = 1), example = "https://records.internal/mcp")]
    audience: Option<Spanned<String>>,
    /// The header. `x-tollgate-assertion` if not said; in `authorization` it goes after `Bearer`.
    #[schemars(example = &"authorization")]
    header: Option<Spanned<String>>,
    /// How long one counts. 60s if not said, from `5s` to `10m`.
    #[schemars(regex(pattern = DURATION), example = "60s")]
    lifetime: Option<Spanned<String>>,
    /// Claims of the caller that it has, beside its roles.
    #[schemars(length(min = 1, max = MAX_CLAIMS), example = ["store_id"])]
    claims: Option<Spanned<Vec<Spanned<String>>>>,
}

/// What that means; `None` if something of it is wrong.
pub(super) fn read(
    of: Written<'_>,
    written: &Spanned<AssertionSource>,
    found: &mut Diagnostics,
) -> Option<AssertionSettings> {
    let source = &written.value;
    let keys = keys(of, &source.keys, found);
    let header = match &source.header {
        None => Some(HeaderName::from_static(HEADER)),
        Some(name) => free(of, name, found),
    };
    let issuer = named(of, &source.issuer, "issuer", found);
    let audience = match &source.audience {
        None => Some(of.name.to_owned()),
        Some(text) => named(of, text, "audience", found),
    };
    let lifetime = span(of.file, source.lifetime.as_ref(), LIFETIME, found);
    let claims = source.claims.as_ref().map_or(Some(Vec::new()), |list| claims(of, list, found));
    Some(AssertionSettings {
        header: header?,
        issuer: issuer?,
        audience: audience?,
        lifetime: lifetime?,
        claims: claims?,
        keys: keys?,
    })
}

fn keys(of: Written<'_>, list: &Spanned<Vec<Spanned<String>>>, found: &mut Diagnostics) -> Option<Vec<Reference>> {
    if list.value.is_empty() || list.value.len() > MAX_KEYS {
        let message = format!("one key is needed, and no more than {MAX_KEYS}");
        let code = if list.value.is_empty() { Code::EmptyList } else { Code::TooLarge };
        found.push(of.file.error(code, list.referenced, message).help("`tollgate keys signing` makes one"));
        return None;
    }
    // All are looked at, so that all problems are told.
    let read: Vec<_> = list.value.iter().map(|key| reference(of.file, key, found)).collect();
    read.into_iter().collect()
}

/// A header that nobody else says anything in.
fn free(of: Written<'_>, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
    let header = of.header(name, found)?;
    match Reserved::of(&header) {
        None => Some(header),
        Some(Reserved::Credential) if header == AUTHORIZATION => Some(header),
        Some(Reserved::Gate) if header.as_str().starts_with("x-tollgate-") => Some(header),
        Some(reserved) => {
            found.push(of.reserved(name, reserved));
            None
        }
    }
}

fn named(of: Written<'_>, written: &Spanned<String>, key: &str, found: &mut Diagnostics) -> Option<String> {
    if !written.value.trim().is_empty() {
        return Some(written.value.clone());
    }
    let problem = of.file.error(Code::InvalidCredential, written.referenced, format!("`{key}` is empty"));
    found.push(problem.help("write what the server compares it with, such as `https://mcp.example.com/mcp`"));
    None
}

fn claims(of: Written<'_>, list: &Spanned<Vec<Spanned<String>>>, found: &mut Diagnostics) -> Option<Vec<String>> {
    let mut problems = Diagnostics::new();
    if list.value.is_empty() || list.value.len() > MAX_CLAIMS {
        let message = format!("one claim is needed, and no more than {MAX_CLAIMS}");
        let code = if list.value.is_empty() { Code::EmptyList } else { Code::TooLarge };
        problems.push(of.file.error(code, list.referenced, message).help("name some, or leave `claims` out"));
    }
    let mut seen = BTreeSet::new();
    for claim in &list.value {
        let name = claim.value.as_str();
        if OWN_CLAIMS.contains(&name) {
            let message = format!("{} is what the gate says itself", quoted(name));
            let problem = of.file.error(Code::InvalidCredential, claim.referenced, message);
            problems.push(problem.help("leave it out: it is there"));
        } else if !seen.insert(name) {
            let problem =
                of.file.error(Code::DuplicateName, claim.referenced, format!("{} stands here twice", quoted(name)));
            problems.push(problem.help("delete one of the two"));
        }
    }
    let all = !problems.has_errors();
    found.extend(problems);
    all.then(|| list.value.iter().map(|claim| claim.value.clone()).collect())
}
