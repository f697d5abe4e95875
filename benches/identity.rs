//! What it costs to know who asks: by key, by a token that was verified before, and by one that must be verified.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot run says so")]

#[path = "../tests/it/support/issuer.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod issuer;
#[path = "shared.rs"]
#[expect(dead_code, reason = "the other benches need more of it")]
mod shared;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::crypto::verify;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::json;
use tokio::runtime::Runtime;
use tollgate::config::{self, Kept, Overrides};
use tollgate::identity::{API_KEY, Authenticators, Presented, Principal};

use issuer::{Issuer, Signer, published, seconds};
use shared::{Deployment, KEY};

const AUDIENCE: &str = "https://gateway.test/mcp";

/// A gate with one key and one issuer, whose keys it has.
struct Scene {
    authenticators: Authenticators,
    token: String,
    headers: HeaderMap,
    principal: Arc<Principal>,
    _runtime: Runtime,
}

impl Scene {
    fn new(signer: &Signer) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let issuer = runtime.block_on(Issuer::start(published(&[signer, &Signer::es256("other")])));
        let tokens = format!(
            "tokens:\n  - {{ issuer: \"{}\", audience: \"{AUDIENCE}\", allow_addresses: [127.0.0.0/8], \
             roles: {{ claim: realm_access.roles, map: {{ analysts: reader }} }} }}\n",
            issuer.url()
        );
        let policy = "roles:\n  reader: { tools: [search] }\n".to_owned();
        let files = [("records.yaml".to_owned(), policy), ("tokens.yaml".to_owned(), tokens)];
        let deployment = Deployment::new("http://127.0.0.1:9/mcp", "reader", &files, &[]).expect("it can be written");
        let overrides = Overrides { config: Some(deployment.config()), ..Overrides::default() };
        let authenticators = config::load(&overrides, Kept::Here).expect("the files are good").policies.authenticators;
        // As long as those of large providers.
        let claims = json!({
            "iss": issuer.url(), "aud": AUDIENCE, "sub": "5f7c8ec7-c33c-6c00-4bbe-b4d300000000", "iat": seconds(-60),
            "nbf": seconds(-60), "exp": seconds(3600), "jti": "3f1b8a52-0d3e-4a58-9a39-e2a3a4f2bd11", "azp": "agent",
            "scope": "openid records:read records:write", "realm_access": { "roles": ["analysts", "offline_access"] },
            "name": "Alice Example", "preferred_username": "alice@example.com", "tenant": "t1",
        });
        let token = signer.token(&claims);
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token fits a header");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let principal = runtime.block_on(authenticators.identify(Presented { headers: &headers, certificate: None }));
        Self { authenticators, token, headers, principal: principal.expect("it is good"), _runtime: runtime }
    }
}

/// The same signature, and nothing else.
fn signature_alone(signer: &Signer, token: &str) -> impl Fn() -> bool {
    let (jwk, algorithm) = (signer.jwk(), signer.algorithm());
    let of = |name: &str| jwk[name].as_str().expect("a part of the key");
    let (key, algorithm) = match algorithm {
        "RS256" => (DecodingKey::from_rsa_components(of("n"), of("e")), Algorithm::RS256),
        _ => (DecodingKey::from_ec_components(of("x"), of("y")), Algorithm::ES256),
    };
    let key = key.expect("a key");
    let token = token.to_owned();
    move || {
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        verify(signature, message.as_bytes(), &key, algorithm).is_ok_and(|good| good)
    }
}

fn identity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identity");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for signer in [Signer::es256("k1"), Signer::rs256("k1")] {
        let scene = Scene::new(&signer);
        let name = |what: &str| BenchmarkId::new(what, signer.algorithm());
        let known = |headers: &HeaderMap| {
            let identified = scene.authenticators.identify(Presented { headers, certificate: None }).now_or_never();
            identified.expect("nobody has to be asked").expect("it is good")
        };
        if signer.algorithm() == "ES256" {
            let by_key = HeaderMap::from_iter([(API_KEY, HeaderValue::from_static(KEY))]);
            group.bench_function("api_key", |bencher| bencher.iter(|| known(black_box(&by_key))));
        }
        group.bench_function(name("verified_before"), |bencher| bencher.iter(|| known(black_box(&scene.headers))));
        group.bench_function(name("verify"), |bencher| {
            bencher.iter(|| scene.authenticators.still(black_box(&scene.principal)).expect("it is good"));
        });
        let alone = signature_alone(&signer, &scene.token);
        group.bench_function(name("signature_alone"), |bencher| bencher.iter(|| assert!(black_box(alone()))));
    }
    group.finish();
}

criterion_group!(benches, identity);
criterion_main!(benches);
