//! Who is asking. A step that fails is never "nobody": only a request without any credential can be anonymous.

mod api_key;
mod certificate;
mod claim;
mod expiry;
mod presented;
mod principal;
mod principals;
mod resource;
mod scope;
mod token;
mod weak;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::{self, Moment};
use crate::tls::ClientCertificate;

pub use api_key::{
    EXPIRES_SOON, KeyHash, KeysOf, MIN_PEPPER, NewKey, PepperError, Peppers, hash_entry, is_pepper_id, looks_like_key,
    new_key, peppered_entry,
};
pub use certificate::{CertificateError, Holder};
pub use claim::{Claim, Claims, Scalar};
pub use expiry::{Date, EXPIRY, parse_expiry};
pub use presented::{API_KEY, Presented};
pub use principal::{ANONYMOUS, BearerToken, Principal, Proof};
pub use principals::{
    Compiled, Known, PRINCIPALS_KEYS, PrincipalsFile, PrincipalsSource, WithoutRole, compile, is_principal_id,
};
pub use resource::{Challenge, ProtectedResource, PublicUrl};
pub use scope::Scope;
pub use token::{Asked, IssuerState, TokenError, TokenMapping};

use api_key::ApiKeys;
use certificate::Certificates;
use presented::Credential;
use token::Tokens;

/// All ways to prove an identity that the policy allows; by default none.
#[derive(Debug, Default)]
pub struct Authenticators {
    keys: ApiKeys,
    certificates: Certificates,
    tokens: Tokens,
    anonymous: Option<Arc<Principal>>,
    written: Written,
}

/// Where callers stand in the principals files, by their paths there: file and line.
type Written = BTreeMap<String, (Arc<str>, u32)>;

/// Why nobody was identified. `Display` is for the operator; the caller only learns that it must authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No credential at all.
    Missing,
    /// More than one; which of them counts would depend on who reads.
    Several,
    /// Not a key by its form.
    Malformed,
    /// `Authorization` with another scheme than `Bearer`.
    UnsupportedScheme,
    /// No key of the policy.
    Unknown,
    /// A key of the policy that is no longer valid.
    Expired {
        /// Whose key it is.
        id: Arc<str>,
    },
    /// A token of an identity provider, where a key is expected or none is configured.
    LooksLikeJwt,
    /// A certificate that proves nobody.
    Certificate(CertificateError),
    /// A token that proves nobody.
    Token(TokenError),
}

impl AuthError {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "no_credential",
            Self::Several => "several_credentials",
            Self::Malformed => "malformed_credential",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::Unknown => "unknown_key",
            Self::Expired { .. } => "expired_key",
            Self::LooksLikeJwt => "jwt_without_issuer",
            Self::Certificate(error) => error.reason(),
            Self::Token(error) => error.reason(),
        }
    }
}

impl Authenticators {
    /// Who shows this. It may have to ask an identity provider.
    ///
    /// # Errors
    /// There is not exactly one credential, or it is not one of the policy's.
    pub async fn identify(&self, presented: Presented<'_>) -> Result<Arc<Principal>, AuthError> {
        self.identify_at(presented, clock::now()).await
    }

    /// The same at another moment. What a credential is, its form says; it is never tried as anything else.
    ///
    /// # Errors
    /// As of [`Authenticators::identify`].
    pub async fn identify_at(&self, presented: Presented<'_>, now: Moment) -> Result<Arc<Principal>, AuthError> {
        let certificate = self.certificate(presented, now.wall)?;
        match (presented.credential()?, certificate) {
            (Credential::None, Some(certificate)) => {
                self.certificates.identify(certificate, now.wall).map_err(AuthError::Certificate)
            }
            (Credential::Key(_) | Credential::Bearer(_), Some(_)) => Err(AuthError::Several),
            (Credential::Key(key), None) => self.keys.identify(key, now.wall),
            (Credential::Bearer(bearer), None) => match self.tokens.identify(bearer, now).await {
                Some(proved) => proved.map_err(AuthError::Token),
                None => self.keys.identify(bearer, now.wall),
            },
            (Credential::None, None) => self.anonymous.clone().ok_or(AuthError::Missing),
        }
    }

    /// The certificate, where it is a credential: where the policy has `certificates`. Elsewhere it only keeps others from
    /// connecting. One that counts no longer ends what came over its connection in either case.
    fn certificate<'a>(
        &self,
        presented: Presented<'a>,
        now: SystemTime,
    ) -> Result<Option<&'a Arc<ClientCertificate>>, AuthError> {
        if let Some(Err(distrust)) = presented.certificate.map(|certificate| certificate.names(now)) {
            return Err(AuthError::Certificate(CertificateError::Distrust(distrust)));
        }
        Ok(presented.certificate.filter(|_| !self.certificates.is_empty()))
    }

    /// Goes on with what was learnt under the policies of before: the keys of issuers.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        self.tokens.succeed(&before.tokens);
        self
    }

    /// Knows keys by hashes with these peppers, too.
    #[must_use]
    pub fn peppered(mut self, peppers: &Arc<Peppers>) -> Self {
        self.keys.pepper(Arc::clone(peppers));
        self
    }

    /// Fetches keys of issuers that are missing or old, without waiting for them.
    pub fn renew_keys(&self, now: Moment) {
        self.tokens.renew_keys(now);
    }

    /// How each issuer of tokens stands, and how often it was asked.
    pub fn issuer_states(&self, now: Moment) -> Vec<IssuerState> {
        self.tokens.told(now)
    }

    /// Whether anybody can prove an identity now. Where only tokens can, some issuer's keys must be known for that.
    pub fn can_identify(&self, now: Moment) -> bool {
        let by_tokens_only = self.keys.by_id().is_empty() && self.certificates.is_empty() && self.anonymous.is_none();
        let issuers = self.tokens.told(now);
        !by_tokens_only || issuers.is_empty() || !issuers.iter().all(IssuerState::lacks_keys)
    }

    /// The principal as it is now, if it still can prove itself: streams outlive the policy that they were opened under.
    pub fn still(&self, principal: &Principal) -> Option<Arc<Principal>> {
        match principal.proof() {
            Proof::ApiKey(hash) => self.keys.still(hash, clock::wall()),
            Proof::Certificate(certificate) => self.certificates.identify(certificate, clock::wall()).ok(),
            Proof::Token(bearer) => self.tokens.still(bearer.token.expose().as_bytes(), clock::now()),
            Proof::Anonymous => self.anonymous.clone(),
        }
    }

    /// The principals that keys prove, by id, and when each key ends.
    pub fn keys(&self) -> BTreeMap<&str, KeysOf<'_>> {
        self.keys.by_id()
    }

    /// Who can prove an identity by something else than a token: what it is in words, and the roles that it gives.
    pub fn without_tokens(&self) -> Vec<(String, &[Arc<str>])> {
        let keys = self.keys().into_iter().map(|(id, keys)| (format!("the key of `{id}`"), keys.principal.roles()));
        let certificates = self.certificates.by_name();
        let certificates =
            certificates.into_iter().map(|(name, holder)| (format!("the certificate `{name}`"), &*holder.roles));
        let anonymous = self.anonymous.iter().map(|nobody| ("no credential".to_owned(), nobody.roles()));
        keys.chain(certificates).chain(anonymous).collect()
    }

    /// Whom certificates prove, by the names in them.
    pub fn certificates(&self) -> BTreeMap<String, &Holder> {
        self.certificates.by_name()
    }

    /// Whom tokens prove, by their issuer.
    pub fn token_mappings(&self) -> BTreeMap<&str, TokenMapping<'_>> {
        self.tokens.mappings()
    }

    /// The file and line in which a caller stands, by the path there: `keys.ID`, `certificates.NAME`, `tokens.ISSUER` or
    /// `anonymous`.
    pub fn written(&self, path: &str) -> Option<(&str, u32)> {
        self.written.get(path).map(|(file, line)| (&**file, *line))
    }

    /// Whoever shows no credential, if such callers are let in; for asking what would be decided.
    ///
    /// # Errors
    /// They are not.
    pub fn supposed_anonymous(&self) -> Result<Arc<Principal>, AuthError> {
        self.anonymous.clone().ok_or(AuthError::Missing)
    }

    /// Whose tokens are accepted: the identity providers that clients can log in at.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.tokens.issuers()
    }

    /// What clients are told to ask for that know nothing else, in the order of the files.
    pub fn asked_scopes(&self) -> Vec<Scope> {
        self.tokens.asked_scopes()
    }

    /// Whether callers without a credential are let in.
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no credential, and the policy does not say `anonymous: true`"),
            Self::Several => f.write_str("more than one credential"),
            Self::Malformed => f.write_str("the credential is not a key: wrong length, characters or checksum"),
            Self::UnsupportedScheme => f.write_str("`authorization` with another scheme than Bearer"),
            Self::Unknown => f.write_str("no key of the policy has this hash"),
            Self::Expired { id } => write!(f, "the key of `{id}` has expired"),
            Self::LooksLikeJwt => {
                f.write_str("the credential is a JWT, where a key is expected or no issuer of tokens is configured")
            }
            Self::Certificate(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AuthError {}
