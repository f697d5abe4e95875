//! Decision lines: one JSON object per message on standard output. Never a secret, never an argument.
//!
//! Lines go through a bounded queue to a thread of their own. Where standard output is blocked or closed, lines are
//! dropped and counted; no call ever waits for a reader.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::TraceId;

use super::attribute::Facts;
use super::metric::Gauge;
use crate::clock;
use crate::json;
use crate::policy::RuleId;

/// The most lines that wait to be written.
const QUEUE: usize = 8192;
/// The most bytes that are written at once.
const BATCH: usize = 64 * 1024;
/// The longest method that a line shows in full, in bytes. The reader bounds other names.
const LONGEST_METHOD: usize = 128;

/// Writes the line of a message that has ended.
pub(super) fn write(facts: &Facts<'_>, took: Duration, trace: Option<TraceId>) -> String {
    let exchange = facts.exchange;
    let mut line = String::with_capacity(384);
    line.push_str("{\"time\":\"");
    timestamp(exchange.started_at, &mut line);
    // Writing to a String cannot fail, here and below.
    let _ = write!(line, "\",\"decision\":\"{}\",\"principal\":", exchange.id);
    text(exchange.principal.as_ref().map(|it| &**it.id()), &mut line);
    line.push_str(",\"server\":");
    json::quote(exchange.server.as_str(), &mut line);
    line.push_str(",\"method\":");
    json::quote(clip(facts.method().name(), LONGEST_METHOD), &mut line);
    if let Some(name) = facts.target().name() {
        let _ = write!(line, ",\"{}\":", facts.target().kind());
        json::quote(name, &mut line);
    }
    let _ = write!(line, ",\"outcome\":\"{}\"", facts.outcome.label());
    if let Some(refused) = exchange.refused {
        line.push_str(",\"refused\":");
        json::quote(refused, &mut line);
    }
    if let Some(code) = facts.code() {
        let _ = write!(line, ",\"code\":{code}");
    }
    line.push_str(",\"rule\":");
    text(exchange.rule.as_ref().map(RuleId::as_str), &mut line);
    line.push_str(",\"policy\":");
    json::quote(&exchange.policy, &mut line);
    let micros = took.as_micros();
    let _ = write!(
        line,
        ",\"duration_ms\":{}.{:03},\"trace_id\":",
        micros / 1000,
        micros % 1000
    );
    match trace {
        Some(trace) => {
            let _ = write!(line, "\"{trace:032x}\"");
        }
        None => line.push_str("null"),
    }
    line.push_str("}\n");
    line
}

fn text(value: Option<&str>, line: &mut String) {
    match value {
        Some(value) => json::quote(value, line),
        None => line.push_str("null"),
    }
}

fn clip(name: &str, longest: usize) -> &str {
    let end = (0..=longest.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or_default();
    name.split_at_checked(end).map_or(name, |(kept, _)| kept)
}

/// RFC 3339 in UTC with milliseconds. Years have four digits from 1970 to 9999; nothing else is now.
fn timestamp(time: SystemTime, line: &mut String) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second, milli) = (
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis(),
    );
    let _ = write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
    );
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March, so that a leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Entry>,
    dropped: Gauge,
}

/// What the thread is given.
#[derive(Debug)]
enum Entry {
    Line(String),
    /// Say so when all lines before this one are written.
    Flush(Sender<()>),
}

impl Lines {
    /// Starts the thread.
    pub(super) fn start(sink: impl Write + Send + 'static, dropped: Gauge) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let lost = dropped.clone();
        thread::Builder::new()
            .name("decision-lines".to_owned())
            .spawn(move || run(sink, &entries, &lost))?;
        Ok(Self { queue, dropped })
    }

    /// Hands over a line, or drops and counts it.
    pub(super) fn push(&self, line: String) {
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.dropped.add(1);
        }
    }

    /// Waits until what was handed over is written, or it is time to give up.
    pub(super) fn flush(&self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let (sender, done) = channel();
        let mut entry = Entry::Flush(sender);
        loop {
            match self.queue.try_send(entry) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(RecvTimeoutError::Disconnected),
                Err(TrySendError::Full(_)) if clock::monotonic() >= deadline => {
                    return Err(RecvTimeoutError::Timeout);
                }
                Err(TrySendError::Full(same)) => entry = same,
            }
            thread::sleep(Duration::from_millis(1));
        }
        let left = deadline.saturating_duration_since(clock::monotonic());
        done.recv_timeout(left)
    }
}

/// Writes lines until nobody can send any more.
fn run(mut sink: impl Write, entries: &Receiver<Entry>, lost: &Gauge) {
    let mut batch = Batch::default();
    let mut failing = false;
    while let Ok(first) = entries.recv() {
        let mut flush = batch.add(first);
        while flush.is_none() && batch.bytes.len() < BATCH {
            match entries.try_recv() {
                Ok(next) => flush = batch.add(next),
                Err(_) => break,
            }
        }
        let written = batch.write(&mut sink);
        if let Err(error) = &written {
            lost.add(batch.lines);
            // Told once; how many are lost is a metric.
            if !failing {
                tracing::warn!(%error, "decision lines are lost: standard output cannot be written");
            }
        }
        failing = written.is_err();
        batch.clear();
        if let Some(done) = flush {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }
}

/// Lines that are written together.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: i64,
}

impl Batch {
    fn add(&mut self, entry: Entry) -> Option<Sender<()>> {
        match entry {
            Entry::Line(line) => {
                self.bytes.extend_from_slice(line.as_bytes());
                self.lines += 1;
                None
            }
            Entry::Flush(done) => Some(done),
        }
    }

    fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        sink.write_all(&self.bytes)?;
        sink.flush()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }
}
