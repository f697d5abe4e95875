//! What a token of one issuer must say, and whom it then proves. Pure: no key, no clock, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::TokenError;
use super::algorithm::Algorithm;
use super::jws::Jws;
use super::path::ClaimPath;
use crate::identity::{ANONYMOUS, BearerToken, Claim, Claims, Principal, Proof};
use crate::secret::Secret;

/// The longest name of a caller: it travels in headers and stands in logs.
const LONGEST_ID: usize = 256;
/// Kinds of tokens that are taken if nothing is said: access tokens (RFC 9068), and what does not say what it is.
const KINDS: [&str; 3] = ["at+jwt", "application/at+jwt", "jwt"];

/// What is demanded of tokens of one issuer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) issuer: Arc<str>,
    pub(super) audience: Box<[Box<str>]>,
    pub(super) algorithms: Box<[Algorithm]>,
    pub(super) leeway: Duration,
    pub(super) id: ClaimPath,
    pub(super) roles: Option<Roles>,
    pub(super) scopes: Vec<ClaimPath>,
    /// Scopes that have others in them.
    pub(super) scopes_include: BTreeMap<Box<str>, Vec<Box<str>>>,
    pub(super) claims: BTreeMap<Box<str>, ClaimPath>,
}

/// Which roles a claim gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) claim: ClaimPath,
    /// The issuer's words and ours; without, they are the same.
    pub(super) map: Option<BTreeMap<Box<str>, Arc<str>>>,
}

/// A token whose claims are right.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) principal: Principal,
    /// Its own end, without leeway.
    pub(super) ends: SystemTime,
}

impl Rules {
    /// What the header says, as far as it does not need a key.
    pub(super) fn head(&self, token: &Jws<'_>) -> Result<(), TokenError> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(TokenError::Algorithm);
        }
        let is_taken = |kind: &String| KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known));
        if token.kind.as_ref().is_some_and(|kind| !is_taken(kind)) {
            return Err(TokenError::Kind);
        }
        Ok(())
    }

    /// Whom these claims prove, which the issuer has signed.
    pub(super) fn accept(
        &self,
        claims: &Map<String, Value>,
        token: &[u8],
        now: SystemTime,
    ) -> Result<Accepted, TokenError> {
        let ends = moment(claims, "exp")?.ok_or(TokenError::Claim("`exp` is missing"))?;
        self.accept_until(claims, token, now, ends)
    }

    /// Whom these claims prove, which the issuer has just answered with. They need not say when they end, and count for so
    /// long at most.
    pub(super) fn accept_within(
        &self,
        claims: &Map<String, Value>,
        token: &[u8],
        now: SystemTime,
        most: Duration,
    ) -> Result<Accepted, TokenError> {
        let ends = moment(claims, "exp")?.map_or(now + most, |ends| ends.min(now + most));
        self.accept_until(claims, token, now, ends)
    }

    fn accept_until(
        &self,
        claims: &Map<String, Value>,
        token: &[u8],
        now: SystemTime,
        ends: SystemTime,
    ) -> Result<Accepted, TokenError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::UnknownIssuer);
        }
        if !self.is_for_us(claims.get("aud")) {
            return Err(TokenError::Audience);
        }
        // Whoever shows such a token must prove that it is theirs, which `Bearer` does not.
        if claims.contains_key("cnf") {
            return Err(TokenError::Claim("`cnf`: the token is bound to a key of its holder"));
        }
        if now >= ends + self.leeway {
            return Err(TokenError::Expired);
        }
        for name in ["nbf", "iat"] {
            if moment(claims, name)?.is_some_and(|begins| now + self.leeway < begins) {
                return Err(TokenError::NotYet);
            }
        }
        let principal = self.principal(claims, token)?.until(Some(ends + self.leeway));
        Ok(Accepted { principal, ends })
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let ours = |name: &str| self.audience.iter().any(|ours| **ours == *name);
        match audience {
            Some(Value::String(name)) => ours(name),
            Some(Value::Array(names)) => {
                let texts: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
                texts.is_some_and(|texts| texts.into_iter().any(ours))
            }
            _ => false,
        }
    }

    fn principal(&self, claims: &Map<String, Value>, token: &[u8]) -> Result<Principal, TokenError> {
        let id = self.id.find(claims).and_then(Value::as_str).filter(|id| is_id(id));
        let id = id.ok_or(TokenError::Claim("the claim that names its holder is missing, or is no name"))?;
        let token = str::from_utf8(token).map_err(|_not_shown| TokenError::Malformed("not text"))?;
        let bearer = BearerToken { issuer: Arc::clone(&self.issuer), token: Secret::new(token.to_owned()) };
        let scopes = self.scopes(claims);
        Ok(Principal::new(Arc::from(id), self.roles(claims, &scopes), Proof::Token(bearer))
            .with(self.claims(claims))
            .good_for(scopes.into_iter().map(Into::into).collect()))
    }

    /// The scopes that it has, and those within them.
    fn scopes<'a>(&'a self, claims: &'a Map<String, Value>) -> BTreeSet<&'a str> {
        let mut fresh: Vec<&str> = self.scopes.iter().filter_map(|path| path.find(claims)).flat_map(words).collect();
        let mut scopes = BTreeSet::new();
        while let Some(scope) = fresh.pop() {
            if scopes.insert(scope) {
                fresh.extend(self.scopes_include.get(scope).into_iter().flatten().map(|within| &**within));
            }
        }
        scopes
    }

    fn roles(&self, claims: &Map<String, Value>, scopes: &BTreeSet<&str>) -> Vec<Arc<str>> {
        let Some(Roles { claim, map }) = &self.roles else {
            return Vec::new();
        };
        let held: Vec<&str> = match claim.find(claims) {
            // Where scopes give roles, each of them does: they stand in one text.
            _ if self.scopes.contains(claim) => scopes.iter().copied().collect(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let role = |held: &str| match map {
            Some(map) => map.get(held).map(Arc::clone),
            None => Some(Arc::from(held)),
        };
        let mut roles: Vec<_> = held.into_iter().filter_map(role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Those that are listed, and the two that every token has.
    fn claims(&self, claims: &Map<String, Value>) -> Claims {
        let always = ["iss", "sub"].into_iter().map(|name| (name.into(), claims.get(name)));
        let listed = self.claims.iter().map(|(name, path)| (name.clone(), path.find(claims)));
        always.chain(listed).filter_map(|(name, value)| Some((name, Claim::of(value?)?))).collect()
    }
}

/// The scopes of a claim: words in a text (RFC 8693, 4.2), or a list of texts.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// A moment in seconds. Anything but a number is wrong, and never as good as absent.
fn moment(claims: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds));
    let seconds = seconds.ok_or(TokenError::Claim("a moment that is no number of seconds"))?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

/// Whether a text can name a caller in headers and logs.
fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) && text != ANONYMOUS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Scopes and roles of a token with these claims beside the usual ones.
    fn of(more: &Value) -> (Vec<String>, Vec<String>) {
        let [read, write, admin] = ["r:read", "r:write", "r:admin"].map(Box::<str>::from);
        let map = [(read.clone(), Arc::from("reader")), (write.clone(), Arc::from("writer"))];
        let rules = Rules {
            issuer: Arc::from("https://idp.test/"),
            audience: Box::new(["us".into()]),
            algorithms: Box::new([Algorithm::Es256]),
            leeway: Duration::ZERO,
            id: ClaimPath::top("sub"),
            roles: Some(Roles { claim: ClaimPath::top("scope"), map: Some(map.into()) }),
            scopes: ["scope", "scp"].map(ClaimPath::top).into(),
            // In a circle, as a misspelt hierarchy may be.
            scopes_include: [(admin.clone(), vec![write.clone()]), (write, vec![read, admin])].into(),
            claims: BTreeMap::new(),
        };
        let mut claims = json!({ "iss": "https://idp.test/", "aud": "us", "sub": "alice", "exp": 9 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let accepted = rules.accept(claims.as_object().unwrap(), b"t", UNIX_EPOCH).unwrap();
        let scopes = accepted.principal.scopes().map(str::to_owned).collect();
        (scopes, accepted.principal.roles().iter().map(ToString::to_string).collect())
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn each_scope_gives_its_role_and_has_what_is_within_it() {
        for (claims, scopes, roles) in [
            (json!({}), &[][..], &[][..]),
            (json!({ "scope": "r:read other" }), &["other", "r:read"], &["reader"]),
            (json!({ "scope": "r:readr:write" }), &["r:readr:write"], &[]),
            (json!({ "scp": ["r:read"] }), &["r:read"], &["reader"]),
            (json!({ "scope": "r:write" }), &["r:admin", "r:read", "r:write"], &["reader", "writer"]),
            (json!({ "scope": "r:admin" }), &["r:admin", "r:read", "r:write"], &["reader", "writer"]),
            (json!({ "scope": "r:*" }), &["r:*"], &[]),
        ] {
            let (found_scopes, found_roles) = of(&claims);
            assert_eq!((found_scopes, found_roles), (texts(scopes), texts(roles)), "{claims}");
        }
    }
}
