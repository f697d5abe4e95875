//! The reviewer's story that README.md tells, word for word: what it says to run is run, and says what stands there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::commands::{said, stdout, tollgate};
use super::support::gate::program;
use super::support::upstream::{Recorded, Reply, Upstream};

/// The server of the first step.
fn records(request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    let reads = ["get_pool_status", "get_record_detail", "get_statistics", "search_records", "slow_report"];
    let tool = |name: &str, reads: bool| {
        let annotations = json!({ "readOnlyHint": reads, "destructiveHint": !reads });
        json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations })
    };
    let tools = reads.iter().map(|name| tool(name, true)).chain([tool("delete_record", false)]);
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": {} }),
        "tools/list" => json!({ "tools": tools.collect::<Vec<_>>() }),
        _ => return Reply::empty(202),
    };
    Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

/// The blocks of the story, each with the language that it is in.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let readme = include_str!("../../README.md");
    let (_, story) = readme.split_once("**A reviewer's story.**").expect("it is told");
    let (story, _) = story.split_once("\n## ").expect("it ends");
    let blocks = story.split("\n```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a block has lines")).collect()
}

/// Runs what a reader would type.
fn shell(home: &Path, text: &str) -> String {
    let programs = program().parent().expect("it lies in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::iter::once(programs).chain(std::env::split_paths(&path)).collect();
    let path = std::env::join_paths(path).expect("no folder has a `:`");
    let output = Command::new("sh").args(["-c", text]).env("PATH", path).current_dir(home).output().expect("it starts");
    stdout(&output)
}

#[tokio::test]
async fn the_story_of_the_readme_is_true() {
    let upstream = Upstream::start().await;
    upstream.answer_with(records);
    let home = tempfile::tempdir().expect("a folder");
    let made = tollgate(home.path(), &["init", "--server", &upstream.url(), "--name", "records"]).await;
    assert!(made.status.success(), "{}", said(&made));
    let blocks = blocks();
    let [("sh", change), ("text", diff), ("yaml", cases), ("text", failed)] = blocks[..] else {
        panic!("the story has other blocks now: {blocks:#?}");
    };
    assert_eq!(shell(home.path(), change).trim_end(), diff);
    fs::write(home.path().join("policies/records.test.yaml"), cases).expect("it can be written");
    let told = shell(home.path(), "tollgate test");
    assert!(told.starts_with(failed), "{told}");
    // What the reviewer asks for is what makes the cases hold.
    shell(home.path(), "sed -i 's/calls: 600/calls: 60/' policies/records.yaml");
    assert!(shell(home.path(), "tollgate test").contains("3 cases: 3 passed, 0 failed"));
    assert_eq!(shell(home.path(), "tollgate diff before").trim_end(), "Nobody may do anything else than before.");
}
