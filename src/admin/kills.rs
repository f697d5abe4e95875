//! `/kills`: the kill switch, for whoever shows its key as `Authorization: Bearer …`.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::{JSON, TEXT, respond};
use crate::kill_switch::{KillError, KillSwitch};
use crate::policy::{Kill, Kills};

/// The largest request.
const MOST_BYTES: usize = 16 << 10;
/// How long its body may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(request: Request<Incoming>, switch: Option<&Arc<KillSwitch>>) -> Answer {
    let Some((switch, credential)) = switch.and_then(|switch| Some((switch, switch.credential()?))) else {
        return respond(StatusCode::NOT_FOUND, TEXT, "not found: tollgate.yaml has no `kill_switch.api`\n");
    };
    match credential {
        Ok(secret) if shows(&request, secret.expose()) => {}
        Ok(_) => {
            let mut answer = respond(StatusCode::UNAUTHORIZED, TEXT, "show the key: Authorization: Bearer …\n");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
        Err(error) => {
            tracing::error!(%error, "the key of the kill switch cannot be read");
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the key cannot be read; see the log\n");
        }
    }
    let change = match *request.method() {
        Method::GET => return respond(StatusCode::OK, JSON, listed(switch)),
        Method::POST => KillSwitch::kill,
        Method::DELETE => KillSwitch::unkill,
        _ => {
            let mut answer = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET, POST and DELETE\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
            return answer;
        }
    };
    let Some(body) = read(request).await else {
        return respond(StatusCode::BAD_REQUEST, TEXT, "the body is too long, or did not come\n");
    };
    let switch = Arc::clone(switch);
    match tokio::task::spawn_blocking(move || change(&switch, &body)).await {
        Ok(Ok(kill)) => respond(StatusCode::OK, JSON, format!("{}\n", kill.told())),
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "the kill switch failed");
            respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the kill switch failed; see the log\n")
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is bound by `Limited`")]
async fn read(request: Request<Incoming>) -> Option<Bytes> {
    let body = Limited::new(request.into_body(), MOST_BYTES);
    Some(timeout(PATIENCE, body.collect()).await.ok()?.ok()?.to_bytes())
}

/// Whether the key is shown. How long it takes to say no tells nothing of it.
fn shows(request: &Request<Incoming>, key: &str) -> bool {
    let mut shown = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(first), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let Some(token) = first.as_bytes().strip_prefix(b"Bearer ") else {
        return false;
    };
    Sha256::digest(token).ct_eq(&Sha256::digest(key)).into()
}

fn listed(switch: &KillSwitch) -> String {
    let told = |kills: &Kills, from: &str| -> Vec<Value> { kills.iter().map(|kill| entry(kill, from)).collect() };
    let (by_file, by_api) = switch.stopped();
    let kills = [told(&by_file, "file"), told(&by_api, "api")].concat();
    format!("{}\n", json!({ "kills": kills }))
}

fn entry(kill: &Kill, from: &str) -> Value {
    let mut told = kill.told();
    if let Some(told) = told.as_object_mut() {
        told.insert("from".to_owned(), json!(from));
    }
    told
}

fn refused(error: &KillError) -> Answer {
    let (status, text) = match error {
        KillError::Unclear(problems) => (StatusCode::BAD_REQUEST, format!("nothing has changed:\n{problems}")),
        KillError::Elsewhere(problem) => (StatusCode::BAD_REQUEST, format!("nothing has changed: {problem}\n")),
        KillError::NotStopped => {
            let text = "nothing of these words was stopped by this way; GET /kills lists what is, and what a file stops \
                        that file lets go on\n";
            (StatusCode::NOT_FOUND, text.to_owned())
        }
        KillError::NotKept(error) => {
            let text = format!("it is stopped now, but would not be after a restart: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        KillError::NotChanged(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("nothing has changed: it cannot be written down: {error}\n"))
        }
    };
    respond(status, TEXT, text)
}
