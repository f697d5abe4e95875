//! A configuration that changes under a running gate: what of it counts at once, and what after a restart.

use super::{Callers, Config, Hosts, Listen, Server};
use crate::upstream::{Settings, Timeouts};

/// What has changed and counts after a restart, by its names in the file.
#[derive(Debug, Default)]
struct Waits(Vec<String>);

impl Waits {
    /// What is in force stays so.
    fn keep<T: Clone + PartialEq>(&mut self, name: &str, old: &T, new: &T) -> T {
        if old != new {
            self.0.push(name.to_owned());
        }
        old.clone()
    }
}

impl Config {
    /// This configuration with all of the new one that can change while the gate runs; and what has changed beside that. Every
    /// field is here and in those below either taken or kept, so that none can be forgotten.
    pub fn taking(&self, new: Self) -> (Self, Vec<String>) {
        let mut waits = Waits::default();
        let taken = Self {
            listen: self.listen.taking(new.listen, &mut waits),
            admin: waits.keep("admin.address", &self.admin, &new.admin),
            servers: self.servers_taking(new.servers, &mut waits),
            sessions: waits.keep("sessions", &self.sessions, &new.sessions),
            kill_switch: waits.keep("kill_switch", &self.kill_switch, &new.kill_switch),
            callers: Callers {
                kept: waits.keep("peppers", &self.callers.kept, &new.callers.kept),
                peppers: self.callers.peppers.clone(),
                // That they are asked stands in `listen.tls`.
                certificates: self.callers.certificates,
            },
            audit: waits.keep("audit", &self.audit, &new.audit),
            file: new.file,
            max_memory_bytes: waits.keep("max_memory_bytes", &self.max_memory_bytes, &new.max_memory_bytes),
            cache: waits.keep("cache", &self.cache, &new.cache),
            limits_store: waits.keep("limits_store", &self.limits_store, &new.limits_store),
            sealing_keys: waits.keep("sealing_keys", &self.sealing_keys, &new.sealing_keys),
            policies: waits.keep("policies", &self.policies, &new.policies),
            drain_timeout: new.drain_timeout,
        };
        (taken, waits.0)
    }

    fn servers_taking(&self, new: Vec<Server>, waits: &mut Waits) -> Vec<Server> {
        let names = |servers: &[Server]| servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
        if names(&self.servers) != names(&new) {
            waits.0.push("servers".to_owned());
            return self.servers.clone();
        }
        self.servers.iter().zip(new).map(|(old, new)| old.taking(new, waits)).collect()
    }
}

impl Listen {
    fn taking(&self, new: Self, waits: &mut Waits) -> Self {
        let files = |listen: &Self| listen.tls.as_ref().map(|tls| tls.files().clone());
        waits.keep("listen.tls", &files(self), &files(&new));
        // Which names count that nobody has said depends on the address.
        let said = |hosts: &Hosts| matches!(hosts, Hosts::Only(_));
        let hosts_stand = new.address == self.address || said(&new.hosts);
        Self {
            address: waits.keep("listen.address", &self.address, &new.address),
            hosts: if hosts_stand { new.hosts } else { waits.keep("listen.hosts", &self.hosts, &new.hosts) },
            public_url: waits.keep("listen.public_url", &self.public_url, &new.public_url),
            origins: new.origins,
            max_body_bytes: new.max_body_bytes,
            max_in_flight: waits.keep("listen.max_in_flight", &self.max_in_flight, &new.max_in_flight),
            request_decompression: new.request_decompression,
            batches: new.batches,
            keep_alive: new.keep_alive,
            timeouts: new.timeouts,
            quota_header: new.quota_header,
            tls: self.tls.clone(),
        }
    }
}

impl Server {
    fn taking(&self, new: Self, waits: &mut Waits) -> Self {
        let at = |key: &str| format!("servers.{}.{key}", self.name);
        let (old, settings) = (&self.shown, &new.shown);
        Self {
            name: new.name,
            endpoints: waits.keep(&at("url"), &self.endpoints, &new.endpoints),
            hosts: waits.keep(&at("hosts"), &self.hosts, &new.hosts),
            max_reply_bytes: waits.keep(&at("max_reply_bytes"), &self.max_reply_bytes, &new.max_reply_bytes),
            catalogue: waits.keep(&at("catalogue"), &self.catalogue, &new.catalogue),
            shown: Settings {
                forward_headers: waits.keep(&at("forward_headers"), &old.forward_headers, &settings.forward_headers),
                credential: waits.keep(&at("credential"), &old.credential, &settings.credential),
                assertion: waits.keep(&at("assertion"), &old.assertion, &settings.assertion),
                tls: waits.keep(&at("tls"), &old.tls, &settings.tls),
                breaker: waits.keep(&at("breaker"), &old.breaker, &settings.breaker),
                timeouts: Timeouts {
                    connect: waits.keep(&at("timeouts.connect"), &old.timeouts.connect, &settings.timeouts.connect),
                    first_byte: settings.timeouts.first_byte,
                    stream_idle: settings.timeouts.stream_idle,
                    total: settings.timeouts.total,
                },
                balance: waits.keep(&at("balance"), &old.balance, &settings.balance),
                max_in_flight: waits.keep(&at("max_in_flight"), &old.max_in_flight, &settings.max_in_flight),
            },
            // Where they stand in a file.
            credential: self.credential.clone(),
            written: self.written.clone(),
        }
    }
}
