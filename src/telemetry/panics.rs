//! Panics. Each ends one message, or one task, and no more; here they are told and counted, wherever they were.

use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::metrics::Meter;

/// How many there were. A process has one hook, and so one count.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Tells and counts them from now on.
pub(super) fn watch() {
    panic::set_hook(Box::new(tell));
}

/// What a panic says may hold a caller's data, so only where it was is told.
fn tell(panic: &PanicHookInfo<'_>) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%at, "a panic: this is a mistake in Tollgate, please report it; what was under way there has ended");
}

pub(super) fn register(meter: &Meter) {
    meter
        .u64_observable_counter("tollgate.panics")
        .with_description("Mistakes in the gate itself that have ended a message or a task")
        .with_callback(|observer| observer.observe(COUNT.load(Ordering::Relaxed), &[]))
        .build();
}
