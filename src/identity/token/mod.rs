//! Tokens of identity providers: who issued one, whether that is so, and whom it proves.

mod algorithm;
mod cache;
mod compile;
mod jws;
mod keys;
mod mapping;
mod path;
mod rules;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::{Principal, Scope};
use crate::clock::Moment;

pub(super) use compile::compile;
pub(super) use jws::looks_like_jws;
pub use mapping::TokenMapping;
pub(super) use source::TokenSource;
pub use store::IssuerKeys;

use cache::{Entry, Tag, TokenHash, Verified};
use jws::Jws;
use rules::{Accepted, Rules};
use store::{KeyStore, Known};

/// All issuers whose tokens are taken, and the tokens that were verified.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issuers: Vec<Issuer>,
    verified: Verified,
}

/// One issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    rules: Rules,
    /// Scopes that clients are told to ask for.
    ask_for: Vec<Scope>,
    keys: Arc<KeyStore>,
}

/// Why a token proves nobody. Nothing here quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It cannot be read, or has more than one reading.
    Malformed(&'static str),
    /// Signed in a way that is not taken from its issuer.
    Algorithm,
    /// A token for something else, such as one that ends sessions.
    Kind,
    /// Nobody whose tokens are taken issued it.
    UnknownIssuer,
    /// Signed with a key that its issuer does not have, or does not name.
    UnknownKey,
    /// The signature is not of that key.
    Signature,
    /// It is for somebody else.
    Audience,
    /// It is over.
    Expired,
    /// It does not count yet.
    NotYet,
    /// A claim is missing, or is not what it must be.
    Claim(&'static str),
    /// Nobody can say now: this issuer does not answer.
    Unavailable(Arc<str>),
}

impl Tokens {
    pub(super) fn of(issuers: Vec<Issuer>) -> Self {
        Self { issuers, verified: Verified::default() }
    }

    /// What clients are told to ask for.
    pub(super) fn asked_scopes(&self) -> Vec<Scope> {
        let mut asked: Vec<Scope> = Vec::new();
        for scope in self.issuers.iter().flat_map(|issuer| &issuer.ask_for) {
            if !asked.contains(scope) {
                asked.push(scope.clone());
            }
        }
        asked
    }

    /// All of them, by name.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|issuer| &*issuer.rules.issuer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Whom this token proves. Keys that are missing are asked for.
    pub(super) async fn identify(&self, token: &[u8], now: Moment) -> Result<Arc<Principal>, TokenError> {
        let hash = TokenHash::of(token);
        if let Some(principal) = self.remembered(hash, now) {
            return Ok(principal);
        }
        let read = Jws::read(token)?;
        let (at, issuer) = self.issuer(&read)?;
        let (accepted, known) = match issuer.verify(&read, token, now) {
            Err(TokenError::UnknownKey) => {
                issuer.verify_with(&issuer.keys.renewed(now.monotonic).await?, &read, token, now)
            }
            verified => verified,
        }?;
        let Accepted { principal, ends } = accepted;
        let (principal, tag) = (Arc::new(principal), Tag { issuer: at, generation: known.generation });
        let entry = Entry { principal: Arc::clone(&principal), until: ends, tag, length: token.len() };
        self.verified.insert(hash, entry);
        Ok(principal)
    }

    /// The same with what is known already.
    pub(super) fn still(&self, token: &[u8], now: Moment) -> Option<Arc<Principal>> {
        let read = Jws::read(token).ok()?;
        let (_, issuer) = self.issuer(&read).ok()?;
        issuer.verify(&read, token, now).ok().map(|(accepted, _)| Arc::new(accepted.principal))
    }

    /// What was verified before, if its issuer still has the keys that it was verified with.
    fn remembered(&self, hash: TokenHash, now: Moment) -> Option<Arc<Principal>> {
        let entry = self.verified.get(hash, now.wall)?;
        let known = self.issuers.get(entry.tag.issuer)?.keys.known(now.monotonic)?;
        (known.generation == entry.tag.generation).then(|| Arc::clone(&entry.principal))
    }

    /// Who says that it issued this.
    fn issuer(&self, token: &Jws<'_>) -> Result<(usize, &Issuer), TokenError> {
        let named = token.claims.get("iss").and_then(|name| name.as_str());
        let mut issuers = self.issuers.iter().enumerate();
        issuers.find(|(_, issuer)| Some(&*issuer.rules.issuer) == named).ok_or(TokenError::UnknownIssuer)
    }

    /// Keeps the keys that were known before: a change of policies is none of issuers.
    pub(super) fn succeed(&mut self, before: &Self) {
        for issuer in &mut self.issuers {
            if let Some(same) = before.issuers.iter().find(|it| it.keys.source == issuer.keys.source) {
                issuer.keys = Arc::clone(&same.keys);
            }
        }
    }

    /// Renews what is old, without waiting for it.
    pub(super) fn renew_keys(&self, now: Moment) {
        for issuer in &self.issuers {
            issuer.keys.renew_if_due(now.monotonic);
        }
    }

    /// How old the keys of each issuer are.
    pub(super) fn told(&self, now: Moment) -> Vec<IssuerKeys> {
        self.issuers.iter().map(|issuer| issuer.keys.told(now.monotonic)).collect()
    }
}

impl Issuer {
    fn verify(&self, read: &Jws<'_>, token: &[u8], now: Moment) -> Result<(Accepted, Arc<Known>), TokenError> {
        self.rules.head(read)?;
        let known = self.keys.known(now.monotonic).ok_or(TokenError::UnknownKey)?;
        self.verify_with(&known, read, token, now)
    }

    fn verify_with(
        &self,
        known: &Arc<Known>,
        read: &Jws<'_>,
        token: &[u8],
        now: Moment,
    ) -> Result<(Accepted, Arc<Known>), TokenError> {
        known.keys.verify(read)?;
        Ok((self.rules.accept(&read.claims, token, now.wall)?, Arc::clone(known)))
    }
}

impl TokenError {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Kind => "token_kind",
            Self::UnknownIssuer => "token_issuer",
            Self::UnknownKey => "token_key",
            Self::Signature => "token_signature",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
            Self::Claim(_) => "token_claim",
            Self::Unavailable(_) => "issuer_unavailable",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the token cannot be read: {what}"),
            Self::Algorithm => {
                f.write_str("the token is signed in a way that is not taken from its issuer (algorithms)")
            }
            Self::Kind => f.write_str("the token says that it is for something else (`typ`)"),
            Self::UnknownIssuer => f.write_str("no issuer under `tokens` is the token's `iss`"),
            Self::UnknownKey => f.write_str("the token's issuer has no such key (`kid`)"),
            Self::Signature => f.write_str("the token's signature is wrong"),
            Self::Audience => f.write_str("the token is for somebody else (`aud`)"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYet => f.write_str("the token does not count yet (`nbf`, `iat`)"),
            Self::Claim(what) => write!(f, "the token's claims are not what they must be: {what}"),
            Self::Unavailable(issuer) => write!(f, "the keys of {issuer} cannot be had now"),
        }
    }
}
