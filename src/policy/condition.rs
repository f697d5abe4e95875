//! Conditions on a call's arguments: JSON Schema 2020-12, with two keywords of our own. `claim: NAME` under a property
//! says that it equals that claim of the caller's; `sql: …`, that it is SQL which does no more than that.
//!
//! Total: whatever the arguments are, the answer is yes or no. What cannot be evaluated is no.

use jsonschema::Validator;
use serde_json::Value;

use super::RuleId;
use crate::identity::Principal;
use crate::sql::Allowed;

/// A condition on the arguments of one tool.
#[derive(Debug)]
pub struct Condition {
    pub(super) schema: Validator,
    pub(super) claims: Vec<ClaimRule>,
    pub(super) sql: Vec<SqlRule>,
    /// As it is written, what is ours included.
    pub(super) written: Value,
    /// Where it is written.
    pub(super) rule: RuleId,
}

/// A property that equals a claim of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimRule {
    /// The names from the arguments down to the property.
    pub(super) path: Vec<Box<str>>,
    pub(super) claim: Box<str>,
    /// Whether the schema requires the property, and all that hold it.
    pub(super) required: bool,
}

/// A property that is SQL, and may do only this.
#[derive(Debug)]
pub(super) struct SqlRule {
    /// The names from the arguments down to the property.
    pub(super) path: Vec<Box<str>>,
    pub(super) allowed: Allowed,
}

/// What is wrong with the arguments, in words that a model can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet(pub(super) String);

/// More problems at once help nobody.
const TOLD: usize = 3;
/// A problem is told in so many characters: some repeat the value that is wrong.
const LONGEST: usize = 200;

impl Condition {
    /// Whether these arguments meet it; they are JSON with one reading, an object.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self, principal: &Principal, arguments: Option<&[u8]>) -> Result<(), Unmet> {
        #[expect(clippy::disallowed_methods, reason = "the reader has proved that they have one reading")]
        let arguments: Value = serde_json::from_slice(arguments.unwrap_or(b"{}"))
            .map_err(|_unreadable| Unmet("the arguments cannot be read".to_owned()))?;
        let mut unmet: Vec<String> = self.claims.iter().filter_map(|rule| rule.broken(principal, &arguments)).collect();
        unmet.extend(self.sql.iter().filter_map(|rule| rule.broken(&arguments)));
        let errors = self.schema.iter_errors(&arguments).take(TOLD);
        unmet.extend(
            errors.map(|error| format!("{}: {}", place(&error.instance_path().to_string()), short(&error.to_string()))),
        );
        if unmet.is_empty() { Ok(()) } else { Err(Unmet(unmet.join("; "))) }
    }

    /// Where it is written.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// Whether this principal could meet it with any arguments at all.
    pub fn is_possible(&self, principal: &Principal) -> bool {
        self.claims.iter().all(|rule| !rule.required || principal.claim(&rule.claim).is_some())
    }
}

/// The value of the property that these names lead to.
fn property<'a>(arguments: &'a Value, path: &[Box<str>]) -> Option<&'a Value> {
    path.iter().try_fold(arguments, |value, name| value.get(&**name))
}

impl SqlRule {
    /// What is wrong, if the property is there and is no SQL text that may be run.
    fn broken(&self, arguments: &Value) -> Option<String> {
        let wrong = match property(arguments, &self.path)? {
            Value::String(text) => self.allowed.check(text).err()?.to_string(),
            _ => "it must be a text: one SQL statement".to_owned(),
        };
        Some(format!("`{}`: {wrong}", self.path.join(".")))
    }
}

impl ClaimRule {
    /// What is wrong, if the property is there and is not the claim.
    fn broken(&self, principal: &Principal, arguments: &Value) -> Option<String> {
        let found = property(arguments, &self.path)?;
        let equal = principal.claim(&self.claim).is_some_and(|claim| claim.is(found));
        (!equal).then(|| format!("`{}` must be your own {}", self.path.join("."), self.claim))
    }
}

fn place(pointer: &str) -> String {
    match pointer.trim_start_matches('/').replace('/', ".") {
        whole if whole.is_empty() => "the arguments".to_owned(),
        property => format!("`{property}`"),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Unmet {
    /// What the caller is told.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Two conditions are the same if they stand in the same place: what is compared is where rules come from.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && self.claims == other.claims
    }
}

impl Eq for Condition {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::json::Bounds;
    use crate::mcp::{self, Method, ServerName, Target};
    use crate::policy::{Context, Effect, PolicySet, Query, Reason};

    const POLICY: &str = r##"
server: records
roles: { reader: { tools: [search, get_record, free] } }
tools:
  search:
    arguments:
      required: [store_id]
      properties:
        limit: { type: integer, maximum: 100 }
        filters: { propertyNames: { enum: [status, type] } }
        store_id: { claim: store_id }
        page: { $ref: "#/$defs/page" }
      $defs: { page: { type: object, properties: { size: { minimum: 1 } } } }
  free: { arguments: { properties: { query: { sql: { tables: [orders, shop.items] } } } } }
  get_record:
    arguments: { properties: { of: { properties: { store: { claim: store_id } } } } }
"##;

    fn alice() -> Principal {
        Principal::for_test("alice", &["reader"]).claiming("store_id", &json!("7"))
    }

    /// What the caller hears; `None` if the call is permitted.
    fn unmet(principal: Principal, tool: &str, arguments: &str) -> Option<String> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        );
        let call = mcp::read(&Bytes::from(body), &Bounds::default()).unwrap();
        let server = ServerName::new("records").unwrap();
        let denial = PolicySet::for_test(POLICY)
            .permit(&Arc::new(principal), &Arc::new(call), &server, Context::for_test())
            .err()?;
        Some(denial.unmet.map_or_else(|| denial.reason.word().to_owned(), |unmet| unmet.0))
    }

    #[test]
    fn arguments_meet_the_condition_or_the_caller_hears_what_to_change() {
        for (arguments, heard) in [
            (r#"{"store_id":"7","limit":100,"filters":{"status":1},"page":{"size":1}}"#, None),
            (r#"{"store_id":7}"#, Some("`store_id` must be your own store_id")),
            (r#"{"store_id":"7","limit":101}"#, Some("`limit`: 101 is greater than the maximum of 100")),
            (r#"{"store_id":"7","limit":"5"}"#, Some("`limit`: \"5\" is not of type \"integer\"")),
            (
                r#"{"store_id":"7","filters":{"owner":1}}"#,
                Some("`filters`: \"owner\" is not one of \"status\" or \"type\""),
            ),
            (r#"{"store_id":"7","page":{"size":0}}"#, Some("`page.size`: 0 is less than the minimum of 1")),
            (r#"{"store_id":"8"}"#, Some("`store_id` must be your own store_id")),
            (r#"{"store_id":["7"]}"#, Some("`store_id` must be your own store_id")),
            (r#"{"store_id":null}"#, Some("`store_id` must be your own store_id")),
            ("{}", Some("the arguments: \"store_id\" is a required property")),
            (r#"{"store_\u0069d":"8"}"#, Some("`store_id` must be your own store_id")),
        ] {
            assert_eq!(unmet(alice(), "search", arguments).as_deref(), heard, "{arguments}");
        }
        assert_eq!(unmet(alice(), "get_record", r#"{"of":{"store":"7"}}"#), None);
        assert!(unmet(alice(), "get_record", r#"{"of":{"store":"8"}}"#).is_some());
        assert_eq!(unmet(alice(), "free", r#"{"anything":[1]}"#), None);
        for (query, heard) in [
            (r#""SELECT count(*) FROM orders o JOIN shop.items i ON i.id = o.item""#, None),
            (
                r#""SELECT * FROM users""#,
                Some(
                    "`query`: the table `users` is not allowed here; a schema counts: `orders` and `public.orders` are two names",
                ),
            ),
            (r#""DELETE FROM orders""#, Some("`query`: only SELECT is allowed here")),
            (r#"["SELECT 1"]"#, Some("`query`: it must be a text: one SQL statement")),
            ("null", Some("`query`: it must be a text: one SQL statement")),
        ] {
            assert_eq!(unmet(alice(), "free", &format!(r#"{{"query":{query}}}"#)).as_deref(), heard, "{query}");
        }
    }

    #[test]
    fn a_tool_that_a_principal_can_never_call_is_not_there_for_it() {
        let nobody = || Principal::for_test("bob", &["reader"]);
        assert_eq!(unmet(nobody(), "search", r#"{"store_id":"7"}"#).as_deref(), Some("not_granted"));
        let policy = PolicySet::for_test(POLICY);
        let server = ServerName::new("records").unwrap();
        let listed = |principal: &Principal, tool| {
            let query = Query {
                principal,
                server: &server,
                method: Method::ToolsCall,
                target: Target::Tool(tool),
                context: Context::for_test(),
            };
            policy.decide(&query).effect
        };
        assert_eq!(listed(&nobody(), "search"), Effect::Deny(Reason::NotGranted));
        assert_eq!(listed(&alice(), "search"), Effect::Allow);
        assert_eq!(listed(&nobody(), "get_record"), Effect::Allow, "a call without the property meets it");
    }
}
