//! `upstream_headers`: what a server is told of who asks, in headers that it can trust, for row-level security behind it. It
//! decides whose data a caller sees, so it stands where it is reviewed.

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::RuleId;
use super::source::Entries;
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::identity::{Claim, Principal};
use crate::mcp::{Reserved, alike};

/// What one header says of who asks: either `claim` or `principal`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamHeader")]
pub(super) struct HeaderSource {
    /// The claim whose value it has. A caller without it, or with one that no header can carry, is refused.
    #[schemars(example = &"sub")]
    claim: Option<Spanned<String>>,
    /// What else is known of who asks: `id`, `account` (the id with its issuer, the same for no two callers) or `roles`.
    #[schemars(extend("enum" = WORDS))]
    principal: Option<Spanned<String>>,
    /// Whether callers without the claim, or without a role, pass without the header. They are refused if not said.
    optional: Option<bool>,
}

const WORDS: [&str; 3] = ["id", "account", "roles"];

/// A header that the gate computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UpstreamHeader {
    pub(super) name: HeaderName,
    pub(super) says: Says,
    pub(super) absent: Absent,
    /// Where it is written.
    pub(super) rule: RuleId,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Claim(Box<str>),
    Id,
    Account,
    Roles,
}

/// What becomes of a caller of whom there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Refused,
    Passes,
}

/// Compiles those of one file; problems go to `found`.
pub(super) fn compile(
    file: &SourceFile,
    written: &Entries<HeaderSource>,
    into: &mut Vec<UpstreamHeader>,
    found: &mut Diagnostics,
) {
    for (name, source) in written.iter() {
        let Some(header) = header_name(file, name, found) else { continue };
        if let Some(first) = into.iter().find(|known| alike(known.name.as_str(), header.as_str())) {
            let message = format!("servers may take {} for {}", quoted(&name.value), quoted(first.name.as_str()));
            let help = format!("that one is at {}; leave one of them out", first.rule);
            found.push(file.error(Code::DuplicateName, name.referenced, message).help(help));
            continue;
        }
        let Some(says) = says(file, name, source, found) else { continue };
        let absent = if source.optional == Some(true) { Absent::Passes } else { Absent::Refused };
        let rule = RuleId::at(file.name(), name.referenced.line, &format!("upstream_headers.{header}"));
        into.push(UpstreamHeader { name: header, says, absent, rule });
    }
}

fn header_name(file: &SourceFile, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
    let Ok(header) = name.value.parse::<HeaderName>() else {
        let message = format!("{} is not the name of a header", quoted(&name.value));
        found.push(file.error(Code::InvalidHeader, name.referenced, message).help("write one such as `x-rls-user-id`"));
        return None;
    };
    if let Some(reserved) = Reserved::of(&header) {
        let message = format!("the header {} cannot be computed: {}", quoted(&name.value), reserved.why());
        found.push(file.error(Code::ReservedHeader, name.referenced, message).help("give it another name"));
        return None;
    }
    Some(header)
}

fn says(file: &SourceFile, name: &Spanned<String>, source: &HeaderSource, found: &mut Diagnostics) -> Option<Says> {
    match (&source.claim, &source.principal) {
        (Some(claim), None) if !claim.value.is_empty() => Some(Says::Claim(claim.value.as_str().into())),
        (None, Some(word)) => match word.value.as_str() {
            "id" => Some(Says::Id),
            "account" => Some(Says::Account),
            "roles" => Some(Says::Roles),
            other => {
                let message = format!("{} is nothing that is known of every caller", quoted(other));
                let help = did_you_mean(other, WORDS).unwrap_or_else(|| format!("there are {}", WORDS.join(", ")));
                found.push(file.error(Code::InvalidHeader, word.referenced, message).help(help));
                None
            }
        },
        _ => {
            let message = format!("the header {} does not say one thing", quoted(&name.value));
            found.push(
                file.error(Code::InvalidHeader, name.referenced, message)
                    .help("write either `claim: NAME` or `principal:` and one of id, account, roles"),
            );
            None
        }
    }
}

impl UpstreamHeader {
    /// The header for this caller; nothing where it may be left out.
    ///
    /// # Errors
    /// There is nothing to say, or it cannot be said in one reading. Nothing is sent for such a caller.
    pub(super) fn of(&self, principal: &Principal) -> Result<Option<(HeaderName, HeaderValue)>, &RuleId> {
        let value = match &self.says {
            Says::Id => unambiguous([&**principal.id()]),
            Says::Account => unambiguous([&**principal.account()]),
            Says::Roles if principal.roles().is_empty() => return self.absent(),
            Says::Roles => unambiguous(principal.roles().iter().map(|role| &**role)),
            Says::Claim(name) => match principal.claim(name).map(Claim::scalars) {
                None | Some([]) => return self.absent(),
                Some(scalars) => unambiguous(scalars.iter().map(ToString::to_string)),
            },
        };
        value.map(|value| Some((self.name.clone(), value))).ok_or(&self.rule)
    }

    /// Whether a caller can lack it.
    pub(super) fn may_refuse(&self) -> bool {
        let always = matches!(self.says, Says::Id | Says::Account);
        !always && self.absent == Absent::Refused
    }

    fn absent(&self) -> Result<Option<(HeaderName, HeaderValue)>, &RuleId> {
        match self.absent {
            Absent::Passes => Ok(None),
            Absent::Refused => Err(&self.rule),
        }
    }
}

/// The values behind one another, between commas. A value with a comma would be two to whoever splits them, one with a
/// space at its end another one to whoever trims it, and what is not printable ASCII anything at all.
fn unambiguous<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Option<HeaderValue> {
    let mut joined = String::new();
    for value in values {
        let value = value.as_ref();
        let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',');
        if value.is_empty() || value.trim() != value || !plain {
            return None;
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(value);
    }
    let mut value = HeaderValue::from_str(&joined).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(says: Says, absent: Absent) -> UpstreamHeader {
        let name = HeaderName::from_static("x-rls-user-id");
        UpstreamHeader { name, says, absent, rule: RuleId::at("policies/a.yaml", 3, "upstream_headers.x-rls-user-id") }
    }

    #[test]
    fn a_value_that_some_server_could_read_otherwise_is_refused() {
        let header = header(Says::Claim("sub".into()), Absent::Refused);
        for (claim, says) in [
            (json!("u-7"), Some("u-7")),
            (json!("Jane Roe"), Some("Jane Roe")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!(["a", "b", 3]), Some("a,b,3")),
            (json!("a,b"), None),
            (json!(["a,b", "c"]), None),
            (json!(["a", ""]), None),
            (json!([]), None),
            (json!(""), None),
            (json!(" a"), None),
            (json!("a\t"), None),
            (json!("a\r\nx-rls-user-id: b"), None),
            (json!("a\u{0}"), None),
            (json!("J\u{fc}rgen"), None),
        ] {
            let principal = Principal::for_test("alice", &[]).claiming("sub", &claim);
            let value = header.of(&principal).ok().flatten();
            assert_eq!(value.as_ref().map(|(_, value)| value.to_str().unwrap()), says, "{claim}");
        }
    }

    #[test]
    fn who_has_nothing_to_be_said_is_refused_or_passes_without_it() {
        let (nobody, reader) = (Principal::for_test("alice", &[]), Principal::for_test("alice", &["a", "b"]));
        let (claim, roles) = (|| Says::Claim("sub".into()), || Says::Roles);
        for says in [claim, roles] {
            assert_eq!(header(says(), Absent::Refused).of(&nobody).unwrap_err().line(), Some(3));
            assert_eq!(header(says(), Absent::Passes).of(&nobody), Ok(None));
        }
        let said = |says| header(says, Absent::Refused).of(&reader).unwrap().unwrap().1;
        assert_eq!(
            (said(Says::Roles), said(Says::Id), said(Says::Account)),
            ("a,b".parse().unwrap(), "alice".parse().unwrap(), "alice".parse().unwrap())
        );
        let odd = Principal::for_test("alice", &["a,b"]);
        assert!(header(Says::Roles, Absent::Passes).of(&odd).is_err(), "optional is about what is not there");
    }
}
