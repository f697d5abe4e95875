//! `servers.NAME.credential`: what lets the gate in at the server.

use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use super::given::reference;
use super::shown::Written;
use crate::diagnostic::{Code, Diagnostics, Spanned, quoted};
use crate::fetch;
use crate::identity::Scope;
use crate::mcp::Reserved;
use crate::upstream::{ClientProof, CredentialSettings, TokenEndpoint};

/// What lets the gate in at the server: one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credential", extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct CredentialSource {
    /// A secret in a header of its own.
    header: Option<HeaderSource>,
    /// Where a token is kept that goes into `Authorization: Bearer`: `env:NAME` or `file:/PATH`.
    #[schemars(regex(pattern = REFERENCE), example = "file:/run/secrets/records-token")]
    bearer: Option<Spanned<String>>,
    /// A token of the gate's own, fetched by the client credentials grant (RFC 6749, 4.4) and renewed before it ends.
    client_credentials: Option<TokenEndpointSource>,
    /// A token for each caller, in exchange for the one that it came with (RFC 8693). Callers with keys are refused.
    token_exchange: Option<TokenEndpointSource>,
    /// The token that the caller came with. MCP forbids it, for the server can use it elsewhere: `check` warns.
    passthrough: Option<Passthrough>,
}

/// Which header of the caller's passes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Passthrough {
    /// `Authorization`, with the token that proved who asks.
    Authorization,
}

/// A secret in a header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretHeader")]
struct HeaderSource {
    /// The header's name.
    #[schemars(example = "x-api-key")]
    name: Spanned<String>,
    /// Where the secret is kept: `env:NAME` or `file:/PATH`.
    #[schemars(regex(pattern = REFERENCE), example = "env:RECORDS_KEY")]
    value: Spanned<String>,
}

/// Where tokens are asked for, and what for. Either `client_secret` or `private_key` proves which client the gate is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenEndpoint")]
struct TokenEndpointSource {
    /// The token endpoint.
    #[schemars(example = "https://login.example.com/oauth2/token")]
    token_url: Spanned<String>,
    /// What the gate is called there.
    #[schemars(example = &"tollgate")]
    client_id: Spanned<String>,
    /// Where its secret is kept: `env:NAME` or `file:/PATH`.
    #[schemars(regex(pattern = REFERENCE), example = "file:/run/secrets/client-secret")]
    client_secret: Option<Spanned<String>>,
    /// Or instead, where a key is kept that signs (`private_key_jwt`, RFC 7523). `tollgate keys signing` makes one.
    #[schemars(regex(pattern = REFERENCE), example = "file:/run/secrets/client-key")]
    private_key: Option<Spanned<String>>,
    /// How the secret is shown. `client_secret_basic` if not said.
    token_endpoint_auth_method: Option<Spanned<AuthMethod>>,
    /// The scopes to ask for.
    #[schemars(length(min = 1), example = ["records.read"])]
    scopes: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the server is called in the token's `aud`, where the endpoint wants it said so.
    #[schemars(example = "https://records.internal")]
    audience: Option<Spanned<String>>,
    /// The same as a URL (RFC 8707).
    #[schemars(example = "https://records.internal/mcp")]
    resource: Option<Spanned<String>>,
    /// Networks that the endpoint may be in although they are not public: only addresses in them may be asked without https.
    #[schemars(length(min = 1), example = ["10.0.0.0/8"])]
    allow_addresses: Option<Spanned<Vec<Spanned<String>>>>,
    /// A file with certificate authorities to believe beside those of the system. It is read at the start.
    #[schemars(example = "/etc/tollgate/login-ca.crt")]
    ca_file: Option<Spanned<String>>,
}

/// How a client's secret is shown (RFC 7591, 2).
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum AuthMethod {
    /// In `Authorization: Basic`.
    #[default]
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

/// Where a secret is kept.
pub(super) const REFERENCE: &str = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$";

/// What that means; `None` if something of it is wrong.
pub(super) fn read(
    of: Written<'_>,
    written: &Spanned<CredentialSource>,
    found: &mut Diagnostics,
) -> Option<CredentialSettings> {
    let CredentialSource { header, bearer, client_credentials, token_exchange, passthrough } = &written.value;
    match (header, bearer, client_credentials, token_exchange, passthrough) {
        (Some(HeaderSource { name, value }), None, None, None, None) => {
            let (name, value) = (credential_header(of, name, found), reference(of.file, value, found));
            Some(CredentialSettings::Header { name: name?, value: value? })
        }
        (None, Some(token), None, None, None) => reference(of.file, token, found).map(CredentialSettings::Bearer),
        (None, None, Some(endpoint), None, None) => {
            Reader { of, found }.endpoint(endpoint).map(CredentialSettings::ClientCredentials)
        }
        (None, None, None, Some(endpoint), None) => {
            let mut reader = Reader { of, found };
            let read = reader.endpoint(endpoint);
            reader.names_server(endpoint).then_some(read?).map(CredentialSettings::TokenExchange)
        }
        (None, None, None, None, Some(Passthrough::Authorization)) => {
            let message = "the server gets its callers' own tokens, and can use them wherever else they count";
            found.push(of.file.warning(Code::TokenPassthrough, written.referenced, message).help(
                "MCP forbids it (Security Best Practices, Token Passthrough); \
                 `token_exchange` gives it tokens that count there only",
            ));
            Some(CredentialSettings::Passthrough)
        }
        _ => {
            found.push(
                of.file.error(Code::InvalidCredential, written.referenced, "one way in is needed, and only one").help(
                    "write one of `header:`, `bearer:`, `client_credentials:`, `token_exchange:`, `passthrough:`",
                ),
            );
            None
        }
    }
}

/// A header that a server may want its credential in.
fn credential_header(of: Written<'_>, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
    let header = of.header(name, found)?;
    match Reserved::of(&header) {
        None | Some(Reserved::Credential) => Some(header),
        Some(reserved @ (Reserved::Protocol | Reserved::Gate)) => {
            found.push(of.reserved(name, reserved));
            None
        }
    }
}

struct Reader<'a> {
    of: Written<'a>,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    /// All parts are looked at, so that all problems are told.
    fn endpoint(&mut self, source: &TokenEndpointSource) -> Option<TokenEndpoint> {
        let listed = fetch::networks(self.of.file, source.allow_addresses.as_ref(), self.found);
        let url = self.url(&source.token_url, &listed);
        let client_id = self.text(&source.client_id, "client_id");
        let proof = self.proof(source);
        let scopes = source.scopes.as_ref().map(|list| {
            let each = list.value.iter().map(Spanned::as_text);
            Scope::list(self.of.file, (list.referenced, each), "scopes", self.found)
        });
        let audience = source.audience.as_ref().map(|text| self.text(text, "audience"));
        let resource = source.resource.as_ref().map(|text| self.text(text, "resource"));
        let scope = scopes.map(|scopes| scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "));
        Some(TokenEndpoint {
            url: url?,
            client_id: client_id?,
            proof: proof?,
            scope,
            audience: audience.map_or(Some(None), |read| read.map(Some))?,
            resource: resource.map_or(Some(None), |read| read.map(Some))?,
            listed: listed.into(),
            authorities: source.ca_file.as_ref().map(|path| self.of.beside.join(PathBuf::from(&path.value))),
        })
    }

    fn proof(&mut self, source: &TokenEndpointSource) -> Option<ClientProof> {
        let method = source.token_endpoint_auth_method.as_ref();
        match (&source.client_secret, &source.private_key, method) {
            (Some(secret), None, method) => {
                let secret = reference(self.of.file, secret, self.found)?;
                Some(match method.map_or(AuthMethod::default(), |method| method.value) {
                    AuthMethod::ClientSecretBasic => ClientProof::Basic(secret),
                    AuthMethod::ClientSecretPost => ClientProof::Post(secret),
                })
            }
            (None, Some(key), None) => reference(self.of.file, key, self.found).map(ClientProof::Key),
            (None, Some(_), Some(method)) => {
                let message = "a key has one way to prove a client: `private_key_jwt`";
                self.wrong(Code::InvalidCredential, method, message, "leave `token_endpoint_auth_method` out")
            }
            (None, None, _) | (Some(_), Some(_), _) => {
                let message = "one proof that the gate is this client is needed, and only one";
                let way_out = "write either `client_secret:` or `private_key:`";
                self.wrong(Code::InvalidCredential, &source.client_id, message, way_out)
            }
        }
    }

    /// A token that counts everywhere would be the caller's once more.
    fn names_server(&mut self, source: &TokenEndpointSource) -> bool {
        if source.audience.is_some() || source.resource.is_some() {
            return true;
        }
        let message = "nothing says for whom the tokens are to be";
        let way_out = "name the server as the token endpoint does: `audience:`, or `resource:` if that takes URLs";
        self.wrong::<(), _>(Code::InvalidCredential, &source.token_url, message, way_out).is_some()
    }

    fn url(&mut self, written: &Spanned<String>, listed: &[IpNet]) -> Option<Url> {
        // What is wrong with it may be a password: it is not repeated.
        match written.value.parse::<Url>() {
            Ok(url) if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() => self
                .hidden(written, "the URL has a user or a fragment", "leave out what stands before `@` and behind `#`"),
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && !listed.is_empty()) => Some(url),
            Ok(_) => self.hidden(
                written,
                "the token endpoint is not reached by https",
                "its answers let callers in; for one beside the gate list its network under `allow_addresses`",
            ),
            Err(_) => {
                let way_out = "write it as its provider does, such as `https://login.example.com/oauth2/token`";
                self.hidden(written, "this is not the URL of a token endpoint", way_out)
            }
        }
    }

    fn text(&mut self, written: &Spanned<String>, key: &str) -> Option<String> {
        let fits = !written.value.is_empty() && written.value.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            return Some(written.value.clone());
        }
        let message = format!("{} does not fit `{key}`", quoted(&written.value));
        self.wrong(
            Code::InvalidCredential,
            written,
            &message,
            "write it as the token endpoint knows it, without spaces",
        )
    }

    fn wrong<T, W>(&mut self, code: Code, at: &Spanned<W>, message: &str, way_out: &str) -> Option<T> {
        self.found.push(self.of.file.error(code, at.referenced, message).help(way_out));
        None
    }

    fn hidden<T>(&mut self, at: &Spanned<String>, message: &str, way_out: &str) -> Option<T> {
        let problem = self.of.file.error(Code::InvalidUrl, at.referenced, message).without_source_line();
        self.found.push(problem.help(way_out));
        None
    }
}
