//! The commands that read and write files: what they print, what they leave behind, what they exit with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::gate::program;
use super::support::upstream::{Ending, Recorded, Reply, Upstream};

/// Runs the binary in a folder.
pub(crate) async fn tollgate(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOLLGATE_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(home);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("it does not panic").expect("the binary starts")
}

/// What it said, as one text.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "exit {}\n{}{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with these files.
pub(super) fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("policies")).expect("it is new");
    for (name, text) in files {
        fs::write(home.path().join(name), text).expect("it can be written");
    }
    home
}

const POLICY: &str = "server: records\nroles:\n  reader: { tools: [search_records] }\n";
const CONFIG: &str = "servers: { records: { url: http://127.0.0.1:1/mcp } }\n";
const HASH: &str = "sha256:8d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77";

fn keys(role: &str) -> String {
    format!("keys:\n  - {{ id: alice, hash: \"{HASH}\", roles: [{role}] }}\n")
}

#[tokio::test]
async fn check_says_every_problem_of_every_file() {
    let home = home(&[
        ("tollgate.yaml", "listen: { adress: 127.0.0.1:1 }\n"),
        ("policies/records.yaml", "server: records\nroles:\n  reader: { tools: [] }\n"),
        ("policies/principals.yaml", &keys("raeder")),
    ]);
    insta::assert_snapshot!(said(&tollgate(home.path(), &["check"]).await));
    let run = said(&tollgate(home.path(), &["run"]).await);
    assert!(run.starts_with("exit 2\n"), "{run}");
    for problem in ["unknown key `adress`", "`roles.reader.tools` is empty", "unknown role `raeder`"] {
        assert!(run.contains(problem), "{run}");
    }
}

#[tokio::test]
async fn check_takes_folders_and_files_and_says_when_there_is_nothing() {
    let home = home(&[("policies/records.yaml", POLICY), ("policies/principals.yaml", &keys("reader"))]);
    for args in [&["check"][..], &["check", "policies"], &["check", "policies/"]] {
        let said = said(&tollgate(home.path(), args).await);
        assert!(said.starts_with("exit 0\n") && said.contains("0 errors, 1 warning"), "{said}");
    }
    fs::write(home.path().join("tollgate.yaml"), CONFIG).expect("it can be written");
    for args in [&["check"][..], &["check", "tollgate.yaml"], &["check", "."], &["check", "--config", "tollgate.yaml"]]
    {
        let said = said(&tollgate(home.path(), args).await);
        assert!(said.starts_with("exit 0\n"), "{said}");
    }
    assert!(said(&tollgate(home.path(), &["check", "nowhere"]).await).starts_with("exit 2\n"));
    assert!(said(&tollgate(&home.path().join("policies"), &["check"]).await).starts_with("exit 2\n"));
}

#[tokio::test]
async fn schema_prints_the_form_of_each_file() {
    let home = home(&[]);
    for file in ["policy", "principals", "config", "test"] {
        let output = tollgate(home.path(), &["schema", file]).await;
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/schema/{file}.schema.json"));
        let read = |text: &str| text.parse::<Value>().expect("JSON");
        assert_eq!(read(&stdout(&output)), read(&fs::read_to_string(committed).expect("it is there")), "{file}");
    }
    assert!(said(&tollgate(home.path(), &["schema"]).await).starts_with("exit 2\n"));
}

/// The four forms say the same; what they say is tested beside the code that writes them.
#[tokio::test]
async fn check_writes_what_its_reader_wants() {
    let home = home(&[
        ("policies/records.yaml", "roles:\n  reader: { tolls: [x] }\n"),
        ("policies/principals.yaml", &keys("reader")),
    ]);
    for (format, expected) in [
        ("human", "error[unknown-key]: unknown key `tolls`\n --> policies/records.yaml:2:13\n"),
        ("github", "::error file=policies/records.yaml,line=2,col=13,endColumn=18,title=unknown-key::unknown key"),
        ("json", "\"code\": \"unknown-key\",\n      \"file\": \"policies/records.yaml\",\n      \"line\": 2"),
        ("sarif", "\"uri\": \"policies/records.yaml\""),
    ] {
        let policies = home.path().join("policies");
        for path in ["policies", "./policies/", policies.to_str().expect("it is text")] {
            let checked = said(&tollgate(home.path(), &["check", "--format", format, path]).await);
            assert!(checked.starts_with("exit 1\n"), "{checked}");
            let as_given = path.starts_with('/') && matches!(format, "human" | "json");
            assert!(as_given || checked.replace("./policies", "policies").contains(expected), "{checked}");
        }
    }
    let log = stdout(&tollgate(home.path(), &["check", "--format", "sarif"]).await);
    let schema: Value = serde_json::from_str(include_str!("../fixtures/sarif/sarif-schema-2.1.0.json")).expect("JSON");
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
    let mut log: Value = serde_json::from_str(&log).expect("JSON");
    let wrong: Vec<_> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(log["runs"][0]["tool"]["driver"]["version"], env!("CARGO_PKG_VERSION"));
    log["runs"][0]["results"][0]["level"] = json!("fatal");
    assert!(!schema.is_valid(&log), "the schema sees what is wrong");
}

#[tokio::test]
async fn check_fails_on_warnings_where_they_are_denied() {
    let home = home(&[("policies/records.yaml", POLICY), ("policies/principals.yaml", &keys("reader"))]);
    let denied = said(&tollgate(home.path(), &["check", "--deny", "warnings"]).await);
    assert!(denied.starts_with("exit 1\n") && denied.contains("1 warning; warnings are denied"), "{denied}");
    for wrong in [["--deny", "errors"], ["--format", "xml"]] {
        let args: Vec<_> = ["check"].into_iter().chain(wrong).collect();
        assert!(said(&tollgate(home.path(), &args).await).starts_with("exit 2\n"));
    }
}

#[tokio::test]
async fn a_new_key_fits_the_entry_that_is_printed_with_it() {
    let home = home(&[("policies/records.yaml", POLICY)]);
    let made = tollgate(home.path(), &["keys", "new", "--id", "on", "--role", "reader", "--role", "reader"]).await;
    let printed = stdout(&made);
    let (key, entry) = printed.split_once("\n\n").expect("the key, a blank line, the entry");
    assert!(key.starts_with("tg_") && key.len() == 44, "{printed}");
    assert!(!entry.contains(key), "{printed}");
    fs::write(home.path().join("policies/principals.yaml"), entry).expect("it can be written");
    let checked = said(&tollgate(home.path(), &["check"]).await);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    for wrong in [&["--id", "a b"][..], &["--id", "a", "--role", "r s"], &["--id", "a", "--expires", "2020-01-01"], &[]]
    {
        let args: Vec<_> = ["keys", "new"].iter().chain(wrong).copied().collect();
        assert!(said(&tollgate(home.path(), &args).await).starts_with("exit 2\n"), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_key_that_replaces_another_stands_beside_it_and_its_hash_can_have_a_pepper() {
    let home = home(&[("policies/records.yaml", POLICY), ("pepper", "a pepper of thirty-two characters")]);
    let pepper = format!("p1=file:{}", home.path().join("pepper").display());
    let made = tollgate(home.path(), &["keys", "new", "--rotate", "ci-bot", "--pepper", &pepper]).await;
    let (key, entry) = stdout(&made).split_once("\n\n").map(|(key, entry)| (key.to_owned(), entry.to_owned())).unwrap();
    assert!(key.starts_with("tg_") && key.len() == 44 && !entry.contains(&key), "{entry}");
    let entry = entry.strip_prefix("hashes:\n").expect("one more of the hashes of the entry");
    assert!(entry.contains("\"hmac-sha256:p1:"), "{entry}");
    let principals = format!("keys:\n  - id: ci-bot\n    roles: [reader]\n    hashes:\n    {entry}");
    fs::write(home.path().join("policies/principals.yaml"), principals).expect("it can be written");
    let config =
        format!("servers: {{ records: {{ url: 'http://a/mcp' }} }}\npeppers: {{ {} }}\n", pepper.replace('=', ": "));
    fs::write(home.path().join("tollgate.yaml"), config).expect("it can be written");
    let checked = said(&tollgate(home.path(), &["check"]).await);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    for wrong in [&["--rotate", "a", "--role", "r"][..], &["--id", "a", "--pepper", "p1=hunter2"]] {
        let args: Vec<_> = ["keys", "new"].iter().chain(wrong).copied().collect();
        let said = said(&tollgate(home.path(), &args).await);
        assert!(said.starts_with("exit 2\n"), "{said}");
    }
}

fn tools() -> [Value; 6] {
    [
        json!({ "name": "search_records", "title": "Search", "annotations": { "readOnlyHint": true } }),
        json!({ "name": "delete_record", "annotations": { "readOnlyHint": true, "destructiveHint": true } }),
        json!({ "name": "add_record", "annotations": { "destructiveHint": false } }),
        json!({ "name": "on", "annotations": { "readOnlyHint": true }, "description": "first line\n  - evil" }),
        json!({ "name": "x]\nroles: \"\u{202e}", "annotations": { "readOnlyHint": true } }),
        json!({ "name": "silent" }),
    ]
}

/// Two pages of tools; the second is behind the cursor.
fn page(params: &Value) -> Value {
    let tools = tools();
    match params["cursor"].as_str() {
        None => json!({ "tools": tools[..3], "nextCursor": "2" }),
        Some(_) => json!({ "tools": tools[3..] }),
    }
}

/// A server of the era of handshakes, that answers by event streams and insists on its session.
fn legacy(request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    let id = &message["id"];
    let method = message["method"].as_str().unwrap_or_default();
    let session = request.head.first("mcp-session-id").is_some();
    let result = match (request.method.as_str(), method, session) {
        ("POST", "initialize", false) => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {} });
            return Reply::Whole {
                status: 200,
                headers: vec![
                    ("content-type".to_owned(), "application/json".to_owned()),
                    ("mcp-session-id".to_owned(), "s1".to_owned()),
                ],
                body: json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string().into_bytes(),
            };
        }
        ("POST", "notifications/initialized", true) => return Reply::empty(202),
        ("POST", "tools/list", true) => page(&message["params"]),
        ("DELETE", _, true) => return Reply::empty(204),
        _ => return Reply::empty(400),
    };
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
    let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    Reply::Events(vec![": hello".to_owned(), format!("data: {note}"), format!("data: {reply}")], Ending::StayOpen)
}

/// A server without handshakes.
fn modern(request: &Recorded) -> Reply {
    const VERSION: &str = "2026-07-28";
    let message = request.json().unwrap_or_default();
    let refuse = |code: i64| {
        let error = json!({ "code": code, "message": "no", "data": { "supported": [VERSION] } });
        Reply::status(400, &json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
    };
    let method = message["method"].as_str().unwrap_or_default();
    let claimed = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
    if claimed != Some(VERSION) || request.head.first("mcp-protocol-version") != Some(VERSION) {
        return refuse(-32022);
    }
    if request.head.first("mcp-method") != Some(method) {
        return refuse(-32020);
    }
    let result = match method {
        "server/discover" => json!({ "supportedVersions": [VERSION], "capabilities": {} }),
        _ => page(&message["params"]),
    };
    Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

#[tokio::test]
async fn init_grants_what_the_server_calls_read_only_in_either_era() {
    let mut written = Vec::new();
    for answers in [legacy, modern] {
        let upstream = Upstream::start().await;
        upstream.answer_with(answers);
        let home = tempfile::tempdir().expect("a folder");
        let made = tollgate(home.path(), &["init", "--server", &upstream.url(), "--name", "records"]).await;
        assert!(made.status.success(), "{}", said(&made));
        let policy = fs::read_to_string(home.path().join("policies/records.yaml")).expect("it was written");
        written.push(policy.replace(&upstream.url(), "URL"));
        let checked = said(&tollgate(home.path(), &["check"]).await);
        assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
        let pinned = said(&tollgate(home.path(), &["lock", "--server", &upstream.url(), "--check"]).await);
        assert!(pinned.starts_with("exit 0\n"), "{pinned}");
        let keys = fs::read_to_string(home.path().join("policies/principals.yaml")).expect("it was written");
        let key = stdout(&made);
        assert!(key.starts_with("tg_") && !keys.contains(key.trim()), "{key}\n{keys}");

        let again = said(&tollgate(home.path(), &["init", "--server", &upstream.url(), "--name", "records"]).await);
        assert!(again.starts_with("exit 2\n") && again.contains("nothing is overwritten"), "{again}");
    }
    insta::assert_snapshot!(written[0]);
    assert_eq!(written[0], written[1]);
}

#[tokio::test]
async fn init_says_why_a_server_cannot_be_asked() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().expect("a folder");
    let cases = [
        (Reply::empty(404), "the path is often /mcp"),
        (Reply::empty(401), "it wants a credential"),
        (Reply::empty(307), "it redirects"),
        (Reply::BreakOff, "cannot be asked"),
        (Reply::json(&json!({ "hello": "world" })), "no JSON-RPC reply"),
        (
            Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32603, "message": "\u{1b}[2Jbusy" } })),
            "error -32603: `\\u{1b}[2Jbusy`",
        ),
    ];
    for (reply, expected) in cases {
        upstream.answer(reply);
        let said = said(&tollgate(home.path(), &["init", "--server", &upstream.url()]).await);
        assert!(said.starts_with("exit 2\n") && said.contains(expected), "{said}");
        assert!(!home.path().join("policies").exists());
    }
}

fn refusal(status: u16, code: i64) -> Reply {
    Reply::status(status, &json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": "no" } }))
}

#[tokio::test]
async fn what_a_server_speaks_is_not_noted_while_it_is_unwell() {
    type Case = (fn() -> Reply, Option<&'static str>);
    let home = home(&[("policies/records.yaml", POLICY), ("policies/principals.yaml", &keys("reader"))]);
    // What it answers to `server/discover`; to all else it answers as it should.
    let cases: [Case; 9] = [
        (|| refusal(200, -32601), None),
        (|| refusal(400, -32600), None),
        (|| refusal(400, -32022), None),
        (|| Reply::empty(404), None),
        (|| Reply::empty(405), None),
        (|| refusal(200, -32603), Some("it answers with error -32603")),
        (|| Reply::empty(503), Some("its answer is no JSON-RPC reply (503")),
        (|| Reply::empty(429), Some("its answer is no JSON-RPC reply (429")),
        (|| Reply::BreakOff, Some("cannot be asked")),
    ];
    for (answers, told) in cases {
        let upstream = Upstream::start().await;
        upstream.answer_with(move |request: &Recorded| {
            let asked = request.json().unwrap_or_default();
            if asked["method"] == "server/discover" { answers() } else { legacy(request) }
        });
        let locked = said(&tollgate(home.path(), &["lock", "--server", &upstream.url()]).await);
        match told {
            None => assert!(locked.starts_with("exit 0\n"), "{locked}"),
            Some(told) => assert!(locked.starts_with("exit 2\n") && locked.contains(told), "{told}: {locked}"),
        }
    }
}

/// One that has prompts, and says so.
fn prompting(request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({ "protocolVersion": "2025-11-25", "capabilities": { "prompts": {} }, "serverInfo": {} }),
        "tools/list" => page(&message["params"]),
        "prompts/list" => {
            json!({ "prompts": [{ "name": "summarize" }, { "name": "x\u{202e}" }, { "name": "explain" }] })
        }
        _ => return Reply::empty(202),
    };
    Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

#[tokio::test]
async fn lock_names_the_prompts_and_check_tells_those_that_are_not_there() {
    let upstream = Upstream::start().await;
    upstream.answer_with(prompting);
    let policy = POLICY.replace("] }", "], prompts: [summarise, explain] }");
    let home = home(&[("policies/records.yaml", &policy), ("policies/principals.yaml", &keys("reader"))]);
    let (url, lock) = (upstream.url(), home.path().join("policies/tools.lock"));
    let pinned = said(&tollgate(home.path(), &["lock", "--server", &url]).await);
    assert!(pinned.contains("+ prompt explain\n+ prompt summarize\n"), "{pinned}");
    let checked = said(&tollgate(home.path(), &["check"]).await);
    assert!(
        checked.contains("has no prompt `summarise`") && checked.contains("did you mean `summarize`?"),
        "{checked}"
    );
    assert!(!checked.contains("`explain`"), "{checked}");
    // Of a lock that says nothing of prompts nothing is told, but that there are some.
    let text: Value = serde_json::from_str(&fs::read_to_string(&lock).expect("it is there")).expect("JSON");
    let older = json!({ "version": 1, "servers": text["servers"] });
    fs::write(&lock, older.to_string()).expect("it can be written");
    assert!(!said(&tollgate(home.path(), &["check"]).await).contains("prompt"));
    let differs = said(&tollgate(home.path(), &["lock", "--server", &url, "--check"]).await);
    assert!(differs.starts_with("exit 1\n+ prompt explain\n"), "{differs}");
}

#[tokio::test]
async fn lock_pins_what_the_server_offers_and_says_what_has_changed_since() {
    let (mut written, searches) = (Vec::new(), |text: &str| text.contains("\"search_records\": {"));
    for (answers, revision) in [(legacy as fn(&Recorded) -> Reply, "2025-11-25"), (modern, "2026-07-28")] {
        let upstream = Upstream::start().await;
        upstream.answer_with(answers);
        let home = home(&[("policies/records.yaml", POLICY), ("policies/principals.yaml", &keys("reader"))]);
        let (url, lock) = (upstream.url(), home.path().join("policies/tools.lock"));
        let run = async |args: &[&str]| {
            let args: Vec<&str> = ["lock", "--server", &url].iter().chain(args).copied().collect();
            said(&tollgate(home.path(), &args).await)
        };
        let first = run(&["--check"]).await;
        assert!(first.starts_with("exit 1\n") && first.contains("+ search_records") && !lock.exists(), "{first}");
        let pinned = run(&[]).await;
        assert!(pinned.starts_with("exit 0\n") && pinned.contains("is not pinned: it hides characters"), "{pinned}");
        let text = fs::read_to_string(&lock).expect("it was written");
        assert!(searches(&text) && text.contains("\"records\": {"), "the policy names the server: {text}");
        let same = run(&["--check"]).await;
        assert!(same.starts_with("exit 0\n") && same.contains("as they were pinned"), "{same}");
        let checked = said(&tollgate(home.path(), &["check"]).await);
        assert!(checked.contains("0 errors, 1 warning"), "{checked}");

        upstream.answer_with(move |request| changed(answers(request)));
        let changed = run(&["--check"]).await;
        assert!(changed.starts_with("exit 1\n"), "{changed}");
        assert!(changed.contains("~ search_records\n    title\n      - Search\n      + Destroy\n"), "{changed}");
        let program = run(&["--check", "--format", "json"]).await;
        assert!(program.contains(r#""path": "title""#), "{program}");
        assert_eq!(fs::read_to_string(&lock).expect("it is there"), text, "--check writes nothing");
        assert!(run(&[]).await.starts_with("exit 0\n"));
        assert!(fs::read_to_string(&lock).expect("it is there").contains("Destroy"));
        assert!(text.contains(revision), "{text}");
        written.push(text.replace(revision, "REVISION"));
        upstream.answer(Reply::empty(404));
        assert!(run(&["--check"]).await.starts_with("exit 2\n"));
        fs::write(&lock, "{").expect("it can be written");
        assert!(run(&[]).await.starts_with("exit 2\n"));
    }
    assert_eq!(written[0], written[1], "the same bytes in either era, but for its name");
}

/// The same, of a tool that has another title.
fn changed(reply: Reply) -> Reply {
    let other = |text: &str| text.replace("\"Search\"", "\"Destroy\"");
    match reply {
        Reply::Events(events, ending) => Reply::Events(events.iter().map(|event| other(event)).collect(), ending),
        Reply::Whole { status, headers, body } => {
            let body = other(&String::from_utf8(body).expect("it is text")).into_bytes();
            Reply::Whole { status, headers, body }
        }
        reply => reply,
    }
}

#[tokio::test]
async fn a_policy_that_demands_pins_is_refused_until_there_are_some() {
    let upstream = Upstream::start().await;
    let policy = format!("{POLICY}pinning: enforce\n");
    let home = home(&[("policies/records.yaml", &policy), ("policies/principals.yaml", &keys("reader"))]);
    let config = format!("servers: {{ records: {{ url: {} }} }}\n", upstream.url());
    fs::write(home.path().join("tollgate.yaml"), config).expect("it can be written");
    for command in ["check", "run"] {
        let refused = said(&tollgate(home.path(), &[command]).await);
        assert!(!refused.starts_with("exit 0\n") && refused.contains("no tool of `records` is pinned"), "{refused}");
    }
    let pinned = said(&tollgate(home.path(), &["lock"]).await);
    assert!(pinned.starts_with("exit 0\n") && pinned.contains("+ search_records"), "{pinned}");
    assert!(said(&tollgate(home.path(), &["check"]).await).starts_with("exit 0\n"));
}
