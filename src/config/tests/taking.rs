//! What of a configuration that changes counts at once, and what is named.

use std::collections::BTreeSet;
use std::fs;

use super::deployment::{deployment, file_of};
use crate::config::{self, Kept};

#[test]
fn what_of_a_new_configuration_counts_after_a_restart_is_named() {
    let server = |more: &str| format!("servers: {{ records: {{ url: http://a/mcp{more} }} }}\n");
    let folder = deployment("");
    let of = |text: &str| {
        fs::write(folder.path().join("tollgate.yaml"), text).unwrap();
        config::load(&file_of(folder.path()), Kept::Here).unwrap().config
    };
    let running = of(&server(""));
    for (new, waits) in [
        ("drain_timeout: 1s\nlisten: { origins: ['http://a'], timeouts: { idle: 1s } }\n", vec![]),
        (
            "listen: { address: '0.0.0.0:1', public_url: 'https://a/mcp' }\n",
            vec!["listen.address", "listen.hosts", "listen.public_url"],
        ),
        ("listen: { address: '0.0.0.0:1', hosts: [a] }\n", vec!["listen.address"]),
        ("admin: { address: '127.0.0.1:1' }\nsessions: { max: 1 }\n", vec!["admin.address", "sessions"]),
    ] {
        let (taken, named) = running.taking(of(&format!("{}{new}", server(""))));
        let named: BTreeSet<_> = named.iter().map(String::as_str).collect();
        assert_eq!(named, waits.into_iter().collect(), "{new}");
        assert_eq!(taken.listen.address, running.listen.address);
    }
    let more = ", max_in_flight: 1, timeouts: { connect: 2s, first_byte: 2s }, forward_headers: [x-a]";
    let (taken, named) = running.taking(of(&server(more)));
    let expected = ["forward_headers", "timeouts.connect", "max_in_flight"].map(|key| format!("servers.records.{key}"));
    assert_eq!(named, expected);
    let timeouts = taken.servers[0].shown.timeouts;
    assert_eq!((timeouts.connect.as_secs(), timeouts.first_byte.as_secs()), (1, 2));
}
