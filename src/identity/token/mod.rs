//! Tokens of identity providers: who issued one, whether that is so, and whom it proves.

mod algorithm;
mod cache;
mod compile;
mod introspection;
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

use super::api_key::has_key_form;
use super::{Principal, Scope};
use crate::clock::Moment;

pub(super) use compile::compile;
pub use mapping::TokenMapping;
pub(super) use source::TokenSource;
pub use store::{Asked, IssuerState};

use cache::{Entry, Remembered, TokenHash};
use introspection::Introspection;
use jws::{Jws, looks_like_jws};
use rules::{Accepted, Rules};
use store::{KeyStore, Known};

/// All issuers whose tokens are taken, and the tokens that were verified.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issuers: Vec<Issuer>,
    verified: Remembered<Verified>,
}

/// One issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    rules: Arc<Rules>,
    /// Scopes that clients are told to ask for.
    ask_for: Vec<Scope>,
    means: Means,
}

/// How it becomes known whom its tokens prove. Each issuer has one, so that no token is ever tried in two ways.
#[derive(Debug)]
enum Means {
    /// They are signed, with one of these keys.
    Keys(Arc<KeyStore>),
    /// They are opaque: it is asked.
    Introspection(Arc<Introspection>),
}

/// Whom a signed token proves, and by what that was verified.
#[derive(Debug)]
struct Verified {
    principal: Arc<Principal>,
    /// The place of its issuer among all.
    issuer: usize,
    /// Of the issuer's keys.
    generation: u64,
}

/// What follows `Bearer` and is a token, by its form.
#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    /// A signed one; whoever it names issued it.
    Signed,
    /// An opaque one, of the one issuer that has such.
    Opaque(&'a Arc<Introspection>),
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
    /// Its issuer says that it does not count, or no longer.
    Inactive,
    /// A claim is missing, or is not what it must be.
    Claim(&'static str),
    /// Nobody can say now: this issuer does not answer.
    Unavailable(Arc<str>),
}

impl Tokens {
    pub(super) fn of(issuers: Vec<Issuer>) -> Self {
        Self { issuers, verified: Remembered::default() }
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

    /// What this is by its form; `None` if it is no token but a key. No other way is tried.
    fn form(&self, bearer: &[u8]) -> Option<Form<'_>> {
        if self.issuers.is_empty() || has_key_form(bearer) {
            return None;
        }
        if looks_like_jws(bearer) {
            return Some(Form::Signed);
        }
        self.issuers.iter().find_map(|issuer| match &issuer.means {
            Means::Keys(_) => None,
            Means::Introspection(introspection) => Some(Form::Opaque(introspection)),
        })
    }

    /// Whom this token proves; `None` if it is no token but a key. What is not known is asked for.
    pub(super) async fn identify(&self, token: &[u8], now: Moment) -> Option<Result<Arc<Principal>, TokenError>> {
        Some(match self.form(token)? {
            Form::Signed => self.verified(token, now).await,
            Form::Opaque(introspection) => introspection.identify(token, now.wall).await,
        })
    }

    /// The same with what is known already.
    pub(super) fn still(&self, token: &[u8], now: Moment) -> Option<Arc<Principal>> {
        if let Form::Opaque(introspection) = self.form(token)? {
            return introspection.still(token, now.wall);
        }
        let read = Jws::read(token).ok()?;
        let (_, issuer, keys) = self.issuer(&read).ok()?;
        issuer.verify(keys, &read, token, now).ok().map(|(accepted, _)| Arc::new(accepted.principal))
    }

    async fn verified(&self, token: &[u8], now: Moment) -> Result<Arc<Principal>, TokenError> {
        let hash = TokenHash::of(token);
        if let Some(principal) = self.remembered(hash, now) {
            return Ok(principal);
        }
        let read = Jws::read(token)?;
        let (at, issuer, keys) = self.issuer(&read)?;
        let (accepted, known) = match issuer.verify(keys, &read, token, now) {
            Err(TokenError::UnknownKey) => issuer.verify_with(&keys.renewed(now.monotonic).await?, &read, token, now),
            verified => verified,
        }?;
        let Accepted { principal, ends } = accepted;
        let principal = Arc::new(principal);
        let verified = Verified { principal: Arc::clone(&principal), issuer: at, generation: known.generation };
        self.verified.insert(hash, Entry { known: verified, until: ends, length: token.len() });
        Ok(principal)
    }

    /// What was verified before, if its issuer still has the keys that it was verified with.
    fn remembered(&self, hash: TokenHash, now: Moment) -> Option<Arc<Principal>> {
        let entry = self.verified.get(hash, now.wall)?;
        let known = self.issuers.get(entry.known.issuer)?.keys()?.known(now.monotonic)?;
        (known.generation == entry.known.generation).then(|| Arc::clone(&entry.known.principal))
    }

    /// Who says that it issued this, and has keys to sign with.
    fn issuer(&self, token: &Jws<'_>) -> Result<(usize, &Issuer, &Arc<KeyStore>), TokenError> {
        let named = token.claims.get("iss").and_then(|name| name.as_str());
        let mut issuers = self.issuers.iter().enumerate();
        let found = issuers.find(|(_, issuer)| Some(&*issuer.rules.issuer) == named);
        found.and_then(|(at, issuer)| Some((at, issuer, issuer.keys()?))).ok_or(TokenError::UnknownIssuer)
    }

    /// Keeps what was learnt before: a change of policies is none of issuers.
    pub(super) fn succeed(&mut self, before: &Self) {
        for issuer in &mut self.issuers {
            for same in &before.issuers {
                match (&mut issuer.means, &same.means) {
                    (Means::Keys(keys), Means::Keys(same)) if keys.source == same.source => *keys = Arc::clone(same),
                    // What was asked under other rules was judged by them.
                    (Means::Introspection(asked), Means::Introspection(same)) if asked.is_same_as(same) => {
                        *asked = Arc::clone(same);
                    }
                    (Means::Keys(_) | Means::Introspection(_), _) => {}
                }
            }
        }
    }

    /// Renews what is old, without waiting for it.
    pub(super) fn renew_keys(&self, now: Moment) {
        for keys in self.issuers.iter().filter_map(Issuer::keys) {
            keys.renew_if_due(now.monotonic);
        }
    }

    /// What is to be known of each issuer.
    pub(super) fn told(&self, now: Moment) -> Vec<IssuerState> {
        let told = self.issuers.iter().map(|issuer| match &issuer.means {
            Means::Keys(keys) => keys.told(now.monotonic),
            Means::Introspection(asked) => asked.told(),
        });
        told.collect()
    }
}

impl Issuer {
    fn keys(&self) -> Option<&Arc<KeyStore>> {
        match &self.means {
            Means::Keys(keys) => Some(keys),
            Means::Introspection(_) => None,
        }
    }

    /// Whether it is asked about each of its tokens.
    pub(super) fn is_asked(&self) -> bool {
        self.keys().is_none()
    }

    fn verify(
        &self,
        keys: &KeyStore,
        read: &Jws<'_>,
        token: &[u8],
        now: Moment,
    ) -> Result<(Accepted, Arc<Known>), TokenError> {
        self.rules.head(read)?;
        let known = keys.known(now.monotonic).ok_or(TokenError::UnknownKey)?;
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
            Self::Inactive => "token_inactive",
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
            Self::Inactive => f.write_str("the token's issuer says that it does not count (`active`)"),
            Self::Claim(what) => write!(f, "the token's claims are not what they must be: {what}"),
            Self::Unavailable(issuer) => write!(f, "{issuer} cannot be asked now"),
        }
    }
}
