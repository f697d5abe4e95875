//! What the caller hears. The only place where a status code is chosen for an answer of the gate's own.

mod server;

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body::GateBody;
use crate::exchange::{DecisionId, Exchange, HttpRefusal, Refusal, Unrecorded};
use crate::identity::{AuthError, Challenge, ProtectedResource, Scope, TokenError};
use crate::json;
use crate::jsonrpc::{ErrorObject, RequestId, code};
use crate::limits::{LimitError, LimitExceeded, Quota};
use crate::mcp::{Call, CallError, Era, Method, Mismatch, ProtocolVersion, Subject, TASKS, Target};
use crate::policy::{Denial, Reason, Stopped, Unmet};
use crate::state::{Declined, Session, StateError};
use crate::upstream::UpstreamError;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Marks an error as the gate's own.
const ORIGIN: &str = "io.tollgate/origin";
/// Names the decision, for whoever asks the operator.
const DECISION: &str = "io.tollgate/decision";
/// Whether the call ran: `no`, `yes` or `unknown`.
const EXECUTED: &str = "executed";

/// An answer: the HTTP status and the error. Where the caller asked something with an id and [`Status::InBand`] is
/// said, the error travels as the answer to it: the only form that all SDKs hand to the caller as a typed error.
struct Saying {
    status: Status,
    error: ErrorObject,
    headers: HeaderMap,
}

#[derive(Clone, Copy)]
enum Status {
    /// 200; this status where there is no id to answer.
    InBand(StatusCode),
    /// This one.
    Http(StatusCode),
}

/// The answer to a refused message, and the error code in it. Where the answers of its session go to a stream, so does
/// this one. Only a challenge says where to log in.
pub(super) fn refusal(
    refusal: &Refusal,
    resource: impl FnOnce() -> Option<ProtectedResource>,
    exchange: &Exchange,
    stream: Option<&Session>,
) -> (Response<GateBody>, Option<i64>) {
    let call = exchange.call.as_deref();
    let id = answered(refusal, call);
    let saying = say(refusal, call, exchange.called.as_deref());
    let (code, body) = match unmet(refusal, call).zip(call) {
        Some((unmet, call)) => (None, tool_error(unmet, exchange.id, call)),
        None => (Some(saying.error.code()), message(saying.error, exchange.id, id)),
    };
    let status = saying.status.of(id);
    let said = stream.filter(|_| id.is_some()).map(|stream| stream.say(as_event(&body)));
    if said.is_some() || status == StatusCode::ACCEPTED {
        let mut response = Response::new(GateBody::whole(Bytes::new()));
        *response.status_mut() = StatusCode::ACCEPTED;
        return (response, code);
    }
    let mut response = Response::new(GateBody::whole(Bytes::from(body)));
    *response.status_mut() = status;
    *response.headers_mut() = saying.headers;
    if let Some(challenge) = challenge(refusal)
        && let Ok(challenge) = HeaderValue::try_from(challenge.header(resource().as_ref()))
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if closes(refusal) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (response, code)
}

/// What a caller hears of a refusal, in one line: for whoever asks what would be decided.
pub fn heard(refusal: &Refusal, call: Option<&Call>) -> String {
    let saying = say(refusal, call, None);
    let status = saying.status.of(answered(refusal, call)).as_u16();
    match unmet(refusal, call) {
        Some(unmet) => format!("HTTP {status}, a result with isError: {}", not_allowed(unmet)),
        None => format!("HTTP {status}, error {}: {}", saying.error.code(), saying.error.message()),
    }
}

/// The id of the request that is answered.
fn answered<'a>(refusal: &'a Refusal, call: Option<&'a Call>) -> Option<&'a RequestId> {
    match refusal {
        Refusal::Message(error) => error.id.as_ref(),
        // An answer's id is the server's: with it this would look like the answer to a request of the client's own.
        _ => call.filter(|call| call.method() != Method::Answer).and_then(Call::id),
    }
}

/// The last event of a stream that the server did not end: the same error, in the stream.
pub(super) fn event(error: &UpstreamError, decision: DecisionId, id: &RequestId) -> Bytes {
    as_event(&message(server::say(error).error, decision, Some(id)))
}

/// What the server hears that asked what it may not: the words of a client that does not offer it, as the server was told.
pub(super) fn declined(declined: &Declined, decision: DecisionId) -> String {
    let text = format!("Method not found: {}", declined.question.method());
    message(ErrorObject::new(code::METHOD_NOT_FOUND, text), decision, Some(&declined.id))
}

fn as_event(message: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

fn message(error: ErrorObject, decision: DecisionId, id: Option<&RequestId>) -> String {
    error.with(ORIGIN, "gateway").with(DECISION, &decision.to_string()).to_json(id)
}

/// What is wrong with the arguments of a tool, if that is why.
fn unmet<'a>(refusal: &'a Refusal, call: Option<&Call>) -> Option<&'a Unmet> {
    match refusal {
        Refusal::Policy(denial) if call.map(Call::method) == Some(Method::ToolsCall) => denial.unmet.as_ref(),
        _ => None,
    }
}

/// A call that its caller may make, but not so: models read what a tool says, and try again (MCP, Tools, Error Handling).
fn tool_error(unmet: &Unmet, decision: DecisionId, call: &Call) -> String {
    let mut text = String::new();
    json::quote(&not_allowed(unmet), &mut text);
    let id = call.id().map_or("null", RequestId::as_json);
    let kind = if call.era() == Era::Modern { "\"resultType\":\"complete\"," } else { "" };
    let content = format!(r#""content":[{{"type":"text","text":{text}}}],"isError":true"#);
    let meta = format!(r#""_meta":{{"{ORIGIN}":"gateway","{DECISION}":"{decision}"}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{kind}{content},{meta}}}}}"#)
}

fn not_allowed(unmet: &Unmet) -> String {
    format!("Arguments not allowed: {}", unmet.as_str())
}

/// Whether what follows on the connection cannot be trusted to be what it seems.
pub(super) fn closes(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Http(
            HttpRefusal::Malformed(_) | HttpRefusal::TooLarge(_) | HttpRefusal::TooSlow | HttpRefusal::Incomplete
        )
    )
}

fn say(refusal: &Refusal, call: Option<&Call>, called: Option<&str>) -> Saying {
    match refusal {
        Refusal::Http(refusal) => http(*refusal),
        Refusal::Identity(error) => wanted(error).map_or_else(unjudged, challenged),
        Refusal::Message(error) => unreadable(error),
        Refusal::Header(mismatch) => header_mismatch(mismatch),
        Refusal::Policy(denial) => denied(denial, call, called),
        Refusal::State(error) => misplaced(*error, call, called),
        Refusal::Limit(LimitError::Exceeded(exceeded)) => limited(exceeded),
        Refusal::Limit(LimitError::Uncounted) => without("the limits of the call cannot be counted", refusal),
        Refusal::Audit(Unrecorded) => without("the call cannot be recorded", refusal),
        Refusal::Upstream(error) => server::say(error),
    }
}

fn http(refusal: HttpRefusal) -> Saying {
    let (status, code) = match refusal {
        HttpRefusal::Malformed(_) | HttpRefusal::Query | HttpRefusal::Incomplete => {
            (StatusCode::BAD_REQUEST, code::INVALID_REQUEST)
        }
        HttpRefusal::ForeignHost | HttpRefusal::ForeignOrigin => (StatusCode::FORBIDDEN, code::INVALID_REQUEST),
        HttpRefusal::NoSuchPath => (StatusCode::NOT_FOUND, code::INVALID_REQUEST),
        HttpRefusal::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, code::INVALID_REQUEST),
        HttpRefusal::ContentType | HttpRefusal::ContentCoding => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_REQUEST)
        }
        HttpRefusal::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, code::INVALID_REQUEST),
        HttpRefusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST),
        HttpRefusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, code::INVALID_REQUEST),
        HttpRefusal::Overloaded | HttpRefusal::LongBodies => (StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE),
    };
    let mut saying = Saying::new(Status::Http(status), ErrorObject::new(code, Refusal::Http(refusal).to_string()));
    match refusal {
        HttpRefusal::MethodNotAllowed => saying.header(header::ALLOW, "POST, GET, DELETE"),
        HttpRefusal::Overloaded | HttpRefusal::LongBodies => saying.header(header::RETRY_AFTER, "1"),
        HttpRefusal::TooLarge(most) => {
            saying.error = saying.error.with_number("limit", u64::try_from(most).unwrap_or(u64::MAX));
        }
        _ => {}
    }
    saying
}

/// What the caller is to bring, if that is what it is told.
fn challenge(refusal: &Refusal) -> Option<Challenge<'_>> {
    match refusal {
        Refusal::Identity(error) => wanted(error),
        Refusal::Policy(denial) => Some(denial.needed()).filter(|it| !it.is_empty()).map(Challenge::Scopes),
        Refusal::Http(_)
        | Refusal::Message(_)
        | Refusal::Header(_)
        | Refusal::State(_)
        | Refusal::Limit(_)
        | Refusal::Audit(_)
        | Refusal::Upstream(_) => None,
    }
}

/// Something is away without which no call is made. Another replica may have it.
fn without(what: &str, refusal: &Refusal) -> Saying {
    let error = ErrorObject::new(code::UNAVAILABLE, format!("{what}, so it was not made"));
    let error = error.with("reason", refusal.reason()).with(EXECUTED, "no");
    let mut saying = Saying::new(Status::Http(StatusCode::SERVICE_UNAVAILABLE), error);
    saying.header(header::RETRY_AFTER, "1");
    saying
}

/// Every bad credential sounds the same: what is wrong with it is the operator's to know (RFC 6750, 3).
fn wanted(error: &AuthError) -> Option<Challenge<'static>> {
    match error {
        AuthError::Missing | AuthError::UnsupportedScheme => Some(Challenge::Credential),
        AuthError::Several => Some(Challenge::AnotherRequest),
        // Nothing is known to be wrong with it: another one would fare no better.
        AuthError::Token(TokenError::Unavailable(_)) => None,
        AuthError::Malformed
        | AuthError::Unknown
        | AuthError::Expired { .. }
        | AuthError::LooksLikeJwt
        | AuthError::Certificate(_)
        | AuthError::Token(_) => Some(Challenge::AnotherCredential),
    }
}

/// Nobody can say now who asks, so nobody is let in.
fn unjudged() -> Saying {
    let error = ErrorObject::new(code::UNAVAILABLE, "the issuer of the token cannot be asked now");
    let mut saying = Saying::new(Status::Http(StatusCode::SERVICE_UNAVAILABLE), error);
    saying.header(header::RETRY_AFTER, "5");
    saying
}

fn challenged(challenge: Challenge<'_>) -> Saying {
    let (status, text) = match challenge {
        Challenge::Credential => {
            (StatusCode::UNAUTHORIZED, "a credential is required: send X-Api-Key, or Authorization: Bearer".to_owned())
        }
        Challenge::AnotherCredential => (StatusCode::UNAUTHORIZED, "the credential is not accepted".to_owned()),
        Challenge::AnotherRequest => (StatusCode::BAD_REQUEST, "send one credential, in one header".to_owned()),
        Challenge::Scopes(needed) => {
            let needed = needed.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
            (StatusCode::FORBIDDEN, format!("this needs a token with the scope {needed}"))
        }
    };
    Saying::new(Status::Http(status), ErrorObject::new(code::INVALID_REQUEST, text))
}

fn unreadable(error: &CallError) -> Saying {
    let code = if error.problem.is_parse_error() { code::PARSE } else { code::INVALID_REQUEST };
    let object = ErrorObject::new(code, error.problem.to_string()).with("reason", error.problem.reason());
    Saying::new(Status::Http(StatusCode::BAD_REQUEST), object)
}

/// MCP 2026-07-28, Transports and Versioning: 400, and a code that tells what to mend.
fn header_mismatch(mismatch: &Mismatch) -> Saying {
    let text = mismatch.to_string();
    let error = match mismatch {
        Mismatch::Header(header) => ErrorObject::new(code::HEADER_MISMATCH, text).with("header", header),
        Mismatch::Param(header) => ErrorObject::new(code::HEADER_MISMATCH, text).with("header", header),
        Mismatch::NoEnvelope | Mismatch::NoCapabilities => ErrorObject::new(code::INVALID_PARAMS, text),
        Mismatch::BadVersion => ErrorObject::new(code::INVALID_REQUEST, text),
        Mismatch::Unspoken { requested, spoken } => {
            let spoken: Vec<_> = spoken.iter().map(|version| version.name()).collect();
            let error = ErrorObject::new(code::UNSUPPORTED_VERSION, text).with_list("supported", &spoken);
            error.with("requested", requested)
        }
        Mismatch::UnknownVersion(requested) => ErrorObject::new(code::UNSUPPORTED_VERSION, text)
            .with_list("supported", &[ProtocolVersion::V2026_07_28.name()])
            .with("requested", requested),
    };
    Saying::new(Status::Http(StatusCode::BAD_REQUEST), error)
}

/// The words for something that does not exist: whether it does is not the caller's to know. It is told by the name that
/// its caller calls it.
fn denied(denial: &Denial, call: Option<&Call>, called: Option<&str>) -> Saying {
    let modern = call.is_some_and(|call| call.era() == Era::Modern);
    let name = called.or(call.and_then(|call| call.target().name())).unwrap_or_default();
    let no_method = |call: Option<&Call>| {
        let method = call.map(Call::method_name).unwrap_or_default();
        let status = if modern { Status::Http(StatusCode::NOT_FOUND) } else { Status::InBand(StatusCode::BAD_REQUEST) };
        Saying::new(status, ErrorObject::new(code::METHOD_NOT_FOUND, format!("Method not found: {method}")))
    };
    let unknown = |text: String| {
        Saying::new(Status::InBand(StatusCode::BAD_REQUEST), ErrorObject::new(code::INVALID_PARAMS, text))
    };
    let asked = call.map(|call| (call.method(), call.target()));
    match (denial.reason, asked) {
        (Reason::IllFormedName, _) => Saying::new(
            Status::Http(StatusCode::BAD_REQUEST),
            ErrorObject::new(
                code::INVALID_PARAMS,
                "a tool name is 1 to 128 characters of A-Z, a-z, 0-9, `_`, `-` and `.`",
            ),
        ),
        (Reason::InsufficientScope, _) => challenged(Challenge::Scopes(denial.needed())),
        // The same for whatever is asked, so it tells nothing of what is there.
        (Reason::UnfitClaim, _) => Saying::new(
            Status::InBand(StatusCode::FORBIDDEN),
            ErrorObject::new(
                code::INVALID_REQUEST,
                "your identity lacks what this server must know of you; ask whoever issued it",
            ),
        ),
        (Reason::Arguments | Reason::Sensitive, _) => {
            unknown(denial.unmet.as_ref().map_or_else(|| "Arguments not allowed".to_owned(), not_allowed))
        }
        (Reason::UnknownMethod, _) => no_method(call),
        // Whoever can ask for nothing at all is told so: to look for another tool would be no use.
        (Reason::Killed(Stopped::Everything), _) => {
            let error = ErrorObject::new(code::UNAVAILABLE, "switched off by an operator; nothing ran");
            let error = error.with("reason", denial.reason.word()).with(EXECUTED, "no");
            Saying::new(Status::InBand(StatusCode::SERVICE_UNAVAILABLE), error)
        }
        (Reason::PinMissing | Reason::PinChanged | Reason::HiddenCharacter | Reason::Killed(Stopped::Tool), _) => {
            unknown(format!("Unknown tool: {name}"))
        }
        // Something that is there at other times, elsewhere or for others is not there.
        (Reason::NotGranted | Reason::Denied | Reason::OutsideHours | Reason::OutsideNetworks, asked) => match asked {
            None | Some((_, Target::None)) => no_method(call),
            Some((method, _)) if method.subject() == Subject::Method => no_method(call),
            Some((_, Target::Tool(_))) => unknown(format!("Unknown tool: {name}")),
            Some((_, Target::Prompt(_))) => unknown(format!("Unknown prompt: {name}")),
            Some((_, Target::Resource(_))) => {
                let mut saying = unknown(format!("Resource not found: {name}"));
                saying.error = saying.error.with("uri", name);
                saying
            }
            Some((_, Target::Task(_))) => unknown(format!("Task not found: {name}")),
        },
    }
}

/// What a message names by id is not there; or not the caller's, which sounds the same.
fn misplaced(error: StateError, call: Option<&Call>, called: Option<&str>) -> Saying {
    let not_found = Status::Http(StatusCode::NOT_FOUND);
    let bad_request = Status::Http(StatusCode::BAD_REQUEST);
    let (status, code, text) = match error {
        StateError::NoSession => {
            (not_found, code::INVALID_REQUEST, "Session not found: send initialize without Mcp-Session-Id".to_owned())
        }
        StateError::SessionMissing => (
            bad_request,
            code::INVALID_REQUEST,
            "no session is named: send initialize first, and Mcp-Session-Id with all that follows".to_owned(),
        ),
        StateError::TooManySessions => (
            Status::Http(StatusCode::TOO_MANY_REQUESTS),
            code::LIMITED,
            "too many sessions: end those that are not needed with DELETE, or use them again".to_owned(),
        ),
        StateError::NoTask => {
            let task = called.or(call.and_then(|call| call.target().name())).unwrap_or_default();
            (Status::InBand(StatusCode::BAD_REQUEST), code::INVALID_PARAMS, format!("Task not found: {task}"))
        }
        // MCP 2026-07-28, Capabilities, and the tasks extension.
        StateError::NoTasks => (
            bad_request,
            code::MISSING_CAPABILITY,
            format!("the client must declare {TASKS} in io.modelcontextprotocol/clientCapabilities"),
        ),
        // What is over cannot be cancelled, and whoever cancels could not know (MCP, Cancellation): no error.
        StateError::NothingToCancel => {
            (Status::Http(StatusCode::ACCEPTED), code::INVALID_REQUEST, "nothing to cancel".to_owned())
        }
        StateError::NoCursor => (
            Status::InBand(StatusCode::BAD_REQUEST),
            code::INVALID_PARAMS,
            "unknown cursor: begin the list anew without one".to_owned(),
        ),
        StateError::NothingAsked => {
            (bad_request, code::INVALID_REQUEST, "this answers nothing that the server has asked".to_owned())
        }
    };
    let mut saying = Saying::new(status, ErrorObject::new(code, text));
    match error {
        StateError::TooManySessions => saying.header(header::RETRY_AFTER, "60"),
        StateError::NoTasks => {
            let required = format!("{{\"extensions\":{{\"{TASKS}\":{{}}}}}}");
            saying.error = saying.error.with_json("requiredCapabilities", &required);
        }
        _ => {}
    }
    saying
}

/// What is left for the caller (draft-ietf-httpapi-ratelimit-headers): of the limit that is nearest to its end.
pub(super) fn quota(quota: Quota, headers: &mut HeaderMap) {
    let told = format!("\"{}\";r={};t={}", quota.unit.word(), quota.left, quota.every.as_secs().max(1));
    if let Ok(told) = HeaderValue::from_str(&told) {
        headers.insert(RATE_LIMIT, told);
    }
}

fn limited(exceeded: &LimitExceeded) -> Saying {
    let text = format!("{exceeded}; ask again in {} ms", millis(exceeded.retry_after));
    later(Status::InBand(StatusCode::TOO_MANY_REQUESTS), ErrorObject::new(code::LIMITED, text), exceeded.retry_after)
}

/// What may be asked again after this time.
fn later(status: Status, error: ErrorObject, wait: Duration) -> Saying {
    let millis = millis(wait);
    let mut saying = Saying::new(status, error.with_number("retryAfterMs", millis));
    saying.header(header::RETRY_AFTER, &millis.div_ceil(1000).to_string());
    saying
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What clients must know before they can authenticate.
pub(super) fn metadata(document: Bytes) -> Response<GateBody> {
    let mut response = Response::new(GateBody::whole(document));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of the gate's own.
pub(super) fn result(answer: String) -> Response<GateBody> {
    let mut response = Response::new(GateBody::whole(Bytes::from(answer)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether an answer of this era says that the session that was named is none: nothing ran (MCP 2025-11-25, Transports).
pub(super) fn is_of_no_session(answer: &Response<GateBody>) -> bool {
    answer.status() == StatusCode::NOT_FOUND
}

/// It is heard, and nothing answers it.
pub(super) fn accepted() -> Response<GateBody> {
    let mut response = done();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// It is done, and there is nothing to say.
pub(super) fn done() -> Response<GateBody> {
    Response::new(GateBody::whole(Bytes::new()))
}

/// A stream of the gate's own.
pub(super) fn stream(body: GateBody) -> Response<GateBody> {
    let mut response = Response::new(body);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    response.headers_mut().extend(headers);
    response
}

/// A fault of the gate's own: the caller hears nothing of what it was.
pub(super) fn panicked() -> Response<GateBody> {
    let error = ErrorObject::new(code::INTERNAL, "internal error of the gateway")
        .with(ORIGIN, "gateway")
        .with(EXECUTED, "unknown");
    let mut response = Response::new(GateBody::whole(Bytes::from(error.to_json(None))));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Status {
    /// The status of the answer to a request with this id.
    fn of(self, id: Option<&RequestId>) -> StatusCode {
        match self {
            Self::InBand(_) if id.is_some() => StatusCode::OK,
            Self::InBand(status) | Self::Http(status) => status,
        }
    }
}

impl Saying {
    fn new(status: Status, error: ErrorObject) -> Self {
        Self { status, error, headers: HeaderMap::new() }
    }

    fn header(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}
