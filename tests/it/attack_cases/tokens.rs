//! Attack cases on tokens of identity providers: each token is made as its case says, and the keys that verify it come from
//! an issuer behind a real socket.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::case::Case;
use super::table::Table;
use super::{Bench, Run, Setting, echo_or_hold};
use crate::support::canary::Canary;
use crate::support::issuer::{Answer, Issuer, Signer, base64url, published, seconds};
use crate::support::upstream::Upstream;
use crate::support::world::{World, principals};
use crate::support::{DEADLINE, raw, until};

/// What signs: the two keys that the issuer has, and one of somebody else that is called like the first.
static KEYS: LazyLock<[Signer; 3]> = LazyLock::new(|| ["k1", "k2", "k1"].map(Signer::rs256));
/// A symmetric key that an issuer publishes by mistake.
const SHARED: &str = "a shared secret that is no secret any more";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_case_on_tokens_ends_as_the_corpus_says() {
    let cases: Vec<_> = Case::load().into_iter().filter(Case::is_of_tokens).collect();
    let mut table = Table::new().only(&cases);
    for keys in ["mock", "down_after_first_fetch", "down", "redirect:http://169.254.169.254/", "huge", "with_oct"] {
        let mine: Vec<_> = cases.iter().filter(|case| case.keys_of_issuer() == keys).collect();
        if mine.is_empty() {
            continue;
        }
        let issuer = Issuer::start(answer(keys)).await;
        let upstream = Upstream::start().await;
        upstream.answer_with(echo_or_hold);
        let gate = world(&upstream, &issuer).start().await;
        let ready = async || raw::get(gate.admin, "/readyz").await.status == 200;
        if matches!(keys, "mock" | "with_oct" | "down_after_first_fetch") {
            assert!(until(DEADLINE, ready).await, "it is ready when it has keys");
        }
        if keys == "down_after_first_fetch" {
            issuer.answer(Answer::Down);
        }
        let bench = Bench { setting: Setting::Default, gate, upstream, canary: Canary::start().await };
        for case in mine {
            let before = bench.gate.decisions.count();
            let mut outcome = Ok(());
            for _ in 0..case.repeat.unwrap_or(1) {
                outcome = outcome.and(bench.run_with_token(case).await);
            }
            let outcome = outcome.and(asserted(case, &bench, &issuer).await);
            table.enter(case, keys, outcome, (&bench.gate.decisions, before)).await;
        }
        if keys == "down" && ready_now(&bench).await {
            table.fail_apart(keys, "ready without any key");
        }
    }
    table.finish(&cases);
}

impl Bench {
    async fn run_with_token(&self, case: &Case) -> Result<(), String> {
        let token = token(case);
        self.run_once(&case.with(&[("{{JWT}}", &token)]), Run::Fresh).await?;
        if self.gate.log.text().contains(&token) { Err("the token in the log".to_owned()) } else { Ok(()) }
    }
}

async fn ready_now(bench: &Bench) -> bool {
    raw::get(bench.gate.admin, "/readyz").await.status == 200
}

async fn asserted(case: &Case, bench: &Bench, issuer: &Issuer) -> Result<(), String> {
    if case.asserts("jwks mock saw <= 2 requests") && issuer.asked() > 2 {
        return Err(format!("the issuer was asked {} times", issuer.asked()));
    }
    // Wherever nothing can be seen of a connection, it is seen why there was none.
    if case.asserts("no connection to 169.254.169.254") && !bench.gate.log.says("answered with 302").await {
        return Err("nothing says that the redirect was not followed".to_owned());
    }
    let written = bench.gate.log.text() + &bench.gate.decisions.text();
    if case.asserts("logs contain no raw control bytes") && written.contains(|c: char| c.is_control() && c != '\n') {
        return Err("a control character in the log".to_owned());
    }
    Ok(())
}

/// Alice and bob have keys, and whoever the issuer calls alice is a reader.
fn world(upstream: &Upstream, issuer: &Issuer) -> World {
    let tokens = format!(
        "tokens:\n  - issuer: https://idp.test/\n    audience: https://gateway.test/mcp\n    algorithms: [RS256]\n    \
         jwks_url: {}/jwks\n    allow_addresses: [127.0.0.0/8]\n    roles: {{ claim: sub, map: {{ alice: reader }} }}\n",
        issuer.url()
    );
    World::new(&upstream.url()).policy("principals.yaml", &(principals("reader") + &tokens))
}

fn answer(keys: &str) -> Answer {
    let [first, second, _] = &*KEYS;
    match keys {
        "down" => Answer::Down,
        "huge" => {
            Answer::Bytes(format!(r#"{{"keys":[{}]}}"#, vec![first.jwk().to_string(); 4_000].join(",")).into_bytes())
        }
        "with_oct" => {
            let shared = json!({ "kty": "oct", "kid": "oct1", "alg": "HS256", "k": base64url(SHARED) });
            Answer::Json(json!({ "keys": [first.jwk(), shared] }))
        }
        redirect if redirect.starts_with("redirect:") => Answer::Redirect(redirect.replacen("redirect:", "", 1)),
        _ => published(&[first, second]),
    }
}

/// The token that a case describes.
fn token(case: &Case) -> String {
    let written = case.jwt.as_ref().unwrap();
    let (mut header, mut claims) = (fill_in(&written["header"]).to_string(), fill_in(&written["claims"]).to_string());
    if let Some(text) = case.note.as_deref().and_then(|note| note.strip_prefix("header text: ")) {
        text.clone_into(&mut header);
    }
    if case.note.as_deref() == Some("payload contains 10,000 nested arrays") {
        let deep = format!(r#"{{"deep":{}{},"#, "[".repeat(10_000), "]".repeat(10_000));
        claims = claims.replacen('{', &deep, 1);
    }
    let signed = format!("{}.{}", base64url(&header), base64url(&claims));
    let [first, _, attacker] = &*KEYS;
    match written["sign"].as_str().unwrap() {
        "none" => format!("{signed}."),
        "rs256:k1" => first.sign(&header, &claims),
        "rs256:attacker" => attacker.sign(&header, &claims),
        "rs256:k1:truncate" => {
            let signature = first.signature(signed.as_bytes());
            format!("{signed}.{}", base64url(&signature[..signature.len() - 1]))
        }
        "rs256:k1:std_base64" => {
            let signed = format!("{}.{}", STANDARD.encode(&header), STANDARD.encode(&claims));
            format!("{signed}.{}", STANDARD.encode(first.signature(signed.as_bytes())))
        }
        "segments:5" => format!("{}.x.y", first.sign(&header, &claims)),
        hmac => {
            let secret = hmac.strip_prefix("hs256:").unwrap();
            let secret = if secret == "oct1" { SHARED } else { secret };
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            format!("{signed}.{}", base64url(hmac::sign(&key, signed.as_bytes())))
        }
    }
}

/// Values as the corpus writes them: moments from now on, texts where numbers belong, long and random ones.
fn fill_in(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), fill_in(value))).collect(),
        Value::Array(entries) => entries.iter().map(fill_in).collect(),
        Value::String(text) => filled(text),
        other => other.clone(),
    }
}

fn filled(text: &str) -> Value {
    if let Some(later) = text.strip_prefix("now") {
        return seconds(later.parse().unwrap()).into();
    }
    if let Some(text) = text.strip_prefix("str:") {
        return text.into();
    }
    if let Some(repeated) = text.strip_prefix("{{repeat:a:").and_then(|rest| rest.strip_suffix("}}")) {
        return "a".repeat(repeated.parse().unwrap()).into();
    }
    let random = || base64url(seconds(0).to_string() + &format!("{:p}", &raw const *text) + &unlike());
    text.replace("{{random}}", &random()).replace("{{attacker_cert}}", "MIIB").into()
}

/// A text that no other call returns.
fn unlike() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}
