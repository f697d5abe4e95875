//! Problems in principals files.

use super::{load, shown, table, told, with_keys};

#[test]
fn a_key_never_stands_in_a_file_nor_in_what_is_told_about_it() {
    let said = shown(with_keys(
        "keys:\n  - { id: alice, key: tg_s3cr3t, roles: [reader] }\n",
    ));
    insta::assert_snapshot!(said, @r#"
    error: unknown key `key`
     --> policies/keys.yaml:2:18
      = help: keys never stand in files, only their hashes: `hash: "sha256:…"`
              `tollgate keys new` makes a key and prints such an entry; treat this one as leaked

    1 error, 0 warnings
    "#);
    assert!(!said.contains("tg_s3cr3t"));
    let said = shown(with_keys(
        "keys:\n  - { id: alice, hash: tg_s3cr3t, roles: [reader] }\n",
    ));
    insta::assert_snapshot!(said, @r"
    warning: the key `alice` never expires
     --> policies/keys.yaml:2:11
      = help: add `expires: YYYY-MM-DD`

    error: expected `sha256:` and 64 hexadecimal digits in lower case
     --> policies/keys.yaml:2:24
      = help: `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file

    1 error, 1 warning
    ");
    assert!(!said.contains("tg_s3cr3t"));
}

#[test]
fn keys() {
    let good = "{ id: alice, hash: \"HASH\", roles: [reader], expires: 2027-06-01 }";
    let cases = [
        &format!("keys: [{good}]\n"),
        "keys: []\n",
        "anonymous: false\n",
        "anonymous: yes\n",
        "anonymous: true\n",
        "keys: [{ hash: \"HASH\", roles: [reader] }]\n",
        "keys: [{ id: alice, roles: [reader] }]\n",
        "keys: [{ id: 'a b', hash: \"HASH\", roles: [reader], expires: 2027-06-01 }]\n",
        "keys: [{ id: anonymous, hash: \"HASH\", roles: [reader], expires: 2027-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [raeder], expires: 2027-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [operator], expires: 2027-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [], expires: 2027-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", expires: 2027-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [reader] }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [reader], expires: 2026-11-21 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [reader], expires: 2028-06-01 }]\n",
        "keys: [{ id: alice, hash: \"HASH\", roles: [reader], expires: tomorrow }]\n",
        &format!(
            "keys:\n- {good}\n- {{ id: bob, hash: \"HASH\", roles: [reader], expires: 2027-06-01 }}\n"
        ),
        &format!(
            "keys:\n- {good}\n- {{ id: alice, hash: \"{}\", roles: [reader], expires: 2027-06-01 }}\n",
            super::HASH.replace('8', "9")
        ),
    ];
    insta::assert_snapshot!(table(&cases, with_keys), @r#"
    keys: [{ id: alice, hash: "HASH", roles: [reader], expires: 2027-06-01 }]
        fits
    keys: []
        policies/keys.yaml:1:7 `keys` is empty | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    anonymous: false
        policies nobody could use this policy: it has neither keys nor `anonymous: true` | put `keys:` into a file such as policies/principals.yaml; `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    anonymous: yes
        policies/keys.yaml:1:12 expected `true` or `false`
    anonymous: true
        policies/keys.yaml:1:12 callers without a credential would hold a role that no policy file defines | say in a policy file what they may use: / roles: /   anonymous: { tools: [search_records] }
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    keys: [{ hash: "HASH", roles: [reader] }]
        policies/keys.yaml:1:91 the key `id` is missing here
    keys: [{ id: alice, roles: [reader] }]
        policies/keys.yaml:1:21 the key `hash` is missing here
    keys: [{ id: 'a b', hash: "HASH", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:14 `a b` cannot be the id of a key | use up to 128 of A-Z, a-z, 0-9 and `_.-@:/+`, beginning with a letter or digit
    keys: [{ id: anonymous, hash: "HASH", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:14 `anonymous` cannot be the id of a key | use up to 128 of A-Z, a-z, 0-9 and `_.-@:/+`, beginning with a letter or digit
    keys: [{ id: alice, hash: "HASH", roles: [raeder], expires: 2027-06-01 }]
        policies/keys.yaml:1:110 unknown role `raeder` | did you mean `reader`?
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    keys: [{ id: alice, hash: "HASH", roles: [operator], expires: 2027-06-01 }]
        policies/keys.yaml:1:110 unknown role `operator` | the policy files define `reader`
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    keys: [{ id: alice, hash: "HASH", roles: [], expires: 2027-06-01 }]
        policies/keys.yaml:1:109 `roles` is empty | name a role, or leave `roles` out
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    keys: [{ id: alice, hash: "HASH", expires: 2027-06-01 }]
        warning: policies/keys.yaml:1:14 the key `alice` holds no role and may use nothing | give it `roles: [...]`
        warning: policies/records.yaml:1:10 nobody holds the role `reader` | give it to a key under `keys:`, or delete it
    keys: [{ id: alice, hash: "HASH", roles: [reader] }]
        warning: policies/keys.yaml:1:14 the key `alice` never expires | add `expires: YYYY-MM-DD`
    keys: [{ id: alice, hash: "HASH", roles: [reader], expires: 2026-11-21 }]
        policies all keys have expired | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
        warning: policies/keys.yaml:1:128 the key `alice` has expired | replace it, or delete the entry
    keys: [{ id: alice, hash: "HASH", roles: [reader], expires: 2028-06-01 }]
        warning: policies/keys.yaml:1:128 the key `alice` is valid for more than 400 days | keys are easily replaced: two may be valid at once
    keys: [{ id: alice, hash: "HASH", roles: [reader], expires: tomorrow }]
        policies/keys.yaml:1:128 `tomorrow` is not a date | write `2027-06-01` (the first day on which the key is refused, UTC) or `2027-06-01T12:00:00Z`
    keys: ⏎ - { id: alice, hash: "HASH", roles: [reader], expires: 2027-06-01 } ⏎ - { id: bob, hash: "HASH", roles: [reader], expires: 2027-06-01 }
        policies/keys.yaml:3:20 two entries have this hash, so one key would prove two identities | the other is at policies/keys.yaml:2; `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: ⏎ - { id: alice, hash: "HASH", roles: [reader], expires: 2027-06-01 } ⏎ - { id: alice, hash: "sha256:9d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77", roles: [reader], expires: 2027-06-01 }
        policies/keys.yaml:3:9 two keys have the id `alice` | the other is at policies/keys.yaml:2; give each key an id of its own
    "#);
}

#[test]
fn hashes_that_protect_nothing() {
    let hash = |key: &str| crate::identity::hash_entry(key);
    let hashes = [
        hash(""),
        hash("changeme"),
        hash("1234567890123456"),
        format!("sha256:{}", "0".repeat(64)),
        format!("sha256:{}", "0123456789abcdef".repeat(4)),
        super::HASH.to_uppercase(),
        super::HASH.replace("sha256:", "md5:"),
        super::HASH.replace("sha256:", ""),
        "sha256:".to_owned(),
    ];
    let cases: Vec<_> = hashes
        .iter()
        .map(|hash| {
            format!(
                "keys: [{{ id: alice, hash: \"{hash}\", roles: [reader], expires: 2027-06-01 }}]\n"
            )
        })
        .collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_keys), @r#"
    keys: [{ id: alice, hash: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 this is the hash of a key that everyone knows: `` | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "sha256:057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 this is the hash of a key that everyone knows: `changeme` | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "sha256:7a51d064a1a216a692f753fcdab276e4ff201a01d8b66f56d50d4d719fd0dc87", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 this is the hash of a key that everyone knows: `1234567890123456` | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 this hash is a placeholder | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 this hash is a placeholder | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "SHA256:8D5A1A4D3E1C7C6B7C2A5B0EA1FBC0E5B3A4ED9A2C2B6AE5BB5E0A4C1B3C9D77", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "md5:8d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "8d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    keys: [{ id: alice, hash: "sha256:", roles: [reader], expires: 2027-06-01 }]
        policies/keys.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    "#);
}

#[test]
fn a_policy_that_nobody_could_use() {
    let policy: (&str, &[u8]) = ("records.yaml", b"roles: { reader: { tools: [a] } }\n");
    insta::assert_snapshot!(told(load(&[policy])), @"policies nobody could use this policy: it has neither keys nor `anonymous: true` | put `keys:` into a file such as policies/principals.yaml; `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file");
    let keys = format!(
        "keys: [{{ id: alice, hash: \"{}\", expires: 2027-06-01 }}]\n",
        super::HASH
    );
    insta::assert_snapshot!(told(load(&[("keys.yaml", keys.as_bytes())])), @r"
    policies there are keys, but no file says what they may do | write one with `roles:` or `allowed_tools:`; `tollgate init --server URL` makes a first one
    warning: policies/keys.yaml:1:14 the key `alice` holds no role and may use nothing | give it `roles: [...]`
    ");
    insta::assert_snapshot!(told(load(&[])), @"policies there is no policy file in this folder | policy files end in .yaml; `tollgate init --server URL` writes a first one");
}
