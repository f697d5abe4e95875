//! `tollgate.yaml` under a running gate. What can change while it runs does, as soon as the file says so; of the rest the gate says
//! by name that it counts after a restart: in the log, in `/readyz?verbose`, and in a metric for as long as it is so.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::admin::{AdminState, Standing};
use crate::config::{Config, Hosts, Listen};
use crate::proxy::{Door, Gateway, Snapshot, Terms};
use crate::telemetry::Reload;

/// Looks whether the file has changed, and takes what can be taken.
pub(super) struct Settings {
    /// What the gate runs on.
    running: Arc<Config>,
    gateway: Arc<Gateway>,
    state: Arc<AdminState>,
    /// Where the gate listens.
    address: SocketAddr,
    /// What the file says, and counts after a restart.
    waits: Vec<String>,
    /// What was said of a file that cannot be taken. It is said once, and not at every look.
    refused: Option<String>,
}

impl Settings {
    pub(super) fn new(
        running: Arc<Config>,
        gateway: Arc<Gateway>,
        state: Arc<AdminState>,
        address: SocketAddr,
    ) -> Self {
        state.telemetry.config(Reload::Ok);
        Self { running, gateway, state, address, waits: Vec::new(), refused: None }
    }

    pub(super) fn look(&mut self) {
        match self.running.file.reread() {
            // It says again what was taken.
            None if self.refused.take().is_some() => self.tell(),
            None => {}
            Some(Ok(new)) => {
                self.refused = None;
                self.take(new);
                self.tell();
            }
            Some(Err(problems)) => self.refuse(problems.to_string()),
        }
    }

    fn take(&mut self, new: Config) {
        let (running, waits) = self.running.taking(new);
        let terms = Arc::new(terms(&running, self.address));
        self.gateway.judge_by(|now| Snapshot { terms: Arc::clone(&terms), ..now.clone() });
        for served in self.gateway.routes.served() {
            if let Some(server) = running.servers.iter().find(|server| server.name == served.name) {
                served.upstream.allow(server.shown.timeouts);
            }
        }
        (self.running, self.waits) = (Arc::new(running), waits);
    }

    fn tell(&self) {
        if self.waits.is_empty() {
            tracing::info!("tollgate.yaml is what the gate runs on");
        } else {
            let waits = self.waits.join(", ");
            tracing::warn!("tollgate.yaml has changed; this of it counts after a restart: {waits}");
        }
        let standing = if self.waits.is_empty() { Standing::InForce } else { Standing::Waits(self.waits.clone()) };
        self.stand(standing);
    }

    fn refuse(&mut self, problems: String) {
        if self.refused.as_ref() == Some(&problems) {
            return;
        }
        tracing::error!("tollgate.yaml has changed, and no gate would start with it; this one goes on:\n{problems}");
        self.refused = Some(problems);
        self.stand(Standing::Refused);
    }

    fn stand(&self, standing: Standing) {
        self.state.telemetry.config(if standing == Standing::InForce { Reload::Ok } else { Reload::Refused });
        self.state.config.send_replace(standing);
    }
}

/// What holds for all messages to a gate that listens there.
pub(super) fn terms(config: &Config, address: SocketAddr) -> Terms {
    let Listen { timeouts, keep_alive, quota_header, .. } = config.listen;
    let drain_timeout = config.drain_timeout;
    Terms { door: door(config, address), timeouts, keep_alive, quota_header, drain_timeout }
}

/// What is taken over HTTP, now that the port is known.
fn door(config: &Config, address: SocketAddr) -> Door {
    let port = address.port();
    let own = || ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    let mut origins = config.listen.origins.clone();
    let hosts = match &config.listen.hosts {
        Hosts::Any => None,
        Hosts::Only(hosts) => Some(hosts.clone()),
        Hosts::Loopback => {
            // Whatever page came from here is the gate's own: nothing else listens on its port.
            origins.extend(own().map(|host| format!("{}://{host}", config.listen.scheme())));
            Some(own().to_vec())
        }
    };
    let hosts = hosts.map(|mut hosts: Vec<String>| {
        hosts.extend(config.servers.iter().flat_map(|server| server.hosts.iter().cloned()));
        hosts
    });
    let Listen { max_body_bytes, request_decompression, batches, timeouts, .. } = &config.listen;
    Door {
        hosts,
        origins,
        max_body_bytes: *max_body_bytes,
        body_timeout: timeouts.body,
        request_decompression: *request_decompression,
        batches: *batches,
    }
}
