//! The store in which several gates count their limits together, as written.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::build::{Span, number, span};
use super::given::reference;
use super::source::{LimitsStoreSource, WhenDownSource};
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::limits::{StoreSettings, WhenDown};
use crate::store::LinkSettings;

const TIMEOUT: Span = Span(Duration::from_millis(50), TIMEOUTS);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
/// Nobody runs more gates before one server.
pub(super) const MAX_REPLICAS: u64 = 10_000;
const DEFAULT_PREFIX: &str = "tollgate";
const LONGEST_PREFIX: usize = 64;

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &LimitsStoreSource, found: &mut Diagnostics) -> Option<StoreSettings> {
    let url = reference(file, &source.url, found);
    let timeout = span(file, source.timeout.as_ref(), TIMEOUT, found);
    let replicas = number(file, source.replicas.as_ref(), 1, MAX_REPLICAS, found);
    let prefix = source.prefix.as_ref().map_or_else(|| Some(DEFAULT_PREFIX.to_owned()), |it| prefix(file, it, found));
    let replicas = replicas.and_then(|replicas| NonZeroU32::new(u32::try_from(replicas).ok()?));
    let when_down = match source.when_down {
        WhenDownSource::LocalShare => WhenDown::LocalShare,
        WhenDownSource::Open => WhenDown::Open,
        WhenDownSource::Closed => WhenDown::Closed,
    };
    let link = LinkSettings { url: url?, timeout: timeout?, prefix: prefix? };
    Some(StoreSettings { link, when_down, replicas: replicas? })
}

/// What stands in braces in the names of a cluster must have none.
fn prefix(file: &SourceFile, written: &Spanned<String>, found: &mut Diagnostics) -> Option<String> {
    let (text, fits) = (&written.value, |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if (1..=LONGEST_PREFIX).contains(&text.len()) && text.bytes().all(fits) {
        return Some(text.clone());
    }
    found.push(
        file.error(
            Code::InvalidName,
            written.referenced,
            format!("{} cannot begin the names of counters", quoted(text)),
        )
        .help("write 1 to 64 characters of A-Z, a-z, 0-9, `_`, `-` and `.`"),
    );
    None
}
