//! One attack case as written down in `tests/fixtures/attack_cases.json`, and the bytes it puts on the wire.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::script::Script;
use crate::support::keys;

/// What must become of a request, as a recording server behind the gate can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expectation {
    /// No request behind the gate; malformed, ambiguous or unauthenticated.
    RejectedBeforeUpstream,
    /// No request behind the gate; well formed, but not permitted.
    BlockedByPolicy,
    /// One request behind the gate, its body identical byte for byte.
    ForwardedUnchanged,
    /// One request behind the gate, with something removed or rewritten.
    ForwardedNormalised,
}

/// What the recorded expectation says beyond that.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    #[serde(default)]
    pub(super) status: Vec<u16>,
    #[serde(default)]
    pub(super) jsonrpc_code: Vec<i64>,
    pub(super) connection: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body_text: Option<String>,
    body_hex: Option<String>,
    body_gen: Option<Generated>,
    /// Exactly these bytes on the wire; the other fields only describe them.
    pub(super) raw_text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Generated {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Segment {
    Text { text: String },
    Repeat { repeat: String, count: usize },
    Indexed { repeat_indexed: String, count: usize },
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) category: String,
    pub(super) http: Http,
    pub(super) expectation: Expectation,
    #[serde(default)]
    pub(super) also_acceptable: Vec<Expectation>,
    #[serde(default)]
    pub(super) expect: Expect,
    #[serde(default)]
    pub(super) asserts: Vec<String>,
    #[serde(default)]
    pub(super) config: Value,
    #[serde(default)]
    pub(super) http_version: Option<String>,
    #[serde(default)]
    pub(super) repeat: Option<u32>,
    #[serde(default)]
    pub(super) concurrency: Option<u32>,
    /// The token that the caller shows, where that is what the case is about.
    pub(super) jwt: Option<Value>,
    /// What the corpus could not say otherwise.
    pub(super) note: Option<String>,
    /// What the server answers, where that is what the case is about.
    pub(super) upstream: Option<Script>,
    /// What the caller may see of it.
    pub(super) response_expectation: Option<String>,
}

/// What a gzip body of the corpus holds where the gate is asked to unpack it.
const UNPACKED: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_records","arguments":{}}}"#;

impl Case {
    /// Every case that `TOLLGATE_CASES` picks; all without it.
    pub(super) fn load() -> Vec<Self> {
        let all: Vec<Self> = serde_json::from_str(include_str!("../../fixtures/attack_cases.json")).unwrap();
        let Ok(picked) = std::env::var("TOLLGATE_CASES") else {
            return all;
        };
        let picked: Vec<&str> = picked.split(',').map(str::trim).collect();
        for id in &picked {
            assert!(all.iter().any(|case| case.id == *id), "no case {id}");
        }
        all.into_iter().filter(|case| picked.contains(&case.id.as_str())).collect()
    }

    /// The same case with these placeholders filled in.
    pub(super) fn with(&self, known: &[(&str, &str)]) -> Self {
        let mut case = self.clone();
        for (placeholder, value) in known {
            for (_, header) in &mut case.http.headers {
                *header = header.replace(placeholder, value);
            }
            case.http.body_text = case.http.body_text.map(|text| text.replace(placeholder, value));
        }
        case
    }

    /// What goes over the socket, in HTTP/1.1.
    pub(super) fn wire(&self) -> Vec<u8> {
        if let Some(raw) = &self.http.raw_text {
            return fill_in(raw).into_bytes();
        }
        let body = self.body();
        let mut head = format!("{} {} HTTP/1.1\r\n", self.http.method, fill_in(&self.http.path));
        for (name, value) in self.headers() {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || self.http.method == "POST" {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head += "\r\n";
        let mut wire = head.into_bytes();
        wire.extend_from_slice(&body);
        wire
    }

    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let filled = |(name, value): &(String, String)| (name.clone(), fill_in(value));
        self.http.headers.iter().map(filled).collect()
    }

    pub(super) fn body(&self) -> Vec<u8> {
        if let Some(hex) = &self.http.body_hex {
            let digits: Vec<char> = hex.chars().collect();
            let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
            return digits.chunks(2).map(|pair| byte(pair).unwrap()).collect();
        }
        if let Some(generated) = &self.http.body_gen {
            let pieces = generated.segments.iter().map(Segment::text);
            return pieces.collect::<String>().into_bytes();
        }
        fill_in(self.http.body_text.as_deref().unwrap_or_default()).into_bytes()
    }

    /// What the server must get where the request is carried to it.
    pub(super) fn carried_body(&self) -> Vec<u8> {
        let body = self.body();
        if body.starts_with(&[0x1f, 0x8b]) {
            return UNPACKED.into();
        }
        body
    }

    /// The message, where it can be read.
    pub(super) fn sent(&self) -> Option<Value> {
        serde_json::from_str(std::str::from_utf8(&self.carried_body()).ok()?).ok()
    }

    /// The id of the request, where it has one that can be read.
    pub(super) fn request_id(&self) -> Option<Value> {
        self.sent()?.get("id").cloned()
    }

    /// How many requests the bytes hold, to a reader who takes each at its word.
    pub(super) fn requests(&self) -> usize {
        let raw = self.http.raw_text.as_deref().unwrap_or_default();
        raw.matches(" HTTP/1.").count().max(1)
    }

    /// Whether it is about tokens of identity providers.
    pub(super) fn is_of_tokens(&self) -> bool {
        self.jwt.is_some()
    }

    /// Whether it is about what is told of it.
    pub(super) fn is_of_telemetry(&self) -> bool {
        self.category == "telemetry_injection"
    }

    /// Whether it is about what is recorded of it.
    pub(super) fn is_of_audit(&self) -> bool {
        self.category == "audit"
    }

    /// How the issuer of its token answers who asks for keys.
    pub(super) fn keys_of_issuer(&self) -> &str {
        self.config["auth"]["jwt"]["jwks"].as_str().unwrap_or_default()
    }

    pub(super) fn asserts(&self, words: &str) -> bool {
        self.asserts.iter().any(|assert| assert == words)
    }
}

impl Segment {
    fn text(&self) -> String {
        match self {
            Self::Text { text } => text.clone(),
            Self::Repeat { repeat, count } => repeat.repeat(*count),
            Self::Indexed { repeat_indexed, count } => {
                let one = |i: usize| repeat_indexed.replace("{i}", &i.to_string());
                (0..*count).map(one).collect()
            }
        }
    }
}

fn fill_in(text: &str) -> String {
    let mut text = text
        .replace("{{KEY_ALICE_UPPER}}", &keys::ALICE.to_uppercase())
        .replace("{{KEY_ALICE}}", keys::ALICE)
        .replace("{{KEY_BOB}}", keys::BOB)
        .replace("{{KEY_REVOKED}}", keys::REVOKED)
        .replace("{{KEY_EXPIRED}}", keys::EXPIRED)
        .replace("{{TASK_ALICE}}", "task-of-alice");
    while let Some((before, rest)) = text.split_once("{{repeat:") {
        let (what, after) = rest.split_once("}}").unwrap();
        let (piece, count) = what.split_once(':').unwrap();
        text = format!("{before}{}{after}", piece.repeat(count.parse().unwrap()));
    }
    assert!(!text.contains("{{"), "a placeholder is left: {text:.200}");
    text
}
