//! `servers.NAME.tls`: whom to believe that answers for the server, and what the gate shows to it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use http::uri::Scheme;
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::credential::REFERENCE;
use super::given::reference;
use super::tls::until;
use crate::clock;
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::tls::{self, Flaw, Part};
use crate::upstream::{Endpoints, TlsSettings};

/// TLS towards the server. Its files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServerTls")]
pub(super) struct ServerTlsSource {
    /// The authorities that sign for it, in PEM and 64 KiB at most, in place of the system's. A path, from where this file lies.
    #[schemars(example = "/etc/tollgate/records/ca.crt")]
    ca: Option<Spanned<String>>,
    /// The certificate that the gate shows to it, and those between it and an authority, in PEM. A path, from where this file lies.
    #[schemars(example = "/etc/tollgate/records/tls.crt")]
    certificate: Option<Spanned<String>>,
    /// Where that certificate's key is kept, in PEM: `file:/PATH` or `env:NAME`.
    #[schemars(regex(pattern = REFERENCE), example = "file:/etc/tollgate/records/tls.key")]
    key: Option<Spanned<String>>,
    /// Whom its certificate must name. The host of its URL if not said.
    #[schemars(example = "records.internal")]
    server_name: Option<Spanned<String>>,
}

/// What that means; `None` if something of it is wrong.
pub(super) fn read(
    file: &SourceFile,
    beside: &Path,
    written: &Spanned<ServerTlsSource>,
    endpoints: Option<&Endpoints>,
    found: &mut Diagnostics,
) -> Option<TlsSettings> {
    let source = &written.value;
    let mut urls = endpoints.into_iter().flat_map(Endpoints::all);
    if endpoints.is_some() && !urls.any(|url| url.scheme() == Some(&Scheme::HTTPS)) {
        let problem = file.error(Code::InvalidUrl, written.referenced, "the server is not reached by https");
        found.push(problem.help("begin its URL with `https://`, or leave `tls` out"));
        return None;
    }
    let server_name = source.server_name.as_ref().map(|name| {
        let known = ServerName::try_from(name.value.clone()).ok();
        if known.is_none() {
            let message = format!("{} is neither a host nor an address", quoted(&name.value));
            let problem = file.error(Code::InvalidHost, name.referenced, message);
            found.push(problem.help("write what stands in the server's certificate, such as `records.internal`"));
        }
        known
    });
    let identity = match (&source.certificate, &source.key) {
        (None, None) => Some(None),
        (Some(certificate), Some(key)) => {
            reference(file, key, found).map(|key| Some((beside.join(&certificate.value), key)))
        }
        (Some(one), None) | (None, Some(one)) => {
            let message = "a certificate and its key go together";
            let problem = file.error(Code::MissingKey, one.referenced, message).without_source_line();
            found.push(problem.help("write both `certificate:` and `key:`"));
            None
        }
    };
    let settings = TlsSettings {
        ca: source.ca.as_ref().map(|path| beside.join(&path.value)),
        identity: identity?,
        server_name: server_name.map_or(Some(None), |name| name.map(Some))?,
    };
    look(file, source, &settings, clock::wall(), found).then_some(settings)
}

/// Whether the files are good, as far as they are on this machine. At its start the gate insists on them.
fn look(
    file: &SourceFile,
    source: &ServerTlsSource,
    settings: &TlsSettings,
    now: SystemTime,
    found: &mut Diagnostics,
) -> bool {
    let mut flaws = Vec::new();
    if let Some(Ok(pem)) = settings.ca.as_ref().map(fs::read) {
        flaws.extend(tls::authorities(Part::Ca, &pem).err());
    }
    if let Some((path, key)) = &settings.identity
        && let (Ok(pem), Ok(key)) = (fs::read(path), key.read())
    {
        match tls::identity(&pem, &key, now) {
            Ok(identity) if identity.certificate.ends_soon(now) => {
                let message = format!("the certificate ends soon: {}", until(identity.certificate.ends(), now));
                let at = source.certificate.as_ref().map(|written| written.referenced);
                let problem = at.map(|at| file.warning(Code::ExpiringCertificate, at, message));
                found.extend(
                    problem
                        .map(|it| it.help("renew it; the gate takes the new one while it runs").into())
                        .unwrap_or_default(),
                );
            }
            Ok(_) => {}
            Err(flaw) => flaws.push(flaw),
        }
    }
    for flaw in &flaws {
        tell(file, source, flaw, found);
    }
    flaws.is_empty()
}

fn tell(file: &SourceFile, source: &ServerTlsSource, flaw: &Flaw, found: &mut Diagnostics) {
    let written = match flaw.part() {
        Part::Certificate => &source.certificate,
        Part::Key => &source.key,
        Part::Ca | Part::ClientCa => &source.ca,
    };
    if let Some(written) = written {
        let problem = file.error(Code::InvalidCertificate, written.referenced, flaw.to_string());
        found.push(problem.without_source_line().help(flaw.way_out()));
    }
}
