//! `servers.NAME.timeouts` and `listen.timeouts`: how long a server, and a client, may take for what.

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

/// How long a client may take for what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenTimeouts")]
pub(super) struct ListenTimeoutsSource {
    /// Until a TLS handshake is done. 5s if not said, up to `1m`.
    #[schemars(regex(pattern = DURATION), example = "5s")]
    handshake: Option<Spanned<String>>,
    /// Until the head of a request that has begun is there, and that of the first one. 10s if not said, up to `1m`.
    #[schemars(regex(pattern = DURATION), example = "10s")]
    header: Option<Spanned<String>>,
    /// Until a body is there. From its sixth second on it must come at 1 KiB a second at least. 30s if not said, up to `1h`.
    #[schemars(regex(pattern = DURATION), example = "30s")]
    body: Option<Spanned<String>>,
    /// Until it asks for something again, on a connection that it keeps. 1m if not said, up to `1h`.
    #[schemars(regex(pattern = DURATION), example = "1m")]
    idle: Option<Spanned<String>>,
    /// Until it takes something of an answer that waits for it. 1m if not said, up to `1h`.
    #[schemars(regex(pattern = DURATION), example = "1m")]
    write: Option<Spanned<String>>,
}

/// How long a client may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenTimeouts {
    /// Until a TLS handshake is done.
    pub handshake: Duration,
    /// Until the head of a message that has begun is there, and that of the very first one.
    pub header: Duration,
    /// Until all of a body is there.
    pub body: Duration,
    /// Until it asks for something again.
    pub idle: Duration,
    /// Until it takes something of what it is sent.
    pub write: Duration,
}

impl Default for ListenTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            write: Duration::from_mins(1),
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(10);
/// What ends before anything is asked.
const BEGINNING: RangeInclusive<Duration> = SHORTEST..=Duration::from_mins(1);
const ANSWER: RangeInclusive<Duration> = SHORTEST..=Duration::from_hours(1);
const TOTAL: RangeInclusive<Duration> = SHORTEST..=Duration::from_hours(24);

/// What is said, and the rest as it is by default.
pub(super) fn of_server(file: &SourceFile, source: &TimeoutsSource, found: &mut Diagnostics) -> Option<Timeouts> {
    let usual = Timeouts::default();
    let mut read =
        |written: &Option<Spanned<String>>, usual, bounds| span(file, written.as_ref(), Span(usual, bounds), found);
    let connect = read(&source.connect, usual.connect, BEGINNING);
    let first_byte = read(&source.first_byte, usual.first_byte, ANSWER);
    let stream_idle = read(&source.stream_idle, usual.stream_idle, ANSWER);
    let total = read(&source.total, usual.total, TOTAL);
    Some(Timeouts { connect: connect?, first_byte: first_byte?, stream_idle: stream_idle?, total: total? })
}

/// What is said, and the rest as it is by default.
pub(super) fn of_clients(
    file: &SourceFile,
    source: &ListenTimeoutsSource,
    found: &mut Diagnostics,
) -> Option<ListenTimeouts> {
    let usual = ListenTimeouts::default();
    let mut read =
        |written: &Option<Spanned<String>>, usual, bounds| span(file, written.as_ref(), Span(usual, bounds), found);
    let handshake = read(&source.handshake, usual.handshake, BEGINNING);
    let header = read(&source.header, usual.header, BEGINNING);
    let body = read(&source.body, usual.body, ANSWER);
    let idle = read(&source.idle, usual.idle, ANSWER);
    let write = read(&source.write, usual.write, ANSWER);
    Some(ListenTimeouts { handshake: handshake?, header: header?, body: body?, idle: idle?, write: write? })
}
