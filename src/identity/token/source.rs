//! An issuer of tokens as written. What it means is in `compile`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::path::ClaimPath;
use crate::diagnostic::Spanned;
use crate::duration::DURATION;

/// An identity provider whose tokens (JWT) are accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Issuer")]
pub(in crate::identity) struct TokenSource {
    /// Who issues them: the `iss` of its tokens, to the letter.
    #[schemars(example = "https://login.example.com/")]
    pub(super) issuer: Spanned<String>,
    /// What this gate is called in `aud`. Tokens for anything else are refused.
    #[schemars(example = "https://mcp.example.com/records")]
    pub(super) audience: Spanned<String>,
    /// What they may be signed with; RS256 and ES256 if not said.
    #[schemars(length(min = 1), example = ["ES256", "RS256"])]
    pub(super) algorithms: Option<Spanned<Vec<Spanned<String>>>>,
    /// How it is asked about opaque tokens (RFC 7662). Its tokens are then opaque, and never JWTs.
    pub(super) introspection: Option<Spanned<IntrospectionSource>>,
    /// Where its keys are; if not said, its discovery document (OIDC) says it.
    pub(super) jwks_url: Option<Spanned<String>>,
    /// How far its clock may be off; 30s if not said.
    #[schemars(regex(pattern = DURATION), example = "30s")]
    pub(super) leeway: Option<Spanned<String>>,
    /// The claim that names the caller, in logs and limits too; `sub` if not said.
    pub(super) id: Option<ClaimPath>,
    /// The claim that gives roles.
    pub(super) roles: Option<RolesSource>,
    /// The claim with the scopes; `scope` and `scp` if not said.
    pub(super) scopes: Option<ClaimPath>,
    /// Scopes that have others in them: who has the first has these, too.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("records:admin", ["records:read", "records:write"])]))]
    pub(super) scopes_include: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// Scopes that clients are told to ask for when they log in. What a call needs beside that, it tells them itself.
    #[schemars(length(min = 1), example = ["records:read"])]
    pub(super) ask_for: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is kept for conditions on arguments (`claim: NAME`), beside `sub` and `iss`: our names, and where they stand.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("store_id", "store")]))]
    pub(super) claims: BTreeMap<Box<str>, ClaimPath>,
    /// Networks that it may be in although they are not public: only addresses in them may be asked without https.
    #[schemars(length(min = 1), example = ["10.0.0.0/8"])]
    pub(super) allow_addresses: Option<Spanned<Vec<Spanned<String>>>>,
    /// A file with certificate authorities to believe beside those of the system, for an issuer with a CA of its own.
    pub(super) ca_file: Option<Spanned<String>>,
    /// What is shown to it as a bearer token where its keys are not for everybody: `env:NAME` or `file:/path`.
    #[schemars(regex(pattern = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.*)$"))]
    pub(super) bearer: Option<Spanned<String>>,
}

/// How an issuer is asked about its tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Introspection")]
pub(super) struct IntrospectionSource {
    /// Its introspection endpoint.
    #[schemars(example = "https://login.example.com/introspect")]
    pub(super) url: Spanned<String>,
    /// What the gate is called there.
    pub(super) client_id: Spanned<String>,
    /// Where the secret is kept that goes with it: `env:NAME` or `file:/path`.
    #[schemars(regex(pattern = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.*)$"))]
    pub(super) client_secret: Spanned<String>,
    /// For how long an answer counts; 30s if not said, `5m` at most. A token that is revoked opens calls for so long.
    #[schemars(regex(pattern = DURATION), example = "30s")]
    pub(super) cache: Option<Spanned<String>>,
}

/// Words of an issuer, and roles.
pub(super) type RolesMap = BTreeMap<Box<str>, Spanned<String>>;

/// Roles by a claim.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RolesOfTokens")]
pub(super) struct RolesSource {
    /// Where they stand: a text, or a list of texts.
    pub(super) claim: ClaimPath,
    /// The issuer's words, and the roles that they give. Without it, they are the names of roles themselves.
    #[schemars(extend("minProperties" = 1))]
    pub(super) map: Option<Spanned<RolesMap>>,
}

impl TokenSource {
    /// Who issues them.
    pub(in crate::identity) fn issuer(&self) -> &Spanned<String> {
        &self.issuer
    }

    /// The roles that somebody may hold by it; `None` if it can be any.
    pub(in crate::identity) fn roles_held(&self) -> Option<Vec<&str>> {
        match &self.roles {
            None => Some(Vec::new()),
            Some(RolesSource { map: Some(map), .. }) => {
                Some(map.value.values().map(|role| role.value.as_str()).collect())
            }
            Some(RolesSource { map: None, .. }) => None,
        }
    }
}
