//! Tokens of the shape that each provider documents, against the example policy for it: whom they prove, and which of another
//! tenant, application or kind prove nobody.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::issuer::{Issuer, Signer, published, seconds};
use super::{bearer, compiled};
use crate::clock;
use crate::identity::{Presented, Principal};

/// The example for this provider, with keys that this issuer has in place of the provider's own.
fn example(name: &str, keys: &Issuer) -> String {
    let file = format!("policies/examples/identity-providers/{name}.yaml");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let of_keys = ["jwks_url:", "allow_addresses:", "ca_file:", "bearer:"];
    let kept = text.lines().filter(|line| !of_keys.iter().any(|key| line.trim_start().starts_with(key)));
    let here = format!("    jwks_url: {}/jwks\n    allow_addresses: [127.0.0.0/8]\n", keys.url());
    kept.map(
        |line| if line.trim_start().starts_with("audience:") { format!("{line}\n{here}") } else { format!("{line}\n") },
    )
    .collect()
}

/// Who it is, with which roles, for which tenant.
fn told(principal: &Principal) -> String {
    let roles: Vec<_> = principal.roles().iter().map(|role| &**role).collect();
    let tenant = principal.claim("tenant").map_or_else(String::new, |tenant| format!(" of {tenant}"));
    format!("{} [{}]{tenant}", principal.id(), roles.join(", "))
}

/// Tries tokens of one provider: this one, and each with these members instead.
async fn tried(name: &str, token: Value, others: &[(Value, &str)]) {
    let signer = Signer::rs256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let gate = compiled(&example(name, &issuer));
    for (changed, expected) in others {
        let mut claims = token.clone();
        for (member, value) in [("iat", json!(seconds(-60))), ("exp", json!(seconds(600)))] {
            claims[member] = value;
        }
        for (member, value) in changed.as_object().unwrap() {
            claims[member] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let token = signer.sign(&json!({ "typ": "JWT", "alg": "RS256", "kid": "k1" }).to_string(), &claims.to_string());
        let headers = bearer(&token);
        let proved = gate.identify_at(Presented { headers: &headers, certificate: None }, clock::now()).await;
        let said = proved.map_or_else(|error| error.reason().to_owned(), |principal| told(&principal));
        assert_eq!(said, *expected, "{name}: {changed}");
    }
}

#[tokio::test]
async fn entra_id() {
    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let token = json!({
        "aud": "66666666-7777-8888-9999-000000000000", "iss": of(TENANT), "nbf": seconds(-60), "aio": "AXQAi/8IAAAA",
        "azp": "client", "azpacr": "0", "name": "Alice", "oid": "0000-alice", "preferred_username": "alice@example.com",
        "rh": "0.AX", "roles": ["Records.Read"], "scp": "Records.Access", "sub": "pairwise", "tid": TENANT, "uti": "x", "ver": "2.0",
    });
    let other = "99999999-2222-3333-4444-555555555555";
    let v1 = format!("https://sts.windows.net/{TENANT}/");
    tried("entra", token, &[
        (json!({}), "0000-alice [reader] of 11111111-2222-3333-4444-555555555555"),
        // An application for itself.
        (
            json!({ "scp": null, "idtyp": "app", "oid": "0000-app", "sub": "0000-app", "roles": ["Records.Operate", "Other"] }),
            "0000-app [operator] of 11111111-2222-3333-4444-555555555555",
        ),
        (json!({ "roles": null }), "0000-alice [] of 11111111-2222-3333-4444-555555555555"),
        (json!({ "iss": of(other), "tid": other }), "token_issuer"),
        (json!({ "iss": of("common") }), "token_issuer"),
        (json!({ "iss": v1, "ver": "1.0" }), "token_issuer"),
        (json!({ "aud": "00000003-0000-0000-c000-000000000000" }), "token_audience"),
        (json!({ "aud": "api://66666666-7777-8888-9999-000000000000" }), "token_audience"),
        (json!({ "oid": null }), "token_claim"),
    ])
    .await;
}

#[tokio::test]
async fn okta() {
    let token = json!({
        "ver": 1, "jti": "AT.x", "iss": "https://example.okta.com/oauth2/default", "aud": "https://mcp.example.com/records",
        "cid": "0oa1", "uid": "00u1", "scp": ["openid", "records:read"], "auth_time": seconds(-70), "sub": "alice@example.com",
        "groups": ["Everyone", "MCP Readers"], "tenant": "t1",
    });
    tried(
        "okta",
        token,
        &[
            (json!({}), "00u1 [reader] of t1"),
            (json!({ "groups": ["MCP Operators", "MCP Readers"] }), "00u1 [operator, reader] of t1"),
            (json!({ "groups": "MCP Readers" }), "00u1 [reader] of t1"),
            (json!({ "groups": ["mcp readers"], "tenant": null }), "00u1 []"),
            (json!({ "iss": "https://example.okta.com" }), "token_issuer"),
            (json!({ "iss": "https://other.okta.com/oauth2/default" }), "token_issuer"),
            (json!({ "aud": "api://default" }), "token_audience"),
            (json!({ "aud": "0oa1" }), "token_audience"),
            (json!({ "uid": null }), "token_claim"),
        ],
    )
    .await;
}

#[tokio::test]
async fn keycloak() {
    let roles = |roles: &[&str]| json!({ "realm_access": { "roles": roles } });
    let token = json!({
        "jti": "onrtac:x", "iss": "https://keycloak.example.com/realms/records", "aud": ["https://mcp.example.com/records", "account"],
        "sub": "7d1e-alice", "typ": "Bearer", "azp": "agent", "sid": "s", "acr": "1", "allowed-origins": ["/*"],
        "realm_access": { "roles": ["default-roles-records", "offline_access", "mcp-analyst"] },
        "resource_access": { "account": { "roles": ["manage-account", "mcp-operator"] } }, "scope": "openid profile",
        "preferred_username": "alice", "tenant": "t1",
    });
    tried(
        "keycloak",
        token,
        &[
            (json!({}), "7d1e-alice [reader] of t1"),
            (roles(&["mcp-operator"]), "7d1e-alice [operator] of t1"),
            (roles(&[]), "7d1e-alice [] of t1"),
            (json!({ "realm_access": null }), "7d1e-alice [] of t1"),
            (json!({ "iss": "https://keycloak.example.com/realms/master" }), "token_issuer"),
            (json!({ "aud": "account" }), "token_audience"),
            (json!({ "aud": null }), "token_audience"),
            // An id token, and a refresh token.
            (json!({ "aud": "agent", "typ": "ID" }), "token_audience"),
            (json!({ "aud": "https://keycloak.example.com/realms/records", "typ": "Refresh" }), "token_audience"),
        ],
    )
    .await;
}

#[tokio::test]
async fn auth0() {
    let token = json!({
        "iss": "https://example.eu.auth0.com/", "sub": "auth0|5f7c", "azp": "client", "scope": "openid profile",
        "aud": ["https://mcp.example.com/records", "https://example.eu.auth0.com/userinfo"],
        "permissions": ["read:records"], "https://example.com/tenant": "t1", "https://example.com/roles": ["operator"],
    });
    tried(
        "auth0",
        token,
        &[
            (json!({}), "auth0|5f7c [reader] of t1"),
            (
                json!({ "sub": "client@clients", "gty": "client-credentials", "permissions": ["operate:records"] }),
                "client@clients [operator] of t1",
            ),
            (json!({ "permissions": [], "scope": "read:records" }), "auth0|5f7c [] of t1"),
            (json!({ "iss": "https://example.eu.auth0.com" }), "token_issuer"),
            (json!({ "iss": "https://example.us.auth0.com/" }), "token_issuer"),
            (json!({ "aud": "https://example.eu.auth0.com/userinfo" }), "token_audience"),
            (json!({ "aud": "client" }), "token_audience"),
        ],
    )
    .await;
}

#[tokio::test]
async fn kubernetes() {
    let token = json!({
        "aud": ["records-gate"], "iss": "https://kubernetes.default.svc.cluster.local", "jti": "x", "nbf": seconds(-60),
        "kubernetes.io": {
            "namespace": "agents", "node": { "name": "n", "uid": "u" }, "pod": { "name": "reporter-0", "uid": "u" },
            "serviceaccount": { "name": "reporter", "uid": "u" }, "warnafter": 1,
        },
        "sub": "system:serviceaccount:agents:reporter",
    });
    tried(
        "kubernetes",
        token,
        &[
            (json!({}), "system:serviceaccount:agents:reporter [reader] of agents"),
            (
                json!({ "sub": "system:serviceaccount:other:reporter", "kubernetes.io": { "namespace": "other" } }),
                "system:serviceaccount:other:reporter [] of other",
            ),
            // What the API server takes.
            (json!({ "aud": ["https://kubernetes.default.svc.cluster.local"] }), "token_audience"),
            (json!({ "iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/X" }), "token_issuer"),
            // A token of a Secret, without an end.
            (json!({ "iss": "kubernetes/serviceaccount", "aud": null, "exp": null }), "token_issuer"),
            (json!({ "exp": null }), "token_claim"),
        ],
    )
    .await;
}
