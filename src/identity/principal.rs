//! Who asks, and how that was proved.

use std::sync::Arc;
use std::time::SystemTime;

use super::api_key::KeyHash;
use super::claim::{Claim, Claims};
use crate::secret::Secret;
use crate::tls::ClientCertificate;

/// A caller whose identity was proved, or who was let in as nobody by an operator who spelt that out.
///
/// There is no `Default` and no public constructor: only an authenticator makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    id: Arc<str>,
    account: Arc<str>,
    roles: Box<[Arc<str>]>,
    scopes: Box<[Box<str>]>,
    claims: Claims,
    expires: Option<SystemTime>,
    proof: Proof,
}

/// How the caller's identity was proved.
#[derive(Debug, PartialEq, Eq)]
pub enum Proof {
    /// The API key of this hash.
    ApiKey(KeyHash),
    /// A certificate that the client showed when it connected.
    Certificate(Arc<ClientCertificate>),
    /// A token of an identity provider.
    Token(BearerToken),
    /// Not at all: `anonymous: true` is set.
    Anonymous,
}

/// A token that proved who asks.
#[derive(Debug, PartialEq, Eq)]
pub struct BearerToken {
    /// Who issued it.
    pub issuer: Arc<str>,
    /// Itself, as it came: for whoever exchanges it, or passes it on where that is spelt out.
    pub token: Secret,
}

/// The role that callers without a credential hold, where the policy lets them in.
pub const ANONYMOUS: &str = "anonymous";

impl Principal {
    pub(super) fn new(id: Arc<str>, roles: impl IntoIterator<Item = Arc<str>>, proof: Proof) -> Self {
        let account = match &proof {
            // Ids of keys have no `#`, and neither have issuers.
            Proof::Token(token) => format!("{}#{id}", token.issuer).into(),
            Proof::Certificate(_) => format!("certificate#{id}").into(),
            Proof::ApiKey(_) | Proof::Anonymous => Arc::clone(&id),
        };
        let roles = roles.into_iter().collect();
        Self { id, account, roles, scopes: Box::default(), claims: Claims::new(), expires: None, proof }
    }

    pub(super) fn with(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    pub(super) fn good_for(mut self, scopes: Box<[Box<str>]>) -> Self {
        self.scopes = scopes;
        self
    }

    pub(super) fn until(mut self, end: Option<SystemTime>) -> Self {
        self.expires = end;
        self
    }

    /// A caller who proves nothing, for asking what would be decided. Nothing is ever sent for it.
    pub fn supposed(roles: &[&str], claims: &Claims) -> Self {
        Self::new(Arc::from("supposed"), roles.iter().copied().map(Arc::from), Proof::ApiKey(KeyHash::of_none()))
            .with(claims.clone())
    }

    /// The same, with a token that has these scopes in place of a key.
    #[must_use]
    pub fn supposed_with_scopes(roles: &[&str], claims: &Claims, scopes: &[&str]) -> Self {
        let proof = Proof::Token(BearerToken { issuer: Arc::from("supposed"), token: Secret::new(String::new()) });
        let scopes = scopes.iter().copied().map(Box::from).collect();
        Self { scopes, proof, ..Self::supposed(roles, claims) }
    }

    /// Who it is: the key's id, what its issuer calls it, or `anonymous`.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Who it is among all whom the gate knows: what sessions, tasks and limits are kept by. Two issuers may call two
    /// people the same, and a key may have that id, too; no two of them have one account.
    pub fn account(&self) -> &Arc<str> {
        &self.account
    }

    /// Of which kind its proof is, in a word. With [`Principal::issuer`] and the id it says who it is among all.
    pub fn auth(&self) -> &'static str {
        match &self.proof {
            Proof::ApiKey(_) => "api_key",
            Proof::Certificate(_) => "certificate",
            Proof::Token(_) => "token",
            Proof::Anonymous => "anonymous",
        }
    }

    /// Who issued its token, if it has shown one.
    pub fn issuer(&self) -> Option<&str> {
        match &self.proof {
            Proof::Token(token) => Some(&token.issuer),
            Proof::ApiKey(_) | Proof::Certificate(_) | Proof::Anonymous => None,
        }
    }

    /// The roles it holds, before inheritance.
    pub fn roles(&self) -> &[Arc<str>] {
        &self.roles
    }

    /// What its credential is good for: a token in its issuer's words, a key in ours.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|scope| &**scope)
    }

    /// What is known of it under this name.
    pub fn claim(&self, name: &str) -> Option<&Claim> {
        self.claims.get(name)
    }

    /// All that is known of it, by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.claims.iter().map(|(name, value)| (&**name, value))
    }

    /// From when on its proof no longer counts, if that is known.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// How that was proved.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

#[cfg(test)]
impl Principal {
    /// A principal out of thin air, for tests of the floors above.
    pub fn for_test(id: &str, roles: &[&str]) -> Self {
        Self::new(Arc::from(id), roles.iter().map(|role| Arc::from(*role)), Proof::ApiKey(KeyHash::of_none()))
    }

    /// The same, by a token with these scopes.
    #[must_use]
    pub fn scoped(&self, scopes: &[&str]) -> Self {
        let roles: Vec<_> = self.roles.iter().map(|role| &**role).collect();
        Self { id: Arc::clone(&self.id), ..Self::supposed_with_scopes(&roles, &self.claims, scopes) }
    }

    /// The same, with this claim.
    #[must_use]
    pub fn claiming(mut self, name: &str, value: &serde_json::Value) -> Self {
        self.claims.extend(Claim::of(value).map(|claim| (name.into(), claim)));
        self
    }
}
