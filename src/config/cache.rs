//! Answers that are given again, from as written to what they are kept by.

use std::time::Duration;

use super::build::{Span, number, span};
use super::given::reference;
use super::source::{CacheSource, ConfigSource, SharedCacheSource};
use crate::cache::{CacheSettings, SharedSettings};
use crate::diagnostic::{Code, Diagnostics, SourceFile};

const DEFAULT_BYTES: usize = 64 << 20;
pub(super) const MAX_BYTES: u64 = 1 << 40;
const LISTS: Span = Span(Duration::from_mins(5), Duration::from_secs(1)..=Duration::from_hours(24));
/// A call need not wait for it at all.
const SHARED: Span = Span(Duration::from_millis(1), Duration::from_millis(1)..=Duration::from_secs(1));

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &ConfigSource, found: &mut Diagnostics) -> Option<CacheSettings> {
    let CacheSource { max_bytes, lists, shared } = &source.cache;
    let max_bytes = number(file, max_bytes.as_ref(), DEFAULT_BYTES, MAX_BYTES, found);
    let lists = match lists {
        Some(written) => Some(span(file, Some(written), LISTS, found)?),
        None => None,
    };
    let shared = match shared {
        Some(written) => Some(self::shared(file, source, written, found)?),
        None => None,
    };
    Some(CacheSettings { max_bytes: max_bytes?, lists, shared })
}

fn shared(
    file: &SourceFile,
    source: &ConfigSource,
    written: &SharedCacheSource,
    found: &mut Diagnostics,
) -> Option<SharedSettings> {
    let (key, timeout) = (reference(file, &written.key, found), span(file, written.timeout.as_ref(), SHARED, found));
    if source.limits_store.is_none() {
        let message = "answers are to be shared with other gates, and nothing says where";
        found.push(
            file.error(Code::MissingKey, written.key.referenced, message)
                .without_source_line()
                .help("say where gates count together (`limits_store`): answers are shared there, too"),
        );
        return None;
    }
    Some(SharedSettings { key: key?, timeout: timeout? })
}
