//! The process itself, by the conventions for processes (semantic-conventions, `system/process-metrics.md`). Linux tells
//! it in `/proc`; elsewhere nothing shows.

use std::fs;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::Gauge;
use crate::clock;

/// What `/proc/self/stat` says (proc(5)), and how many descriptors are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    user_ticks: u64,
    system_ticks: u64,
    threads: i64,
    virtual_bytes: i64,
    resident_pages: i64,
}

/// A number that goes up and down: its name, its unit, what it is of, and how it is read.
type Level = (&'static str, &'static str, &'static str, fn() -> Option<i64>);

pub(super) fn register(meter: &Meter) {
    if read().is_none() {
        return;
    }
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Time on processors")
        .with_callback(|observer| {
            let Some(usage) = read() else { return };
            for (ticks, mode) in [(usage.user_ticks, "user"), (usage.system_ticks, "system")] {
                observer.observe(seconds(ticks), &[KeyValue::new("cpu.mode", mode)]);
            }
        })
        .build();
    let levels: [Level; 5] = [
        ("process.memory.usage", "By", "Resident memory", || {
            Some(read()?.resident_pages.saturating_mul(i64::try_from(page_size()).ok()?))
        }),
        ("process.memory.virtual", "By", "Virtual memory", || Some(read()?.virtual_bytes)),
        ("process.thread.count", "{thread}", "Threads", || Some(read()?.threads)),
        ("process.unix.file_descriptor.count", "{file_descriptor}", "Open file descriptors", descriptors),
        ("tollgate.process.file_descriptor.limit", "{file_descriptor}", "How many may be open", || {
            i64::try_from(getrlimit(Resource::Nofile).current?).ok()
        }),
    ];
    for (name, unit, what, level) in levels {
        meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(what)
            .with_callback(move |observer| {
                if let Some(value) = level() {
                    observer.observe(value, &[]);
                }
            })
            .build();
    }
    let begun = clock::monotonic();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Since the process has begun")
        .with_callback(move |observer| observer.observe(begun.elapsed().as_secs_f64(), &[]))
        .build();
}

/// What bounds the memory, and how much of that is used.
#[derive(Clone, Debug, Default)]
pub struct MemoryUse {
    /// How much may be used.
    pub bytes: Gauge,
    /// How much is.
    pub used: Gauge,
    /// 1 while it is nearly used up.
    pub short: Gauge,
}

impl MemoryUse {
    pub(in crate::telemetry) fn register(self, meter: &Meter) {
        let Self { bytes, used, short } = self;
        for (name, unit, what, gauge) in [
            ("tollgate.memory.limit", "By", "How much memory may be used", bytes),
            ("tollgate.memory.used", "By", "How much of that is used", used),
            ("tollgate.memory.short", "", "1 while memory is nearly used up, so that fewer messages are let in", short),
        ] {
            let builder = meter.i64_observable_gauge(name).with_unit(unit).with_description(what);
            builder.with_callback(move |observer| observer.observe(gauge.value(), &[])).build();
        }
    }
}

fn read() -> Option<Usage> {
    parse(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse(stat: &str) -> Option<Usage> {
    // The program's name may hold anything, `)` too; behind the last one stands what is numbered from 3 in proc(5).
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
    Some(Usage {
        user_ticks: field(14)?.parse().ok()?,
        system_ticks: field(15)?.parse().ok()?,
        threads: field(20)?.parse().ok()?,
        virtual_bytes: field(23)?.parse().ok()?,
        resident_pages: field(24)?.parse().ok()?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "ticks of centuries have 52 bits")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// The one that lists them is among them.
fn descriptors() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 9 0 0 0 123 45 0 0 20 0 8 0 99 1048576 256 18446744073709551615";
        let usage =
            Usage { user_ticks: 123, system_ticks: 45, threads: 8, virtual_bytes: 1_048_576, resident_pages: 256 };
        assert_eq!(parse(stat), Some(usage));
        assert_eq!(parse("7 (a) S 1"), None);
        let own = read().unwrap();
        assert!(own.threads >= 1 && own.resident_pages > 0 && descriptors().unwrap() > 2);
    }
}
