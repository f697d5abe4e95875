//! What lets the gate in at a server. Never anything of the caller's, unless the configuration spells that out.

use std::io;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::CredentialSettings;
use super::kept::Kept;
use crate::secret::Secret;

/// What lets the gate in.
#[derive(Debug)]
pub(super) enum Credential {
    /// Nothing.
    None,
    /// The same header for everyone.
    Fixed(HeaderName, Kept<HeaderValue>),
}

impl Credential {
    /// Reads the secrets that it needs.
    pub(super) fn new(settings: &CredentialSettings) -> io::Result<Self> {
        match settings {
            CredentialSettings::None => Ok(Self::None),
            CredentialSettings::Header { name, value } => {
                let plain = |secrets: &[Secret]| secret_value("", secrets);
                Ok(Self::Fixed(name.clone(), Kept::read("credential.header", [value.clone()], plain)?))
            }
            CredentialSettings::Bearer(token) => {
                let bearer = |secrets: &[Secret]| secret_value("Bearer ", secrets);
                Ok(Self::Fixed(header::AUTHORIZATION, Kept::read("credential.bearer", [token.clone()], bearer)?))
            }
        }
    }

    /// Puts it among the headers of a request.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        match self {
            Self::None => {}
            Self::Fixed(name, value) => {
                headers.insert(name, HeaderValue::clone(&value.now()));
            }
        }
    }

    /// Looks whether what is kept in files has changed.
    pub(super) fn renew(&self) {
        match self {
            Self::None => {}
            Self::Fixed(_, value) => value.renew(),
        }
    }
}

/// A header's value that is shown by nothing.
fn secret_value(scheme: &str, secrets: &[Secret]) -> Result<HeaderValue, String> {
    let secret = secrets.first().map(Secret::expose).unwrap_or_default();
    let mut value = HeaderValue::from_str(&format!("{scheme}{secret}"))
        .map_err(|_not_shown| "it holds a character that no header can have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
