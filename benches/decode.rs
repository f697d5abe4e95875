//! What it costs to read one message: bytes to a call that was checked. Not what it costs to carry it; see `carry`.
#![expect(clippy::expect_used, reason = "a bench that cannot run says so")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollgate::json::Bounds;
use tollgate::mcp;
use tollgate::redact::{self, Detector, Detectors, Finder};

/// A search as a model asks for it: 246 bytes.
const SMALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_records","arguments":{"query":"contracts signed in 2026 that name \"Nordwind\" as supplier","limit":5,"offset":0,"fields":["id","title","signed_on","supplier"],"fuzzy":true}}}"#;

/// The same in the revision of 2026-07-28: every request carries its own context.
const MODERN: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_records","arguments":{"query":"contracts signed in 2026 that name \"Nordwind\" as supplier","limit":5,"offset":0,"fields":["id","title","signed_on","supplier"],"fuzzy":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{},"elicitation":{}},"progressToken":"t-4711","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}"#;

/// Many small values: 16 KiB of records.
fn records() -> String {
    let record = |n: usize| {
        format!(r#"{{"id":{n},"title":"Record {n}","tags":["a","b"],"score":{n}.25,"open":true,"note":null}}"#)
    };
    let mut list = record(1000);
    while list.len() < 16 * 1024 - 128 {
        list.push(',');
        list.push_str(&record(1000 + list.len()));
    }
    call("import_records", &format!(r#"{{"records":[{list}]}}"#))
}

/// One long string: 1 MiB, with a line end now and then, as a document has.
fn document() -> String {
    let line = "The quick brown fox jumps over the lazy dog, and so do the other foxes of this text.\\n";
    let text = line.repeat((1 << 20) / line.len());
    call("store_document", &format!(r#"{{"text":"{text}"}}"#))
}

fn call(tool: &str, arguments: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#)
}

fn decode(criterion: &mut Criterion) {
    assert_eq!(SMALL.len(), 246, "the target is set for this length");
    let messages = [
        ("small", SMALL.to_owned()),
        ("modern", MODERN.to_owned()),
        ("16KiB_values", records()),
        ("1MiB_string", document()),
    ];
    let bounds = Bounds::default();
    let mut group = criterion.benchmark_group("decode");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for (name, text) in messages {
        let body = Bytes::from(text);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| mcp::read(black_box(body), &bounds).expect("the message is a good one"));
        });
    }
    group.finish();
}

/// What a tool finds in a database, as text and in parts: 16 KiB, in which nothing is to be found.
fn found() -> String {
    let row = |n: usize| {
        format!(
            r#"{{"id":{n},"name":"Order {n}","placed":"2026-05-04T10:00:{:02}Z","total":{n}.95,"status":"shipped","note":"left at the door"}}"#,
            n % 60
        )
    };
    let mut rows = row(1000);
    while rows.len() < 8 * 1024 - 128 {
        rows.push(',');
        rows.push_str(&row(1000 + rows.len()));
    }
    let text = serde_json::to_string(&format!("[{}]", rows.get(..7 * 1024).expect("it is longer"))).expect("a text");
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{{"rows":[{rows}]}}}}}}"#
    )
}

/// Looking through an answer with all detectors; beside it, what it costs to read the answer at all.
fn redact(criterion: &mut Criterion) {
    let all = Detector::ALL.into_iter().fold(Detectors::NONE, |all, one| all | one.into());
    let (everything, nothing) = (Finder::new(all, Vec::new()), Finder::new(Detectors::NONE, Vec::new()));
    let message = found();
    // In each of its lines.
    let telling = message.replace("left at the door", "ask jo@ddoor.com");
    let mut group = criterion.benchmark_group("redact");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(message.len() as u64));
    for (name, finder, message) in [
        ("16KiB_all_detectors", &everything, &message),
        ("16KiB_none", &nothing, &message),
        ("16KiB_of_addresses", &everything, &telling),
    ] {
        group.bench_with_input(BenchmarkId::from_parameter(name), message, |bencher, message| {
            bencher.iter(|| redact::search(&[finder], black_box(message.as_bytes()), redact::Part::Said));
        });
    }
    for (name, evil) in [
        ("16KiB_of_digits", "4111".repeat(4096)),
        ("16KiB_of_ats", "a@b-".repeat(4096)),
        ("16KiB_of_tokens", "eyJa.".repeat(3276)),
        ("16KiB_of_keys", "-----BEGIN PRIVATE KEY-----".repeat(606)),
        ("16KiB_of_colons", "a://b:c".repeat(2340)),
        ("16KiB_of_words", "A1 4 ".repeat(3276)),
        ("16KiB_of_accounts", "DE89 ".repeat(3276)),
    ] {
        let finder = Finder::new(all, Vec::new());
        group.throughput(Throughput::Bytes(evil.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &evil, |bencher, evil| {
            bencher.iter(|| redact::find(&[&finder], black_box(evil)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, redact);
criterion_main!(benches);
