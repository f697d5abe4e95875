//! Which tokens prove whom, with an issuer behind a real socket and a clock that is turned by hand.

#[path = "../../../../tests/it/support/issuer.rs"]
mod issuer;
mod opaque;
mod providers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use self::issuer::{Answer, Issuer, Signer, base64url, published, seconds};
use crate::clock::{self, Moment};
use crate::diagnostic::SourceFile;
use crate::identity::{self, AuthError, Authenticators, Known, Presented, PrincipalsFile, Proof, WithoutRole};

const AUDIENCE: &str = "https://gateway.test/mcp";

/// A gate that takes the tokens of this issuer.
fn gate(issuer: &Issuer, more: &str) -> Authenticators {
    let url = issuer.url();
    let entry = format!("issuer: {url}, audience: \"{AUDIENCE}\", allow_addresses: [127.0.0.0/8]{more}");
    compiled(&format!("tokens: [{{ {entry} }}]\n"))
}

/// A gate with this principals file.
fn compiled(text: &str) -> Authenticators {
    let file = PrincipalsFile::new(SourceFile::new("p.yaml", text), serde_yaml::from_str(text).unwrap());
    let known = Known {
        roles: Some(BTreeSet::from(["reader", "operator"])),
        without_role: WithoutRole::Something,
        now: clock::wall(),
    };
    identity::compile("p", &[file], &known).map_err(|found| found.to_string()).unwrap().authenticators
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())])
}

/// The id, or why not.
async fn who(gate: &Authenticators, token: &str, now: Moment) -> Result<String, &'static str> {
    let headers = bearer(token);
    let principal = gate.identify_at(Presented { headers: &headers, certificate: None }, now).await;
    principal.map(|principal| principal.id().to_string()).map_err(|error| error.reason())
}

/// What alice's token says, and these members besides or instead; `null` takes one away.
fn claims(issuer: &Issuer, other: &Value) -> Value {
    let mut claims = json!({
        "iss": issuer.url(), "aud": AUDIENCE, "sub": "alice", "iat": seconds(-60), "nbf": seconds(-60),
        "exp": seconds(300), "scope": "a b",
    });
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn a_token_is_right_in_every_part_or_proves_nobody() {
    let (ours, other) = (Signer::es256("k1"), Signer::es256("k1"));
    let issuer = Issuer::start(published(&[&ours])).await;
    let gate = gate(&issuer, ", algorithms: [ES256, RS256]");
    let now = clock::now();
    for (changed, said) in [
        (json!({}), Ok("alice")),
        (json!({ "aud": ["https://other.test", AUDIENCE] }), Ok("alice")),
        (json!({ "nbf": null, "iat": null }), Ok("alice")),
        (json!({ "exp": seconds(-25) }), Ok("alice")),
        (json!({ "nbf": seconds(25) }), Ok("alice")),
        (json!({ "sub": "system:serviceaccount:agents:reporter" }), Ok("system:serviceaccount:agents:reporter")),
        (json!({ "sub": "auth0|5f7c" }), Ok("auth0|5f7c")),
        (json!({ "exp": seconds(-31) }), Err("token_expired")),
        (json!({ "nbf": seconds(40) }), Err("token_not_yet")),
        (json!({ "iat": seconds(40) }), Err("token_not_yet")),
        (json!({ "exp": null }), Err("token_claim")),
        (json!({ "exp": "99999999999" }), Err("token_claim")),
        (json!({ "exp": 1e300 }), Err("token_claim")),
        (json!({ "exp": -1 }), Err("token_claim")),
        (json!({ "nbf": "0" }), Err("token_claim")),
        (json!({ "aud": null }), Err("token_audience")),
        (json!({ "aud": "https://gateway.test/mcp/" }), Err("token_audience")),
        (json!({ "aud": [] }), Err("token_audience")),
        (json!({ "aud": [AUDIENCE, { "x": 1 }] }), Err("token_audience")),
        (json!({ "iss": "http://127.0.0.1:1" }), Err("token_issuer")),
        (json!({ "iss": format!("{}/", issuer.url()) }), Err("token_issuer")),
        (json!({ "iss": [issuer.url()] }), Err("token_issuer")),
        (json!({ "sub": null }), Err("token_claim")),
        (json!({ "sub": "" }), Err("token_claim")),
        (json!({ "sub": 7 }), Err("token_claim")),
        (json!({ "sub": "anonymous" }), Err("token_claim")),
        (json!({ "sub": "a\r\nx-evil: 1" }), Err("token_claim")),
        (json!({ "sub": "a".repeat(257) }), Err("token_claim")),
        (json!({ "cnf": { "jkt": "x" } }), Err("token_claim")),
        (json!({ "deep": nested(20) }), Err("token_malformed")),
    ] {
        let claims = claims(&issuer, &changed);
        assert_eq!(who(&gate, &ours.token(&claims), now).await, said.map(str::to_owned), "{changed}");
        // Whatever it says, a signature of somebody else is worth nothing.
        assert!(who(&gate, &other.token(&claims), now).await.is_err(), "{changed}");
    }
    assert_eq!(who(&gate, &other.token(&claims(&issuer, &json!({}))), now).await, Err("token_signature"));
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

#[tokio::test]
async fn a_header_has_one_reading_and_brings_no_key() {
    let (first, second) = (Signer::es256("k1"), Signer::rs256("k2"));
    let issuer = Issuer::start(published(&[&first, &second, &Signer::es256("k3")])).await;
    let gate = gate(&issuer, ", algorithms: [ES256]");
    let now = clock::now();
    let claims = claims(&issuer, &json!({})).to_string();
    for (header, said) in [
        (r#"{"alg":"ES256","kid":"k1"}"#, Ok("alice")),
        (r#"{"alg":"ES256","kid":"k1","typ":"AT+JWT"}"#, Ok("alice")),
        (r#"{"alg":"ES256","kid":"k1","typ":"application/at+jwt","x5t":"abc"}"#, Ok("alice")),
        (r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, Ok("alice")),
        (r#"{"alg":"ES256","kid":"k1","typ":"logout+jwt"}"#, Err("token_kind")),
        (r#"{"alg":"ES256","kid":"k1","typ":7}"#, Err("token_malformed")),
        (r#"{"alg":"ES256"}"#, Err("token_key")),
        (r#"{"alg":"ES256","kid":"k3"}"#, Err("token_signature")),
        (r#"{"alg":"ES256","kid":"k2"}"#, Err("token_key")),
        (r#"{"alg":"ES256","kid":"../../dev/null"}"#, Err("token_key")),
        (r#"{"alg":"ES256","kid":["k1"]}"#, Err("token_malformed")),
        (r#"{"alg":"RS256","kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"alg":"none","kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"alg":"None","kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"alg":"HS256","kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"alg":"es256","kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"kid":"k1"}"#, Err("token_algorithm")),
        (r#"{"alg":"none","alg":"ES256","kid":"k1"}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","crit":[]}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","jku":"https://evil.test/"}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","x5u":"https://evil.test/"}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","x5c":[]}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","jwk":{}}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1","b64":false}"#, Err("token_malformed")),
        (r#"{"alg":"ES256","kid":"k1"} x"#, Err("token_malformed")),
    ] {
        assert_eq!(who(&gate, &first.sign(header, &claims), now).await, said.map(str::to_owned), "{header}");
    }
    let twice = claims.replacen('{', r#"{"sub":"bob","#, 1);
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    assert_eq!(who(&gate, &first.sign(header, &twice), now).await, Err("token_malformed"));
    let good = first.sign(header, &claims);
    for bad in [
        format!("{good}="),
        format!("{good}.x"),
        good.strip_suffix(|_| true).unwrap().to_owned(),
        good.rsplit_once('.').unwrap().0.to_owned(),
        format!("{}.", good.rsplit_once('.').unwrap().0),
        first.sign(header, &claims.replacen('{', &format!(r#"{{"pad":"{}","#, "a".repeat(17_000)), 1)),
    ] {
        assert!(who(&gate, &bad, now).await.is_err(), "{bad:.60}");
    }
    assert_eq!(who(&gate, &good, now).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn roles_scopes_and_claims_are_what_the_file_says_they_are() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let map = ", roles: { claim: realm_access.roles, map: { mcp-analyst: reader, admins: operator } }";
    let kept =
        ", claims: { store: [\"https://example.com/store\"], level: level, stores: stores, gone: gone, deep: deep }";
    let token = signer.token(&claims(
        &issuer,
        &json!({
            "realm_access": { "roles": ["mcp-analyst", "other", "reader", 7] }, "https://example.com/store": "s1", "level": 7,
            "stores": ["s1", 2, true], "deep": { "a": 1 }, "admin": true,
        }),
    ));
    let held = async |more: &str| {
        let headers = bearer(&token);
        gate(&issuer, more).identify(Presented { headers: &headers, certificate: None }).await.unwrap()
    };
    let alice = held(&format!("{map}{kept}")).await;
    assert_eq!(alice.roles(), [Arc::from("reader")]);
    assert_eq!(alice.scopes().collect::<Vec<_>>(), ["a", "b"]);
    let known: Vec<_> = alice.claims().map(|(name, claim)| format!("{name}={claim}")).collect();
    let iss = format!("iss={}", issuer.url());
    assert_eq!(known, [iss.as_str(), "level=7", "store=s1", "stores=[s1, 2, true]", "sub=alice"]);
    let Proof::Token(proof) = alice.proof() else { panic!("{alice:?}") };
    assert_eq!((proof.token.expose(), &*proof.issuer), (token.as_str(), issuer.url().as_str()));
    assert_eq!(**alice.account(), format!("{}#alice", issuer.url()));
    assert!(!format!("{alice:?}").contains(&token));
    let all = held(", roles: { claim: realm_access.roles }").await;
    assert_eq!(all.roles(), [Arc::from("mcp-analyst"), Arc::from("other"), Arc::from("reader")]);
    assert!(held("").await.roles().is_empty());
    assert!(held(", roles: { claim: realm_access }").await.roles().is_empty());
}

#[tokio::test]
async fn keys_are_renewed_when_old_and_unknown_ones_are_asked_for_seldom() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let issuer = Issuer::start(published(&[&old])).await;
    let gate = gate(&issuer, ", leeway: 5m");
    let begin = clock::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let year = json!({ "exp": seconds(400 * 86_400) });
    let (by_old, by_new) = (old.token(&claims(&issuer, &year)), new.token(&claims(&issuer, &year)));
    for _ in 0..3 {
        assert_eq!(who(&gate, &by_old, at(0)).await, Ok("alice".to_owned()));
    }
    assert_eq!(issuer.asked(), 1);

    // Tokens of nobody make the gate ask once, and once again 30 s later.
    for kid in 0..50 {
        let forged = Signer::es256(&format!("random-{kid}")).token(&claims(&issuer, &year));
        assert_eq!(who(&gate, &forged, at(10)).await, Err("token_key"));
    }
    assert_eq!(issuer.asked(), 2);
    assert_eq!(who(&gate, &by_new, at(39)).await, Err("token_key"));
    assert_eq!(issuer.asked(), 2);

    // A key that is new is found when somebody shows it.
    issuer.answer(published(&[&old, &new]));
    assert_eq!(who(&gate, &by_new, at(40)).await, Ok("alice".to_owned()));
    assert_eq!(issuer.asked(), 3);

    // One that was withdrawn counts no more once the keys have been renewed, whatever was verified before.
    issuer.answer(published(&[&new]));
    gate.renew_keys(at(600));
    assert_eq!(issuer.asked(), 3, "young keys are left alone");
    gate.renew_keys(at(641));
    settled(&gate, at(641), 4).await;
    assert_eq!(who(&gate, &by_old, at(671)).await, Err("token_key"));
    assert_eq!(who(&gate, &by_new, at(671)).await, Ok("alice".to_owned()));
}

/// Waits until it was asked so often.
async fn settled(gate: &Authenticators, now: Moment, times: u64) {
    let asked = || gate.issuer_states(now).iter().map(|issuer| issuer.fetched + issuer.failed).sum::<u64>();
    let waiting = async {
        while asked() < times {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_down_shuts_nobody_out_until_its_keys_are_too_old() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let issuer = Issuer::start(Answer::Down).await;
    let gate = gate(&issuer, "");
    let begin = clock::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let year = json!({ "exp": seconds(400 * 86_400) });
    let (by_old, by_new) = (old.token(&claims(&issuer, &year)), new.token(&claims(&issuer, &year)));

    // Without any keys nobody is let in, and nobody is said to be wrong.
    for _ in 0..5 {
        assert_eq!(who(&gate, &by_old, at(0)).await, Err("issuer_unavailable"));
    }
    assert_eq!(issuer.asked(), 1);
    issuer.answer(published(&[&old]));
    assert_eq!(who(&gate, &by_old, at(5)).await, Ok("alice".to_owned()));

    issuer.answer(Answer::Down);
    let day = 86_400;
    for hour in 1..24 {
        gate.renew_keys(at(hour * 3_600));
        settled(&gate, at(hour * 3_600), 2 + hour).await;
        assert_eq!(who(&gate, &by_old, at(hour * 3_600)).await, Ok("alice".to_owned()));
    }
    let before = issuer.asked();
    for _ in 0..20 {
        assert_eq!(who(&gate, &by_new, at(day - 60)).await, Err("issuer_unavailable"));
    }
    assert_eq!(issuer.asked(), before + 1);
    assert_eq!(who(&gate, &by_old, at(day + 4)).await, Ok("alice".to_owned()));
    assert_eq!(who(&gate, &by_old, at(day + 5)).await, Err("issuer_unavailable"), "also from what was verified");
    issuer.answer(published(&[&new]));
    assert_eq!(who(&gate, &by_new, at(day + 60)).await, Ok("alice".to_owned()));
    assert_eq!(who(&gate, &by_old, at(day + 60)).await, Err("token_key"));
}

#[tokio::test]
async fn what_was_verified_does_not_outlive_the_token() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let gate = gate(&issuer, ", leeway: 10s");
    let token = signer.token(&claims(&issuer, &json!({})));
    let begin = clock::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let headers = bearer(&token);
    let first = gate.identify_at(Presented { headers: &headers, certificate: None }, at(0)).await.unwrap();
    let again = gate.identify_at(Presented { headers: &headers, certificate: None }, at(290)).await.unwrap();
    assert!(std::ptr::eq(&raw const *first, &raw const *again), "it was verified once");
    assert_eq!(who(&gate, &token, at(305)).await, Ok("alice".to_owned()), "by the leeway");
    assert_eq!(who(&gate, &token, at(311)).await, Err("token_expired"));
}

#[tokio::test]
async fn keys_outlive_a_change_of_policies_and_streams_the_policies() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let before = gate(&issuer, ", roles: { claim: role }");
    let token = signer.token(&claims(&issuer, &json!({ "role": "analyst" })));
    let headers = bearer(&token);
    let alice = before.identify(Presented { headers: &headers, certificate: None }).await.unwrap();
    assert_eq!(alice.roles(), [Arc::from("analyst")]);
    issuer.answer(Answer::Down);
    let now = gate(&issuer, ", roles: { claim: role, map: { analyst: reader } }").succeeding(&before);
    assert_eq!(now.still(&alice).unwrap().roles(), [Arc::from("reader")]);
    assert_eq!(who(&now, &token, clock::now()).await, Ok("alice".to_owned()));
    assert_eq!(issuer.asked(), 1);
    let elsewhere = Issuer::start(Answer::Down).await;
    assert_eq!(gate(&elsewhere, "").succeeding(&now).still(&alice), None, "its issuer was taken out");
}

#[tokio::test]
async fn what_is_published_is_bounded_and_public_or_not_taken() {
    let signer = Signer::rs256("k1");
    let with = |key: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[key] = value;
        Answer::Json(json!({ "keys": [jwk] }))
    };
    let others = |count: usize| {
        let keys: Vec<_> = (0..count).map(|_| signer.jwk()).collect();
        Answer::Json(json!({ "keys": keys }))
    };
    for (answer, why) in [
        (Answer::Redirect("http://169.254.169.254/".to_owned()), "a redirect"),
        (Answer::Bytes(vec![b' '; (1 << 20) + 1]), "more than 1 MiB"),
        (others(101), "more than 100 keys"),
        (Answer::Bytes(b"{\"keys\":[],\"keys\":[]}".to_vec()), "two readings"),
        (Answer::Json(json!({ "keys": [] })), "no keys"),
        (Answer::Json(json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "c2VjcmV0" }] })), "a symmetric key"),
        (with("d", json!("AQAB")), "a private key"),
        (with("use", json!("enc")), "a key to encrypt with"),
        (with("key_ops", json!(["sign"])), "a key to sign with"),
        (with("alg", json!("HS256")), "a key for HMAC"),
        (with("n", json!(base64url([0xff; 128]))), "1024 bits"),
    ] {
        let issuer = Issuer::start(answer).await;
        let token = signer.token(&claims(&issuer, &json!({})));
        assert_eq!(who(&gate(&issuer, ""), &token, clock::now()).await, Err("issuer_unavailable"), "{why}");
    }
    let issuer = Issuer::start(with("alg", json!("PS256"))).await;
    let token = signer.token(&claims(&issuer, &json!({})));
    assert_eq!(who(&gate(&issuer, ""), &token, clock::now()).await, Err("token_key"), "a key for PS256 only");
    let issuer = Issuer::start(others(2)).await;
    let token = signer.token(&claims(&issuer, &json!({})));
    assert_eq!(who(&gate(&issuer, ""), &token, clock::now()).await, Err("token_key"), "two keys of one name");
}

#[tokio::test]
async fn a_token_is_a_token_and_a_key_is_a_key() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let gate = gate(&issuer, "");
    let token = signer.token(&claims(&issuer, &json!({})));
    let headers = HeaderMap::from_iter([(identity::API_KEY, HeaderValue::from_str(&token).unwrap())]);
    assert_eq!(gate.identify(Presented { headers: &headers, certificate: None }).await, Err(AuthError::LooksLikeJwt));
    for bearer in ["tg_0123456789abcdefghijABCDEFGHIJkl_00000000", "opaque-token-of-some-issuer"] {
        assert!(who(&gate, bearer, clock::now()).await.is_err(), "{bearer}");
    }
    assert_eq!(issuer.asked(), 0);
    let mut headers = bearer(&token);
    headers.append(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(gate.identify(Presented { headers: &headers, certificate: None }).await, Err(AuthError::Several));
}
