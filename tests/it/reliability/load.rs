//! Callers that go on calling, over connections that they keep.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};

pub(super) use crate::support::size;

/// A count as metrics have it.
pub(super) fn precise(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}

/// Callers that go on until they are told to stop, or the gate ends their connections.
pub(super) struct Load {
    callers: JoinSet<Report>,
    stop: watch::Sender<bool>,
}

/// What they have heard.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Calls that were answered by a result.
    pub(super) answered: usize,
    /// Calls that were sent and not answered, or answered by something else; the first of each caller.
    pub(super) lost: Vec<String>,
    pub(super) slowest: Duration,
}

impl Load {
    /// So many callers of a tool that all may call, each with a connection of its own.
    pub(super) async fn start(gate: SocketAddr, callers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut load = JoinSet::new();
        for _ in 0..callers {
            load.spawn(call(Connection::open(gate).await, stopped.clone()));
        }
        Self { callers: load, stop }
    }

    /// Ends it, and says what was heard.
    pub(super) async fn stop(self) -> Report {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// The same, once the gate has ended it.
    pub(super) async fn ended(self) -> Report {
        let mut whole = Report::default();
        for report in self.callers.join_all().await {
            whole.answered += report.answered;
            whole.slowest = whole.slowest.max(report.slowest);
            whole.lost.extend(report.lost);
        }
        whole
    }
}

async fn call(mut connection: Connection, stopped: watch::Receiver<bool>) -> Report {
    let request = post(ALICE, &tool_call("1", "search_records", r#"{"q":"x"}"#));
    let mut report = Report::default();
    while !*stopped.borrow() {
        let sent = Instant::now();
        match connection.exchange(&request).await {
            Answer::Response(answer) if answer.text().contains(r#""result""#) => {
                report.answered += 1;
                report.slowest = report.slowest.max(sent.elapsed());
                if answer.head.first("connection") == Some("close") {
                    return report; // the next one goes to another replica
                }
            }
            other => {
                report.lost.push(format!("{other:?}"));
                return report;
            }
        }
    }
    report
}
