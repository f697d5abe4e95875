//! What lets the gate in at a server. Never anything of the caller's, unless the configuration spells that out.

mod cell;
mod endpoint;
mod error;
mod exchange;
mod token;

use std::io;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio_util::task::TaskTracker;

use super::CredentialSettings;
use super::kept::Kept;
use crate::clock;
use crate::identity::Principal;
use crate::secret::Secret;

pub use error::CredentialError;

use cell::Cell;
use endpoint::Endpoint;
use exchange::{Exchange, token_of};
use token::bearer;

/// What lets the gate in, and what it needs to get that.
#[derive(Debug)]
pub(super) struct Credential {
    kind: Kind,
    /// Tokens are fetched on these.
    tasks: TaskTracker,
}

#[derive(Debug)]
enum Kind {
    /// Nothing.
    None,
    /// The same header for everyone.
    Fixed(HeaderName, Kept<HeaderValue>),
    /// A token of the gate's own.
    Granted(Arc<Endpoint>, Arc<Cell>),
    /// A token for each caller.
    Exchanged(Box<Exchange>),
    /// The token that the caller came with.
    Passed,
}

/// A header that lets the gate in; none where nothing is needed.
pub(super) type Shown = Option<(HeaderName, HeaderValue)>;

/// Puts it among the headers of a request, in place of whatever is there.
pub(super) fn put(shown: Shown, headers: &mut HeaderMap) {
    if let Some((name, value)) = shown {
        headers.insert(name, value);
    }
}

/// On whose behalf a server is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks<'a> {
    /// A caller's.
    Caller(&'a Principal),
    /// The gate's own: it looks whether the server is there.
    Gate,
}

impl Credential {
    /// Reads the secrets that it needs. Nothing is fetched yet.
    pub(super) fn new(settings: &CredentialSettings, tasks: TaskTracker) -> io::Result<Self> {
        let kind = match settings {
            CredentialSettings::None => Kind::None,
            CredentialSettings::Header { name, value } => {
                let plain = |secrets: &[Secret]| secret_value("", secrets);
                Kind::Fixed(name.clone(), Kept::read("credential.header", [value.clone()], plain)?)
            }
            CredentialSettings::Bearer(token) => {
                let bearer = |secrets: &[Secret]| secret_value("Bearer ", secrets);
                Kind::Fixed(header::AUTHORIZATION, Kept::read("credential.bearer", [token.clone()], bearer)?)
            }
            CredentialSettings::ClientCredentials(endpoint) => {
                let endpoint = Endpoint::new("credential.client_credentials", endpoint)?;
                Kind::Granted(Arc::new(endpoint), Arc::default())
            }
            CredentialSettings::TokenExchange(endpoint) => {
                let endpoint = Endpoint::new("credential.token_exchange", endpoint)?;
                Kind::Exchanged(Box::new(Exchange::new(endpoint)?))
            }
            CredentialSettings::Passthrough => Kind::Passed,
        };
        Ok(Self { kind, tasks })
    }

    /// Whether each caller's is its own.
    pub(super) fn is_callers(&self) -> bool {
        match self.kind {
            Kind::Exchanged(_) | Kind::Passed => true,
            Kind::None | Kind::Fixed(..) | Kind::Granted(..) => false,
        }
    }

    /// What is shown, once it is there.
    ///
    /// # Errors
    /// It cannot be had. Nothing is sent without it.
    pub(super) async fn shown(&self, asks: Asks<'_>) -> Result<Shown, CredentialError> {
        let token = match (&self.kind, asks) {
            (Kind::None, _) | (Kind::Exchanged(_) | Kind::Passed, Asks::Gate) => return Ok(None),
            (Kind::Fixed(name, value), _) => return Ok(Some((name.clone(), HeaderValue::clone(&value.now())))),
            (Kind::Granted(endpoint, cell), _) => self.granted(endpoint, cell).await?.header.clone(),
            (Kind::Exchanged(exchange), Asks::Caller(caller)) => {
                exchange.token(caller, clock::now(), &self.tasks).await?.header.clone()
            }
            (Kind::Passed, Asks::Caller(caller)) => {
                bearer(token_of(caller)?.expose()).ok_or(CredentialError::NoToken)?
            }
        };
        Ok(Some((header::AUTHORIZATION, token)))
    }

    /// The server has refused what it was shown for this caller.
    pub(super) fn rejected(&self, caller: &Principal, shown: &HeaderValue) {
        match &self.kind {
            Kind::Granted(_, cell) => cell.rejected(shown, clock::monotonic()),
            Kind::Exchanged(exchange) => exchange.rejected(caller, shown),
            Kind::None | Kind::Fixed(..) | Kind::Passed => {}
        }
    }

    /// Looks whether what is kept in files has changed.
    pub(super) fn renew(&self) {
        match &self.kind {
            Kind::None | Kind::Passed => {}
            Kind::Fixed(_, value) => value.renew(),
            Kind::Granted(endpoint, _) => endpoint.renew(),
            Kind::Exchanged(exchange) => exchange.renew(),
        }
    }

    async fn granted(&self, endpoint: &Arc<Endpoint>, cell: &Arc<Cell>) -> Result<Arc<token::Token>, CredentialError> {
        let endpoint = Arc::clone(endpoint);
        let fetch = || async move {
            let granted = endpoint.token(&[("grant_type", "client_credentials")]).await;
            granted.map_err(|error| match error {
                // Nobody's token was shown: it is the gate that gets none.
                CredentialError::Refused(why) => CredentialError::Unavailable(why),
                other => other,
            })
        };
        cell.token(clock::monotonic(), &self.tasks, fetch).await
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
