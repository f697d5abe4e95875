//! `listen.tls`: the files that it names, read and held against each other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::source::TlsSource;
use crate::clock;
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned};
use crate::secret::{Reference, Unreadable};
use crate::tls::{ClientCertificates, Files, Flaw, Part, Server};

/// Whether what files refer to is on this machine: certificates and secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It must be: the gate starts.
    Here,
    /// Perhaps not: the files are only looked at, as a reviewer's CI does.
    Elsewhere,
}

/// Reads `listen.tls`. `None`: it is wrong, or its files are kept elsewhere.
pub(super) fn server(
    file: &SourceFile,
    path: Option<&Path>,
    source: &Spanned<TlsSource>,
    kept: Kept,
    found: &mut Diagnostics,
) -> Option<Arc<Server>> {
    let beside = path.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let files = files(file, beside, &source.value, found)?;
    let now = clock::wall();
    match Server::read(files, now) {
        Ok(server) => {
            warn(file, &source.value, &server, now, found);
            Some(Arc::new(server))
        }
        Err(flaw) if kept == Kept::Elsewhere && is_missing(&flaw) => None,
        Err(flaw) => {
            let at = match flaw.part() {
                Part::Certificate => &source.value.certificate,
                Part::Key => &source.value.key,
                Part::ClientCa | Part::Ca => source.value.client_ca.as_ref().unwrap_or(&source.value.certificate),
            };
            let problem = file.error(Code::InvalidCertificate, at.referenced, flaw.to_string());
            // Where a reference to the key should be may stand the key.
            found.push(problem.without_source_line().help(flaw.way_out()));
            None
        }
    }
}

fn files(file: &SourceFile, beside: &Path, source: &TlsSource, found: &mut Diagnostics) -> Option<Files> {
    let key = Reference::parse(&source.key.value);
    if key.is_none() {
        let problem = file.error(Code::SecretInFile, source.key.referenced, "this does not say where the key is kept");
        found.push(
            problem
                .without_source_line()
                .help("write `file:/PATH`, or `env:NAME`; a key itself never stands in a file"),
        );
    }
    let clients = match (&source.client_ca, &source.client_certificates) {
        (None, None) => None,
        (Some(ca), said) => Some((beside.join(&ca.value), said.as_ref().map_or(Written::Required, |said| said.value))),
        (None, Some(said)) => {
            found.push(
                file.error(Code::MissingKey, said.referenced, "clients are asked for certificates that nobody signs")
                    .help("name the authorities that do: `client_ca: /PATH`"),
            );
            return None;
        }
    };
    Some(Files {
        certificate: beside.join(&source.certificate.value),
        key: key?,
        clients: clients.map(|(path, said): (PathBuf, _)| (path, said.into())),
    })
}

/// What is good, but not for long.
fn warn(file: &SourceFile, source: &TlsSource, server: &Server, now: SystemTime, found: &mut Diagnostics) {
    let certificate = server.certificate();
    if certificate.ends_soon(now) {
        let message = format!("the certificate ends soon: {}", until(certificate.ends(), now));
        let problem = file.warning(Code::ExpiringCertificate, source.certificate.referenced, message);
        found.push(problem.help("renew it; the gate takes the new one while it runs"));
    }
}

/// How long is left, in the largest unit that says something.
pub(super) fn until(end: SystemTime, now: SystemTime) -> String {
    let hours = end.duration_since(now).unwrap_or_default().as_secs() / 3600;
    match (hours / 24, hours) {
        (0, 0) => "in less than an hour".to_owned(),
        (0, 1) => "in an hour".to_owned(),
        (0, hours) => format!("in {hours} hours"),
        (1, _) => "in a day".to_owned(),
        (days, _) => format!("in {days} days"),
    }
}

pub(super) fn is_missing(flaw: &Flaw) -> bool {
    match flaw {
        Flaw::Io(_, error) | Flaw::Key(Unreadable::Io(error)) => error.kind() == io::ErrorKind::NotFound,
        Flaw::Key(Unreadable::Unset) => true,
        _ => false,
    }
}

/// [`ClientCertificates`] as written.
#[derive(Clone, Copy, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Written {
    /// Whoever shows none gets no connection.
    Required,
    /// Whoever shows none is heard, too.
    Optional,
}

impl From<Written> for ClientCertificates {
    fn from(written: Written) -> Self {
        match written {
            Written::Required => Self::Required,
            Written::Optional => Self::Optional,
        }
    }
}
