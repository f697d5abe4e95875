//! `servers.NAME.timeouts`: how long a server may take for what.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::build::{Span, span};
use crate::diagnostic::{Diagnostics, SourceFile, Spanned};
use crate::duration::DURATION;
use crate::upstream::Timeouts;

/// How long a server may take for what. For the calls of a tool its own `timeout` is in the place of `first_byte` and `stream_idle`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServerTimeouts")]
pub(super) struct TimeoutsSource {
    /// Until a connection stands, its TLS too. 1s if not said, up to `1m`.
    #[schemars(regex(pattern = DURATION), example = "1s")]
    connect: Option<Spanned<String>>,
    /// Until its answer begins. 1m if not said, up to `1h`.
    #[schemars(regex(pattern = DURATION), example = "1m")]
    first_byte: Option<Spanned<String>>,
    /// Between two words of an answer, and while it waits for its client's user. 5m if not said, up to `1h`.
    #[schemars(regex(pattern = DURATION), example = "5m")]
    stream_idle: Option<Spanned<String>>,
    /// Until all of an answer has come that is no stream. 5m if not said, up to `24h`.
    #[schemars(regex(pattern = DURATION), example = "5m")]
    total: Option<Spanned<String>>,
}

const SHORTEST: Duration = Duration::from_millis(10);
const CONNECT: RangeInclusive<Duration> = SHORTEST..=Duration::from_mins(1);
const ANSWER: RangeInclusive<Duration> = SHORTEST..=Duration::from_hours(1);
const TOTAL: RangeInclusive<Duration> = SHORTEST..=Duration::from_hours(24);

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &TimeoutsSource, found: &mut Diagnostics) -> Option<Timeouts> {
    let usual = Timeouts::default();
    let mut read =
        |written: &Option<Spanned<String>>, usual, bounds| span(file, written.as_ref(), Span(usual, bounds), found);
    let connect = read(&source.connect, usual.connect, CONNECT);
    let first_byte = read(&source.first_byte, usual.first_byte, ANSWER);
    let stream_idle = read(&source.stream_idle, usual.stream_idle, ANSWER);
    let total = read(&source.total, usual.total, TOTAL);
    Some(Timeouts { connect: connect?, first_byte: first_byte?, stream_idle: stream_idle?, total: total? })
}
