//! The principals file: who may prove themselves, and how. From files as written to authenticators, or every problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::api_key::{self, ApiKeys, KeyHash, KeySource};
use super::certificate::{self, CertificateSource, Certificates, Inserted};
use super::token::{self, Issuer, TokenSource, Tokens};
use super::{ANONYMOUS, Authenticators, Principal, Proof, Scope, Written};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};

/// The keys of a principals file. A file with one of them is a principals file.
pub const PRINCIPALS_KEYS: &[&str] = &["keys", "certificates", "tokens", "anonymous"];

/// How to make a key, for whoever has none.
pub(super) const MAKE_A_KEY: &str =
    "`tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file";

/// A principals file that was read.
#[derive(Debug)]
pub struct PrincipalsFile {
    file: SourceFile,
    written: PrincipalsSource,
}

/// Who may prove themselves to Tollgate, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate principals")]
pub struct PrincipalsSource {
    /// The keys that are accepted, by their hashes. `tollgate keys new` makes a key and prints its entry.
    #[schemars(length(min = 1))]
    keys: Option<Spanned<Vec<Spanned<KeySource>>>>,
    /// Whose client certificate counts as whose. Where there is an entry, a certificate is a credential like a key.
    #[schemars(length(min = 1))]
    certificates: Option<Spanned<Vec<Spanned<CertificateSource>>>>,
    /// The identity providers whose tokens are accepted.
    #[schemars(length(min = 1))]
    tokens: Option<Spanned<Vec<Spanned<TokenSource>>>>,
    /// `true` lets callers without a credential hold the role `anonymous`; only on a loopback address.
    anonymous: Option<Spanned<bool>>,
}

/// What the policy files say, as far as it matters here.
#[derive(Debug)]
pub struct Known<'a> {
    /// All roles that some file defines; `None` if some file could not be read.
    pub roles: Option<BTreeSet<&'a str>>,
    /// Whether a caller without any role may use something.
    pub without_role: WithoutRole,
    /// The time.
    pub now: SystemTime,
}

/// What a key opens that holds no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutRole {
    /// What stands under `allowed_tools`.
    Something,
    /// Nothing.
    Nothing,
}

/// Authenticators that can be used, and what is odd about them.
#[derive(Debug)]
pub struct Compiled {
    /// Who is let in.
    pub authenticators: Authenticators,
    /// No errors, only warnings.
    pub warnings: Diagnostics,
}

impl Compiled {
    /// Nobody is let in.
    pub fn nobody() -> Self {
        Self { authenticators: Authenticators::default(), warnings: Diagnostics::new() }
    }
}

impl PrincipalsFile {
    /// What was read from this file.
    pub fn new(file: SourceFile, written: PrincipalsSource) -> Self {
        Self { file, written }
    }

    /// The roles that somebody holds by it.
    pub fn roles_held(&self) -> impl Iterator<Item = &str> {
        let by_certificates = self.certificates().filter_map(|certificate| certificate.value.roles.as_ref());
        let listed = self.keys().filter_map(|key| key.value.roles.as_ref()).chain(by_certificates);
        let listed = listed.flat_map(|roles| &roles.value);
        let by_tokens = self.tokens().filter_map(|issuer| issuer.value.roles_held()).flatten();
        listed.map(|role| role.value.as_str()).chain(by_tokens).chain(self.lets_in_anyone().map(|_| ANONYMOUS))
    }

    /// Whether somebody may hold any role by it: the words of some issuer are the names of roles.
    pub fn gives_any_role(&self) -> bool {
        self.tokens().any(|issuer| issuer.value.roles_held().is_none())
    }

    /// Where it says that callers without a credential are let in, if it does.
    pub fn lets_in_anyone(&self) -> Option<(&SourceFile, &Spanned<bool>)> {
        self.written.anonymous.as_ref().filter(|anonymous| anonymous.value).map(|anonymous| (&self.file, anonymous))
    }

    /// Where it says whose tokens are accepted, if it does.
    pub fn accepts_tokens(&self) -> Option<(&SourceFile, At)> {
        self.written.tokens.as_ref().map(|tokens| (&self.file, tokens.referenced))
    }

    /// Where it says whose certificates are accepted, if it does.
    pub fn accepts_certificates(&self) -> Option<(&SourceFile, At)> {
        self.written.certificates.as_ref().map(|certificates| (&self.file, certificates.referenced))
    }

    /// The scopes that some key has.
    pub fn scopes_of_keys(&self) -> impl Iterator<Item = &str> {
        let lists = self.keys().filter_map(|key| key.value.scopes.as_ref());
        lists.flat_map(|list| &list.value).map(|scope| scope.value.as_str())
    }

    /// Where hashes were made with a pepper, and with which.
    pub fn peppers(&self) -> impl Iterator<Item = (&SourceFile, At, String)> {
        let hashes = self.keys().flat_map(|key| key.value.hashes());
        hashes.filter_map(|hash| Some((&self.file, hash.referenced, KeyHash::parse(&hash.value)?.pepper()?.to_owned())))
    }

    fn keys(&self) -> impl Iterator<Item = &Spanned<KeySource>> {
        self.written.keys.iter().flat_map(|keys| &keys.value)
    }

    fn certificates(&self) -> impl Iterator<Item = &Spanned<CertificateSource>> {
        self.written.certificates.iter().flat_map(|certificates| &certificates.value)
    }

    fn tokens(&self) -> impl Iterator<Item = &Spanned<TokenSource>> {
        self.written.tokens.iter().flat_map(|issuers| &issuers.value)
    }
}

/// Compiles all principals files of a folder.
///
/// # Errors
/// Every problem in all files, warnings among them.
pub fn compile(folder: &str, files: &[PrincipalsFile], known: &Known<'_>) -> Result<Compiled, Diagnostics> {
    let mut reader = Reader {
        known,
        found: Diagnostics::new(),
        keys: ApiKeys::default(),
        certificates: Certificates::default(),
        issuers: Vec::new(),
        written: Written::new(),
        seen: Seen::default(),
    };
    let mut anonymous = None;
    for file in files {
        let before = std::mem::take(&mut reader.found);
        reader.file(file);
        let found = std::mem::replace(&mut reader.found, before);
        // What stands where a hash should be may be the key itself.
        let shown = file.keys().flat_map(|key| key.value.hashes()).all(|hash| KeyHash::parse(&hash.value).is_some());
        reader.found.extend(if shown { found } else { found.without_source_lines() });
        if let Some((file, at)) = file.lets_in_anyone() {
            reader.anonymous(file, at);
            anonymous = Some(Arc::new(Principal::new(Arc::from(ANONYMOUS), [Arc::from(ANONYMOUS)], Proof::Anonymous)));
        }
    }
    let Reader { mut found, keys, certificates, issuers, written, seen, .. } = reader;
    let only_keys = certificates.is_empty() && issuers.is_empty() && anonymous.is_none();
    if seen.ids.is_empty() && only_keys && !found.has_errors() {
        found.push(
            Diagnostic::error(
                Code::NobodyAdmitted,
                folder,
                "nobody could use this policy: it has neither `keys` nor `certificates` nor `tokens` nor `anonymous: true`",
            )
            .help(format!("put `keys:` into a file such as {folder}/principals.yaml; {MAKE_A_KEY}").replace("//", "/")),
        );
    }
    if seen.keys.valid == 0 && !seen.ids.is_empty() && only_keys && !found.has_errors() {
        found.push(Diagnostic::error(Code::NobodyAdmitted, folder, "all keys have expired").help(MAKE_A_KEY));
    }
    if found.has_errors() {
        return Err(found);
    }
    let authenticators = Authenticators { keys, certificates, tokens: Tokens::of(issuers), anonymous, written };
    Ok(Compiled { authenticators, warnings: found })
}

/// Whether a text can be the id of a caller: it travels in headers and stands in logs.
pub fn is_principal_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@:/+".contains(&b))
        && text != ANONYMOUS
}

struct Reader<'a> {
    known: &'a Known<'a>,
    found: Diagnostics,
    keys: ApiKeys,
    certificates: Certificates,
    issuers: Vec<Issuer>,
    written: Written,
    seen: Seen,
}

/// What the keys before had.
#[derive(Default)]
struct Seen {
    ids: BTreeMap<String, String>,
    keys: api_key::Seen,
    issuers: BTreeMap<String, String>,
    /// Where the issuer stands that is asked about its tokens.
    asked: Option<String>,
}

impl Reader<'_> {
    fn file(&mut self, source: &PrincipalsFile) {
        let file = &source.file;
        if let Some(keys) = source.written.keys.as_ref().filter(|keys| keys.value.is_empty()) {
            self.found.push(file.error(Code::EmptyList, keys.referenced, "`keys` is empty").help(MAKE_A_KEY));
        }
        if let Some(all) = source.written.certificates.as_ref().filter(|all| all.value.is_empty()) {
            let problem = file.error(Code::EmptyList, all.referenced, "`certificates` is empty");
            self.found.push(problem.help("name a certificate, or leave `certificates` out"));
        }
        for certificate in source.certificates() {
            self.certificate(file, certificate);
        }
        if let Some(issuers) = source.written.tokens.as_ref().filter(|issuers| issuers.value.is_empty()) {
            let problem = file.error(Code::EmptyList, issuers.referenced, "`tokens` is empty");
            self.found.push(problem.help("name an issuer and an audience, or leave `tokens` out"));
        }
        for issuer in source.tokens() {
            self.issuer(file, &issuer.value);
        }
        for key in source.keys() {
            self.key(file, key);
        }
    }

    fn key(&mut self, file: &SourceFile, Spanned { value: key, referenced, .. }: &Spanned<KeySource>) {
        let id = self.id(file, &key.id);
        let hashes = api_key::compile(file, key, self.known.now, &mut self.seen.keys, &mut self.found);
        let who = format!("the key {}", quoted(&key.id.value));
        let roles = self.roles(file, (key.id.referenced, &who), key.roles.as_ref());
        let scopes = key.scopes.as_ref().map(|list| {
            Scope::list(file, (list.referenced, list.value.iter().map(Spanned::as_text)), "scopes", &mut self.found)
        });
        let Some(id) = id else { return };
        self.stands(format!("keys.{id}"), file, *referenced);
        for (hash, expires) in hashes.into_iter().flatten() {
            let scopes = scopes.iter().flatten().map(|scope| scope.as_str().into()).collect();
            let proof = Proof::ApiKey(hash.clone());
            let principal = Principal::new(Arc::clone(&id), roles.iter().cloned(), proof).with(key.claims.clone());
            self.keys.insert(hash, Arc::new(principal.good_for(scopes).until(expires)));
        }
    }

    fn stands(&mut self, path: String, file: &SourceFile, at: At) {
        self.written.insert(path, (file.name().into(), at.line));
    }

    fn issuer(&mut self, file: &SourceFile, source: &TokenSource) {
        let written = source.issuer();
        self.stands(format!("tokens.{}", written.value), file, written.referenced);
        let place = format!("{}:{}", file.name(), written.referenced.line);
        if let Some(first) = self.seen.issuers.insert(written.value.clone(), place) {
            let message = format!("{} stands here twice", quoted(&written.value));
            let problem = file.error(Code::DuplicateIssuer, written.referenced, message);
            self.found
                .push(problem.help(format!("the other is at {first}; whose rules would count? put the two together")));
        }
        let issuer = token::compile(file, source, self.known.roles.as_ref(), &mut self.found);
        self.asked(file, source, issuer.as_ref());
        self.issuers.extend(issuer);
    }

    /// An opaque token does not say who issued it: of two who could be asked, one would be shown the other's.
    fn asked(&mut self, file: &SourceFile, source: &TokenSource, issuer: Option<&Issuer>) {
        if !issuer.is_some_and(Issuer::is_asked) {
            return;
        }
        let at = source.issuer().referenced;
        if let Some(first) = self.seen.asked.replace(format!("{}:{}", file.name(), at.line)) {
            let problem = file.error(Code::DuplicateIssuer, at, "two issuers have `introspection`");
            let help = format!("the other is at {first}; opaque tokens do not say whose they are, so there can be one");
            self.found.push(problem.help(help));
        }
    }

    fn id(&mut self, file: &SourceFile, id: &Spanned<String>) -> Option<Arc<str>> {
        if !is_principal_id(&id.value) {
            let way_out = if id.value == ANONYMOUS {
                "that is whoever shows no key; choose another"
            } else {
                "use up to 128 of A-Z, a-z, 0-9 and `_.-@:/+`, beginning with a letter or digit"
            };
            self.found.push(
                file.error(
                    Code::InvalidKeyId,
                    id.referenced,
                    format!("{} cannot be the id of a key", quoted(&id.value)),
                )
                .help(way_out),
            );
            return None;
        }
        let place = format!("{}:{}", file.name(), id.referenced.line);
        if let Some(first) = self.seen.ids.insert(id.value.clone(), place) {
            self.found.push(
                file.error(Code::DuplicateKeyId, id.referenced, format!("two keys have the id {}", quoted(&id.value)))
                    .help(format!("the other is at {first}; give each key an id of its own")),
            );
            return None;
        }
        Some(Arc::from(id.value.as_str()))
    }

    fn certificate(&mut self, file: &SourceFile, source: &Spanned<CertificateSource>) {
        let written = source.value.written(file, source.referenced, &mut self.found);
        let id = source.value.id.as_ref().map(|id| self.id(file, id));
        let roles = self.roles(file, (source.referenced, "whoever has this certificate"), source.value.roles.as_ref());
        let (Some(written), Some(Some(_)) | None) = (written, &id) else {
            return;
        };
        self.stands(format!("certificates.{written}"), file, source.referenced);
        let holder = certificate::compile(id.flatten(), roles, &source.value);
        if let Inserted::Twice = self.certificates.insert(written, holder) {
            let problem = file.error(Code::DuplicateName, source.referenced, "another entry goes by the same name");
            self.found.push(problem.help("whose roles would count? put the two together"));
        }
    }

    fn roles(
        &mut self,
        file: &SourceFile,
        (at, who): (At, &str),
        roles: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Vec<Arc<str>> {
        let Some(roles) = roles else {
            if self.known.without_role == WithoutRole::Nothing {
                let message = format!("{who} holds no role and may use nothing");
                self.found.push(file.warning(Code::UselessKey, at, message).help("give it `roles: [...]`"));
            }
            return Vec::new();
        };
        if roles.value.is_empty() {
            self.found.push(
                file.error(Code::EmptyList, roles.referenced, "`roles` is empty")
                    .help("name a role, or leave `roles` out"),
            );
        }
        if let Some(known) = &self.known.roles {
            let unknown = roles.value.iter().filter(|role| !known.contains(role.value.as_str()));
            for role in unknown {
                self.found.push(unknown_role(file, role, known));
            }
        }
        let mut unique = BTreeSet::new();
        for role in &roles.value {
            if !unique.insert(role.value.as_str()) {
                let message = format!("{} stands here twice", quoted(&role.value));
                self.found
                    .push(file.warning(Code::DuplicateName, role.referenced, message).help("delete one of the two"));
            }
        }
        unique.into_iter().map(Arc::from).collect()
    }

    fn anonymous(&mut self, file: &SourceFile, at: &Spanned<bool>) {
        self.stands(ANONYMOUS.to_owned(), file, at.referenced);
        if self.known.roles.as_ref().is_some_and(|roles| !roles.contains(ANONYMOUS)) {
            self.found.push(
                file.error(
                    Code::AnonymousWithoutRole,
                    at.referenced,
                    "callers without a credential would hold a role that no policy file defines",
                )
                .help("say in a policy file what they may use:\nroles:\n  anonymous: { tools: [search_records] }"),
            );
        }
    }
}

pub(super) fn unknown_role(file: &SourceFile, role: &Spanned<String>, known: &BTreeSet<&str>) -> Diagnostic {
    let hint = match known.len() {
        0 => "no policy file defines any role".to_owned(),
        _ => format!("the policy files define {}", known.iter().copied().map(quoted).collect::<Vec<_>>().join(", ")),
    };
    file.error(Code::UnknownRole, role.referenced, format!("unknown role {}", quoted(&role.value)))
        .help(did_you_mean(&role.value, known.iter().copied()).unwrap_or(hint))
}
