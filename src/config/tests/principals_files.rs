//! Problems in principals files.

use super::{load, shown, table, told, with_keys};

#[test]
fn a_key_never_stands_in_a_file_nor_in_what_is_told_about_it() {
    let said = shown(with_keys("keys:\n  - { id: alice, key: tg_s3cr3t, roles: [reader] }\n"));
    insta::assert_snapshot!(said, @r#"
    error[secret-in-file]: unknown key `key`
     --> policies/keys.yaml:2:18
      = help: keys never stand in files, only their hashes: `hash: "sha256:…"`
              `tollgate keys new` makes a key and prints such an entry; treat this one as leaked

    1 error, 0 warnings
    "#);
    assert!(!said.contains("tg_s3cr3t"));
    let said = shown(with_keys("keys:\n  - { id: alice, hash: tg_s3cr3t, roles: [reader] }\n"));
    insta::assert_snapshot!(said, @r"
    warning[key-never-expires]: the key `alice` never expires
     --> policies/keys.yaml:2:11
      = help: add `expires: YYYY-MM-DD`

    error[secret-in-file]: this is a key itself, not its hash
     --> policies/keys.yaml:2:24
      = help: treat it as leaked; `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file

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
        &format!("keys:\n- {good}\n- {{ id: bob, hash: \"HASH\", roles: [reader], expires: 2027-06-01 }}\n"),
        &format!(
            "keys:\n- {good}\n- {{ id: alice, hash: \"{}\", roles: [reader], expires: 2027-06-01 }}\n",
            super::HASH.replace('8', "9")
        ),
    ];
    insta::assert_snapshot!(table(&cases, with_keys));
}

#[test]
fn keys_that_replace_others() {
    let hash = |last: char| super::HASH.replace('8', &last.to_string());
    let one = |last: char, expires: &str| format!("{{ hash: \"{}\", expires: {expires} }}", hash(last));
    let entry = |more: &str| format!("keys: [{{ id: alice, roles: [reader], {more} }}]\n");
    let pepper = super::HASH.replace("sha256:", "hmac-sha256:p1:");
    let cases = [
        entry(&format!("hash: \"{}\", expires: 2026-12-05", hash('1'))),
        entry(&format!("hash: \"{}\", expires: 2026-12-06", hash('1'))),
        entry(&format!("hash: \"{}\", expires: \"2026-11-21T06:00:00Z\"", hash('1'))),
        entry(&format!("hashes: [{}, {}]", one('1', "2026-11-30"), one('2', "2027-06-01"))),
        entry(&format!("hashes: [{}, {}]", one('1', "2026-11-30"), one('2', "2026-12-02"))),
        entry(&format!("hashes: [{}]", one('1', "2020-01-01"))),
        entry(&format!("hashes: [{}, {}]", one('1', "2027-06-01"), one('1', "2027-06-01"))),
        entry("hashes: []"),
        entry(&format!("hashes: [{}]", ['1', '2', '3', '4', '6'].map(|last| one(last, "2027-06-01")).join(", "))),
        entry(&format!("hash: \"{}\", hashes: [{}]", hash('1'), one('2', "2027-06-01"))),
        entry(&format!("hashes: [{}], expires: 2027-06-01", one('2', "2027-06-01"))),
        entry(&format!("hash: \"{pepper}\", expires: 2027-06-01")),
        entry(&format!("hash: \"{}\", expires: 2027-06-01", pepper.replace("p1:", ""))),
        entry(&format!("hash: \"{}\", expires: 2027-06-01", pepper.replace("p1", "P 1"))),
    ];
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_keys));
}

#[test]
fn issuers_that_are_asked_about_their_tokens() {
    let entry = |issuer: &str, more: &str| {
        format!(
            "{{ issuer: \"https://{issuer}.test\", audience: a, introspection: {{ url: \"https://{issuer}.test/introspect\"{more}"
        )
    };
    let named = ", client_id: gate, client_secret: env:SECRET";
    let cases = [
        entry("a", &format!("{named} }}")),
        entry("a", &format!("{named} }}, algorithms: [ES256], jwks_url: \"https://a.test/keys\", bearer: env:X")),
        entry("a", ", client_id: gate, client_secret: hunter2 }"),
        entry("a", ", client_id: ' ', client_secret: env:SECRET }"),
        entry("a", &format!("{named}, cache: 1h }}")),
        entry("a", " }"),
        entry("a", &format!("{named} }}")).replace("https://a.test/introspect", "http://a.test/introspect"),
        entry("a", &format!("{named} }}")).replace("https://a.test/introspect", "https://me:hunter2@a.test/introspect"),
        format!("{} }}, {}", entry("a", &format!("{named} }}")), entry("b", &format!("{named} }}"))),
    ];
    let cases: Vec<_> = cases.iter().map(|entry| format!("tokens: [{entry} }}]\n")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    let said = table(&cases, with_keys);
    insta::assert_snapshot!(said);
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
        .map(|hash| format!("keys: [{{ id: alice, hash: \"{hash}\", roles: [reader], expires: 2027-06-01 }}]\n"))
        .collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_keys));
}

#[test]
fn a_policy_that_nobody_could_use() {
    let policy: (&str, &[u8]) = ("records.yaml", b"roles: { reader: { tools: [a] } }\n");
    insta::assert_snapshot!(told(load(&[policy])), @"policies nobody could use this policy: it has neither `keys` nor `certificates` nor `tokens` nor `anonymous: true` | put `keys:` into a file such as policies/principals.yaml; `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file");
    let keys = format!("keys: [{{ id: alice, hash: \"{}\", expires: 2027-06-01 }}]\n", super::HASH);
    insta::assert_snapshot!(told(load(&[("keys.yaml", keys.as_bytes())])), @r"
    policies there are keys, but no file says what they may do | write one with `roles:` or `allowed_tools:`; `tollgate init --server URL` makes a first one
    warning: policies/keys.yaml:1:14 the key `alice` holds no role and may use nothing | give it `roles: [...]`
    ");
    insta::assert_snapshot!(told(load(&[])), @"policies there is no policy file in this folder | policy files end in .yaml; `tollgate init --server URL` writes a first one");
}
