//! What a policy says of an issuer's tokens, for comparing it with another policy. No decision depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::path::ClaimPath;
use super::rules::Rules;
use super::{Issuer, Means, Tokens};

/// What tokens of one issuer must say, and what they give.
#[derive(Debug)]
pub struct TokenMapping<'a> {
    issuer: &'a Issuer,
}

impl Tokens {
    /// Of every issuer, by its name.
    pub(in crate::identity) fn mappings(&self) -> BTreeMap<&str, TokenMapping<'_>> {
        self.issuers.iter().map(|issuer| (&*issuer.rules.issuer, TokenMapping { issuer })).collect()
    }
}

impl<'a> TokenMapping<'a> {
    /// The issuer's words, and the role that each gives; `None` if its words are the roles.
    pub fn roles(&self) -> Option<BTreeMap<&'a str, &'a Arc<str>>> {
        let Some(roles) = &self.rules().roles else {
            return Some(BTreeMap::new());
        };
        Some(roles.map.as_ref()?.iter().map(|(word, role)| (&**word, role)).collect())
    }

    /// All else that decides whom a token proves, by its key. Which of two lets in more nobody can say.
    pub fn rest(&self) -> BTreeMap<&'static str, String> {
        // Roles are told one by one, and so are scopes that have others in them.
        let Rules { issuer: _, audience, algorithms, leeway, id, roles, scopes, scopes_include: _, claims } =
            self.rules();
        let paths = |paths: &[ClaimPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let claims = claims.iter().map(|(name, path)| format!("{name}: {path}"));
        let claim = roles.as_ref().map_or_else(|| "none".to_owned(), |roles| roles.claim.to_string());
        BTreeMap::from([
            ("audience", audience.join(", ")),
            ("algorithms", format!("{algorithms:?}")),
            ("leeway", format!("{leeway:?}")),
            ("id", id.to_string()),
            ("roles.claim", claim),
            ("scopes", paths(scopes)),
            ("claims", claims.collect::<Vec<_>>().join(", ")),
        ])
    }

    /// Each scope that has others in it, with each of those.
    pub fn scopes_include(&self) -> BTreeSet<(&'a str, &'a str)> {
        let included = self.rules().scopes_include.iter();
        included.flat_map(|(scope, others)| others.iter().map(|other| (&**scope, &**other))).collect()
    }

    /// Whether it becomes known in the same way and place whom both prove.
    pub fn has_same_means(&self, other: &Self) -> bool {
        match (&self.issuer.means, &other.issuer.means) {
            (Means::Keys(keys), Means::Keys(other)) => keys.source == other.source,
            (Means::Introspection(asked), Means::Introspection(other)) => asked.endpoint == other.endpoint,
            (Means::Keys(_), Means::Introspection(_)) | (Means::Introspection(_), Means::Keys(_)) => false,
        }
    }

    fn rules(&self) -> &'a Rules {
        &self.issuer.rules
    }
}
