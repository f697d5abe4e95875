//! Whatever is done to a log has its own exit code, in both verifiers.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate::audit::{Beginning, Expected, VerifyingKey, verify};

use super::{Audited, lines, new_key, search, segments, tollgate, verified};
use crate::support::size;
use crate::support::upstream::Upstream;

/// A log of several segments, and what was kept of it elsewhere.
struct Log {
    audited: Audited,
    /// Every segment's lines, and its name.
    segments: Vec<(String, Vec<String>)>,
    kept: String,
}

impl Log {
    async fn written() -> Self {
        let (upstream, audited) = (Upstream::start().await, Audited::new());
        let mut gate = audited.world(&upstream.url(), "mode: before_call, segment_bytes: 1500").start().await;
        for _ in 0..12 {
            search(&gate).await;
        }
        assert_eq!(gate.terminate().await, Some(0));
        let named = |path: &std::path::PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), lines(path));
        let segments: Vec<_> = segments(&audited.log()).iter().map(named).collect();
        assert!(segments.len() >= 3, "{} segments", segments.len());
        let latest = tollgate(&["audit", "tail", audited.log().to_str().unwrap(), "--checkpoint"]);
        let kept = audited.home.path().join("kept");
        fs::write(&kept, latest.stdout).unwrap();
        let kept = kept.to_str().unwrap().to_owned();
        Self { audited, segments, kept }
    }
}

type Segments = Vec<(String, Vec<String>)>;

/// What is done to the segments.
type Deed = fn(&mut Segments);

fn written_to(folder: &Path, segments: &Segments) {
    for (name, lines) in segments {
        fs::write(folder.join(name), lines.join("\n") + "\n").unwrap();
    }
}

/// The place of the nth line of a kind.
fn nth(segments: &Segments, kind: &str, n: usize) -> (usize, usize) {
    let places = segments.iter().enumerate().flat_map(|(at, (_, lines))| (0..lines.len()).map(move |line| (at, line)));
    let is_kind = |(at, line): &(usize, usize)| segments[*at].1[*line].contains(&format!("\"kind\":\"{kind}\""));
    places.filter(is_kind).nth(n).unwrap()
}

fn edit(segments: &mut Segments, kind: &str, from: &str, to: &str) {
    let (at, line) = nth(segments, kind, 1);
    let edited = segments[at].1[line].replacen(from, to, 1);
    assert_ne!(edited, segments[at].1[line]);
    segments[at].1[line] = edited;
}

/// Cuts lines off the end, and the segments that have none then.
fn shorten(segments: &mut Segments, lines: usize) {
    for _ in 0..lines {
        let (_, last) = segments.last_mut().unwrap();
        last.pop();
        segments.retain(|(_, lines)| !lines.is_empty());
    }
}

/// Makes every line follow from the one before again, as somebody would who has no key; indices and edges included.
fn chained(segments: &mut Segments) {
    let (mut index, mut last, mut edge) = (0_u64, [0_u8; 32], Vec::<[u8; 32]>::new());
    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    for line in segments.iter_mut().flat_map(|(_, lines)| lines) {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["index"] = index.into();
        record["prev"] = hex(&last).into();
        if record["kind"] == "segment" {
            record["tree"] = edge.iter().map(|node| hex(node)).collect();
        }
        *line = record.to_string();
        last = Sha256::new().chain_update([0]).chain_update(&*line).finalize().into();
        let mut node = last;
        for _ in 0..index.trailing_ones() {
            node =
                Sha256::new().chain_update([1]).chain_update(edge.pop().unwrap()).chain_update(node).finalize().into();
        }
        edge.push(node);
        index += 1;
    }
}

const DEEDS: &[(&str, i32, Deed)] = &[
    ("nothing", 0, |_| {}),
    ("a byte changed", 11, |log| edit(log, "decision", "alice", "alicf")),
    ("a policy digest changed", 11, |log| edit(log, "decision", "\"policy\":\"", "\"policy\":\"0")),
    ("an outcome changed", 11, |log| edit(log, "outcome", "\"ok\"", "\"no\"")),
    ("a byte that was a brace", 10, |log| edit(log, "decision", "{", "[")),
    ("a name that stands twice", 10, |log| edit(log, "decision", "{", "{\"index\":1,")),
    ("an index changed", 12, |log| edit(log, "decision", "\"index\":", "\"index\":1")),
    ("a record dropped", 12, |log| {
        let (at, line) = nth(log, "decision", 1);
        log[at].1.remove(line);
    }),
    ("the first record dropped", 12, |log| drop(log[0].1.remove(0))),
    ("the first segment deleted", 12, |log| drop(log.remove(0))),
    ("a segment deleted", 12, |log| drop(log.remove(1))),
    ("two records swapped", 13, |log| {
        let (at, line) = nth(log, "decision", 1);
        log[at].1.swap(line - 1, line);
    }),
    ("a record doubled", 13, |log| {
        let (at, line) = nth(log, "decision", 1);
        let doubled = log[at].1[line].clone();
        log[at].1.insert(line, doubled);
    }),
    ("two segments swapped", 13, |log| {
        let (one, other) = (log[0].1.clone(), log[1].1.clone());
        (log[0].1, log[1].1) = (other, one);
    }),
    ("an old segment replayed in place of another", 13, |log| log[1].1 = log[0].1.clone()),
    ("an old segment replayed behind the last", 13, |log| {
        let old = log[0].1.clone();
        log.push(("00000000000000999999.jsonl".to_owned(), old));
    }),
    ("a checkpoint's size changed", 14, |log| {
        let (at, line) = nth(log, "checkpoint", 1);
        let mut record: Value = serde_json::from_str(&log[at].1[line]).unwrap();
        let note = record["note"].as_str().unwrap().to_owned();
        let size = note.lines().nth(1).unwrap().to_owned();
        record["note"] = note.replacen(&size, &format!("{size}0"), 1).into();
        log[at].1[line] = record.to_string();
    }),
    ("a checkpoint's size changed, and the chain mended", 14, |log| {
        let (at, line) = nth(log, "checkpoint", 1);
        let mut record: Value = serde_json::from_str(&log[at].1[line]).unwrap();
        let note = record["note"].as_str().unwrap().to_owned();
        let size = note.lines().nth(1).unwrap().to_owned();
        record["note"] = note.replacen(&size, &format!("{size}0"), 1).into();
        log[at].1[line] = record.to_string();
        chained(log);
    }),
    ("a record changed, and the chain mended", 15, |log| {
        edit(log, "decision", "alice", "bobby");
        chained(log);
    }),
    ("a record dropped, and the chain mended", 15, |log| {
        let (at, line) = nth(log, "decision", 1);
        log[at].1.remove(line);
        chained(log);
    }),
    ("a record invented, and the chain mended", 15, |log| {
        let (at, line) = nth(log, "decision", 1);
        let invented = log[at].1[line].replace("alice", "bobby");
        log[at].1.insert(line, invented);
        chained(log);
    }),
    ("a checkpoint dropped, and the chain mended", 15, |log| {
        let (at, line) = nth(log, "checkpoint", 1);
        log[at].1.remove(line);
        chained(log);
    }),
    ("the last segment deleted", 16, |log| drop(log.pop())),
    ("the tail cut off", 16, |log| shorten(log, 2)),
    ("all but the first record cut off", 16, |log| {
        log.truncate(1);
        log[0].1.truncate(1);
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_log_has_its_exit_code() {
    let log = Log::written().await;
    let mut wrong = Vec::new();
    for (name, expected, deed) in DEEDS {
        let folder = tempfile::tempdir().unwrap();
        let mut segments = log.segments.clone();
        deed(&mut segments);
        written_to(folder.path(), &segments);
        let code = verified(folder.path(), &log.audited.key, &["--checkpoint", &log.kept]);
        if code != *expected {
            wrong.push(format!("{name}: {code} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_shows_against_something_else_shows_against_it() {
    let log = Log::written().await;
    let (key, kept) = (&log.audited.key, &log.kept);
    let keys = tempfile::tempdir().unwrap();
    let another = new_key(&keys.path().join("another"), "gate.test/audit");
    let elsewhere = new_key(&keys.path().join("elsewhere"), "gate-2.test/audit");
    assert_eq!(log.audited.verify(&["--checkpoint", kept]), 0);
    assert_eq!(verified(&log.audited.log(), &another, &[]), 17, "another key of the same name");
    assert_eq!(verified(&log.audited.log(), &elsewhere, &[]), 17, "the key of another log");

    let forged = keys.path().join("forged");
    let note = fs::read_to_string(kept).unwrap();
    let size = note.lines().nth(1).unwrap().to_owned();
    fs::write(&forged, note.replacen(&size, "1", 1)).unwrap();
    assert_eq!(log.audited.verify(&["--checkpoint", forged.to_str().unwrap()]), 14, "what was kept was changed");

    // The gate's own key signs another log of the same name: whoever stole it cannot make the kept checkpoint fit.
    let again = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let (folder, home) = (again.path().join("log"), log.audited.home.path().display());
    let world = crate::support::world::World::new(&upstream.url());
    let mut gate =
        world.top(&format!("audit: {{ file: {}, key: \"file:{home}/key\" }}", folder.display())).start().await;
    for _ in 0..30 {
        search(&gate).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    assert_eq!(verified(&folder, key, &[]), 0, "by itself it is sound");
    assert_eq!(verified(&folder, key, &["--checkpoint", kept]), 15, "and another history");

    // Without anything from elsewhere a cut end is only an end that nobody has signed, or none at all.
    let cut = tempfile::tempdir().unwrap();
    let mut segments = log.segments.clone();
    shorten(&mut segments, 1);
    written_to(cut.path(), &segments);
    assert_eq!(verified(cut.path(), key, &[]), 1);
    segments.remove(0);
    fs::remove_file(cut.path().join(&log.segments[0].0)).unwrap();
    assert_eq!(verified(cut.path(), key, &["--partial"]), 1, "what was taken away on purpose is not asked for");
    assert_eq!(verified(cut.path(), key, &[]), 12);
}

/// Every byte of a log of more than fifty lines, changed one by one (R22). What the last checkpoint says of itself nobody has
/// signed: that is what a checkpoint that is kept is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_of_a_log_can_be_another_one() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "").start().await;
    for _ in 0..25 {
        search(&gate).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let only = segments(&audited.log()).pop().unwrap();
    let (text, count) = (fs::read(&only).unwrap(), lines(&only).len());
    assert!(count > 50, "{count} lines");
    let signed = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    let expected =
        Expected { key: VerifyingKey::parse(&audited.key).unwrap(), notes: Vec::new(), beginning: Beginning::First };
    let file = audited.home.path().join("changed.jsonl");
    for at in (0..=signed).step_by(size(13, 1)) {
        let mut changed = text.clone();
        changed[at] ^= 1;
        fs::write(&file, &changed).unwrap();
        let found = verify(&file, &expected).unwrap();
        assert!(found.is_err(), "byte {at}, {:?}: {found:?}", char::from(text[at]));
    }
}

/// Written once and kept: whoever changes the format changes these, and breaks every log there is.
#[test]
fn the_log_of_the_first_version_is_still_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/golden");
    let key = fs::read_to_string(golden.join("key.pub")).unwrap();
    let kept = golden.join("checkpoint");
    assert_eq!(verified(&golden.join("log"), key.trim(), &["--checkpoint", kept.to_str().unwrap()]), 0);
}
