//! What it costs to verify an audit log: it is read from its beginning to its end. The gate's own thread has written it:
//! calls that were refused, each with all that a record says of a call.
#![expect(clippy::expect_used, reason = "a bench that cannot run says so")]

use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime;
use tollgate::audit::{
    Arguments, Audit, Beginning, Copied, Destination, Expected, Failure, Mode, Settings, SigningKey, verify,
};
use tollgate::exchange::{Exchange, Outcome};
use tollgate::json::Bounds;
use tollgate::mcp::{self, ServerName};
use tollgate::secret::Reference;

/// So many have some 60 MB.
const RECORDS: u64 = 100_000;
/// So many fit into the queue of the thread that writes.
const AT_ONCE: u64 = 2_000;

/// A log on the disk, and what it is held against.
struct Log {
    folder: TempDir,
    expected: Expected,
}

impl Log {
    fn of(records: u64) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (key, secret) = SigningKey::generate("bench/audit").expect("random numbers");
        let secret_at = folder.path().join("key");
        fs::write(&secret_at, secret.expose()).expect("it can be written");
        let expected = Expected { key: key.verifying().clone(), notes: Vec::new(), beginning: Beginning::First };
        let log = Self { folder, expected };
        let audit = Audit::open(&settings(&log.path(), &secret_at), None).expect("a log can be begun");
        let exchange = refused();
        for record in 0..records {
            while record % AT_ONCE == 0 && audit.waiting() > 0 {
                thread::yield_now();
            }
            audit.refused(&exchange, Some([7; 16]), Outcome::Denied, Duration::from_micros(record % 9999));
        }
        let waiting = runtime::Builder::new_current_thread().build().expect("a runtime");
        waiting.block_on(audit.close());
        assert_eq!(audit.lost(), 0, "every record is there");
        log
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn bytes(&self) -> u64 {
        let files = fs::read_dir(self.path()).expect("it is there");
        files.map(|file| file.and_then(|file| file.metadata()).expect("it is there").len()).sum()
    }
}

fn settings(log: &Path, key: &Path) -> Settings {
    Settings {
        to: Destination::Folder(log.to_owned()),
        copied: Copied::Nothing,
        key: Reference::File(key.to_owned()),
        arguments_key: None,
        arguments: Arguments::Left,
        mode: Mode::Interval(Duration::from_secs(1)),
        failure: Failure::Deny,
        segment_bytes: 64 << 20,
        segment_age: Duration::from_hours(24),
    }
}

/// A call that went no further.
fn refused() -> Exchange {
    let peer = SocketAddr::from(([192, 0, 2, 7], 40_000));
    let server = ServerName::new("records").expect("it is a name");
    let mut exchange = Exchange::begin(peer, server, Arc::from("0123456789ab"));
    let body = Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search_records","arguments":{"id":17}}}"#,
    );
    exchange.call = Some(Arc::new(mcp::read(&body, &Bounds::default()).expect("the message is a good one")));
    exchange.refused = Some("not_granted");
    exchange.code = Some(-32602);
    exchange
}

fn verified(criterion: &mut Criterion) {
    // cargo says `--bench` when figures are wanted; else it should only be seen that this runs.
    let records = if std::env::args().any(|arg| arg == "--bench") { RECORDS } else { 2_500 };
    let log = Log::of(records);
    let found = verify(&log.path(), &log.expected).expect("it can be read").expect("nothing was changed");
    assert_eq!(found.unsigned, 0, "all of it is signed");
    let mut group = criterion.benchmark_group("verify");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::ElementsAndBytes { elements: found.size, bytes: log.bytes() });
    group.bench_function(BenchmarkId::new("records", found.size), |bencher| {
        bencher.iter(|| verify(black_box(&log.path()), &log.expected));
    });
    group.finish();
}

criterion_group!(benches, verified);
criterion_main!(benches);
