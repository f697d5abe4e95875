//! `servers.NAME.catalogue`: how the gate keeps what a server has, for views.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::build::{Span, number, span};
use crate::diagnostic::{Diagnostics, SourceFile, Spanned};
use crate::duration::DURATION;
use crate::federation::CatalogueSettings;
use crate::state::Per;

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
    /// For whom it is: `server`, the same for all callers, asked by the gate itself, as if not said; or `caller`, where the server has something else for each, or for what its client can do: then it is asked in each caller's name.
    #[serde(default)]
    pub(super) per: PerSource,
    /// Where each caller has its own, all of them take about so much memory. 67108864 if not said, up to `17179869184`.
    #[schemars(range(min = 1, max = MAX_BYTES))]
    max_bytes: Option<Spanned<u64>>,
}

/// For whom a catalogue is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum PerSource {
    /// The same for all callers.
    #[default]
    Server,
    /// For each caller another one.
    Caller,
}

const MAX_BYTES: u64 = 16 << 30;

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const SHOWN_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 30);

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &CatalogueSource, found: &mut Diagnostics) -> Option<CatalogueSettings> {
    let usual = CatalogueSettings::default();
    let timeout = span(file, source.timeout.as_ref(), Span(usual.timeout, TIMEOUT), found);
    let shown_for = span(file, source.shown_for.as_ref(), Span(usual.shown_for, SHOWN_FOR), found);
    let max_bytes = number(file, source.max_bytes.as_ref(), usual.max_bytes, MAX_BYTES, found);
    let per = match source.per {
        PerSource::Server => Per::Server,
        PerSource::Caller => Per::Caller,
    };
    Some(CatalogueSettings { timeout: timeout?, shown_for: shown_for?, per, max_bytes: max_bytes? })
}
