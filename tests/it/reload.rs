//! Policies that change under a running gate: the new ones take effect, broken ones do not.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::keys::ALICE;
use crate::support::message::{message, post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{Layout, READERS, World, mount, principals};
use crate::support::{DEADLINE, raw, until};

/// Readers may also do what they could not before.
const WIDER: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics, get_pool_status] }
";

async fn may_call(gate: SocketAddr, tool: &str) -> bool {
    let answer = raw::call(gate, &post(ALICE, &tool_call("1", tool, "{}"))).await;
    answer.json().is_some_and(|m| m.get("result").is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_takes_effect_without_a_restart() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    assert!(!may_call(gate.data, "get_pool_status").await);

    fs::write(gate.policies().join("records.yaml"), WIDER).unwrap();
    let allowed = async || may_call(gate.data, "get_pool_status").await;
    assert!(until(DEADLINE, allowed).await, "a grant arrives");

    fs::write(gate.policies().join("records.yaml"), READERS).unwrap();
    let denied = async || !may_call(gate.data, "get_pool_status").await;
    assert!(until(DEADLINE, denied).await, "and goes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_out_stops_working() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let all = principals("reader");
    let others: Vec<&str> = all.lines().filter(|l| !l.contains("id: alice")).collect();
    fs::write(gate.policies().join("principals.yaml"), others.join("\n") + "\n").unwrap();
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    let refused = async || raw::call(gate.data, &call).await.status == 401;
    assert!(until(DEADLINE, refused).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_policy_is_refused_aloud_and_the_old_one_stays() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let file = gate.policies().join("records.yaml");
    let broken = [
        ("no YAML", "roles: ["),
        ("an unknown key", "server: records\nrolls: {}\n"),
        ("a duplicate key", "server: records\nserver: records\n"),
        ("nothing", ""),
    ];
    for (what, text) in broken {
        let before = gate.log.count();
        // In one step: of a file that is emptied and then written, the gate may rightly complain twice.
        let next = gate.policies().with_file_name("next.yaml");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &file).unwrap();
        let told = |line: &str| line.contains("ERROR") || line.contains("error");
        let line = gate.log.wait_since(before, DEADLINE, told).await;
        assert!(line.is_some(), "{what}: an error is logged");
        assert!(may_call(gate.data, "search_records").await, "{what}");
        assert!(!may_call(gate.data, "get_pool_status").await, "{what}");
    }

    fs::write(&file, WIDER).unwrap();
    let allowed = async || may_call(gate.data, "get_pool_status").await;
    assert!(until(DEADLINE, allowed).await, "a mended file counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_is_swapped_as_a_whole() {
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).layout(Layout::ConfigMap);
    let gate = world.start().await;
    assert!(may_call(gate.data, "search_records").await);
    assert!(!may_call(gate.data, "get_pool_status").await);

    let files = [("records.yaml".to_owned(), WIDER.to_owned()), ("principals.yaml".to_owned(), principals("reader"))];
    mount(&gate.policies(), "..2026_01_02", &files);
    fs::remove_dir_all(gate.policies().join("..2026_01_01")).unwrap();
    let allowed = async || may_call(gate.data, "get_pool_status").await;
    assert!(until(DEADLINE, allowed).await, "the first swap counts");

    let files = [("records.yaml".to_owned(), READERS.to_owned()), ("principals.yaml".to_owned(), principals("reader"))];
    mount(&gate.policies(), "..2026_01_03", &files);
    let denied = async || !may_call(gate.data, "get_pool_status").await;
    assert!(until(DEADLINE, denied).await, "and so does the second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_held_open_is_judged_by_the_policy_of_now() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Pushed(": open".to_owned()));
    let with_resources = "server: records\nroles:\n  reader: { tools: [search_records], resources: [\"demo://*\"] }\n";
    let gate = World::new(&upstream.url()).policy("records.yaml", with_resources).start().await;
    let mut stream = Connection::open(gate.data).await;
    let get =
        format!("GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n");
    stream.send(get.as_bytes()).await.unwrap();
    stream.read_head().await.unwrap();
    assert_eq!(stream.read_chunk().await.unwrap().unwrap(), b": open\n\n");
    let updated = |uri: &str| {
        format!(r#"data: {{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#)
    };
    upstream.push(&updated("demo://a"));
    assert!(String::from_utf8(stream.read_chunk().await.unwrap().unwrap()).unwrap().contains("demo://a"));

    let before = gate.log.count();
    fs::write(gate.policies().join("records.yaml"), with_resources.replace("demo:", "other:")).unwrap();
    assert!(gate.log.wait_since(before, DEADLINE, |line| line.contains("policies reloaded")).await.is_some());
    upstream.push(&updated("demo://b"));
    upstream.push(&updated("other://c"));
    let heard = String::from_utf8(stream.read_chunk().await.unwrap().unwrap()).unwrap();
    assert!(heard.contains("other://c") && !heard.contains("demo://b"), "{heard}");

    let all = principals("reader");
    let others: Vec<&str> = all.lines().filter(|l| !l.contains("id: alice")).collect();
    fs::write(gate.policies().join("principals.yaml"), others.join("\n") + "\n").unwrap();
    assert_eq!(stream.read_chunk().await.unwrap(), None, "it ends with the key that it was opened by");
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await);
}

/// Writes a file as a whole, as careful editors do.
fn put(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_configuration_says_anew_counts_at_once_and_what_cannot_is_named() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let (file, stale) = (gate.file("tollgate.yaml"), || gate.metric("tollgate_config_stale"));
    let standing = async |line: &str| {
        until(DEADLINE, async || raw::get(gate.admin, "/readyz?verbose").await.text().contains(line)).await
    };
    let first = fs::read_to_string(&file).unwrap();
    assert!(standing("config in_force\n").await);
    let mut kept = Connection::open(gate.data).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    assert!(matches!(kept.exchange(&call).await, Answer::Response(answer) if answer.status == 200));

    let narrower = first.replace("listen:\n", "listen:\n  max_body_bytes: 10\n");
    put(&file, &narrower);
    assert!(until(DEADLINE, async || !may_call(gate.data, "search_records").await).await, "it counts now");
    assert!(matches!(kept.exchange(&call).await, Answer::Response(answer) if answer.status == 413), "for all");

    put(&file, &narrower.replace("max_body_bytes: 10", "max_bdy_bytes: 10"));
    assert!(gate.log.says("no gate would start with it").await);
    assert!(gate.log.says("did you mean `max_body_bytes`?").await, "{}", gate.log.text());
    assert!(standing("config refused\n").await);
    assert_eq!(stale().await, Some(1.0));
    assert!(!may_call(gate.data, "search_records").await, "what was taken stays");

    let elsewhere = first.replace("listen:\n", "listen:\n  max_in_flight: 7\n");
    put(&file, &format!("{elsewhere}sessions: {{ max: 7 }}\n"));
    assert!(standing("config waits_for_restart listen.max_in_flight sessions\n").await, "{}", gate.log.text());
    assert!(gate.log.says("this of it counts after a restart: listen.max_in_flight, sessions").await);
    assert_eq!(stale().await, Some(1.0));
    assert!(may_call(gate.data, "search_records").await, "the rest of it counts");

    put(&file, &first);
    assert!(standing("config in_force\n").await);
    assert_eq!(stale().await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_mounted_changes_by_the_swap_of_a_link() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let file = gate.file("tollgate.yaml");
    let first = fs::read_to_string(&file).unwrap();
    let mount = |version: &str, text: &str| {
        fs::create_dir(gate.file(version)).unwrap();
        fs::write(gate.file(version).join("tollgate.yaml"), text).unwrap();
        symlink(version, gate.file("..data_tmp")).unwrap();
        fs::rename(gate.file("..data_tmp"), gate.file("..data")).unwrap();
    };
    mount("..1", &first);
    symlink("..data/tollgate.yaml", gate.file("link")).unwrap();
    fs::rename(gate.file("link"), &file).unwrap();
    assert!(may_call(gate.data, "search_records").await);
    mount("..2", &first.replace("listen:\n", "listen:\n  max_body_bytes: 10\n"));
    assert!(until(DEADLINE, async || !may_call(gate.data, "search_records").await).await, "{}", gate.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_server_may_take_changes_while_the_gate_runs() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.json() {
        Some(message) if message["method"] == "resources/read" => Reply::Hang,
        _ => Reply::obliging(request),
    });
    let policy = "server: records\nroles:\n  reader: { tools: [search_records], resources: [\"demo://*\"] }\n";
    let world = World::new(&upstream.url()).server("timeouts: { first_byte: 1h }").policy("records.yaml", policy);
    let gate = world.start().await;
    let file = gate.file("tollgate.yaml");
    let patient = fs::read_to_string(&file).unwrap();
    put(&file, &patient.replace("first_byte: 1h", "first_byte: 50ms"));
    gate.signal_look(); // on file systems that tell nothing
    assert!(gate.log.says("tollgate.yaml is what the gate runs on").await);
    let read = post(ALICE, &message("1", "resources/read", r#"{"uri":"demo://a"}"#));
    assert_eq!(raw::call(gate.data, &read).await.json().unwrap()["error"]["code"], -31504);
}
