//! A tool's definition: all that the server says of a tool, and the fingerprint by which it is known again.

use std::fmt;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::diagnostic;

/// What a server says of one tool: every member of its entry in `tools/list`. None is left out, `_meta` neither: which of
/// them a client acts on, or shows to a model, nobody knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    members: Map<String, Value>,
    fingerprint: Fingerprint,
}

/// The SHA-256 of a definition in canonical form (RFC 8785): the same for whatever order, spacing and escapes it was
/// written in. Integers beyond 2^53 count as the double that is nearest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Definition {
    /// A definition that was read; `None` if it has no name, or is no object.
    pub fn new(definition: Value) -> Option<Self> {
        let canonical = serde_json_canonicalizer::to_vec(&definition).ok()?;
        let Value::Object(members) = definition else {
            return None;
        };
        members.get("name").and_then(Value::as_str)?;
        Some(Self { members, fingerprint: Fingerprint(Sha256::digest(canonical).into()) })
    }

    /// Reads a definition out of a text that [`json::scan`](crate::json::scan) has accepted.
    pub fn read(text: &[u8]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the scanner has bounded its depth and refused duplicates")]
        let definition = serde_json::from_slice(text).ok()?;
        Self::new(definition)
    }

    /// What the tool is called by.
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or_default()
    }

    /// What it is called for people.
    pub fn title(&self) -> Option<&str> {
        self.text("title")
    }

    /// What models are told of it.
    pub fn description(&self) -> Option<&str> {
        self.text("description")
    }

    /// The schema of its arguments.
    pub fn input_schema(&self) -> Option<&Value> {
        self.members.get("inputSchema")
    }

    /// What the server says of its effects. It need not be true.
    pub fn annotations(&self) -> Option<&Map<String, Value>> {
        self.members.get("annotations").and_then(Value::as_object)
    }

    /// One of these, such as `readOnlyHint`; `None` if the server does not say.
    pub fn hint(&self, name: &str) -> Option<bool> {
        self.annotations()?.get(name)?.as_bool()
    }

    /// All that is said of it.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// All that is said of it, each number as the canonical form writes it: what has the same fingerprint is the same.
    pub fn canonical(&self) -> Value {
        let canonical = serde_json_canonicalizer::to_string(&self.members).ok();
        canonical.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// By what it is known again.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The first character in any of its texts that whoever reads them does not see.
    pub fn hidden(&self) -> Option<char> {
        members_hide(&self.members)
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }
}

fn hides(value: &Value) -> Option<char> {
    match value {
        Value::String(text) => diagnostic::hidden(text),
        Value::Array(values) => values.iter().find_map(hides),
        Value::Object(members) => members_hide(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn members_hide(members: &Map<String, Value>) -> Option<char> {
    members.iter().find_map(|(name, value)| diagnostic::hidden(name).or_else(|| hides(value)))
}

impl Fingerprint {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "sha256:{a:02x}{b:02x}…")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canonical(text: &str) -> String {
        let value: Value = text.parse().unwrap();
        String::from_utf8(serde_json_canonicalizer::to_vec(&value).unwrap()).unwrap()
    }

    /// RFC 8785, 3.2.2 to 3.2.4, and appendix B.
    #[test]
    fn the_canonical_form_is_that_of_the_rfc() {
        let sample = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        assert_eq!(
            canonical(sample),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let sorted = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        assert_eq!(
            canonical(sorted),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\
             \"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits)).to_string()), text);
        }
    }

    #[test]
    fn a_definition_has_one_fingerprint_however_it_is_written_and_another_if_anything_in_it_changes() {
        let same = [
            r#"{"name":"a","description":"é","inputSchema":{"maximum":100,"type":"object"}}"#,
            r#"{ "inputSchema": {"type":"object","maximum":1.0e2}, "description":"\u00e9","name":"\u0061" }"#,
        ]
        .map(|text| Definition::read(text.as_bytes()).unwrap());
        let fingerprint = same[0].fingerprint();
        assert_eq!(fingerprint, same[1].fingerprint());
        assert_eq!(Fingerprint::from_hex(&fingerprint.to_string()), Some(fingerprint));
        for other in [
            r#"{"name":"b","description":"é","inputSchema":{"maximum":100,"type":"object"}}"#,
            r#"{"name":"a","description":"e","inputSchema":{"maximum":100,"type":"object"}}"#,
            r#"{"name":"a","description":"é","inputSchema":{"maximum":"100","type":"object"}}"#,
            r#"{"name":"a","description":"é","inputSchema":{"maximum":100,"type":"object"},"_meta":{}}"#,
        ] {
            assert_ne!(Definition::read(other.as_bytes()).unwrap().fingerprint(), fingerprint, "{other}");
        }
        for none in ["{}", "[]", r#"{"name":1}"#] {
            assert_eq!(Definition::read(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn what_hides_in_any_text_of_a_definition_is_found() {
        let hidden = |text: &str| Definition::new(json!({ "name": "a", "x": [{ "y": text }] })).unwrap().hidden();
        for sound in ["ok", "two\n\tlines\r\n", "⚠️ careful", "👩‍💻", "می‌خواهم", "a\u{a0}b\u{3000}c"]
        {
            assert_eq!(hidden(sound), None, "{sound:?}");
        }
        for (text, found) in [
            ("ok\u{202e}", '\u{202e}'),
            ("o\u{200b}k", '\u{200b}'),
            ("ok\u{e0041}", '\u{e0041}'),
            ("\u{1b}[8mhidden", '\u{1b}'),
            ("o\u{ad}k", '\u{ad}'),
            ("\u{feff}ok", '\u{feff}'),
            ("⚠\u{fe0f}\u{fe0f}", '\u{fe0f}'),
            ("o\u{fe01}k", '\u{fe01}'),
            ("o\u{e0101}k", '\u{e0101}'),
            (" \u{200d}", '\u{200d}'),
            ("a\u{2028}b", '\u{2028}'),
            ("a\u{85}b", '\u{85}'),
        ] {
            assert_eq!(hidden(text), Some(found), "{text:?}");
        }
        assert_eq!(Definition::new(json!({ "name": "a", "x\u{200b}": 1 })).unwrap().hidden(), Some('\u{200b}'));
    }
}
