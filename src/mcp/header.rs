//! Headers that mirror the body: they must agree with it, or the message is refused.
//!
//! The body is the truth: nothing is decided from a header. A header that contradicts the body would make whoever
//! routes or logs by headers see another call than the one that runs (MCP 2026-07-28, Transports, and SEP-2243).

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use super::param::PREFIX;
use super::{Call, Era, Method, ProtocolVersion, Subject};

/// `MCP-Protocol-Version`.
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`.
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`.
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// How headers and body disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The header is missing, or says something else than the body.
    Header(&'static str),
    /// The same of a header that mirrors an argument.
    Param(Box<str>),
    /// The header names a modern revision, the body has no `_meta` for it.
    NoEnvelope,
    /// A modern request does not say what its client can do.
    NoCapabilities,
    /// Both agree on a revision that the gate does not know.
    UnknownVersion(String),
    /// The client speaks this, and what answers here only those.
    Unspoken {
        /// What the client speaks.
        requested: String,
        /// What is spoken.
        spoken: Vec<ProtocolVersion>,
    },
    /// A legacy version header that names no revision.
    BadVersion,
}

/// Checks that the headers say what the body says, in the order that the revision of 2026-07-28 asks for.
///
/// # Errors
/// The first disagreement.
pub fn agree(headers: &HeaderMap, call: &Call) -> Result<(), Mismatch> {
    let header = version_header(headers)?;
    // What mirrors a notification must carry is undefined (MCP 2026-07-28, Transports): none is missed, all must agree.
    let required = version(header, call)? && call.id().is_some();
    let method = Some(call.method_name());
    mirror(headers, &METHOD, "Mcp-Method", method.filter(|_| required), method)?;
    let name = mirrored_name(call);
    mirror(headers, &NAME, "Mcp-Name", name.filter(|_| required), name)
}

/// Takes away what says what a message is: another one is to travel with these headers.
pub fn unmirrored(headers: &mut HeaderMap) {
    let mirrors = |name: &HeaderName| name == METHOD || name == NAME || name.as_str().starts_with(PREFIX);
    let gone: Vec<_> = headers.keys().filter(|name| mirrors(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Whether a request with these headers may hold a batch: revisions from 2025-06-18 on know none.
pub fn may_batch(headers: &HeaderMap) -> bool {
    let version = headers.get(PROTOCOL_VERSION).map(|version| version.to_str().ok().and_then(ProtocolVersion::named));
    version.is_none_or(|version| version.is_some_and(|version| version <= ProtocolVersion::V2025_03_26))
}

fn version_header(headers: &HeaderMap) -> Result<Option<&str>, Mismatch> {
    match headers.get(PROTOCOL_VERSION) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_opaque| Mismatch::BadVersion),
    }
}

/// Which rules hold: the modern ones, or those of before. A contradiction is neither.
fn version(header: Option<&str>, call: &Call) -> Result<bool, Mismatch> {
    let known = header.map(ProtocolVersion::named);
    match (call.era(), call.claimed(), header) {
        (Era::Modern, Some(claimed), Some(header)) if claimed != header => {
            Err(Mismatch::Header("MCP-Protocol-Version"))
        }
        (Era::Modern, Some(claimed), _) if ProtocolVersion::named(claimed).is_none() => {
            Err(Mismatch::UnknownVersion(claimed.to_owned()))
        }
        (Era::Modern, Some(claimed), header) => {
            let modern = ProtocolVersion::named(claimed).is_some_and(ProtocolVersion::is_modern);
            if modern && header.is_none() { Err(Mismatch::Header("MCP-Protocol-Version")) } else { Ok(modern) }
        }
        (_, _, None) => Ok(false),
        (_, _, Some(header)) => match known.flatten() {
            // What a notification or an answer must carry is undefined for the modern era; requests are clear.
            Some(version) if version.is_modern() && call.id().is_some() => match call.method() {
                Method::Initialize => Err(Mismatch::Header("MCP-Protocol-Version")),
                _ => Err(Mismatch::NoEnvelope),
            },
            Some(_) => Ok(false),
            None if is_later(header) => Err(Mismatch::UnknownVersion(header.to_owned())),
            None => Err(Mismatch::BadVersion),
        },
    }
}

/// Whether a text has the shape of a revision later than all we know.
fn is_later(text: &str) -> bool {
    let shape = |(index, byte): (usize, u8)| {
        if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() }
    };
    text.len() == 10 && text.bytes().enumerate().all(shape) && text > ProtocolVersion::V2026_07_28.name()
}

/// The one name that `Mcp-Name` mirrors.
fn mirrored_name(call: &Call) -> Option<&str> {
    match call.method().subject() {
        Subject::Resource if call.method() != Method::ResourcesRead => None,
        Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Task => call.target().name(),
        Subject::Protocol
        | Subject::Reference
        | Subject::PromptList
        | Subject::ResourceList
        | Subject::Method
        | Subject::Unknown => None,
    }
}

/// If there is a header it must say what the body says, whatever the revision; where it is required it must be there.
fn mirror(
    headers: &HeaderMap,
    header: &HeaderName,
    shown: &'static str,
    required: Option<&str>,
    body: Option<&str>,
) -> Result<(), Mismatch> {
    let Some(value) = headers.get(header) else {
        return if required.is_some() { Err(Mismatch::Header(shown)) } else { Ok(()) };
    };
    let value = value.to_str().ok().and_then(|value| decode_sentinel(value.trim_matches([' ', '\t'])));
    if value.is_some() && value.as_deref() == body { Ok(()) } else { Err(Mismatch::Header(shown)) }
}

/// The text of a mirrored header: as it stands, or what `=?base64?…?=` encodes. `None` if that encoding is not the
/// canonical one, or not of UTF-8. Decoded once: what comes out is never decoded again.
pub fn decode_sentinel(value: &str) -> Option<Cow<'_, str>> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(Cow::Borrowed(value)),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
    }
}

/// The same text as the value of such a header: as it stands where it can, encoded otherwise.
pub fn encode_sentinel(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    if plain && decode_sentinel(text).as_deref() == Some(text) {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

impl Mismatch {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Header(_) | Self::Param(_) => "header_mismatch",
            Self::NoEnvelope | Self::NoCapabilities => "no_meta",
            Self::UnknownVersion(_) | Self::Unspoken { .. } | Self::BadVersion => "version",
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(header) => write!(f, "header {header} is missing or does not say what the body says"),
            Self::Param(header) => write!(f, "header {header} is missing or does not say what params.arguments says"),
            Self::NoEnvelope => f.write_str(
                "params._meta lacks io.modelcontextprotocol/protocolVersion, which this MCP-Protocol-Version requires",
            ),
            Self::NoCapabilities => {
                f.write_str("params._meta lacks io.modelcontextprotocol/clientCapabilities: {} where there are none")
            }
            Self::Unspoken { requested, .. } => write!(f, "nothing speaks {requested} here"),
            Self::UnknownVersion(version) => write!(f, "protocol version {version:?} is not supported"),
            Self::BadVersion => f.write_str("header MCP-Protocol-Version names no protocol version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_sentinel, encode_sentinel};

    #[test]
    fn a_sentinel_has_one_spelling() {
        for (value, text) in [
            ("plain", Some("plain")),
            ("=?base64?c2VhcmNoX3JlY29yZHM=?=", Some("search_records")),
            ("=?base64??=", Some("")),
            ("=?BASE64?c2VhcmNo?=", Some("=?BASE64?c2VhcmNo?=")),
            ("=?base64?Z2V0X3N0YXRpc3RpY3M?=", None),
            ("=?base64?Z2V0X3N0YXRpc3RpY3N=?=", None),
            ("=?base64?/w==?=", None),
            ("=?base64?a?=", None),
        ] {
            assert_eq!(decode_sentinel(value).as_deref(), text, "{value}");
        }
        for text in ["plain", "", " a", "\u{fc}", "=?base64?c2VhcmNo?=", "=?base64?a?=", "a\n", "[redacted: email]"] {
            assert_eq!(decode_sentinel(&encode_sentinel(text)).as_deref(), Some(text));
        }
    }
}
