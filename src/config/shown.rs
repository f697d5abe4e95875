//! What a server is shown beside its messages: as `tollgate.yaml` says it, and what that means.

use std::path::Path;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::build::{MAX_IN_FLIGHT, number};
use super::source::ServerSource;
use super::{assertion, breaker, credential, server_tls, timeouts};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::mcp::{Reserved, alike};
use crate::upstream::{AssertionSettings, CredentialSettings, Endpoints, Settings};

/// What the file says of one server.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) file: &'a SourceFile,
    /// The folder in which that lies.
    pub(super) beside: &'a Path,
    pub(super) name: &'a str,
    pub(super) server: &'a ServerSource,
}

impl Written<'_> {
    /// What that means at these endpoints; `None` if something of it is wrong.
    pub(super) fn read(self, endpoints: Option<&Endpoints>, found: &mut Diagnostics) -> Option<Settings> {
        let Self { file, beside, server, .. } = self;
        let forward_headers = self.forward_headers(found);
        let credential = match &server.credential {
            None => Some(CredentialSettings::None),
            Some(written) => credential::read(self, written, found),
        };
        let assertion = server.assertion.as_ref().map(|written| assertion::read(self, written, found));
        let tls = server.tls.as_ref().map(|written| server_tls::read(file, beside, written, endpoints, found));
        let breaker = breaker::build(file, &server.breaker, found);
        let timeouts = timeouts::of_server(file, &server.timeouts, found);
        let usual = Settings::default().max_in_flight;
        let max_in_flight = number(file, server.max_in_flight.as_ref(), usual, MAX_IN_FLIGHT, found);
        let settings = Settings {
            forward_headers: forward_headers?,
            credential: credential?,
            // Each `None` within is wrong, and was told.
            assertion: assertion.map_or(Some(None), |read| read.map(Some))?,
            tls: tls.map_or(Some(None), |read| read.map(Some))?.unwrap_or_default(),
            breaker: breaker?,
            timeouts: timeouts?,
            balance: server.balance.into(),
            max_in_flight: max_in_flight?,
        };
        match (&settings.assertion, &server.assertion) {
            (Some(AssertionSettings { header, .. }), Some(written)) => {
                self.is_free(header, written.referenced, &settings, found).then_some(settings)
            }
            _ => Some(settings),
        }
    }

    /// Whether nothing stands in the header that says who asks but that.
    fn is_free(self, header: &HeaderName, at: At, settings: &Settings, found: &mut Diagnostics) -> bool {
        let credential = match &settings.credential {
            CredentialSettings::None => None,
            CredentialSettings::Header { name, .. } => Some(name),
            CredentialSettings::Bearer(_)
            | CredentialSettings::ClientCredentials(_)
            | CredentialSettings::TokenExchange(_)
            | CredentialSettings::Passthrough => Some(&AUTHORIZATION),
        };
        let taken = |name: &HeaderName| alike(name.as_str(), header.as_str());
        let taken_by = if credential.is_some_and(taken) {
            "credential"
        } else if settings.forward_headers.iter().any(taken) {
            "forward_headers"
        } else {
            return true;
        };
        let message = format!("{} is a header of `{taken_by}`, too", quoted(header.as_str()));
        found.push(self.file.error(Code::ReservedHeader, at, message).help("give the assertion another `header`"));
        false
    }

    fn forward_headers(self, found: &mut Diagnostics) -> Option<Vec<HeaderName>> {
        let Some(list) = &self.server.forward_headers else {
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

    pub(super) fn header(self, name: &Spanned<String>, found: &mut Diagnostics) -> Option<HeaderName> {
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

    pub(super) fn reserved(self, name: &Spanned<String>, reserved: Reserved) -> Diagnostic {
        let message = format!("the header {} cannot be given here: {}", quoted(&name.value), reserved.why());
        self.file.error(Code::ReservedHeader, name.referenced, message).help("leave it out")
    }
}
