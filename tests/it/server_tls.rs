//! TLS towards the server: whom the gate believes there, and the certificate that it shows.

use crate::support::front::Front;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::pki::{Authority, put};
use crate::support::raw;
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, until};

async fn call(gate: &Gate) -> serde_json::Value {
    raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await.json().unwrap_or_default()
}

async fn reaches(gate: &Gate) -> bool {
    call(gate).await.get("result").is_some()
}

const MUTUAL: &str = "tls: { ca: ca.crt, certificate: tls.crt, key: 'file:HOME/tls.key' }, breaker: { pause: 10ms }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_a_certificate_gets_it_and_a_new_one_when_the_files_change() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let upstream = Upstream::start().await;
    let front = Front::start(upstream.address, &servers.server(), &clients.pem).await;
    let (first, second) = (clients.client(&["gate.example.com"]), clients.client(&["gate-2.example.com"]));
    let world = World::new(&format!("https://{}/mcp", front.address)).server(MUTUAL).file("ca.crt", &servers.pem);
    let gate = world.file("tls.crt", &first.certificate).file("tls.key", &first.key).start().await;
    assert!(reaches(&gate).await, "{}", gate.log.text());
    assert_eq!(front.shown().as_ref(), first.chain().first());

    // A certificate without its key is not taken; what was before goes on.
    put(&gate.file("tls.crt"), &second.certificate);
    let told = gate.log.wait_since(0, DEADLINE, |line| line.contains("the key is not that of the certificate"));
    assert!(told.await.is_some(), "{}", gate.log.text());
    assert!(reaches(&gate).await);
    put(&gate.file("tls.key"), &second.key);
    let renewed = until(DEADLINE, async || reaches(&gate).await && front.shown().as_ref() == second.chain().first());
    assert!(renewed.await, "{}", gate.log.text());
    assert!(!gate.log.text().contains("PRIVATE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_taken_for_the_server() {
    let (servers, clients, others) = (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let upstream = Upstream::start().await;
    let front = Front::start(upstream.address, &servers.server(), &clients.pem).await;
    let shown = clients.client(&["gate.example.com"]);
    for (said, ca) in [
        // Of another authority than the one that is believed; of the system's, which knows nothing of it.
        (MUTUAL.to_owned(), &others.pem),
        (MUTUAL.replace("ca: ca.crt, ", ""), &others.pem),
        // Of the right one, but with another name.
        (MUTUAL.replace("ca: ca.crt", "ca: ca.crt, server_name: records.internal"), &servers.pem),
    ] {
        let world = World::new(&format!("https://{}/mcp", front.address)).server(&said).file("ca.crt", ca);
        let gate = world.file("tls.crt", &shown.certificate).file("tls.key", &shown.key).start().await;
        let answer = call(&gate).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["executed"]),
            (&(-31502).into(), &"no".into()),
            "{answer}"
        );
    }
    // And with a name that it has, whatever the URL calls it.
    let named = MUTUAL.replace("ca: ca.crt", "ca: ca.crt, server_name: localhost");
    let world = World::new(&format!("https://{}/mcp", front.address)).server(&named).file("ca.crt", &servers.pem);
    let gate = world.file("tls.crt", &shown.certificate).file("tls.key", &shown.key).start().await;
    assert!(reaches(&gate).await, "{}", gate.log.text());
    assert_eq!(upstream.count(), 1);
}
