//! What is said about files that are wrong, and that those which are right are read as meant.

use super::{Folder, Policies, Reach};
use crate::diagnostic::Diagnostics;
use crate::mcp::ServerName;

/// The hash of a key that nobody knows.
const HASH: &str = "sha256:8d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77";

fn principals() -> (String, Vec<u8>) {
    let text = format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [reader], expires: 2027-06-01 }}]\n");
    ("principals.yaml".to_owned(), text.into_bytes())
}

fn load(files: Vec<(String, Vec<u8>)>) -> Result<Policies, Diagnostics> {
    let folder = Folder::of("policies".to_owned(), files);
    folder.compile(&[ServerName::new("records").unwrap()], Reach::Loopback)
}

/// What is said about one policy file beside a principals file.
fn policy(text: &str) -> String {
    told(load(vec![principals(), ("records.yaml".to_owned(), text.as_bytes().to_vec())]))
}

/// What is said about a principals file beside a policy that defines the role `reader`.
fn keys(text: &str) -> String {
    let policy = "roles: { reader: { tools: [search_records] } }\n";
    told(load(vec![
        ("keys.yaml".to_owned(), text.replace("HASH", HASH).into_bytes()),
        ("records.yaml".to_owned(), policy.as_bytes().to_vec()),
    ]))
}

fn told(result: Result<Policies, Diagnostics>) -> String {
    match result {
        Ok(policies) => format!("fits\n\n{}", policies.warnings),
        Err(found) => format!("{found}{}", found.summary()),
    }
    .trim_end()
    .to_owned()
}

#[test]
fn the_example_fits() {
    insta::assert_snapshot!(policy("server: records\nroles: { reader: { tools: [search_records] } }\ntools:\n  search_records:\n    limits:\n      - { calls: 60, every: 1m, per: principal }\n      - { in_flight: 8, per: tool }\n    timeout: 5s\n"), @"");
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(policy("roles:\n  reader: { tolls: [x] }\n"), @"");
    insta::assert_snapshot!(policy("roles:\n  reader: { tools: [x], deny: [y] }\n"), @"");
    insta::assert_snapshot!(policy("version: 1\nallow: [x]\n"), @"");
    insta::assert_snapshot!(keys("keys:\n  - { id: alice, key: tg_s3cr3t, roles: [reader] }\n"), @"");
    insta::assert_snapshot!(policy("roles: { reader: { tools: [a] } }\nkeys: []\n"), @"");
}

#[test]
fn wrong_kinds_of_values() {
    insta::assert_snapshot!(policy("roles:\n  reader: { tools: search_records }\n"), @"");
    insta::assert_snapshot!(policy("roles: [reader]\n"), @"");
    insta::assert_snapshot!(policy("roles:\n  reader: { tools: [12] }\n"), @"");
    insta::assert_snapshot!(policy("roles:\n  reader:\n    tools:\n"), @"");
    insta::assert_snapshot!(policy("tools:\n  a: { limits: [{ calls: -1, every: 1m, per: principal }] }\n"), @"");
    insta::assert_snapshot!(policy("tools:\n  a: { limits: [{ calls: sixty, every: 1m, per: principal }] }\n"), @"");
    insta::assert_snapshot!(keys("anonymous: yes\n"), @"");
}
