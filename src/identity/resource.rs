//! What clients must know to bring a token: the gate as an OAuth 2.0 protected resource (RFC 9728), and its challenges
//! (RFC 6750). Not for status codes, which are chosen in `proxy::respond`.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::Uri;
use serde::Serialize;

use super::Scope;

/// Where the metadata of a resource is, before the path of the resource (RFC 9728, 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where clients reach the gate's MCP endpoint, as they write it: what tokens for it are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme and host, perhaps with a port.
    origin: String,
    /// With its slash; nothing for the root.
    path: String,
}

/// The gate as clients see it that look for a token.
#[derive(Debug)]
pub struct ProtectedResource {
    metadata_url: String,
    metadata: Bytes,
    /// What a client asks for that knows nothing else.
    scopes: Vec<Scope>,
}

/// What a caller who was refused is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge<'a> {
    /// A credential: there was none of a kind that is taken here, and nothing is wrong with what is not there.
    Credential,
    /// Another one: this one is forged, expired, revoked or unknown.
    AnotherCredential,
    /// A request with one credential.
    AnotherRequest,
    /// A token with all of these.
    Scopes(&'a [Scope]),
}

/// The document, member by member.
#[derive(Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    authorization_servers: &'a [&'a str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
}

impl PublicUrl {
    /// This URL, without query and fragment.
    ///
    /// # Errors
    /// What was expected.
    pub fn new(url: &Uri) -> Result<Self, &'static str> {
        let scheme = url.scheme_str().unwrap_or_default();
        if scheme != "https" && !is_loopback(url) {
            return Err(
                "tokens must not cross a network in the clear: write `https://`; only this machine may go without",
            );
        }
        let authority = url.authority().map(|it| it.as_str().to_ascii_lowercase()).unwrap_or_default();
        let path = if url.path() == "/" { "" } else { url.path() };
        Ok(Self { origin: format!("{scheme}://{authority}"), path: path.to_owned() })
    }

    /// Where one server of several is, if this is where clients reach the gate's `/mcp`.
    #[must_use]
    pub fn of_server(&self, name: &str) -> Self {
        let base = self.path.strip_suffix("/mcp").unwrap_or(&self.path).trim_end_matches('/');
        Self { path: format!("{base}/{name}/mcp"), ..self.clone() }
    }

    /// The same at another host.
    #[must_use]
    pub fn at_host(&self, host: &str) -> Self {
        let scheme = self.origin.split_once("://").map_or("https", |(scheme, _)| scheme);
        Self { origin: format!("{scheme}://{host}"), ..self.clone() }
    }

    /// Whether this path is where its metadata is: with its own path, where clients look first.
    pub fn has_metadata_at(&self, path: &str) -> bool {
        path.strip_prefix(WELL_KNOWN) == Some(&self.path)
    }

    /// Whether this path is where the metadata is of what needs no path.
    pub fn is_metadata_root(path: &str) -> bool {
        path == WELL_KNOWN
    }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl ProtectedResource {
    /// The resource at this URL, for which these issuers give tokens. `None` without any: nobody could log in.
    pub fn new(url: &PublicUrl, issuers: &[&str], scopes: Vec<Scope>) -> Option<Self> {
        if issuers.is_empty() {
            return None;
        }
        let PublicUrl { origin, path } = url;
        let metadata = Metadata {
            resource: &format!("{origin}{path}"),
            authorization_servers: issuers,
            scopes_supported: scopes.iter().map(Scope::as_str).collect(),
            bearer_methods_supported: ["header"],
        };
        let metadata = serde_json::to_vec(&metadata).ok()?;
        let metadata_url = format!("{origin}{WELL_KNOWN}{path}");
        Some(Self { metadata_url, metadata: Bytes::from(metadata), scopes })
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }
}

impl Challenge<'_> {
    /// The value of `WWW-Authenticate`. Where no tokens are taken it names no metadata: clients would begin to log in.
    pub fn header(self, resource: Option<&ProtectedResource>) -> String {
        let (error, scopes) = match self {
            Self::Credential => (None, resource.map(|it| it.scopes.as_slice())),
            Self::AnotherCredential => (Some("invalid_token"), resource.map(|it| it.scopes.as_slice())),
            Self::AnotherRequest => (Some("invalid_request"), None),
            Self::Scopes(scopes) => (Some("insufficient_scope"), Some(scopes)),
        };
        let scopes = scopes.unwrap_or_default().iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
        let scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
        let metadata_url = resource.map(|it| it.metadata_url.as_str());
        let parameters = [("error", error), ("scope", scopes.as_deref()), ("resource_metadata", metadata_url)];
        let mut header = String::from("Bearer");
        let mut before = " ";
        for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            // Nothing in a value needs quoting: scopes and URLs that do are none. Writing to a String cannot fail.
            let _ = write!(header, "{before}{name}=\"{value}\"");
            before = ", ";
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<PublicUrl, &'static str> {
        PublicUrl::new(&text.parse().unwrap())
    }

    fn resource(at: &str, scopes: &[&str]) -> ProtectedResource {
        let scopes = scopes.iter().map(|scope| Scope::new(scope).unwrap()).collect();
        ProtectedResource::new(&url(at).unwrap(), &["https://idp.test/"], scopes).unwrap()
    }

    #[test]
    fn only_https_or_this_machine_is_told_to_clients() {
        for good in ["https://mcp.test/mcp", "http://localhost:8080/mcp", "http://127.0.0.2/mcp", "http://[::1]:80/"] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in ["http://mcp.test/mcp", "http://10.0.0.1/mcp", "http://localhost.evil.test/", "http://[fd00::1]/"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_is_where_clients_look_for_it_and_nowhere_else() {
        let at_a_path = url("https://MCP.test/records/mcp").unwrap();
        let at_the_root = url("https://mcp.test").unwrap();
        for (url, path, is) in [
            (&at_a_path, "/.well-known/oauth-protected-resource/records/mcp", true),
            (&at_a_path, "/.well-known/oauth-protected-resource", false),
            (&at_a_path, "/.well-known/oauth-protected-resource/records", false),
            (&at_a_path, "/.well-known/oauth-protected-resource/", false),
            (&at_a_path, "/.well-known/oauth-authorization-server", false),
            (&at_the_root, "/.well-known/oauth-protected-resource", true),
            (&at_the_root, "/.well-known/oauth-protected-resource/mcp", false),
        ] {
            assert_eq!(url.has_metadata_at(path), is, "{path}");
        }
        assert!(PublicUrl::is_metadata_root("/.well-known/oauth-protected-resource"));
        assert_eq!(
            str::from_utf8(resource("https://MCP.test/records/mcp", &["records:read"]).metadata()).unwrap(),
            r#"{"resource":"https://mcp.test/records/mcp","authorization_servers":["https://idp.test/"],"#.to_owned()
                + r#""scopes_supported":["records:read"],"bearer_methods_supported":["header"]}"#
        );
        let at_the_root = resource("https://mcp.test", &[]);
        let document = at_the_root.metadata();
        assert!(document.starts_with(br#"{"resource":"https://mcp.test","authorization"#), "{document:?}");
        assert!(ProtectedResource::new(&url("https://mcp.test").unwrap(), &[], Vec::new()).is_none());
    }

    #[test]
    fn each_server_is_a_resource_of_its_own() {
        for (gate, server) in [
            ("https://mcp.test/mcp", "https://mcp.test/records/mcp"),
            ("https://mcp.test/tools/mcp", "https://mcp.test/tools/records/mcp"),
            ("https://mcp.test", "https://mcp.test/records/mcp"),
            ("https://mcp.test/tools/", "https://mcp.test/tools/records/mcp"),
        ] {
            assert_eq!(url(gate).unwrap().of_server("records"), url(server).unwrap(), "{gate}");
        }
        let elsewhere = url("https://mcp.test/mcp").unwrap().at_host("records.test:8443");
        assert_eq!(elsewhere, url("https://records.test:8443/mcp").unwrap());
    }

    #[test]
    fn a_challenge_says_what_is_wrong_and_where_to_look() {
        let resource = resource("https://mcp.test/mcp", &["a", "b"]);
        let at = r#"resource_metadata="https://mcp.test/.well-known/oauth-protected-resource/mcp""#;
        let needed = [Scope::new("records:write").unwrap()];
        for (challenge, header) in [
            (Challenge::Credential, format!(r#"Bearer scope="a b", {at}"#)),
            (Challenge::AnotherCredential, format!(r#"Bearer error="invalid_token", scope="a b", {at}"#)),
            (Challenge::AnotherRequest, format!(r#"Bearer error="invalid_request", {at}"#)),
            (Challenge::Scopes(&needed), format!(r#"Bearer error="insufficient_scope", scope="records:write", {at}"#)),
        ] {
            assert_eq!(challenge.header(Some(&resource)), header);
        }
        assert_eq!(Challenge::Credential.header(None), "Bearer");
        assert_eq!(Challenge::AnotherCredential.header(None), "Bearer error=\"invalid_token\"");
    }
}
