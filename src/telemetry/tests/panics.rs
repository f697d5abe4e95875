//! A mistake of ours: told and counted, and nothing of a caller's in it.

use std::panic::{catch_unwind, set_hook, take_hook};

use super::*;
use crate::telemetry::panics;

#[test]
fn a_panic_is_counted_and_told_by_its_place_alone() {
    let fixture = Fixture::untraced();
    let count = || {
        let text = fixture.telemetry.metrics_text();
        let count = text.lines().find_map(|line| line.strip_prefix("tollgate_panics_total "));
        count.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    let before = count();
    let log = Sink::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
    let usual = take_hook();
    panics::watch();
    let caught =
        tracing::subscriber::with_default(subscriber, || catch_unwind(|| panic!("with what a caller has said")));
    set_hook(usual);
    assert!(caught.is_err());
    assert!(count() > before, "it shows in metrics");
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("ERROR") && told.contains("src/telemetry/tests/panics.rs:"), "{told}");
    assert!(!told.contains("a caller has said"), "{told}");
}
