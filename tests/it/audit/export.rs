//! A log as it is copied into Postgres.

use std::path::Path;

use super::{Audited, search, tollgate};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::pki::Authority;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::raw;
use crate::support::upstream::{Reply, Upstream};
use crate::support::{DEADLINE, until};

/// A database, where its URL is kept, and the log of which it has a copy.
struct Scene {
    postgres: Postgres,
    upstream: Upstream,
    audited: Audited,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (authority, folder) = (Authority::new("database"), tempfile::tempdir().unwrap());
        let postgres = Postgres::start(&authority).await;
        std::fs::write(folder.path().join("ca.crt"), &authority.pem).unwrap();
        std::fs::write(folder.path().join("url"), postgres.url("?sslmode=require")).unwrap();
        Self { postgres, upstream: Upstream::start().await, audited: Audited::new(), folder }
    }

    async fn gate(&self) -> Gate {
        self.audited.world(&self.upstream.url(), "interval: 10ms, segment_bytes: 65536").start().await
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What the program says, and its exit code.
    fn export(&self, more: &[&str]) -> (Option<i32>, String) {
        let (log, url, ca) = (self.audited.log(), format!("file:{}", self.file("url")), self.file("ca.crt"));
        exported(&[&[log.to_str().unwrap(), "--to", &url, "--ca", &ca], more].concat())
    }

    async fn count(&self, what: &str) -> i64 {
        self.postgres.ask(&format!("select count(*) from {what}")).await
    }
}

fn exported(args: &[&str]) -> (Option<i32>, String) {
    let output = tollgate(&[&["audit", "export"], args].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

async fn refused(gate: &Gate, tool: &str) {
    raw::call(gate.data, &post(ALICE, &tool_call("1", tool, "{}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_a_row_once_however_often_its_log_is_copied() {
    let scene = Scene::new().await;
    let mut gate = scene.gate().await;
    for _ in 0..3 {
        search(&gate).await;
    }
    refused(&gate, "delete_record").await;
    assert_eq!(gate.terminate().await, Some(0));
    let (code, said) = scene.export(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.count("tool_calls").await, 4);
    assert_eq!(scene.count("tool_calls where outcome = 'ok' and effect = 'allow' and duration_us > 0").await, 3);
    assert_eq!(
        scene.count("tool_calls where effect = 'deny' and outcome = 'denied' and tool = 'delete_record'").await,
        1
    );
    assert_eq!(scene.count("gate_events where kind in ('start', 'stop')").await, 2);

    let (code, said) = scene.export(&[]);
    assert_eq!((code, said.contains(" 0 records")), (Some(0), true), "{said}");
    let mut gate = scene.gate().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    // A log whose copy is not known to be there is copied again, and nothing stands twice.
    scene
        .postgres
        .ask::<i64>("with anew as (update audit_exports set next = 0 returning next) select next from anew")
        .await;
    assert_eq!(scene.export(&[]).0, Some(0));
    assert_eq!((scene.count("tool_calls").await, scene.count("gate_events").await), (5, 4));
    assert_eq!(scene.count("unfinished_calls").await, 0);
    let calls: i64 =
        scene.postgres.ask("select sum(calls)::bigint from tool_calls_per_hour where tool = 'search_records'").await;
    let refused: i64 = scene.postgres.ask("select sum(calls)::bigint from refusals_by_rule").await;
    assert_eq!((calls, refused), (4, 1));
}

/// Outcomes that come with a later batch, texts that Postgres cannot keep, and a log of many batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gets_its_outcome_when_that_comes_and_no_name_stops_the_copy() {
    let scene = Scene::new().await;
    let mut gate = scene.gate().await;
    scene.upstream.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let waiting = tokio::spawn({
        let to = gate.data;
        async move { raw::call(to, &post(ALICE, &tool_call("1", "search_records", "{}"))).await }
    });
    assert!(scene.upstream.wait_for(1, DEADLINE).await);
    let allowed = async || scene.audited.of_kind("decision").len() == 1;
    assert!(until(DEADLINE, allowed).await);
    let (code, said) = scene.export(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(scene.count("unfinished_calls").await, 1, "{said} {:?}", scene.audited.records());
    scene.upstream.release();
    waiting.await.unwrap();
    let odd = r#"{"jsonrpc":"2.0","id":1,"method":"odd\u0000method"}"#;
    raw::call(gate.data, &post(ALICE, odd)).await;
    for _ in 0..600 {
        refused(&gate, "delete_record").await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let (code, said) = scene.export(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((scene.count("unfinished_calls").await, scene.count("tool_calls where outcome = 'ok'").await), (0, 1));
    assert_eq!(scene.count("tool_calls where tool = 'delete_record'").await, 600);
    assert_eq!(scene.count("tool_calls where method like 'odd%method'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_and_a_password_is_not_shown() {
    let scene = Scene::new().await;
    let mut gate = scene.gate().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let log = scene.audited.log();
    let log = log.to_str().unwrap();
    let (code, said) = exported(&[log, "--to", &scene.postgres.url("")]);
    assert_eq!(code, Some(2));
    assert!(said.contains("shows a password") && said.contains("file:/PATH") && !said.contains(PASSWORD), "{said}");
    let (code, said) = exported(&[log, "--to", &format!("file:{}", scene.file("url"))]);
    assert_eq!((code, said.contains("cannot be reached")), (Some(2), true), "no authority that is believed: {said}");
    let (code, said) = exported(&[log, "--to", "nowhere"]);
    assert!(code == Some(2) && said.contains("postgres://USER@HOST/NAME"), "{said}");

    let part = scene.folder.path().join("part.jsonl");
    let whole = std::fs::read_to_string(segment(Path::new(log))).unwrap();
    let (first, rest) = whole.split_once('\n').unwrap();
    let kept: Vec<&str> = std::iter::once(first).chain(rest.lines().skip(2)).collect();
    std::fs::write(&part, kept.join("\n") + "\n").unwrap();
    let (url, ca) = (format!("file:{}", scene.file("url")), scene.file("ca.crt"));
    let args = [part.to_str().unwrap(), "--to", &url, "--ca", &ca];
    let (code, said) = exported(&args);
    assert!(
        code == Some(2) && said.contains("the records from 1 to 2 are not in the log") && said.contains("`--from 3`"),
        "{said}"
    );
    assert_eq!(exported(&[&args[..], &["--from", "3"]].concat()).0, Some(0));
}

fn segment(log: &Path) -> std::path::PathBuf {
    super::segments(log).remove(0)
}

/// A table that an earlier version made gets the column; what it holds stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_shows_of_arguments_is_in_the_copy_and_a_table_of_before_gets_its_column() {
    let scene = Scene::new().await;
    let world = scene.audited.world(&scene.upstream.url(), "interval: 10ms, arguments: redacted");
    let mut gate = world.start().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    assert_eq!(scene.export(&[]).0, Some(0));
    scene.postgres.run("alter table tool_calls drop column arguments_redacted cascade").await;

    let mut gate = world.start().await;
    let mail = r#"{"q":"of jane@example.com"}"#;
    raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", mail))).await;
    assert_eq!(gate.terminate().await, Some(0));
    for _ in 0..2 {
        let (code, said) = scene.export(&[]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(scene.count("tool_calls").await, 2);
        let shown: String = scene.postgres.ask("select string_agg(arguments_redacted, ';') from tool_calls").await;
        assert_eq!(shown, r#"{"q":"of [redacted: email]"}"#);
    }
    assert_eq!(scene.count("unfinished_calls where arguments_redacted is null").await, 0, "the view is there again");
}
