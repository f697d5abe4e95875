//! What a server is shown beside its messages: as `tollgate.yaml` says it, and what that means.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::given::reference;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::mcp::Reserved;
use crate::upstream::{CredentialSettings, Settings};

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

/// Where a secret is kept.
const REFERENCE: &str = "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$";

/// What the file says of one server.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) forward_headers: Option<&'a Spanned<Vec<Spanned<String>>>>,
    pub(super) credential: Option<&'a Spanned<CredentialSource>>,
}

impl Written<'_> {
    /// What that means; `None` if something of it is wrong.
    pub(super) fn read(self, found: &mut Diagnostics) -> Option<Settings> {
        let forward_headers = self.forward_headers(found);
        let credential = match self.credential {
            None => Some(CredentialSettings::None),
            Some(written) => self.credential(written, found),
        };
        Some(Settings { forward_headers: forward_headers?, credential: credential?, ..Settings::default() })
    }

    fn forward_headers(self, found: &mut Diagnostics) -> Option<Vec<HeaderName>> {
        let Some(list) = self.forward_headers else {
            return Some(Vec::new());
        };
        if list.value.is_empty() {
            found.push(
                self.file
                    .error(Code::EmptyList, list.referenced, "`forward_headers` is empty")
                    .help("name a header, or leave `forward_headers` out: then only the protocol's reach the server"),
            );
            return None;
        }
        // All are looked at, so that all problems are told.
        let read: Vec<_> = list.value.iter().map(|name| self.free_header(name, found)).collect();
        read.into_iter().collect()
    }

    fn credential(self, written: &Spanned<CredentialSource>, found: &mut Diagnostics) -> Option<CredentialSettings> {
        let CredentialSource { header, bearer } = &written.value;
        match (header, bearer) {
            (Some(HeaderSource { name, value }), None) => {
                let (name, value) = (self.credential_header(name, found), reference(self.file, value, found));
                Some(CredentialSettings::Header { name: name?, value: value? })
            }
            (None, Some(token)) => reference(self.file, token, found).map(CredentialSettings::Bearer),
            _ => {
                found.push(
                    self.file
                        .error(Code::InvalidCredential, written.referenced, "one way in is needed, and only one")
                        .help("write either `header:` or `bearer:`"),
                );
                None
            }
        }
    }

    /// A header that callers may send.
    fn free_header(self, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
        let header = self.header(name, found)?;
        match Reserved::of(&header) {
            None => Some(header),
            Some(reserved) => {
                found.push(self.reserved(name, reserved));
                None
            }
        }
    }

    /// A header that a server may want its credential in.
    fn credential_header(self, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
        let header = self.header(name, found)?;
        match Reserved::of(&header) {
            None | Some(Reserved::Credential) => Some(header),
            Some(reserved @ (Reserved::Protocol | Reserved::Gate)) => {
                found.push(self.reserved(name, reserved));
                None
            }
        }
    }

    fn header(self, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
        name.value
            .parse()
            .map_err(|_not_told| {
                let message = format!("{} is not the name of a header", quoted(&name.value));
                found.push(
                    self.file
                        .error(Code::InvalidHeader, name.referenced, message)
                        .help("write one such as `x-request-source`"),
                );
            })
            .ok()
    }

    fn reserved(self, name: &Spanned<String>, reserved: Reserved) -> Diagnostic {
        let message = format!("the header {} cannot be given here: {}", quoted(&name.value), reserved.why());
        self.file.error(Code::ReservedHeader, name.referenced, message).help("leave it out")
    }
}
