//! A log that changes its key and stays one log.

use std::fs;

use serde_json::Value;

use super::{Audited, lines, new_key, search, segments, tollgate, verified};
use crate::support::gate::Gate;
use crate::support::upstream::Upstream;

/// A log that one gate has written with the first key, and another one with the second.
struct Rotated {
    audited: Audited,
    second: String,
    upstream: Upstream,
}

impl Rotated {
    async fn new() -> Self {
        let (upstream, audited) = (Upstream::start().await, Audited::new());
        let home = audited.home.path().to_owned();
        let mut gate = audited.world(&upstream.url(), "").start().await;
        search(&gate).await;
        assert_eq!(gate.terminate().await, Some(0));
        let second = new_key(&home.join("second"), "gate.test/audit");
        let rotated = rotate(&audited, "key", "second");
        assert_eq!((rotated.0, rotated.1.trim()), (Some(0), &*second), "{}", rotated.2);
        fs::rename(home.join("key"), home.join("first")).unwrap();
        fs::copy(home.join("second"), home.join("key")).unwrap();
        let mut gate = audited.world(&upstream.url(), "").start().await;
        search(&gate).await;
        assert_eq!(gate.terminate().await, Some(0));
        Self { audited, second, upstream }
    }

    /// The latest checkpoint, kept elsewhere.
    fn kept(&self) -> String {
        let (log, kept) = (self.audited.log().display().to_string(), self.audited.home.path().join("kept"));
        fs::write(&kept, tollgate(&["audit", "tail", &log, "--checkpoint"]).stdout).unwrap();
        kept.display().to_string()
    }
}

/// Exit code, standard output and standard error.
fn rotate(audited: &Audited, key: &str, next: &str) -> (Option<i32>, String, String) {
    let file = |name: &str| audited.home.path().join(name).display().to_string();
    let log = audited.log().display().to_string();
    let done = tollgate(&["audit", "keys", "rotate", &log, "--key", &file(key), "--next", &file(next)]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_first_key_verifies_all_of_it_and_who_has_the_second_its_end() {
    let log = Rotated::new().await;
    let kept = log.kept();
    assert_eq!(log.audited.of_kind("key").len(), 1);
    assert_eq!(log.audited.verify(&["--checkpoint", &kept]), 0, "what was kept is of the second key");
    assert_eq!(verified(&log.audited.log(), &log.second, &[]), 17, "it did not sign the beginning");
    let all = segments(&log.audited.log());
    let handed_over = all.iter().position(|path| lines(path).iter().any(|line| line.contains("next key"))).unwrap();
    for before in &all[..=handed_over] {
        fs::remove_file(before).unwrap();
    }
    assert_eq!(verified(&log.audited.log(), &log.second, &["--partial", "--checkpoint", &kept]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_with_a_key_whose_turn_it_is_not_does_not_start() {
    let log = Rotated::new().await;
    let home = log.audited.home.path();
    new_key(&home.join("third"), "gate.test/audit");
    for other in ["first", "third"] {
        fs::copy(home.join(other), home.join("key")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = log.audited.world(&log.upstream.url(), "").write_to(folder.path());
        let said = Gate::refuses(&config);
        assert!(said.contains("signed by another key") && said.contains("keys rotate"), "{other}: {said}");
        let (code, _, said) = rotate(&log.audited, other, "second");
        assert_eq!(code, Some(2), "{other}: {said}");
    }
    assert_eq!(log.audited.verify(&[]), 0, "nothing was written meanwhile");
    new_key(&home.join("elsewhere"), "gate-2.test/audit");
    let (code, _, said) = rotate(&log.audited, "second", "elsewhere");
    assert!(code == Some(2) && said.contains("a log keeps its name"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hands_over_who_has_not_the_key() {
    let log = Rotated::new().await;
    let at =
        segments(&log.audited.log()).into_iter().find(|path| lines(path).iter().any(|line| line.contains("next key")));
    let (at, third) = (at.unwrap(), new_key(&log.audited.home.path().join("third"), "gate.test/audit"));
    let whole = lines(&at);
    let place = whole.iter().position(|line| line.contains("next key")).unwrap();
    let mut record: Value = serde_json::from_str(&whole[place]).unwrap();
    let note = record["note"].as_str().unwrap().replace(&log.second, &third);
    record["note"] = note.into();
    let changed = [&whole[..place], &[record.to_string()], &whole[place + 1..]].concat();
    fs::write(&at, changed.join("\n") + "\n").unwrap();
    assert_eq!(log.audited.verify(&[]), 14, "what the first key has signed is not that");
    let without = [&whole[..place], &whole[place + 1..]].concat();
    fs::write(&at, without.join("\n") + "\n").unwrap();
    assert_eq!(log.audited.verify(&[]), 12);
}
