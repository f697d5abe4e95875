//! A key as written. What it means is in `compile`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnostic::Spanned;
use crate::identity::Claim;
use crate::identity::expiry::EXPIRY;

/// So many keys of one id are good at once: more than one that replaces another, and a spare one, nobody needs.
pub(super) const MOST_HASHES: usize = 4;
/// How the hash of a key is written.
const HASH: &str = "^(sha256|hmac-sha256:[a-z0-9_.-]{1,64}):[0-9a-f]{64}$";

/// A key, by its hash. The key itself stands in no file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key", extend("oneOf" = [{ "required": ["hash"] }, { "required": ["hashes"] }]))]
pub(in crate::identity) struct KeySource {
    /// Whose key it is: the name in logs and limits.
    pub(in crate::identity) id: Spanned<String>,
    /// `sha256:` and the SHA-256 of the key in hexadecimal digits; with a pepper `hmac-sha256:`, its id, `:`, and its HMAC.
    #[schemars(regex(pattern = HASH))]
    pub(super) hash: Option<Spanned<String>>,
    /// In place of `hash` and `expires` while one key replaces another: both prove the same id.
    #[schemars(length(min = 1, max = MOST_HASHES))]
    pub(super) hashes: Option<Spanned<Vec<Spanned<HashSource>>>>,
    /// Roles of the policy files that it holds.
    #[schemars(length(min = 1))]
    pub(in crate::identity) roles: Option<Spanned<Vec<Spanned<String>>>>,
    /// The first day on which it is refused, or the moment, in UTC. A key without never expires.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01", example = "2027-06-01T12:00:00Z")]
    pub(super) expires: Option<Spanned<String>>,
    /// Scopes that it has, for tools that need one. It cannot come by more.
    #[schemars(length(min = 1), example = ["records:write"])]
    pub(in crate::identity) scopes: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is known of its holder, for conditions on arguments (`claim: NAME`).
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("store_id", "s1")]))]
    pub(in crate::identity) claims: BTreeMap<Box<str>, Claim>,
}

/// One of several keys of the same id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyHash")]
pub(super) struct HashSource {
    /// As `hash` of the key.
    #[schemars(regex(pattern = HASH))]
    pub(super) hash: Spanned<String>,
    /// As `expires` of the key.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01", example = "2027-06-01T12:00:00Z")]
    pub(super) expires: Option<Spanned<String>>,
}

/// One hash, and when it ends.
pub(super) type Written<'a> = (&'a Spanned<String>, Option<&'a Spanned<String>>);

impl KeySource {
    /// All its hashes, as far as they are written as such.
    pub(super) fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let several = self.hashes.iter().flat_map(|list| &list.value);
        let several = several.map(|one| (&one.value.hash, one.value.expires.as_ref()));
        self.hash.iter().map(|hash| (hash, self.expires.as_ref())).chain(several)
    }

    /// The texts that stand where a hash must: one may be a key itself.
    pub(in crate::identity) fn hashes(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.written().map(|(hash, _)| hash)
    }
}
