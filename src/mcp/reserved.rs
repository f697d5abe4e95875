//! Header fields towards a server that neither a caller nor a file may set, and names that a server may take for one.

use http::HeaderName;

/// Whose a header field is, when a server reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It proves who somebody is.
    Credential,
    /// HTTP's or MCP's: it says what the message is and how it travels.
    Protocol,
    /// The gate says it.
    Gate,
}

const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "cookie", "set-cookie", "www-authenticate"];

const PROTOCOL: [&str; 24] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

const GATE: [&str; 13] = [
    "forwarded",
    "traceparent",
    "tracestate",
    "x-forwarded-by",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-real-ip",
    "x-request-id",
];

impl Reserved {
    /// Whose this field is; `None` if it is free. What a server may take for one of them is not.
    pub fn of(name: &HeaderName) -> Option<Self> {
        let name = name.as_str();
        let is = |known: &&str| alike(name, known);
        let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|head| alike(head, prefix));
        if CREDENTIALS.iter().any(is) {
            Some(Self::Credential)
        } else if PROTOCOL.iter().any(is) || begins("mcp-") || begins("sec-") {
            Some(Self::Protocol)
        } else if GATE.iter().any(is) || begins("x-gateway-") || begins("x-tollgate-") {
            Some(Self::Gate)
        } else {
            None
        }
    }

    /// What is to be said to whoever wanted to set it.
    pub fn why(self) -> &'static str {
        match self {
            Self::Credential => "it proves who somebody is, and no credential of a caller reaches a server",
            Self::Protocol => "it is the protocol's: it says what the message is and how it travels",
            Self::Gate => "the gate says it",
        }
    }
}

/// Whether some server takes one name for the other: many fold case, and every `-`, `_` and `.` into one character (CGI,
/// WSGI, PHP).
pub fn alike(one: &str, other: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    one.len() == other.len() && one.bytes().map(fold).eq(other.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_may_take_for_a_reserved_field_is_one() {
        for (name, whose) in [
            ("Authorization", Some(Reserved::Credential)),
            ("x_api_key", Some(Reserved::Credential)),
            ("x-api.key", Some(Reserved::Credential)),
            ("proxy-authorization", Some(Reserved::Credential)),
            ("mcp-session-id", Some(Reserved::Protocol)),
            ("MCP_Anything", Some(Reserved::Protocol)),
            ("content_length", Some(Reserved::Protocol)),
            ("x-gateway-principal", Some(Reserved::Gate)),
            ("x_forwarded_for", Some(Reserved::Gate)),
            ("traceparent", Some(Reserved::Gate)),
            ("x-rls-user-id", None),
            ("mcp", None),
            ("x-forwarded-user", None),
        ] {
            assert_eq!(Reserved::of(&name.parse().unwrap()), whose, "{name}");
        }
    }
}
