//! Addresses as they stand in files and flags: sockets, URLs, hosts and origins.
//!
//! Each function says in its `Err` what was expected; whoever called it knows the place.

use std::net::SocketAddr;

use http::Uri;
use http::uri::Authority;

use crate::identity::PublicUrl;

/// `127.0.0.1:8080`, `[::1]:8080`, `0.0.0.0:0`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_not_told| "write an IP address and a port, such as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`")
}

/// The URL of an MCP endpoint.
///
/// # Errors
/// What was expected.
pub fn endpoint(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_not_told| "write a URL such as `http://127.0.0.1:8000/mcp`")?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("the URL must begin with `http://` or `https://`");
    }
    let authority = url.authority().map(Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        return Err("a URL in a file must not hold a user name or password");
    }
    if url.host().is_none_or(str::is_empty) || !is_host(authority) {
        return Err("the URL needs a host, and a port from 1 to 65535 if it has one");
    }
    if url.query().is_some() || text.contains('#') {
        return Err("the URL must end with its path: no `?` and no `#`");
    }
    Ok(url)
}

/// The URL under which clients know the gate.
pub(super) fn public(text: &str) -> Result<PublicUrl, &'static str> {
    endpoint(text).and_then(|url| PublicUrl::new(&url))
}

/// A value of the `Host` header, in lower case.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    if is_host(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write a host as clients name it, such as `localhost:8080` or `mcp.example.com`")
    }
}

/// A value of the `Origin` header, in lower case.
pub(super) fn origin(text: &str) -> Result<String, &'static str> {
    match text.split_once("://") {
        Some((scheme, authority)) if is_scheme(scheme) && is_host(authority) => Ok(text.to_ascii_lowercase()),
        _ => Err("write an origin as browsers send it, such as `https://app.example.com`: no path, no `*`, no `null`"),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A host, perhaps with a port, without anything that a proxy could read otherwise.
fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            if rest.is_empty() {
                ("ip", None)
            } else {
                ("ip", Some(rest.strip_prefix(':').unwrap_or("-")))
            }
        }
        Some(_) => return false,
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port_fits =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(plain) && port.is_none_or(port_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for good in
            ["http://127.0.0.1:8000/mcp", "https://mcp.example.com", "http://[::1]:8000/mcp", "http://records:8000/"]
        {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8000",
            "/mcp",
            "ftp://a/mcp",
            "http://",
            "http:///mcp",
            "http://u:p@a/mcp",
            "http://u@a/",
            "http://a/mcp?x=1",
            "http://a/mcp#x",
            "http://a:0/mcp",
            "http://a:99999/mcp",
            "http://a b/mcp",
            "http://a/mcp ",
            "file:///etc/passwd",
            "unix:///run/x",
            "http://[::1/mcp",
            "http://a:/mcp",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_and_origins() {
        for good in ["localhost", "localhost:8080", "MCP.example.com", "[::1]", "[::1]:8080", "127.0.0.1:1"] {
            assert!(host(good).is_ok(), "{good}");
            assert!(origin(&format!("https://{good}")).is_ok(), "{good}");
        }
        for bad in [
            "", "*", "a/b", "a:b", "a:", ":80", "a@b", "http://a", "[::1]x", "[::g]", "a b", "a?b", "a#b", "ä.de",
            "*.a.de",
        ] {
            assert!(host(bad).is_err(), "{bad}");
            assert!(origin(&format!("https://{bad}")).is_err(), "{bad}");
        }
        for bad in ["null", "*", "localhost", "https://a/", "://a", "1http://a"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sockets() {
        for (text, fits) in
            [("127.0.0.1:0", true), ("[::]:80", true), ("localhost:80", false), (":80", false), ("1.2.3.4", false)]
        {
            assert_eq!(socket(text).is_ok(), fits, "{text}");
        }
    }
}
