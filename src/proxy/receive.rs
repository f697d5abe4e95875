//! What arrives: an HTTP head that has one reading, and a body that is one call.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method as HttpMethod, Version, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{Batches, RequestDecompression};
use crate::exchange::{HttpRefusal, Refusal};
use crate::federation::{View, Views};
use crate::identity::PublicUrl;
use crate::json::Bounds;
use crate::mcp::{self, Call, Method, Mismatch};
use crate::state::{MESSAGES, Mirrors, Place, SESSION_ID, STREAM};

use super::route::{ENDPOINT, Route, Routes, Transports};

/// What the gate takes over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The `Host` values that it answers to; `None`: any well-formed one.
    pub hosts: Option<Vec<String>>,
    /// The `Origin` values that it answers to.
    pub origins: Vec<String>,
    /// The longest body, in bytes.
    pub max_body_bytes: usize,
    /// How long one may take.
    pub body_timeout: Duration,
    /// Whether gzip bodies are unpacked, checked and carried unpacked.
    pub request_decompression: RequestDecompression,
    /// Whether a body may hold a batch of messages.
    pub batches: Batches,
}

/// After its first moments a body comes at so many bytes a second.
const FIRST_MOMENTS: Duration = Duration::from_secs(5);
const A_SECOND: usize = 1 << 10;
/// So much of a body that nobody wants is taken off its connection, for so long.
const PASSED_OVER: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(1);
/// A packed body may unpack to this many times its length.
const RATIO: usize = 20;
/// Headers that may stand there once: two readers could pick different ones.
static SINGLE: [HeaderName; 13] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::AUTHORIZATION,
    header::ORIGIN,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("last-event-id"),
    SESSION_ID,
];

/// What a request is for.
pub(super) enum For {
    /// A server, at this place.
    Server(Arc<Route>, Place),
    /// What clients must know before they can authenticate there.
    Metadata(PublicUrl),
    /// A view.
    View(Arc<View>),
}

/// Checks a head by what stands in it alone; says what it is for.
///
/// # Errors
/// It has more than one reading, is not for this gate, or asks for what is not here.
pub(super) fn head(head: &request::Parts, door: &Door, (routes, views): (&Routes, &Views)) -> Result<For, HttpRefusal> {
    if !matches!(head.version, Version::HTTP_11 | Version::HTTP_2) {
        return Err(HttpRefusal::Malformed("only HTTP/1.1 and HTTP/2 are spoken"));
    }
    unambiguous(&head.headers)?;
    let host = host(head, door)?;
    origin(&head.headers, door)?;
    let published = routes.published(host, head.uri.path(), views);
    if let Some(url) = published.filter(|_| head.method == HttpMethod::GET && head.uri.query().is_none()) {
        return Ok(For::Metadata(url));
    }
    if let Some(view) = routes.view(host, head.uri.path(), views) {
        return match (&head.method, head.uri.query()) {
            (_, Some(_)) => Err(HttpRefusal::Query),
            (&HttpMethod::POST | &HttpMethod::GET, None) => Ok(For::View(Arc::clone(view))),
            (&HttpMethod::DELETE, None) if head.headers.contains_key(&SESSION_ID) => Ok(For::View(Arc::clone(view))),
            _ => Err(HttpRefusal::MethodNotAllowed),
        };
    }
    let (route, path) = routes.find(host, head.uri.path()).ok_or(HttpRefusal::NoSuchPath)?;
    let place = place(head, path, route.served.transports)?;
    Ok(For::Server(Arc::clone(route), place))
}

/// Where in MCP a request is, and whether its method means something there.
fn place(head: &request::Parts, path: &str, has: Transports) -> Result<Place, HttpRefusal> {
    let place = match (path, has) {
        (ENDPOINT, Transports { streamable: true, .. }) => Place::Endpoint,
        (STREAM, Transports { sse: true, .. }) => Place::NewStream,
        (path, Transports { sse: true, .. }) => {
            let ours = path.strip_prefix(MESSAGES).and_then(|ours| HeaderValue::from_str(ours).ok());
            Place::Messages(ours.ok_or(HttpRefusal::NoSuchPath)?)
        }
        _ => return Err(HttpRefusal::NoSuchPath),
    };
    if head.uri.query().is_some() {
        return Err(HttpRefusal::Query);
    }
    let in_session = head.headers.contains_key(&SESSION_ID);
    match (&head.method, &place) {
        (&HttpMethod::POST, Place::Endpoint | Place::Messages(_))
        | (&HttpMethod::GET, Place::Endpoint | Place::NewStream) => Ok(place),
        (&HttpMethod::DELETE, Place::Endpoint) if in_session => Ok(place),
        _ => Err(HttpRefusal::MethodNotAllowed),
    }
}

/// No header that must be single stands there twice, nor under a name that CGI-like readers take for it.
fn unambiguous(headers: &HeaderMap) -> Result<(), HttpRefusal> {
    let mut seen = [false; SINGLE.len()];
    for (name, _) in headers {
        if let Some((_, seen)) = SINGLE.iter().zip(&mut seen).find(|(single, _)| *single == name)
            && std::mem::replace(seen, true)
        {
            return Err(HttpRefusal::Malformed("a header that must be single stands there twice"));
        }
        if memchr::memchr(b'_', name.as_str().as_bytes()).is_some()
            && SINGLE.iter().any(|single| single.as_str() == name.as_str().replace('_', "-"))
        {
            return Err(HttpRefusal::Malformed("a header name with _ may be read as one with -"));
        }
    }
    let framing = [header::CONTENT_LENGTH.as_str(), header::TRANSFER_ENCODING.as_str(), header::HOST.as_str()];
    let nominated = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    if nominated
        .flat_map(|value| value.split(','))
        .any(|name| framing.iter().any(|it| it.eq_ignore_ascii_case(name.trim())))
    {
        return Err(HttpRefusal::Malformed("Connection names a header that frames the message"));
    }
    match headers.get(header::EXPECT) {
        Some(expected) if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(HttpRefusal::Malformed("Expect asks for something unknown"))
        }
        _ => Ok(()),
    }
}

/// Exactly one host, the same in the target and in the header, and one of ours (RFC 9112, 3.2; DNS rebinding).
fn host<'a>(head: &'a request::Parts, door: &Door) -> Result<&'a str, HttpRefusal> {
    let target = head.uri.authority().map(Authority::as_str);
    let header = head.headers.get(header::HOST).map(HeaderValue::to_str);
    let host = match (target, header) {
        (None, None) | (_, Some(Err(_))) => {
            return Err(HttpRefusal::Malformed("there must be exactly one Host"));
        }
        (Some(target), Some(Ok(header))) if !target.eq_ignore_ascii_case(header) => {
            return Err(HttpRefusal::Malformed("Host and target name different hosts"));
        }
        (_, Some(Ok(host))) | (Some(host), None) => host,
    };
    if !is_authority(host) {
        return Err(HttpRefusal::ForeignHost);
    }
    match &door.hosts {
        Some(hosts) if !hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) => Err(HttpRefusal::ForeignHost),
        _ => Ok(host),
    }
}

/// `host` or `host:port`, without user, path or anything else (RFC 3986, 3.2).
fn is_authority(host: &str) -> bool {
    !host.contains('@')
        && host.parse::<Authority>().is_ok_and(|authority| authority.as_str() == host && !authority.host().is_empty())
}

fn origin(headers: &HeaderMap, door: &Door) -> Result<(), HttpRefusal> {
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if door.origins.iter().any(|ours| ours.as_bytes() == origin.as_bytes()) => Ok(()),
        Some(_) => Err(HttpRefusal::ForeignOrigin),
    }
}

/// What a request asks for.
pub(super) enum Calls {
    /// One thing.
    One(Arc<Call>),
    /// Several (MCP 2025-03-26).
    Batch(Vec<Arc<Call>>),
}

/// What becomes of a body that nobody wants.
#[derive(Clone, Copy)]
pub(super) enum Rest {
    /// It is on its way.
    Coming,
    /// It comes when it is asked for (`Expect: 100-continue`), which it is not.
    Waiting,
}

impl Rest {
    pub(super) fn of(head: &request::Parts) -> Self {
        if head.headers.contains_key(header::EXPECT) { Self::Waiting } else { Self::Coming }
    }

    /// Takes a small body off the connection without a look at it. Where one is left, the connection ends behind the
    /// answer, unannounced: a client that sends the next request on it, such as with the token it was told to bring,
    /// would find nobody.
    pub(super) async fn passed_over(self, mut body: Incoming) {
        if body.size_hint().lower() > PASSED_OVER as u64 {
            return;
        }
        let passing = async {
            let mut left = PASSED_OVER;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        if matches!(self, Self::Coming) && timeout(PATIENCE, passing).await.is_err() {
            tracing::debug!("a body that nobody wants does not come; its connection ends");
        }
    }
}

/// Reads what a request asks for. Only for callers who are known: before that nobody looks at a body. `keep` finds room for
/// so many bytes of it.
///
/// # Errors
/// It is not one message with one reading; nor a batch of them, where batches are taken. Or there is no room.
pub(super) async fn calls(
    (head, place): (&request::Parts, &Place),
    body: &mut Incoming,
    door: &Door,
    mut keep: impl FnMut(usize) -> Result<(), HttpRefusal>,
) -> Result<Calls, Refusal> {
    let one = |call| Ok(Calls::One(Arc::new(call)));
    if head.method == HttpMethod::GET {
        return if accepts(&head.headers, "text/event-stream") {
            one(Call::without_message(Method::OpenStream))
        } else {
            Err(HttpRefusal::NotAcceptable.into())
        };
    }
    if head.method == HttpMethod::DELETE {
        return one(Call::without_message(Method::EndSession));
    }
    if !is_json(&head.headers) {
        return Err(HttpRefusal::ContentType.into());
    }
    let packed = packed(&head.headers, door)?;
    // Clients of 2024-11-05 get their answers elsewhere, so they need not say what they take here.
    let needed = matches!(place, Place::Endpoint | Place::Several(..));
    if needed && !accepts(&head.headers, "application/json") && !accepts(&head.headers, "text/event-stream") {
        return Err(HttpRefusal::NotAcceptable.into());
    }
    let body = whole(body, door, &mut keep).await?;
    let body = if packed { unpack(&body, door.max_body_bytes)? } else { body };
    keep(body.len())?;
    let is_batch = body.trim_ascii_start().starts_with(b"[");
    if door.batches == Batches::Taken && is_batch && mcp::may_batch(&head.headers) {
        let calls = mcp::read_batch(&body, &Bounds::default())?;
        return Ok(Calls::Batch(calls.into_iter().map(Arc::new).collect()));
    }
    one(mcp::read(&body, &Bounds::default())?)
}

/// Whether the headers that mirror a message say what it says.
pub(super) fn agree(head: &request::Parts, call: &Call, mirrors: &Mirrors) -> Result<(), Mismatch> {
    match head.method {
        HttpMethod::POST => {
            mcp::agree(&head.headers, call)?;
            mirrors.agree(&head.headers, call)
        }
        _ => Ok(()),
    }
}

/// `application/json`, with at most `charset=utf-8` (RFC 8259, 8.1 and 11).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = parameters.trim();
    essence.trim_end().eq_ignore_ascii_case("application/json")
        && (parameters.is_empty()
            || ["charset=utf-8", "charset=\"utf-8\""].iter().any(|known| known.eq_ignore_ascii_case(parameters)))
}

/// Whether the body is packed. Only gzip, only if the operator wants that.
fn packed(headers: &HeaderMap, door: &Door) -> Result<bool, HttpRefusal> {
    match (headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes), door.request_decompression) {
        (None | Some(b"identity"), _) => Ok(false),
        (Some(b"gzip"), RequestDecompression::Gzip) => Ok(true),
        (Some(_), _) => Err(HttpRefusal::ContentCoding),
    }
}

/// Whether the caller takes this media type.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let (wanted_type, _) = wanted.split_once('/').unwrap_or((wanted, ""));
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            let any_of_type =
                range.strip_suffix("/*").is_some_and(|kind| kind == "*" || kind.eq_ignore_ascii_case(wanted_type));
            any_of_type || range.eq_ignore_ascii_case(wanted)
        })
}

/// The whole body, within the bounds. One frame, the usual case, is not copied.
async fn whole(
    body: &mut Incoming,
    door: &Door,
    mut keep: impl FnMut(usize) -> Result<(), HttpRefusal>,
) -> Result<Bytes, HttpRefusal> {
    let (most, patience) = (door.max_body_bytes, door.body_timeout);
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > most {
        return Err(HttpRefusal::TooLarge(most));
    }
    // All that is told to come, at once: of a crowd that found room step by step, each would have some and nobody enough, and
    // what is refused here has not been read.
    keep(declared)?;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let begun = Instant::now();
    // What comes buys time, and never more than there is.
    let ends = |come: usize| begun + patience.min(FIRST_MOMENTS + Duration::from_secs((come / A_SECOND) as u64));
    while let Some(frame) =
        timeout_at(ends(first.len() + all.len()), body.frame()).await.map_err(|_elapsed| HttpRefusal::TooSlow)?
    {
        let frame = frame.map_err(|_broken| HttpRefusal::Incomplete)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let come = first.len() + all.len() + data.len();
        if come > most {
            return Err(HttpRefusal::TooLarge(most));
        }
        keep(come)?;
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                // To grow step by step would take it twice.
                all.reserve(declared.max(come));
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Unpacks gzip: exactly one member, nothing behind it, no bomb.
fn unpack(packed: &[u8], most: usize) -> Result<Bytes, HttpRefusal> {
    let most = most.min(packed.len().saturating_mul(RATIO));
    let mut unpacked = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(packed);
    let read = decoder.by_ref().take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut unpacked);
    let rest = decoder.read(&mut [0]);
    match (read, rest) {
        (Ok(_), Ok(0)) if decoder.into_inner().is_empty() => Ok(Bytes::from(unpacked)),
        (Ok(_), Ok(1..)) => Err(HttpRefusal::TooLarge(most)),
        _ => Err(HttpRefusal::ContentCoding),
    }
}
