//! `servers.NAME.catalogue`: how the gate keeps what a server has, for views.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::build::{Span, span};
use crate::diagnostic::{Diagnostics, SourceFile, Spanned};
use crate::duration::DURATION;
use crate::federation::CatalogueSettings;

/// How the gate keeps what the server has, where a view shows it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Catalogue")]
pub(super) struct CatalogueSource {
    /// Until it has said all that it has. 10s if not said, up to `5m`.
    #[schemars(regex(pattern = DURATION), example = "10s")]
    timeout: Option<Spanned<String>>,
    /// How long that is shown while it does not say it again. 10m if not said, up to `30d`.
    #[schemars(regex(pattern = DURATION), example = "10m")]
    shown_for: Option<Spanned<String>>,
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const SHOWN_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 30);

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &CatalogueSource, found: &mut Diagnostics) -> Option<CatalogueSettings> {
    let usual = CatalogueSettings::default();
    let timeout = span(file, source.timeout.as_ref(), Span(usual.timeout, TIMEOUT), found);
    let shown_for = span(file, source.shown_for.as_ref(), Span(usual.shown_for, SHOWN_FOR), found);
    Some(CatalogueSettings { timeout: timeout?, shown_for: shown_for? })
}
