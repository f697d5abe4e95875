//! From issuers as written to issuers whose tokens can be verified, or every problem.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;

use super::algorithm::Algorithm;
use super::introspection::{Endpoint, Introspection};
use super::path::ClaimPath;
use super::rules::{Roles, Rules};
use super::source::{IntrospectionSource, RolesSource, TokenSource};
use super::store::{KeySource, KeyStore};
use super::{Issuer, Means};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::duration::parse_duration;
use crate::fetch;
use crate::identity::Scope;
use crate::secret::Reference;

const LEEWAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(5);
const USUAL_LEEWAY: Duration = Duration::from_secs(30);
const CACHE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(5);
const USUAL_CACHE: Duration = Duration::from_secs(30);

/// An issuer; `None` if something about it is wrong, which `found` then has.
pub(in crate::identity) fn compile(
    file: &SourceFile,
    source: &TokenSource,
    defined: Option<&BTreeSet<&str>>,
    found: &mut Diagnostics,
) -> Option<Issuer> {
    let listed = fetch::networks(file, source.allow_addresses.as_ref(), found);
    let mut checked = Reader { file, found };
    let issuer = checked.url(&source.issuer, &listed).map(|_| Arc::from(source.issuer.value.as_str()));
    let url = source.jwks_url.as_ref().map_or(Some(None), |url| checked.url(url, &listed).map(Some));
    let audience = checked.audience(&source.audience);
    let (algorithms, leeway) = (checked.algorithms(source), checked.span(source.leeway.as_ref(), USUAL_LEEWAY, LEEWAY));
    let bearer = source.bearer.as_ref().map_or(Some(None), |bearer| checked.reference(bearer).map(Some));
    let authorities = source.ca_file.as_ref().map_or(Some(None), |path| checked.path(path).map(Some));
    let given_roles = source.roles.as_ref().map_or(Some(None), |written| checked.roles(written, defined).map(Some));
    let scopes = source.scopes.clone().map_or_else(|| ["scope", "scp"].map(ClaimPath::top).into(), |path| vec![path]);
    let introspection = source
        .introspection
        .as_ref()
        .map_or(Some(None), |asked| checked.introspection(source, &asked.value, &listed).map(Some));
    let issuer: Arc<str> = issuer?;
    let rules = Arc::new(Rules {
        issuer: Arc::clone(&issuer),
        audience: audience?,
        algorithms: algorithms?,
        leeway: leeway?,
        id: source.id.clone().unwrap_or_else(|| ClaimPath::top("sub")),
        roles: given_roles?,
        scopes,
        scopes_include: source.scopes_include.clone(),
        claims: source.claims.clone(),
    });
    let ask_for = source
        .ask_for
        .as_ref()
        .map(|list| Scope::list(file, (list.referenced, list.value.iter().map(Spanned::as_text)), "ask_for", found))
        .unwrap_or_default();
    let (listed, authorities) = (listed.into(), authorities?);
    let means = if let Some(asked) = introspection? {
        let endpoint = Endpoint { listed, authorities, ..asked };
        Means::Introspection(Arc::new(Introspection::new(endpoint, Arc::clone(&rules))))
    } else {
        let source = KeySource { issuer, url: url?, listed, authorities, bearer: bearer? };
        Means::Keys(Arc::new(KeyStore::new(source)))
    };
    Some(Issuer { rules, ask_for, means })
}

struct Reader<'a> {
    file: &'a SourceFile,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn wrong<T>(&mut self, problem: Diagnostic) -> Option<T> {
        self.found.push(problem);
        None
    }

    fn url(&mut self, written: &Spanned<String>, listed: &[IpNet]) -> Option<Url> {
        // What stands before an `@` may be a password.
        let (text, shown) = if written.value.contains('@') {
            ("this".to_owned(), Diagnostic::without_source_line as fn(Diagnostic) -> Diagnostic)
        } else {
            (quoted(&written.value), std::convert::identity as fn(Diagnostic) -> Diagnostic)
        };
        let of = |message: String| shown(self.file.error(Code::InvalidIssuer, written.referenced, message));
        let problem = match written.value.parse::<Url>() {
            Err(_) => of(format!("{text} is not a URL")).help("write it as the issuer does, such as `https://login.example.com/`"),
            Ok(url) if url.query().is_some() || url.fragment().is_some() || written.value.contains('@') => {
                of(format!("{text} has more than a host and a path")).help("leave out what follows `?` or `#`, and any user")
            }
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && !listed.is_empty()) => return Some(url),
            Ok(_) => of(format!("{text} is not https"))
                .help("whoever answers in its stead could let anybody in; for an issuer beside the gate list its network under `allow_addresses`"),
        };
        self.wrong(problem)
    }

    fn audience(&mut self, written: &Spanned<String>) -> Option<Box<[Box<str>]>> {
        if written.value.trim().is_empty() {
            let problem = self.file.error(Code::InvalidIssuer, written.referenced, "`audience` is empty");
            return self.wrong(
                problem.help("name this gate as its tokens do in `aud`, such as `https://mcp.example.com/records`"),
            );
        }
        Some(Box::new([written.value.as_str().into()]))
    }

    fn algorithms(&mut self, source: &TokenSource) -> Option<Box<[Algorithm]>> {
        let Some(written) = &source.algorithms else {
            return Some(Box::new([Algorithm::Rs256, Algorithm::Es256]));
        };
        if written.value.is_empty() {
            let problem = self.file.error(Code::EmptyList, written.referenced, "`algorithms` is empty");
            return self.wrong(problem.help("name one, or leave `algorithms` out"));
        }
        let known: Vec<_> = written.value.iter().map(|name| self.algorithm(name)).collect();
        known.into_iter().collect()
    }

    fn algorithm(&mut self, name: &Spanned<String>) -> Option<Algorithm> {
        let known = Algorithm::of(&name.value);
        if known.is_none() {
            let names: Vec<_> = Algorithm::names().collect();
            let hint = format!("those that sign with a private key are {}", names.join(", "));
            let message = format!("no token may be signed with {}", quoted(&name.value));
            let problem = self.file.error(Code::InvalidAlgorithm, name.referenced, message);
            let meant = did_you_mean(&name.value, Algorithm::names());
            self.found.push(problem.help(meant.unwrap_or(hint)));
        }
        known
    }

    /// Where it is asked about opaque tokens.
    fn introspection(
        &mut self,
        source: &TokenSource,
        asked: &IntrospectionSource,
        listed: &[IpNet],
    ) -> Option<Endpoint> {
        let of_keys = [
            ("algorithms", source.algorithms.as_ref().map(|written| written.referenced)),
            ("jwks_url", source.jwks_url.as_ref().map(|written| written.referenced)),
            ("bearer", source.bearer.as_ref().map(|written| written.referenced)),
        ];
        let idle: Vec<_> = of_keys.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
        for (key, at) in &idle {
            let message = format!("`{key}` is about keys, and this issuer is asked about its tokens");
            let problem = self.file.error(Code::InvalidIssuer, *at, message);
            self.found.push(problem.help("delete it, or delete `introspection`: its tokens are then JWTs"));
        }
        if asked.client_id.value.trim().is_empty() {
            let problem = self.file.error(Code::InvalidIssuer, asked.client_id.referenced, "`client_id` is empty");
            self.found.push(problem.help("name the gate as the issuer knows it"));
        }
        let (url, secret) = (self.url(&asked.url, listed), self.reference(&asked.client_secret));
        let cache = self.span(asked.cache.as_ref(), USUAL_CACHE, CACHE);
        let named = idle.is_empty() && !asked.client_id.value.trim().is_empty();
        named.then_some(())?;
        Some(Endpoint {
            url: url?,
            client_id: asked.client_id.value.as_str().into(),
            client_secret: secret?,
            listed: Arc::default(),
            authorities: None,
            cache: cache?,
        })
    }

    fn span(
        &mut self,
        written: Option<&Spanned<String>>,
        usual: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let Some(written) = written else {
            return Some(usual);
        };
        match parse_duration(&written.value, bounds) {
            Ok(leeway) => Some(leeway),
            Err(expected) => {
                let message = format!("{} is not a span of time that fits here", quoted(&written.value));
                let problem = self.file.error(Code::InvalidDuration, written.referenced, message);
                self.wrong(problem.help(expected))
            }
        }
    }

    fn reference(&mut self, written: &Spanned<String>) -> Option<Reference> {
        let reference = Reference::parse(&written.value);
        if reference.is_none() {
            let message = "this may be a secret itself, not where it is kept";
            let problem = self.file.error(Code::SecretInFile, written.referenced, message).without_source_line();
            self.found.push(problem.help("write `env:NAME` or `file:/path`; if it was one, treat it as leaked"));
        }
        reference
    }

    fn path(&mut self, written: &Spanned<String>) -> Option<PathBuf> {
        let path = PathBuf::from(&written.value);
        if path.is_absolute() {
            return Some(path);
        }
        let message = format!("{} is not the path of a file from the root", quoted(&written.value));
        let problem = self.file.error(Code::InvalidIssuer, written.referenced, message);
        self.wrong(problem.help("write a path that begins with `/`, of a file in PEM"))
    }

    fn roles(&mut self, written: &RolesSource, known: Option<&BTreeSet<&str>>) -> Option<Roles> {
        let Some(map) = &written.map else {
            return Some(Roles { claim: written.claim.clone(), map: None });
        };
        if map.value.is_empty() {
            let problem = self.file.error(Code::EmptyList, map.referenced, "`map` is empty, so no token gives a role");
            return self.wrong(problem.help("write the issuer's word and the role, such as `{ analysts: reader }`"));
        }
        if let Some(known) = known {
            let unknown = map.value.values().filter(|role| !known.contains(role.value.as_str()));
            for role in unknown {
                self.found.push(super::super::principals::unknown_role(self.file, role, known));
            }
        }
        let map: BTreeMap<_, _> =
            map.value.iter().map(|(word, role)| (word.clone(), Arc::from(role.value.as_str()))).collect();
        Some(Roles { claim: written.claim.clone(), map: Some(map) })
    }
}
