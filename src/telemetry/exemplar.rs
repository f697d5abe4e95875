//! Exemplars: beside a bucket of a histogram, the trace of a message that fell into it (`OpenMetrics` 1.0). The SDK has a place for
//! them and never fills it. What is counted is the SDK's alone; here is only who came last.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId};

use super::metric::MOST_SERIES;

/// What stands between the labels of a bucket's series and its bound.
const BOUND: &str = "le=\"";

/// Those of all histograms, by their series as they stand in the text.
#[derive(Debug, Default)]
pub(super) struct Exemplars(RwLock<HashMap<Box<str>, Arc<Series>>>);

/// Those of one series: one of each bucket, and of what is above all bounds.
#[derive(Debug)]
pub(super) struct Series {
    bounds: &'static [f64],
    last: Box<[Mutex<Option<Exemplar>>]>,
}

/// A message whose trace is sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    /// Its trace.
    pub(super) trace: TraceId,
    /// The span of the message.
    pub(super) span: SpanId,
    /// When it ended.
    pub(super) at: SystemTime,
}

#[derive(Clone, Copy, Debug)]
struct Exemplar {
    value: f64,
    sampled: Sampled,
}

impl Exemplars {
    /// Those of a histogram, by its name in the text, for these labels.
    pub(super) fn of(&self, histogram: &str, labels: &[KeyValue], bounds: &'static [f64]) -> Arc<Series> {
        let name = series(histogram, labels);
        let none = || Arc::new(Series { bounds, last: (0..=bounds.len()).map(|_| Mutex::default()).collect() });
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_SERIES && !all.contains_key(&*name) {
            return none();
        }
        Arc::clone(all.entry(name).or_insert_with(none))
    }

    /// The text format of Prometheus as `OpenMetrics`, with exemplars.
    pub(super) fn open_metrics(&self, text: &str) -> String {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut open = String::with_capacity(text.len() + text.len() / 8);
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("# ") {
                open.push_str("# ");
                described(said, &mut open);
            } else if let Some((name, bound, count)) = bucket(line) {
                let _ = write!(open, "{name}{BOUND}{}\"}} {count}", canonical(bound));
                let labels = name.trim_end_matches(',');
                if let Some(exemplar) = all.get(labels).and_then(|series| series.below(bound)) {
                    exemplar.write(&mut open);
                }
            } else {
                open.push_str(line);
            }
            open.push('\n');
        }
        open.push_str("# EOF\n");
        open
    }
}

impl Series {
    /// This message had this value.
    pub(super) fn note(&self, value: f64, sampled: Sampled) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(last) = self.last.get(bucket) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Exemplar { value, sampled });
        }
    }

    /// The one of the bucket with this bound.
    fn below(&self, bound: &str) -> Option<Exemplar> {
        let bound: f64 = bound.parse().ok()?;
        let bucket = self.bounds.partition_point(|known| *known < bound);
        *self.last.get(bucket)?.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exemplar {
    fn write(&self, open: &mut String) {
        let Sampled { trace, span, at } = self.sampled;
        let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        // Writing to a String cannot fail, here and above.
        let _ = write!(
            open,
            " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} {} {}.{:03}",
            self.value,
            at.as_secs(),
            at.subsec_millis()
        );
    }
}

/// How the buckets of a series begin in the text, up to their bounds: labels by their names, in order.
fn series(histogram: &str, labels: &[KeyValue]) -> Box<str> {
    let mut labels: Vec<_> = labels.iter().map(|label| (label.key.as_str().replace('.', "_"), &label.value)).collect();
    labels.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut name = format!("{histogram}_bucket{{");
    for (nth, (label, value)) in labels.into_iter().enumerate() {
        let comma = if nth == 0 { "" } else { "," };
        let value = value.as_str().replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
        let _ = write!(name, "{comma}{label}=\"{value}\"");
    }
    name.into()
}

/// Name and labels, bound and count of a line, if it is that of a bucket.
fn bucket(line: &str) -> Option<(&str, &str, &str)> {
    let (name, behind) = line.split_at(line.rfind(BOUND)?);
    let (bound, count) = behind.strip_prefix(BOUND)?.split_once("\"} ")?;
    name.contains("_bucket{").then_some((name, bound, count))
}

/// A line about a family: a counter's is called as its samples are, but for `_total`.
fn described(said: &str, open: &mut String) {
    let (word, said) = said.split_once(' ').unwrap_or((said, ""));
    let (name, what) = said.split_once(' ').unwrap_or((said, ""));
    let name = name.strip_suffix("_total").unwrap_or(name);
    let _ = write!(open, "{word} {name} {}", what.replace('"', "\\\""));
}

/// A bound is written as a number with a point.
fn canonical(bound: &str) -> String {
    let whole = bound.bytes().all(|byte| byte.is_ascii_digit());
    if whole { format!("{bound}.0") } else { bound.to_owned() }
}
