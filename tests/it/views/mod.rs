//! Several servers as one: their tools in one list under names that lead where they say, each under its own policy.

mod callers;
mod catalogue;
mod replicas;
mod session;
mod subscription;
mod tasks;
mod things;

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::commands::{home, said, tollgate};
use crate::support::gate::Gate;
use crate::support::message::{at, post, post_modern, tool_call};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{World, lock, principals};
use crate::support::{DEADLINE, keys, until};

const ALL: &str = "\
views:
  all:
    default: true
    names: bare
    servers:
      records: { tools: [\"*\"], describe: { count: Counts the records. } }
      billing: { tools: [find, pay], rename: { pay: settle } }
  some:
    servers: { billing: { tools: [\"f*\"] } }
";
const RECORDS: &str = "server: records\nroles: { reader: { tools: [find, count] } }\n";
const BILLING: &str = "roles: { reader: { tools: [find, pay] } }\n";

fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("It can {name}."), "inputSchema": { "type": "object" } })
}

/// A server of 2026-07-28 that has these tools, and answers calls with its own name and what it was asked.
async fn server(name: &'static str, tools: &'static [&'static str]) -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(move |request: &Recorded| modern(name, tools, request));
    upstream
}

fn modern(name: &str, tools: &[&str], request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} },
            "instructions": format!("Ask {name} nicely."),
            "ttlMs": 1000,
            "cacheScope": "public",
        }),
        // Two pages, so that none may be lost.
        "tools/list" => {
            let (first, rest) = tools.split_at(1);
            let (page, next) = if message["params"]["cursor"] == "more" { (rest, None) } else { (first, Some("more")) };
            let listed: Vec<_> = page.iter().map(|name| tool(name)).collect();
            let mut result =
                json!({ "resultType": "complete", "tools": listed, "ttlMs": 1000, "cacheScope": "public" });
            if let Some(next) = next {
                result["nextCursor"] = json!(next);
            }
            result
        }
        "tools/call" => {
            let text = format!("{name} {} {}", message["params"]["name"], request.head.first("mcp-name").unwrap());
            json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": false })
        }
        method => {
            let error = json!({ "code": -32601, "message": format!("no {method}") });
            return Reply::status(404, &json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
        }
    };
    Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

struct Two {
    records: Upstream,
    billing: Upstream,
}

impl Two {
    async fn start() -> Self {
        let records = server("records", &["find", "count", "drop"]).await;
        Self { records, billing: server("billing", &["find", "pay", "refund"]).await }
    }

    fn world(&self, views: &str) -> World {
        let billing = format!("url: {}", self.billing.url());
        let world =
            World::new(&self.records.url()).policy("records.yaml", RECORDS).beside("billing", &billing, BILLING);
        world.policy("views.yaml", views)
    }
}

async fn ask(gate: SocketAddr, path: &str, method: &str, params: &str, name: Option<&str>) -> Response {
    raw::call(gate, &at(path, &post_modern(method, params, name))).await
}

async fn listed(gate: SocketAddr, path: &str) -> Vec<String> {
    let answer = ask(gate, path, "tools/list", "", None).await.json().unwrap();
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn called(gate: SocketAddr, path: &str, name: &str) -> Value {
    let params = format!(r#""arguments":{{}},"name":"{name}""#);
    ask(gate, path, "tools/call", &params, Some(name)).await.json().unwrap()
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_shows_what_its_caller_may_use_and_every_name_leads_where_it_says() {
    let two = Two::start().await;
    let gate = two.world(ALL).start().await;
    // `find` is what two would be called, so neither is; `drop` and `refund` are not granted or not shown.
    let names = ["billing_find", "settle", "count", "records_find"];
    for path in ["/mcp", "/views/all/mcp"] {
        assert_eq!(listed(gate.data, path).await, names, "{path}");
    }
    assert_eq!(listed(gate.data, "/views/some/mcp").await, ["billing_find"]);
    for path in ["/records/mcp", "/mcp", "/views/all/mcp", "/views/some/mcp"] {
        let listening = format!("listening on http://{}{path}\"", gate.data);
        assert!(gate.log.says(&listening).await, "{listening}: {}", gate.log.text());
    }
    for (name, led) in [
        ("billing_find", "billing \"find\" find"),
        ("settle", "billing \"pay\" pay"),
        ("count", "records \"count\" count"),
        ("records_find", "records \"find\" find"),
    ] {
        let answer = called(gate.data, "/mcp", name).await;
        assert_eq!(text(&answer), led, "{answer}");
        let told = format!(r#""tool":"{}""#, led.rsplit(' ').next().unwrap());
        assert!(gate.decisions.says(&told).await, "decisions speak of servers and their tools");
    }
    let list = ask(gate.data, "/mcp", "tools/list", "", None).await.json().unwrap()["result"].clone();
    assert_eq!(list["tools"][2]["description"], "Counts the records.");
    assert_eq!(list["tools"][1]["description"], "It can pay.");
    assert_eq!(list["cacheScope"], "private");
    assert!(list["ttlMs"].as_u64().unwrap() <= 1000, "{list}");
    let itself = ask(gate.data, "/mcp", "server/discover", "", None).await.json().unwrap()["result"].clone();
    assert_eq!(
        (&itself["supportedVersions"], &itself["capabilities"]),
        (&json!(["2026-07-28"]), &json!({ "tools": {} }))
    );
    let told = itself["instructions"].as_str().unwrap();
    assert!(told.contains("## billing\n\nAsk billing nicely.") && told.contains("Ask records nicely."), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_granted_sounds_like_what_is_not_there() {
    let two = Two::start().await;
    let gate = two.world(ALL).start().await;
    assert_eq!(listed(gate.data, "/mcp").await.len(), 4);
    let mark = (two.records.count(), two.billing.count());
    // The first is there and not granted, the second granted and not shown, the others are nowhere.
    for name in ["drop", "pay", "billing_refund", "find", "records", "records_records_find"] {
        let answer = called(gate.data, "/mcp", name).await;
        assert_eq!(
            (&answer["error"]["code"], answer["error"]["message"].as_str()),
            (&json!(-32602), Some(format!("Unknown tool: {name}").as_str())),
            "{answer}"
        );
    }
    let calls =
        |upstream: &Upstream, mark| upstream.since(mark).iter().filter(|it| it.text().contains("tools/call")).count();
    assert_eq!((calls(&two.records, mark.0), calls(&two.billing, mark.1)), (0, 0));
    let incapable = post_modern("server/discover", "", None);
    let incapable = String::from_utf8(incapable).unwrap().replace("/clientCapabilities", "/clientcapabilities");
    let incapable = raw::call(gate.data, incapable.as_bytes()).await;
    assert_eq!((incapable.status, &incapable.json().unwrap()["error"]["code"]), (400, &json!(-32602)));
    for (method, status) in [("prompts/list", 404), ("resources/list", 404), ("logging/setLevel", 404)] {
        let answer = ask(gate.data, "/mcp", method, "", None).await;
        assert_eq!((answer.status, &answer.json().unwrap()["error"]["code"]), (status, &json!(-32601)), "{method}");
    }
    for path in ["/views/none/mcp", "/views/all", "/views/all/mcp/", "/views//mcp", "/views/all/sse"] {
        assert_eq!(ask(gate.data, path, "tools/list", "", None).await.status, 404, "{path}");
    }
    let legacy = raw::call(gate.data, &post(keys::ALICE, &tool_call("1", "count", "{}"))).await;
    assert_eq!((legacy.status, &legacy.json().unwrap()["error"]["data"]["supported"]), (400, &json!(["2026-07-28"])));
    let cursor = ask(gate.data, "/mcp", "tools/list", r#""cursor":"bW9yZQ""#, None).await.json().unwrap();
    assert_eq!(cursor["error"]["code"], -32602, "{cursor}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_or_is_away_hides_none_of_the_others() {
    let two = Two::start().await;
    let gate = two.world(ALL).start().await;
    assert_eq!(listed(gate.data, "/mcp").await.len(), 4);
    two.billing.answer(Reply::Hang);
    let mark = two.billing.count();
    assert!(two.billing.wait_for(mark + 1, DEADLINE).await, "it is asked again what it has");
    // What it had is still shown, and costs the others nothing.
    assert_eq!(listed(gate.data, "/mcp").await.len(), 4);
    assert_eq!(text(&called(gate.data, "/mcp", "records_find").await), "records \"find\" find");

    let fresh = Two::start().await;
    fresh.billing.answer(Reply::BreakOff);
    let gate = fresh.world(ALL).start().await;
    assert_eq!(listed(gate.data, "/mcp").await, ["count", "find"], "no other is called so now");
    fresh.billing.answer_with(|request: &Recorded| modern("billing", &["find", "pay"], request));
    let back = async || listed(gate.data, "/mcp").await.len() == 4;
    assert!(until(DEADLINE, back).await, "{}", gate.log.text());
    assert_eq!(text(&called(gate.data, "/mcp", "billing_find").await), "billing \"find\" find");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_has_pages_that_are_their_callers_own() {
    let many = Upstream::start().await;
    many.answer_with(|request: &Recorded| {
        let message = request.json().unwrap_or_default();
        if message["method"] != "tools/list" {
            return modern("records", &["find"], request);
        }
        let tools: Vec<_> = (0..600).map(|n| tool(&format!("tool_{n:03}"))).collect();
        Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "public" } }))
    });
    let policy = "server: records\nroles: { reader: { tools: [\"tool_*\"] } }\n";
    let views = "views: { all: { servers: { records: { tools: [\"*\"] } } } }\n";
    let gate = World::new(&many.url()).policy("records.yaml", policy).policy("views.yaml", views).start().await;
    let (mut names, mut params, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = ask(gate.data, "/views/all/mcp", "tools/list", &params, None).await.json().unwrap();
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        pages += 1;
        match answer["result"]["nextCursor"].as_str() {
            Some(next) => params = format!(r#""cursor":"{next}""#),
            None => break,
        }
    }
    let expected: Vec<_> = (0..600).map(|n| format!("records_tool_{n:03}")).collect();
    assert_eq!((names, pages), (expected, 3));
    let asked = many.since(0).iter().filter(|it| it.text().contains("tools/list")).count();
    assert!(asked < 3 * 3, "pages are not asked of the server: {asked}");
    let theirs = post_modern("tools/list", &params, None);
    let theirs = String::from_utf8(theirs).unwrap().replace(keys::ALICE, keys::BOB);
    let theirs = raw::call(gate.data, &at("/views/all/mcp", theirs.as_bytes())).await.json().unwrap();
    assert_eq!(theirs["error"]["code"], -32602, "a cursor is its caller's: {theirs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_changes_is_in_force_at_once_and_pins_count_in_it() {
    let two = Two::start().await;
    let pinned = vec![
        json!({ "name": "find", "description": "Something else.", "inputSchema": { "type": "object" } }),
        tool("count"),
    ];
    let gate: Gate = two.world(ALL).policy("tools.lock", &lock(pinned)).start().await;
    assert_eq!(
        listed(gate.data, "/mcp").await,
        ["billing_find", "settle", "count"],
        "what is not as it was pinned is not there"
    );
    assert_eq!(called(gate.data, "/mcp", "records_find").await["error"]["code"], -32602);
    let views = "views: { all: { default: true, servers: { billing: { tools: [find] } } } }\n";
    fs::write(gate.policies().join("views.yaml"), views).unwrap();
    let changed = async || listed(gate.data, "/mcp").await == ["billing_find"];
    assert!(until(DEADLINE, changed).await);
}

/// What `check` says of these views of two servers.
async fn checked(views: &str, lock: &str) -> String {
    let servers =
        "servers:\n  records: { url: 'http://127.0.0.1:1/mcp' }\n  billing: { url: 'http://127.0.0.1:2/mcp' }\n";
    let home = home(&[
        ("tollgate.yaml", servers),
        ("policies/records.yaml", RECORDS),
        ("policies/billing.yaml", &format!("server: billing\n{BILLING}")),
        ("policies/principals.yaml", &principals("reader")),
        ("policies/views.yaml", views),
        ("policies/tools.lock", lock),
    ]);
    said(&tollgate(home.path(), &["check"]).await)
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_view() {
    let of = |servers: &str| format!("views: {{ all: {{ names: bare, servers: {{ {servers} }} }} }}\n");
    let mut both = tollgate::policy::ToolLock::default();
    for server in ["records", "billing"] {
        both.pin(server, [tollgate::mcp::Definition::new(tool("find")).unwrap()]);
    }
    let both = both.to_text();
    let star = r#"records: { tools: ["*"] }, billing: { tools: ["*"] }"#;
    for (views, told) in [
        (of(star), "`find` would be the name of billing/find and of records/find"),
        (of("recrods: { tools: [find] }"), "unknown server `recrods`"),
        (of("records: { tools: [] }"), "`tools` is empty"),
        (of("records: { tools: ['a*b'] }"), "neither a name nor the beginning of one"),
        (of("records: { tools: [find], rename: { fnid: seek } }"), "the view does not show `fnid`"),
        (of("records: { tools: [find], rename: { find: 'seek it' } }"), "`seek it` cannot be the name of a tool here"),
        ("views: { All: { servers: { records: { tools: [find] } } } }\n".to_owned(), "`All` cannot name a view"),
        ("views: { a: { servers: {} } }\n".to_owned(), "the view shows no server"),
        (
            "views:\n  a: { default: true, servers: { records: { tools: [find] } } }\n  b: { default: true, servers: { records: { tools: [find] } } }\n".to_owned(),
            "`a` is at `/mcp` already",
        ),
    ] {
        let said = checked(&views, &both).await;
        assert!(said.starts_with("exit 1\n") && said.contains(told) && said.contains("views.yaml:"), "{told}: {said}");
    }
    let named = of(r#"records: { tools: ["*"], rename: { find: seek } }, billing: { tools: ["*"] }"#);
    let fine = checked(&named, &both).await;
    assert!(fine.starts_with("exit 0\n"), "{fine}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_gate_with_the_same_key_serves_any_page() {
    let many = Upstream::start().await;
    many.answer_with(|request: &Recorded| {
        let message = request.json().unwrap_or_default();
        if message["method"] != "tools/list" {
            return modern("records", &["find"], request);
        }
        let tools: Vec<_> = (0..300).map(|n| tool(&format!("tool_{n:03}"))).collect();
        let result = json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "public" });
        Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
    });
    let policy = "server: records\nroles: { reader: { tools: [\"tool_*\"] } }\n";
    let views = "views: { all: { servers: { records: { tools: [\"*\"] } } } }\n";
    let gate = async |key: &str| {
        let world = World::new(&many.url()).policy("records.yaml", policy).policy("views.yaml", views);
        let world = world.top("cursor_keys: [\"env:CURSOR_KEY\"]").environment(&[("CURSOR_KEY", key.repeat(32))]);
        world.start().await
    };
    let (one, other, stranger) = (gate("a").await, gate("a").await, gate("b").await);
    let first = ask(one.data, "/views/all/mcp", "tools/list", "", None).await.json().unwrap();
    let next = format!(r#""cursor":{}"#, first["result"]["nextCursor"]);
    let page = ask(other.data, "/views/all/mcp", "tools/list", &next, None).await.json().unwrap();
    let names: Vec<_> = page["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!((names.len(), &names[0]), (50, &json!("records_tool_250")));
    let page = ask(stranger.data, "/views/all/mcp", "tools/list", &next, None).await.json().unwrap();
    assert_eq!(page["error"]["code"], -32602, "{page}");
}

#[tokio::test]
async fn a_reviewer_sees_what_a_view_newly_shows() {
    let home = home(&[]);
    let policies = |folder: &str, views: &str| {
        fs::create_dir_all(home.path().join(folder)).unwrap();
        for (name, text) in [
            ("records.yaml", RECORDS.to_owned()),
            ("billing.yaml", format!("server: billing\n{BILLING}")),
            ("principals.yaml", principals("reader")),
            ("views.yaml", views.to_owned()),
        ] {
            fs::write(home.path().join(folder).join(name), text).unwrap();
        }
    };
    policies("old", ALL);
    policies(
        "new",
        &ALL.replace("tools: [find, pay]", "tools: [find, pay, refund]").replace("Counts the", "Ignore all"),
    );
    let told = said(&tollgate(home.path(), &["diff", "old", "new"]).await);
    assert!(told.starts_with("exit 0\n"), "a view grants nothing: {told}");
    for line in [
        "changed   view all\n",
        "now: tools refund of billing\n",
        "now: records/count is described as \"Ignore all records.\"\n",
        "no more: records/count is described as \"Counts the records.\"\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!told.contains("view some"), "{told}");
}
