//! Lines: of decisions on standard output, of the process on standard error, and of both with a collector.

use serde_json::Value;

use crate::support::DEADLINE;
use crate::support::collector::{Collector, Mood, attribute, hex, text};
use crate::support::gate::program;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, post, post_with, tool_call};
use crate::support::raw;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_spans_and_answers_name_a_request_alike() {
    let (collector, upstream) = (Collector::start(Mood::Ready).await, Upstream::start().await);
    let gate = World::new(&upstream.url())
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())])
        .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
        .environment(&[("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())])
        .environment(&[("OTEL_BLRP_SCHEDULE_DELAY", "50".to_owned())])
        .environment(&[("TOLLGATE_LOG", "info,tollgate=debug".to_owned())])
        .start()
        .await;
    let mut headers = LEGACY.to_vec();
    headers.extend([("x-api-key", ALICE), ("x-request-id", "4711")]);
    let refused = raw::call(gate.data, &post_with(&headers, &tool_call("1", "delete_record", "{}"))).await;
    let decision = refused.json().unwrap()["error"]["data"]["io.tollgate/decision"].as_str().unwrap().to_owned();
    assert_eq!(refused.head.all("x-request-id"), ["4711"]);

    let has = |line: &str| line.contains(&decision);
    let line: Value = serde_json::from_str(&gate.decisions.wait_since(0, DEADLINE, has).await.unwrap()).unwrap();
    let log: Value = serde_json::from_str(&gate.log.wait_since(0, DEADLINE, has).await.unwrap()).unwrap();
    assert_eq!((&line["decision"], &line["request_id"]), (&Value::from(&*decision), &Value::from("4711")));
    assert_eq!((&log["decision"], &log["message"]), (&Value::from(&*decision), &Value::from("refused")));
    assert_eq!(log["trace_id"], line["trace_id"]);
    let received = collector
        .wait_for(|received| {
            let of_it = |record: &[_]| attribute(record, "tollgate.decision.id").as_deref() == Some(&*decision);
            received.logs.iter().any(|log| of_it(&log.attributes))
                && received.spans.iter().any(|it| of_it(&it.attributes))
        })
        .await;
    let sent = received.logs.iter().find(|log| text(log.body.as_ref()) == "refused").expect("the same line");
    assert_eq!(Value::from(hex(&sent.trace_id)), line["trace_id"]);
    assert_eq!(Value::from(hex(&received.spans[0].trace_id)), line["trace_id"]);

    // What a caller calls its request may stand anywhere, or it is not called so.
    headers.pop();
    headers.push(("x-request-id", "a\"b <script>"));
    let other = raw::call(gate.data, &post_with(&headers, &tool_call("1", "search_records", "{}"))).await;
    let ours = other.head.first("x-request-id").expect("one of the gate's own").to_owned();
    assert!(ours.len() == 16 && ours.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ours}");
    assert_eq!(upstream.since(0).last().unwrap().head.all("x-request-id"), [&*ours]);
}

/// Whoever reads the output of the gate may stop reading (R25).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_who_does_not_read() {
    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let config = World::new(&upstream.url()).write_to(home.path());
    let mut child = std::process::Command::new(program())
        .args(["run", "--config"])
        .arg(&config)
        .current_dir(home.path())
        .env("TOLLGATE_LOG", "info,tollgate=debug")
        .env("OTEL_TRACES_EXPORTER", "console")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its log is read until it says where it listens, and then nothing of it is any more.
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let addresses = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        let mut line = String::new();
        while found.len() < 2 && std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0 {
            let address = line.split_once("://").and_then(|(_, rest)| rest.split(['/', '"']).next()?.parse().ok());
            found.extend(
                address.filter(|_: &std::net::SocketAddr| line.contains("listening on") || line.contains("admin on")),
            );
            line.clear();
        }
        (found, log)
    });
    let (addresses, _unread) = addresses.await.unwrap();
    let [admin, data]: [std::net::SocketAddr; 2] = addresses.try_into().expect("both say where they are");
    let request = post(ALICE, &tool_call("1", "delete_record", "{}"));
    let lost = async |log: &str| {
        let text = raw::get(admin, "/metrics").await.text();
        let name = format!("tollgate_log_dropped_total{{log=\"{log}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).unwrap_or_default() > 0.0
    };
    let mut connection = raw::Connection::open(data).await;
    let both_lost = async {
        loop {
            for _ in 0..500 {
                let answer = connection.exchange(&request).await;
                assert!(matches!(answer, raw::Answer::Response(_)), "{answer:?}");
            }
            if lost("decisions").await && lost("process").await {
                return;
            }
        }
    };
    let done = tokio::time::timeout(DEADLINE * 6, both_lost).await;
    let alive = until(DEADLINE, async || raw::get(admin, "/livez").await.status == 200).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done.is_ok() && alive, "lines are lost and counted, and every call is answered");
}
