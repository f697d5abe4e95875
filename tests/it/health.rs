//! `tollgate health` is as true as the probes it stands for.

use crate::commands::{home, said, tollgate};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_is_healthy_while_it_can_answer_calls_and_alive_even_without_its_server() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let home = home(&[]);
    let admin = gate.admin.to_string();
    let ready = async || said(&tollgate(home.path(), &["health", "--admin", &admin]).await) == "exit 0\nready\n";
    assert!(until(DEADLINE, ready).await);

    let gate = World::new("http://127.0.0.1:1/mcp").start().await;
    let admin = gate.admin.to_string();
    let health = said(&tollgate(home.path(), &["health", "--admin", &admin]).await);
    assert!(health.starts_with("exit 1\n") && health.contains("upstream"), "{health}");
    let live = said(&tollgate(home.path(), &["health", "--live", "--admin", &admin]).await);
    assert!(live.starts_with("exit 0\n"), "{live}");
}

#[tokio::test]
async fn where_no_gate_is_none_is_healthy() {
    let home = home(&[("tollgate.yaml", "admin: { address: 0.0.0.0:1 }\n")]);
    let health = said(&tollgate(home.path(), &["health"]).await);
    assert!(health.starts_with("exit 1\nhttp://127.0.0.1:1/readyz does not answer"), "{health}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_says_nothing_of_health() {
    let home = home(&[("tollgate.yaml", "admin: { adress: 127.0.0.1:1 }\n")]);
    let health = said(&tollgate(home.path(), &["health"]).await);
    assert!(health.starts_with("exit 2\n") && health.contains("unknown key `adress`"), "{health}");
}
