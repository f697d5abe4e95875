//! Cases: from a file as written to questions with the answers that are expected, or every problem in it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::question::{Asked, Question, Verdict};
use super::source::{AsSource, CallerSource, CaseSource, CasesSource};
use super::who::{Against, Unknown};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::identity::{AuthError, Claims, Principal, Scope, looks_like_key, parse_expiry};
use crate::mcp::{Method, ServerName, Subject};
use crate::policy::{Context, Shown};

/// More calls before one tell nothing more.
const MOST_CALLS: u32 = 100_000;
/// The headers that the gate compares with a message by itself.
const MIRRORS: [&str; 3] = ["mcp-protocol-version", "mcp-method", "mcp-name"];

/// A file of cases that was read.
#[derive(Debug)]
pub struct CaseFile {
    file: SourceFile,
    written: CasesSource,
}

/// A question, and what is expected of the answer.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it is written.
    pub file: String,
    /// Where in the file.
    pub line: u32,
    /// What is asked.
    pub question: Question,
    /// So many calls of the same were made before, in one moment.
    pub after: u32,
    /// So many more are under way.
    pub during: u32,
    /// What must come of it.
    pub expected: Expected,
}

/// What must come of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The answer.
    pub verdict: Verdict,
    /// What decides, if that matters: the path of a rule, or the reason where no rule decides.
    pub because: Option<String>,
    /// The path of the rule that would say no if it were enforced, if that matters.
    pub would_deny: Option<String>,
}

impl CaseFile {
    /// What was read from this file.
    pub fn new(file: SourceFile, written: CasesSource) -> Self {
        Self { file, written }
    }

    /// The cases in it.
    ///
    /// # Errors
    /// Every problem in the file.
    pub fn compile(&self, against: &Against<'_>) -> Result<Vec<Case>, Diagnostics> {
        let (file, cases) = (&self.file, &self.written.cases);
        let server = server(file, self.written.server.as_ref(), against)?;
        let reader = Reader { file, server, against };
        let (mut read, mut names, mut found) = (Vec::new(), BTreeSet::new(), Diagnostics::new());
        if cases.value.is_empty() {
            found.push(
                file.error(Code::EmptyList, cases.referenced, "`cases` is empty")
                    .help("write a case, or delete the file"),
            );
        }
        for case in &cases.value {
            let name = &case.value.name;
            if !names.insert(name.value.as_str()) {
                let message = format!("two cases are called {}", quoted(&name.value));
                found.push(file.error(Code::DuplicateName, name.referenced, message).help("say what this one shows"));
            }
            read.extend(found.take(reader.case(case).map_err(Diagnostics::from)));
        }
        // Where one line holds a secret, another may.
        let shown = !found.iter().any(|problem| problem.code == Code::SecretInFile);
        if found.is_empty() { Ok(read) } else { Err(if shown { found } else { found.without_source_lines() }) }
    }
}

/// The server that a file of cases is about.
fn server<'a>(
    file: &SourceFile,
    written: Option<&Spanned<String>>,
    against: &Against<'a>,
) -> Result<&'a ServerName, Diagnostic> {
    against.server(written.map(|name| name.value.as_str())).map_err(|Unknown { message, help }| match written {
        Some(name) => file.error(Code::UnknownServer, name.referenced, message).help(help),
        None => {
            Diagnostic::error(Code::MissingServer, file.name(), message).help(format!("begin with `server:`; {help}"))
        }
    })
}

/// Reads the cases of one file.
struct Reader<'a> {
    file: &'a SourceFile,
    server: &'a ServerName,
    against: &'a Against<'a>,
}

impl Reader<'_> {
    fn case(&self, written: &Spanned<CaseSource>) -> Result<Case, Diagnostic> {
        let case = &written.value;
        let at = case.at.as_ref().map(|at| self.moment(at)).transpose()?;
        let from = case.from.as_ref().map(|from| self.address(from)).transpose()?;
        let question = Question {
            principal: self.principal(&case.r#as)?,
            server: self.server.clone(),
            asked: self.asked(written)?,
            headers: self.headers(case)?,
            // Where these do not bear on the answer, any will do.
            context: Context {
                at: at.unwrap_or(UNIX_EPOCH),
                from: from.unwrap_or(Ipv4Addr::LOCALHOST.into()),
                shown: Shown::NotYet,
            },
        };
        let bearing = question.bearing(self.against.policy);
        if let (Some(rule), None) = (bearing.time, at) {
            let message = format!("what is expected depends on the time, by `{}`", rule.path());
            return Err(self.invalid(case.name.referenced, &message, "add `at: 2026-11-20T10:00:00Z`, always in UTC"));
        }
        if let (Some(rule), None) = (bearing.address, from) {
            let message = format!("what is expected depends on the caller's address, by `{}`", rule.path());
            return Err(self.invalid(case.name.referenced, &message, "add `from: 10.0.0.7`"));
        }
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
        Ok(Case {
            name: case.name.value.clone(),
            file: self.file.name().to_owned(),
            line: case.name.referenced.line,
            question,
            after: case.after.as_ref().map_or(Ok(0), |calls| self.calls(calls))?,
            during: case.during.as_ref().map_or(Ok(0), |calls| self.calls(calls))?,
            expected: Expected {
                verdict: self.verdict(&case.expect)?,
                because: text(&case.because),
                would_deny: text(&case.would_deny),
            },
        })
    }

    fn invalid(&self, at: At, message: &str, help: &str) -> Diagnostic {
        self.file.error(Code::InvalidCase, at, message).help(help)
    }

    fn principal(&self, written: &Spanned<AsSource>) -> Result<Result<Arc<Principal>, AuthError>, Diagnostic> {
        match &written.value {
            AsSource::Word(word) if word == "anonymous" => Ok(self.against.anonymous()),
            AsSource::Word(word) if word == "authenticated" => Ok(Ok(self.against.holder(&[], &Claims::new(), None))),
            AsSource::Word(word) => {
                let known = "write `{ roles: [reader] }`, `{ key: ci-bot }`, `anonymous`, or `authenticated`: a key without a role";
                let help = did_you_mean(word, ["anonymous", "authenticated"]).unwrap_or_else(|| known.to_owned());
                Err(self.invalid(written.referenced, &format!("{} is nobody", quoted(word)), &help))
            }
            AsSource::Caller(CallerSource { key: Some(id), roles: None, claims: None, scopes: None }) => {
                self.key(id).map(Ok)
            }
            AsSource::Caller(CallerSource { key: None, roles, claims, scopes })
                if roles.is_some() || claims.is_some() || scopes.is_some() =>
            {
                let roles = roles.as_deref().unwrap_or_default();
                roles.iter().try_for_each(|role| self.role(role))?;
                let roles: Vec<_> = roles.iter().map(|role| role.value.as_str()).collect();
                let scopes = scopes.as_ref().map(|scopes| self.scopes(scopes)).transpose()?;
                Ok(Ok(self.against.holder(&roles, claims.as_ref().unwrap_or(&Claims::new()), scopes.as_deref())))
            }
            AsSource::Caller(CallerSource { key: Some(_), .. }) => {
                let help = "leave `roles`, `claims` and `scopes` out, or the key";
                Err(self.invalid(written.referenced, "roles and claims of a key are in the principals file", help))
            }
            AsSource::Caller(CallerSource { key: None, .. }) => {
                let help = "write `{ roles: [reader] }`, with `claims: { … }` where they matter, or `{ key: ci-bot }`";
                Err(self.invalid(written.referenced, "this does not say who asks", help))
            }
        }
    }

    fn key(&self, id: &Spanned<String>) -> Result<Arc<Principal>, Diagnostic> {
        if looks_like_key(&id.value) {
            let problem = self.file.error(Code::SecretInFile, id.referenced, "this is a key itself, not its id");
            return Err(problem
                .without_source_line()
                .help("treat it as leaked; `key:` takes the `id` of an entry under `keys:`"));
        }
        self.against
            .key(&id.value)
            .map_err(|Unknown { message, help }| self.file.error(Code::UnknownKeyId, id.referenced, message).help(help))
    }

    fn role(&self, role: &Spanned<String>) -> Result<(), Diagnostic> {
        self.against.role(self.server, &role.value).map_err(|Unknown { message, help }| {
            self.file.error(Code::UnknownRole, role.referenced, message).help(help)
        })
    }

    /// What a token may have; a misspelt one would only be one that it does not have.
    fn scopes<'a>(&self, written: &'a [Spanned<String>]) -> Result<Vec<&'a str>, Diagnostic> {
        let scope = |scope: &'a Spanned<String>| {
            Scope::new(&scope.value).map(|_| scope.value.as_str()).ok_or_else(|| {
                self.file
                    .error(Code::InvalidScope, scope.referenced, format!("{} is no scope", quoted(&scope.value)))
                    .help("write one in each entry, without spaces")
            })
        };
        written.iter().map(scope).collect()
    }

    /// The one thing that is asked for.
    fn asked(&self, written: &Spanned<CaseSource>) -> Result<Asked, Diagnostic> {
        let CaseSource { call, arguments, prompt, resource, method, .. } = &written.value;
        let (asked, method) = match (call, prompt, resource, method) {
            (Some(tool), None, None, None) => {
                let arguments = arguments.as_ref().map(|arguments| Value::Object(arguments.value.clone()).to_string());
                return Ok(Asked::Call { tool: tool.value.clone(), arguments });
            }
            (None, Some(prompt), None, None) => (Asked::Prompt(prompt.value.clone()), None),
            (None, None, Some(resource), None) => (Asked::Resource(resource.value.clone()), None),
            (None, None, None, Some(method)) => (Asked::Method(method.value.clone()), Some(method)),
            (None, None, None, None) => {
                let help = "give it one of `call:`, `prompt:`, `resource:` and `method:`";
                return Err(self.invalid(written.value.name.referenced, "this case asks for nothing", help));
            }
            _ => {
                let help = "keep one of `call:`, `prompt:`, `resource:` and `method:`; write a case for each";
                return Err(self.invalid(written.value.name.referenced, "this case asks for two things", help));
            }
        };
        if let Some(arguments) = arguments {
            let help = "conditions are about the arguments of tools; leave them out";
            return Err(self.invalid(arguments.referenced, "only a `call:` has arguments", help));
        }
        match method.map(|name| (name, Method::named(&name.value).subject())) {
            Some((name, Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Reference | Subject::Task)) => {
                let help = "write `call:`, `prompt:` or `resource:`; who may complete one is who may use it";
                Err(self.invalid(
                    name.referenced,
                    &format!("{} is about something with a name", quoted(&name.value)),
                    help,
                ))
            }
            _ => Ok(asked),
        }
    }

    fn headers(&self, case: &CaseSource) -> Result<HeaderMap, Diagnostic> {
        let mut headers = HeaderMap::new();
        for (name, value) in case.headers.iter() {
            let lower = name.value.to_ascii_lowercase();
            if matches!(lower.as_str(), "authorization" | "x-api-key" | "cookie") {
                let problem = self.file.error(Code::SecretInFile, name.referenced, "credentials never stand in files");
                return Err(problem.without_source_line().help("say who asks under `as:`; treat this one as leaked"));
            }
            if !MIRRORS.contains(&lower.as_str()) {
                let mirrors = MIRRORS.map(quoted).join(", ");
                let hint = format!(
                    "headers that are compared with the message are {mirrors}; what `mcp-param-*` mirror only the server says"
                );
                let message = format!("nothing in a case depends on the header {}", quoted(&name.value));
                return Err(self.invalid(name.referenced, &message, &did_you_mean(&lower, MIRRORS).unwrap_or(hint)));
            }
            let parsed = (HeaderName::try_from(&lower), HeaderValue::from_str(&value.value));
            let (Ok(header), Ok(text)) = parsed else {
                return Err(self.invalid(
                    value.referenced,
                    "a header cannot have this value",
                    "write it as it is sent",
                ));
            };
            headers.append(header, text);
        }
        Ok(headers)
    }

    fn moment(&self, text: &Spanned<String>) -> Result<SystemTime, Diagnostic> {
        parse_expiry(&text.value).ok_or_else(|| {
            let message = format!("{} is no moment", quoted(&text.value));
            self.file
                .error(Code::InvalidDate, text.referenced, message)
                .help("write `2026-11-20T10:00:00Z`, always in UTC")
        })
    }

    fn address(&self, text: &Spanned<String>) -> Result<IpAddr, Diagnostic> {
        text.value.parse().map_err(|_unreadable| {
            let message = format!("{} is no address", quoted(&text.value));
            self.file
                .error(Code::InvalidAddress, text.referenced, message)
                .help("write one, such as `10.0.0.7` or `\"fd00::7\"`")
        })
    }

    fn calls(&self, text: &Spanned<String>) -> Result<u32, Diagnostic> {
        let number = text.value.strip_suffix(" calls").or_else(|| text.value.strip_suffix(" call"));
        let number = number.and_then(|number| number.parse().ok()).filter(|number| (1..=MOST_CALLS).contains(number));
        number.ok_or_else(|| {
            let message = format!("{} is no number of calls", quoted(&text.value));
            self.invalid(text.referenced, &message, &format!("write `60 calls`, at most {MOST_CALLS}"))
        })
    }

    fn verdict(&self, word: &Spanned<String>) -> Result<Verdict, Diagnostic> {
        let words = Verdict::ALL.map(Verdict::word);
        Verdict::ALL.into_iter().find(|verdict| verdict.word() == word.value).ok_or_else(|| {
            let hint = format!("write one of {}", words.map(quoted).join(", "));
            let message = format!("{} is not what can come of a message", quoted(&word.value));
            self.invalid(word.referenced, &message, &did_you_mean(&word.value, words).unwrap_or(hint))
        })
    }
}
