//! Opaque tokens: what an issuer says of them, and for how long that counts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::issuer::{Answer, Issuer, Signer, seconds};
use super::{bearer, claims, gate, nested, who};
use crate::clock;
use crate::identity::{Authenticators, Presented};

/// A gate that asks this issuer about opaque tokens.
fn asking(issuer: &Issuer, secret: &std::path::Path, more: &str) -> Authenticators {
    let (url, secret) = (issuer.url(), secret.display());
    let asked = format!("url: \"{url}/introspect\", client_id: the gate, client_secret: \"file:{secret}\"{more}");
    gate(issuer, &format!(", introspection: {{ {asked} }}, roles: {{ claim: groups, map: {{ a: reader }} }}"))
}

fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret+of the gate\n").unwrap();
    file
}

#[tokio::test]
async fn an_opaque_token_proves_whom_its_issuer_says_if_it_is_for_us() {
    let (issuer, secret) = (Issuer::start(Answer::Down).await, secret());
    let gate = asking(&issuer, secret.path(), ", cache: 0s");
    let now = clock::now();
    let active = |more: Value| {
        let mut answer = claims(&issuer, &more);
        answer.as_object_mut().unwrap().entry("active").or_insert(json!(true));
        answer
    };
    for (answer, said) in [
        (active(json!({})), Ok("alice")),
        (active(json!({ "iss": null, "iat": null, "nbf": null, "exp": null })), Ok("alice")),
        (active(json!({ "token_type": "Bearer", "token_use": "access_token" })), Ok("alice")),
        (json!({ "active": false }), Err("token_inactive")),
        (active(json!({ "active": false })), Err("token_inactive")),
        (active(json!({ "aud": null })), Err("token_audience")),
        (active(json!({ "aud": "https://other.test" })), Err("token_audience")),
        (active(json!({ "iss": "https://other.test" })), Err("token_issuer")),
        (active(json!({ "exp": seconds(-40) })), Err("token_expired")),
        (active(json!({ "exp": "1" })), Err("token_claim")),
        (active(json!({ "nbf": seconds(40) })), Err("token_not_yet")),
        (active(json!({ "sub": null })), Err("token_claim")),
        (active(json!({ "sub": "anonymous" })), Err("token_claim")),
        (active(json!({ "cnf": { "x5t#S256": "x" } })), Err("token_claim")),
        (active(json!({ "token_type": "DPoP" })), Err("token_kind")),
        (active(json!({ "token_use": "refresh_token" })), Err("token_kind")),
        // What is no answer says nothing of the token.
        (active(json!({ "active": "true" })), Err("issuer_unavailable")),
        (active(json!({ "active": 1 })), Err("issuer_unavailable")),
        (claims(&issuer, &json!({})), Err("issuer_unavailable")),
        (json!([true]), Err("issuer_unavailable")),
        (json!({ "active": true, "deep": nested(20) }), Err("issuer_unavailable")),
    ] {
        issuer.say(Answer::Json(answer.clone()));
        assert_eq!(who(&gate, "opaque-token-1", now).await, said.map(str::to_owned), "{answer}");
    }
    for answer in [
        Answer::Down,
        Answer::Redirect(format!("{}/jwks", issuer.url())),
        Answer::Bytes(br#"{"active":true,"active":false}"#.to_vec()),
        Answer::Bytes(br#"{"active":true}x"#.to_vec()),
        Answer::Bytes(vec![b' '; (1 << 20) + 1]),
    ] {
        issuer.say(answer.clone());
        assert_eq!(who(&gate, "opaque-token-1", now).await, Err("issuer_unavailable"), "{answer:.60?}");
    }
    let heard = issuer.heard().swap_remove(0);
    // RFC 6749, 2.3.1: both are encoded as in a form before they are put together.
    let basic = STANDARD.encode("the%20gate:s3cret%2Bof%20the%20gate");
    assert!(heard.contains(&format!("authorization: Basic {basic}\r\n")), "{heard}");
    assert!(heard.ends_with("\r\n\r\ntoken=opaque-token-1&token_type_hint=access_token"), "{heard}");
}

#[tokio::test]
async fn an_answer_counts_for_a_moment_and_is_asked_for_once() {
    let (issuer, secret) = (Issuer::start(Answer::Down).await, secret());
    let gate = asking(&issuer, secret.path(), "");
    let begin = clock::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let mut good = claims(&issuer, &json!({ "exp": seconds(3600), "groups": ["a"] }));
    good["active"] = true.into();
    issuer.say(Answer::Json(good.clone()));
    let alice = Ok("alice".to_owned());
    let all = futures_util::future::join_all((0..20).map(|_| who(&gate, "opaque-1", at(0)))).await;
    assert!(all.iter().all(|who| *who == alice), "{all:?}");
    assert_eq!(issuer.heard().len(), 1, "one asks for all");

    issuer.say(Answer::Json(json!({ "active": false })));
    assert_eq!(who(&gate, "opaque-1", at(29)).await, alice);
    assert_eq!(issuer.heard().len(), 1);
    for second in [30, 31, 39] {
        assert_eq!(who(&gate, "opaque-1", at(second)).await, Err("token_inactive"));
    }
    assert_eq!(issuer.heard().len(), 2, "that it is worth nothing is remembered, too");
    issuer.say(Answer::Json(good.clone()));
    assert_eq!(who(&gate, "opaque-1", at(40)).await, alice, "but not for long");

    // While the issuer is down, what is known counts to its end, and nobody is let in who is not known.
    issuer.say(Answer::Down);
    assert_eq!(who(&gate, "opaque-1", at(69)).await, alice);
    assert_eq!(who(&gate, "opaque-1", at(70)).await, Err("issuer_unavailable"));
    assert_eq!(who(&gate, "opaque-2", at(69)).await, Err("issuer_unavailable"));
    issuer.say(Answer::Json(good.clone()));
    assert_eq!(who(&gate, "opaque-2", at(69)).await, alice, "a failure is not remembered");

    // An answer never counts for longer than the token does.
    good["exp"] = seconds(80).into();
    issuer.say(Answer::Json(good));
    assert_eq!(who(&gate, "opaque-3", at(70)).await, alice);
    issuer.say(Answer::Json(json!({ "active": false })));
    assert_eq!(who(&gate, "opaque-3", at(82)).await, Err("token_inactive"));
}

#[tokio::test]
async fn what_a_bearer_is_its_form_says_and_only_opaque_tokens_are_shown_to_the_issuer() {
    let (issuer, secret, signer) = (Issuer::start(Answer::Down).await, secret(), Signer::es256("k1"));
    let gate = asking(&issuer, secret.path(), "");
    let now = clock::now();
    let jwt = signer.token(&claims(&issuer, &json!({})));
    assert_eq!(who(&gate, &jwt, now).await, Err("token_issuer"), "its issuer is asked about its tokens");
    assert_eq!(who(&gate, "tg_0123456789ABCDEFGHIJKLMNOPQRSTUV_5c339a43", now).await, Err("unknown_key"));
    assert_eq!(who(&gate, "tg_mistyped", now).await, Err("malformed_credential"));
    assert_eq!(who(&gate, &"o".repeat(4097), now).await, Err("token_malformed"));
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("a-key-of-another-form"));
    let by_key = gate.identify_at(Presented { headers: &headers, certificate: None }, now).await;
    assert_eq!(by_key.unwrap_err().reason(), "unknown_key");
    assert_eq!(issuer.heard(), [""; 0]);
    assert_eq!(issuer.asked(), 0, "it has no keys that anybody wants");
}

#[tokio::test]
async fn what_an_opaque_token_has_opened_ends_in_ten_minutes_at_most() {
    let (issuer, secret) = (Issuer::start(Answer::Down).await, secret());
    let (gate, other) = (asking(&issuer, secret.path(), ""), asking(&issuer, secret.path(), ", cache: 1s"));
    let mut good = claims(&issuer, &json!({ "exp": seconds(3600) }));
    good["active"] = true.into();
    issuer.say(Answer::Json(good));
    let now = clock::now();
    let headers = bearer("opaque-1");
    let alice = gate.identify_at(Presented { headers: &headers, certificate: None }, now).await.unwrap();
    let left = alice.expires().unwrap().duration_since(now.wall).unwrap();
    assert!((600..=631).contains(&left.as_secs()), "{left:?}");
    issuer.say(Answer::Down);
    assert!(gate.still(&alice).is_some(), "it is not asked about again until then");
    let same = asking(&issuer, secret.path(), "").succeeding(&gate);
    assert!(same.still(&alice).is_some(), "other policies change nothing");
    assert!(other.succeeding(&gate).still(&alice).is_none(), "other rules for its tokens do");
}
