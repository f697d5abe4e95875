//! Row-level security end to end: a server with one table, the gate in front of it, and two callers who each see their own
//! rows, whatever they send.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

const ALICE: &str = "alice-4Hq8TzW1mK6vXn3BcYs7Rd2F";
const BOB: &str = "bob-9Lp2GfQ5jN8xVt1MwZk4Hc7S";
const CAROL: &str = "carol-3Xr6UyE0bS7nKq2PdJm5Ta8W";

const POLICY: &str = "\
server: records
allowed_tools: [search_records, get_record_detail, get_statistics, delete_record]
upstream_headers:
  x-rls-store-id: { claim: store_id }
";

/// A part of the demo in a process of its own. Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its standard input closes with it, which ends whatever it has started, too.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// Starts it, and returns the first line of `of` that `wanted` finds something in.
fn start<R: Read + Send + 'static>(
    arguments: &[&str],
    of: fn(&mut Child) -> R,
    wanted: fn(&str) -> Option<String>,
) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-demo"));
    command.args(arguments).env_remove("DATABASE_URL");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(of(&mut child)).lines().map_while(Result::ok);
    let running = Running(child);
    let found = lines.find_map(|line| wanted(&line)).unwrap();
    // Nothing may block because nobody reads.
    std::thread::spawn(move || lines.for_each(drop));
    (running, found)
}

/// One call of a tool over a connection of its own, with these header fields besides.
fn call(gate: &str, key: &str, extra: &[(&str, &str)], tool: &str, arguments: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},{meta}}}}}"#
    );
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {gate}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n\
         mcp-name: {tool}\r\nx-api-key: {key}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in extra {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    let mut connection = TcpStream::connect(gate).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Which stores' records an answer shows, and how many records it counts.
fn shown(answer: &str) -> (bool, bool, bool) {
    let has = |store: &str| answer.contains(&format!(r#""store_id":"{store}""#));
    (has("s1"), has("s2"), has("s3"))
}

#[test]
fn each_caller_sees_the_rows_of_its_own_store_whatever_it_sends() {
    let home = tempfile::tempdir().unwrap();
    let (_server, url) = start(
        &["serve", "--with-parent", "--row-level-security", "--address", "127.0.0.1:0"],
        |child| child.stdout.take().unwrap(),
        |line| Some(line.strip_prefix("serving MCP on ")?.split(',').next()?.to_owned()),
    );
    fs::create_dir(home.path().join("policies")).unwrap();
    fs::write(home.path().join("policies/records.yaml"), POLICY).unwrap();
    let hash = |key: &str| Sha256::digest(key).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let key = |id: &str, key: &str, claims: &str| {
        format!("  - {{ id: {id}, hash: \"sha256:{}\", {claims}expires: 2099-01-01 }}\n", hash(key))
    };
    let keys = format!(
        "keys:\n{}{}{}",
        key("alice", ALICE, "claims: { store_id: s1 }, "),
        key("bob", BOB, "claims: { store_id: s2 }, "),
        key("carol", CAROL, "")
    );
    fs::write(home.path().join("policies/principals.yaml"), keys).unwrap();
    // Somebody lists names that servers take for the computed one: that opens nothing.
    let config = format!(
        "listen: {{ address: '127.0.0.1:0' }}\nadmin: {{ address: '127.0.0.1:0' }}\n\
         servers: {{ records: {{ url: {url}, forward_headers: [x-rls-store-id, x_rls_store_id, X-RLS_Store.Id] }} }}\n"
    );
    let file = home.path().join("tollgate.yaml");
    fs::write(&file, config).unwrap();
    let (_gate, gate) = start(
        &["gate", "--with-parent", "run", "--config", file.to_str().unwrap()],
        |child| child.stderr.take().unwrap(),
        |line| Some(line.split("listening on http://").nth(1)?.split('/').next()?.to_owned()),
    );

    let all = r#"{"query":"","limit":100}"#;
    let own = |key, extra: &[_]| shown(&call(&gate, key, extra, "search_records", all));
    for extra in [
        &[][..],
        &[("x-rls-store-id", "s2")],
        &[("X-RLS-Store-Id", "s2"), ("x-rls-store-id", "s3")],
        &[("x_rls_store_id", "s2"), ("X-RLS_Store.Id", "s2")],
        &[("connection", "x-rls-store-id")],
        &[("x-rls-store-id", "")],
    ] {
        assert_eq!(own(ALICE, extra), (true, false, false), "{extra:?}");
        assert_eq!(own(BOB, extra), (false, true, false), "{extra:?}");
    }
    // Nor by asking for what belongs to another.
    let of_bob = call(&gate, BOB, &[], "search_records", all);
    let id = of_bob.split(r#""record_id":""#).nth(1).unwrap().split('"').next().unwrap();
    let record = format!(r#"{{"record_id":"{id}"}}"#);
    for tool in ["get_record_detail", "delete_record"] {
        let answer = call(&gate, ALICE, &[], tool, &record);
        assert!(answer.contains("there is no such record"), "{answer}");
    }
    assert!(call(&gate, BOB, &[], "get_record_detail", &record).contains(r#""store_id":"s2""#));
    let counts = call(&gate, ALICE, &[], "get_statistics", r#"{"group_by":"store_id"}"#);
    assert!(counts.contains(r#""value":"s1""#) && !counts.contains(r#""value":"s2""#), "{counts}");
    // Of whom nothing is known, nothing is asked.
    let refused = call(&gate, CAROL, &[("x-rls-store-id", "s1")], "search_records", all);
    assert!(refused.contains("your identity lacks what this server must know of you"), "{refused}");
    // And past the gate, without the header, there are no rows at all.
    let direct = url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap();
    let unnamed = call(direct, "none", &[], "search_records", all);
    assert!(unnamed.contains("nobody said whose records these may be"), "{unnamed}");
}
