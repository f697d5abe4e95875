//! Which headers prove which identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    AuthError, Authenticators, Known, Peppers, Presented, Principal, PrincipalsFile, Proof, WithoutRole, compile,
    hash_entry, new_key, parse_expiry, peppered_entry,
};
use crate::clock::{self, Moment};
use crate::diagnostic::SourceFile;
use crate::secret::Reference;

const ALICE: &str = "tg_own-key-of-no-form";
const CAROL: &str = "carols-expired-key";
const BOB: &str = "bobs.key~with+all/of=the68_characters==";

/// Alice, Bob, and Carol, whose key has expired.
fn authenticators(more: &str) -> Authenticators {
    let keys: Vec<_> = [("alice", ALICE, "2999-01-01"), ("bob", BOB, "2999-01-01"), ("carol", CAROL, "2001-01-01")]
        .iter()
        .map(|(id, key, end)| {
            format!("  - {{ id: {id}, hash: \"{}\", roles: [reader], expires: {end} }}\n", hash_entry(key))
        })
        .collect();
    let text = format!("keys:\n{}{more}", keys.concat());
    let file = PrincipalsFile::new(SourceFile::new("p.yaml", &text), serde_yaml::from_str(&text).unwrap());
    let known = Known {
        roles: Some(BTreeSet::from(["reader", "anonymous"])),
        without_role: WithoutRole::Nothing,
        now: parse_expiry("2026-11-21").unwrap(),
    };
    compile("p", &[file], &known).unwrap().authenticators
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
    lines.iter().map(|(key, value)| (name(key), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

/// Who it is, where nobody has to be asked.
fn identified(authenticators: &Authenticators, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
    authenticators.identify(Presented { headers, certificate: None }).now_or_never().unwrap()
}

/// The id, or why not.
fn who(authenticators: &Authenticators, lines: &[(&str, &str)]) -> Result<String, AuthError> {
    identified(authenticators, &headers(lines)).map(|principal| principal.id().to_string())
}

/// Header lines, and who or why not. ALICE, BOB and CAROL stand for their keys, HASH for the hash of Alice's, LONG for a
/// text that is too long, JWT for the token of an identity provider.
const CASES: &[(&str, &str)] = &[
    ("x-api-key: ALICE", "alice"),
    ("X-API-Key: BOB", "bob"),
    ("authorization: Bearer ALICE", "alice"),
    ("authorization: bEARER ALICE", "alice"),
    ("authorization: Bearer BOB", "Malformed"),
    ("", "Missing"),
    ("cookie: x-api-key=ALICE\nx-forwarded-user: alice\nx-gateway-principal: alice", "Missing"),
    ("proxy-authorization: Bearer ALICE", "Missing"),
    ("x-api-key: ALICE\nx-api-key: ALICE", "Several"),
    ("x-api-key: ALICE\nauthorization: Bearer ALICE", "Several"),
    ("x-api-key: \nauthorization: Bearer ALICE", "Several"),
    ("authorization: Bearer ALICE\nauthorization: Basic YTpi", "Several"),
    ("x-api-key: ", "Malformed"),
    ("x-api-key: short", "Malformed"),
    ("x-api-key: LONG", "Malformed"),
    ("x-api-key: ALICE ", "Malformed"),
    ("x-api-key: ALICE, BOB", "Malformed"),
    ("x-api-key: ALICE\u{e9}", "Malformed"),
    ("x-api-key: Bearer ALICE", "Malformed"),
    ("x-api-key: ALICE,BOB", "Unknown"),
    ("x-api-key: UPPER", "Unknown"),
    ("x-api-key: nobody-has-this-key", "Unknown"),
    ("x-api-key: HASH", "Unknown"),
    ("x-api-key: CAROL", "Expired { id: \"carol\" }"),
    ("authorization: Bearer", "Malformed"),
    ("authorization: Bearer ", "Malformed"),
    ("authorization: Bearer  ALICE", "Malformed"),
    ("authorization: Bearer ALICE, Basic YTpi", "Malformed"),
    ("authorization: Bearer ================", "Malformed"),
    ("authorization: Bearer\tALICE", "UnsupportedScheme"),
    ("authorization: ALICE", "UnsupportedScheme"),
    ("authorization: ", "UnsupportedScheme"),
    ("authorization: Basic YWxpY2U6cGFzc3dvcmQ=", "UnsupportedScheme"),
    ("authorization: Bearer JWT", "LooksLikeJwt"),
    ("authorization: Bearer JWTLONG", "LooksLikeJwt"),
    ("x-api-key: JWT", "LooksLikeJwt"),
    ("authorization: Bearer eyJub3RhaGVhZGVy.x.y", "Unknown"),
];

#[test]
fn one_credential_of_the_policy_and_nothing_else() {
    let gate = authenticators("");
    for (text, expected) in CASES {
        let text = text
            .replace("JWT", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl")
            .replace("LONG", &"k".repeat(513))
            .replace("HASH", &hash_entry(ALICE))
            .replace("UPPER", &ALICE.to_uppercase())
            .replace("ALICE", ALICE)
            .replace("BOB", BOB)
            .replace("CAROL", CAROL);
        let lines: Vec<_> = text.split('\n').filter_map(|line| line.split_once(": ")).collect();
        let said = who(&gate, &lines).unwrap_or_else(|error| format!("{error:?}"));
        assert_eq!(said, *expected, "{lines:?}");
    }
}

#[test]
fn a_mistyped_key_of_our_form_is_told_from_an_unknown_one() {
    let gate = authenticators("");
    let key = new_key().unwrap().0;
    assert_eq!(who(&gate, &[("x-api-key", &key)]), Err(AuthError::Unknown));
    let mistyped = format!("{key}0");
    assert_eq!(who(&gate, &[("x-api-key", &mistyped)]), Err(AuthError::Malformed));
}

/// The same at this moment.
fn identified_at(authenticators: &Authenticators, key: &str, at: &str) -> Result<Arc<Principal>, AuthError> {
    let now = Moment { wall: parse_expiry(at).unwrap(), ..clock::now() };
    let headers = headers(&[("x-api-key", key)]);
    let presented = Presented { headers: &headers, certificate: None };
    authenticators.identify_at(presented, now).now_or_never().unwrap()
}

#[test]
fn while_one_key_replaces_another_both_prove_the_same_each_to_its_own_end() {
    let hashes = [("the-old-key-of-dora", "2027-01-01"), ("the-new-key-of-dora", "2028-01-01")]
        .map(|(key, end)| format!("{{ hash: \"{}\", expires: {end} }}", hash_entry(key)));
    let gate =
        authenticators(&format!("  - {{ id: dora, roles: [reader], hashes: [{}, {}] }}\n", hashes[0], hashes[1]));
    let ends = |key: &str, at: &str| identified_at(&gate, key, at).map(|dora| dora.expires());
    let expired = Err(AuthError::Expired { id: Arc::from("dora") });
    assert_eq!(ends("the-old-key-of-dora", "2026-12-31"), Ok(parse_expiry("2027-01-01")));
    assert_eq!(ends("the-new-key-of-dora", "2026-12-31"), Ok(parse_expiry("2028-01-01")));
    assert_eq!(ends("the-old-key-of-dora", "2027-01-01"), expired);
    assert_eq!(ends("the-new-key-of-dora", "2027-01-01"), Ok(parse_expiry("2028-01-01")));
    assert_eq!(ends("the-new-key-of-dora", "2028-01-01"), expired);
    assert_eq!(gate.keys()["dora"].end(), parse_expiry("2028-01-01"));
}

#[test]
fn what_a_key_has_opened_goes_on_only_while_this_very_key_is_good() {
    let with =
        |key: &str| authenticators(&format!("  - {{ id: dora, hash: \"{}\", roles: [reader] }}\n", hash_entry(key)));
    let (before, after) = (with("the-leaked-key-of-dora"), with("the-fresh-key-of-dora"));
    let dora = identified(&before, &headers(&[("x-api-key", "the-leaked-key-of-dora")])).unwrap();
    assert!(before.still(&dora).is_some());
    assert!(after.still(&dora).is_none(), "whoever has the old key is not let on because its id has a new one");
}

#[test]
fn a_hash_with_a_pepper_is_worth_nothing_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        Reference::File(folder.path().join(name))
    };
    let (pepper, other) = (kept("p1", "0123456789abcdef-of-p1"), kept("p2", "0123456789abcdef-of-p2"));
    let entry = peppered_entry("the-only-key-of-dora", "p1", &pepper).unwrap();
    let gate = || authenticators(&format!("  - {{ id: dora, hash: \"{entry}\", roles: [reader] }}\n"));
    let peppers = |kept: &[(&str, &Reference)]| {
        let mut peppers = Peppers::default();
        for (id, kept) in kept {
            peppers.read(id, kept).unwrap();
        }
        Arc::new(peppers)
    };
    let who = |gate: &Authenticators| who(gate, &[("x-api-key", "the-only-key-of-dora")]);
    assert_eq!(who(&gate().peppered(&peppers(&[("p0", &other), ("p1", &pepper)]))), Ok("dora".to_owned()));
    assert_eq!(who(&gate()), Err(AuthError::Unknown));
    assert_eq!(who(&gate().peppered(&peppers(&[("p1", &other)]))), Err(AuthError::Unknown), "another secret");
    assert_eq!(who(&gate().peppered(&peppers(&[("p2", &pepper)]))), Err(AuthError::Unknown), "another id");
    assert!(!format!("{:?}", peppers(&[("p1", &pepper)])).contains("of-p1"));
    let short = Peppers::default().read("p1", &kept("short", "0123456789")).unwrap_err().to_string();
    assert_eq!(short, "it has fewer than 16 bytes");
}

#[test]
fn anonymous_is_only_who_shows_nothing_where_that_is_spelt_out() {
    for (policy, expected) in [("anonymous: true\n", Ok("anonymous")), ("anonymous: false\n", Err(AuthError::Missing))]
    {
        let gate = authenticators(policy);
        assert_eq!(who(&gate, &[]), expected.map(str::to_owned));
        for bad in ["", "short", "nobody-has-this-key", CAROL] {
            assert!(who(&gate, &[("x-api-key", bad)]).is_err(), "{bad}");
            assert!(who(&gate, &[("authorization", bad)]).is_err(), "{bad}");
        }
        assert_eq!(who(&gate, &[("x-api-key", ALICE)]), Ok("alice".to_owned()));
    }
    let principal = identified(&authenticators("anonymous: true\n"), &HeaderMap::new()).unwrap();
    assert_eq!(principal.proof(), &Proof::Anonymous);
    assert_eq!(principal.roles(), [Arc::from("anonymous")]);
}

#[test]
fn no_text_for_operators_holds_a_credential() {
    let gate = authenticators("");
    for key in ["nobody-has-this-key", "short", CAROL] {
        let error = identified(&authenticators(""), &headers(&[("x-api-key", key)])).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(key));
    }
    assert!(!format!("{gate:?}").contains(ALICE));
}
