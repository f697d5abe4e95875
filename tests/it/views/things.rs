//! Prompts, resources and what completes them in a view: each leads to the one server that has it.

use serde_json::{Value, json};

use super::session::hears;
use super::{ask, modern};
use crate::support::gate::Gate;
use crate::support::message::{at, post_modern};
use crate::support::raw::Connection;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

/// A server that has these prompts and resources beside a tool, and says in every answer who it is and what it was asked.
async fn server(name: &'static str, prompts: &'static [&'static str], resources: &'static [&'static str]) -> Upstream {
    let upstream = Upstream::start().await;
    has(&upstream, name, prompts, resources);
    upstream
}

/// From now on it has these.
fn has(upstream: &Upstream, name: &'static str, prompts: &'static [&'static str], resources: &'static [&'static str]) {
    upstream.answer_with(move |request: &Recorded| {
        let message = request.json().unwrap_or_default();
        let params = &message["params"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "completions": {} },
            }),
            "prompts/list" => json!({ "prompts": prompts.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() }),
            "resources/list" => json!({ "resources": resources.iter().map(|uri| json!({ "uri": uri, "name": uri })).collect::<Vec<_>>() }),
            "resources/templates/list" => json!({
                "resourceTemplates": [{ "uriTemplate": format!("demo://{name}/{{id}}"), "name": "one of them" }],
            }),
            "prompts/get" => json!({ "description": format!("{name} {} {}", params["name"], request.head.first("mcp-name").unwrap()) }),
            "completion/complete" => json!({ "completion": { "values": [format!("{name} {}", params["ref"])] } }),
            "resources/read" => json!({ "contents": [{ "uri": params["uri"], "text": format!("{name} {}", params["uri"]) }] }),
            _ => return modern(name, &["find"], request),
        };
        let mut result = result;
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(1000);
        result["cacheScope"] = json!("public");
        Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
    });
}

const VIEWS: &str = "\
views:
  all:
    default: true
    names: bare
    servers:
      records: { tools: [\"*\"], prompts: [\"*\"], resources: [\"demo://*\"] }
      billing: { tools: [\"*\"], prompts: [\"*\"], resources: [\"demo://*\"] }
  bare: { servers: { records: { tools: [\"*\"] } } }
";
const MAY: &str = "roles: { reader: { tools: [find], prompts: [summarize, draft], resources: [\"demo://*\"] } }\n";

struct Two {
    gate: Gate,
    records: Upstream,
    _billing: Upstream,
}

impl Two {
    async fn start() -> Self {
        let records =
            server("records", &["summarize", "draft", "secret"], &["demo://records/1", "demo://shared"]).await;
        let billing = server("billing", &["summarize"], &["demo://billing/1", "demo://shared", "other://x"]).await;
        let world = World::new(&records.url()).policy("records.yaml", &format!("server: records\n{MAY}"));
        let world = world.beside("billing", &format!("url: {}", billing.url()), MAY);
        let gate = world.policy("views.yaml", VIEWS).start().await;
        let two = Self { gate, records, _billing: billing };
        let both = async || two.names("prompts/list", "prompts", "name").await.len() == 3;
        assert!(until(DEADLINE, both).await, "{}", two.gate.log.text());
        two
    }

    async fn ask(&self, method: &str, params: &str, name: Option<&str>) -> Value {
        ask(self.gate.data, "/mcp", method, params, name).await.json().unwrap()
    }

    async fn names(&self, method: &str, list: &str, name: &str) -> Vec<String> {
        let answer = self.ask(method, "", None).await;
        let things = answer["result"][list].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        things.iter().map(|thing| thing[name].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_prompt_leads_to_its_server_under_its_own_name() {
    let two = Two::start().await;
    let names = ["billing_summarize", "draft", "records_summarize"];
    assert_eq!(two.names("prompts/list", "prompts", "name").await, names, "what is not granted is not there");
    for (name, led) in [
        ("billing_summarize", "billing \"summarize\" summarize"),
        ("draft", "records \"draft\" draft"),
        ("records_summarize", "records \"summarize\" summarize"),
    ] {
        let answer = two.ask("prompts/get", &format!(r#""name":"{name}""#), Some(name)).await;
        assert_eq!(answer["result"]["description"], led, "{answer}");
        let reference =
            format!(r#""ref":{{"type":"ref/prompt","name":"{name}"}},"argument":{{"name":"a","value":"x"}}"#);
        let values =
            two.ask("completion/complete", &reference, None).await["result"]["completion"]["values"][0].clone();
        let own = led.split('"').nth(1).unwrap();
        assert!(values.as_str().unwrap().contains(&format!(r#""name":"{own}""#)), "{values}");
    }
    let mark = two.records.count();
    for name in ["secret", "summarize", "records_secret"] {
        let answer = two.ask("prompts/get", &format!(r#""name":"{name}""#), Some(name)).await;
        assert_eq!(answer["error"]["message"], format!("Unknown prompt: {name}"));
    }
    assert!(!two.records.since(mark).iter().any(|it| it.text().contains("prompts/get")));
    let itself = two.ask("server/discover", "", None).await["result"]["capabilities"].clone();
    assert_eq!(itself, json!({ "tools": {}, "prompts": {}, "resources": {}, "completions": {} }));
    let bare = ask(two.gate.data, "/views/bare/mcp", "server/discover", "", None).await.json().unwrap();
    assert_eq!(bare["result"]["capabilities"], json!({ "tools": {} }), "a view has what it says");
    let listed = ask(two.gate.data, "/views/bare/mcp", "prompts/list", "", None).await.json().unwrap();
    assert_eq!(listed["result"]["prompts"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_hear_of_other_prompts_and_resources_and_of_no_list_that_is_as_it_was() {
    let records = server("records", &["draft"], &["demo://records/1"]).await;
    let may = MAY.replace("tools:", "methods: [subscriptions/listen], tools:");
    let world = World::new(&records.url()).policy("records.yaml", &format!("server: records\n{may}"));
    let views = "views: { all: { default: true, servers: { records: { tools: [\"*\"], prompts: [\"*\"], resources: [\"demo://*\"] } } } }\n";
    let gate = world.policy("views.yaml", views).start().await;
    let itself = async || ask(gate.data, "/views/all/mcp", "server/discover", "", None).await.json().unwrap();
    let told = json!({ "listChanged": true });
    let known = async || itself().await["result"]["capabilities"]["prompts"] == told;
    assert!(until(DEADLINE, known).await, "{}", itself().await);
    assert_eq!(itself().await["result"]["capabilities"]["resources"], told);

    let wanted = r#""notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;
    let mut stream = Connection::open(gate.data).await;
    stream.send(&at("/views/all/mcp", &post_modern("subscriptions/listen", wanted, None))).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    let first = hears(&mut stream, |_| true).await;
    let all = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    assert_eq!(first["params"]["notifications"], all);
    has(&records, "records", &["draft"], &["demo://records/1", "demo://records/2"]);
    assert_eq!(hears(&mut stream, |_| true).await["method"], "notifications/resources/list_changed");
    has(&records, "records", &["draft", "summarize"], &["demo://records/1", "demo://records/2"]);
    assert_eq!(hears(&mut stream, |_| true).await["method"], "notifications/prompts/list_changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_is_read_where_it_is_and_what_two_have_nowhere() {
    let two = Two::start().await;
    assert_eq!(two.names("resources/list", "resources", "uri").await, ["demo://billing/1", "demo://records/1"]);
    let templates = two.names("resources/templates/list", "resourceTemplates", "uriTemplate").await;
    assert_eq!(templates, ["demo://billing/{id}", "demo://records/{id}"]);
    for (uri, server) in [
        ("demo://billing/1", "billing"),
        ("demo://records/1", "records"),
        ("demo://records/2", "records"),
        ("demo://billing/2", "billing"),
    ] {
        let answer = two.ask("resources/read", &format!(r#""uri":"{uri}""#), Some(uri)).await;
        let content = &answer["result"]["contents"][0];
        assert_eq!(
            (&content["text"], &content["uri"]),
            (&json!(format!("{server} \"{uri}\"")), &json!(uri)),
            "{answer}"
        );
        let told = format!(r#""server":"{server}""#);
        assert!(two.gate.decisions.says(&told).await);
    }
    for uri in ["demo://shared", "demo://nobody/1", "other://x"] {
        let answer = two.ask("resources/read", &format!(r#""uri":"{uri}""#), Some(uri)).await;
        assert_eq!(answer["error"]["message"], format!("Resource not found: {uri}"), "{answer}");
    }
    let reference = r#""ref":{"type":"ref/resource","uri":"demo://billing/{id}"},"argument":{"name":"id","value":"1"}"#;
    let values = two.ask("completion/complete", reference, None).await["result"]["completion"]["values"][0].clone();
    assert!(values.as_str().is_some_and(|value| value.starts_with("billing ")), "{values}");
}
