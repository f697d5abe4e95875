//! The cases over HTTP/2. What a library would refuse to send is sent as raw frames.

use super::ALLOWED;
use super::case::{Case, Expectation};
use super::judge::{Seen, judge, summary};
use crate::support::gate::Gate;
use crate::support::h2::{self, Client, End, FrameWriter, Frames, GOAWAY, REFUSED_STREAM};
use crate::support::keys;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Answer};
use crate::support::upstream::Upstream;

type Fields = Vec<(String, String)>;

pub(super) async fn run(case: &Case, gate: &Gate, upstream: &Upstream) -> Result<(), String> {
    let mark = upstream.count();
    if let Some(times) = case.repeat {
        rapid_reset(case, gate, times).await?;
    } else if let Some(streams) = case.concurrency {
        many_streams(case, gate, streams).await?;
    } else if case.expectation == Expectation::RejectedBeforeUpstream {
        return malformed(case, gate, upstream).await;
    } else {
        return orderly(case, gate, upstream).await;
    }
    if upstream.count() != mark {
        return Err(format!("{} requests behind", upstream.count() - mark));
    }
    let call = post(keys::ALICE, &tool_call("1", ALLOWED, "{}"));
    match raw::call(gate.data, &call).await.status {
        200 => Ok(()),
        status => Err(format!("others get {status} afterwards")),
    }
}

/// The case, and one more call, on one connection of an orderly client.
async fn orderly(case: &Case, gate: &Gate, upstream: &Upstream) -> Result<(), String> {
    let mark = upstream.count();
    let mut client = Client::open(gate.data).await.map_err(|e| format!("no HTTP/2: {e}"))?;
    let call = client.call(&case.headers(), &case.body()).await;
    let seen = Seen {
        answers: vec![call.map_or(Answer::Closed, Answer::Response)],
        upstream: upstream.since(mark),
        closed: None,
    };
    judge(case, &seen, &upstream.address.to_string()).map_err(|why| format!("{why} ({})", summary(&seen)))?;
    let again = client.call(&case.headers(), &case.body()).await;
    match again {
        Ok(response) if response.status == 200 => Ok(()),
        other => Err(format!("reused: {other:?}")),
    }
}

/// A stream that HTTP/2 or the gate must refuse; a later stream on the connection works, or the connection is closed.
async fn malformed(case: &Case, gate: &Gate, upstream: &Upstream) -> Result<(), String> {
    let mark = upstream.count();
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    let mut fields = case.headers();
    if case.title.contains("host differ") {
        // The record names the two that differ, but lists only one of them.
        fields.push(("host".to_owned(), "evil.test".to_owned()));
    }
    let refused = match call(&mut writer, &mut frames, 1, &fields, &case.body()).await? {
        Ended::Status(status) if status < 400 => {
            return Err(format!("status {status}, {} behind", upstream.count() - mark));
        }
        ended => ended,
    };
    if upstream.count() != mark {
        return Err(format!("{refused:?}, yet carried"));
    }
    let well_formed: Fields =
        case.headers().into_iter().filter(|(name, _)| name != "transfer-encoding" && name != "X-Upper").collect();
    match call(&mut writer, &mut frames, 3, &well_formed, &case.body()).await? {
        Ended::Closed => Ok(()),
        Ended::Status(200) if upstream.count() == mark + 1 => Ok(()),
        ended => Err(format!("after {refused:?} the next stream: {ended:?}")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Status(u16),
    Reset(u32),
    Closed,
}

async fn call(
    writer: &mut FrameWriter,
    frames: &mut Frames,
    stream: u32,
    fields: &Fields,
    body: &[u8],
) -> Result<Ended, String> {
    let mut bytes = h2::headers(stream, fields, End::Open);
    bytes.extend_from_slice(&h2::data(stream, body));
    // An error means that the gate has closed; reading tells the same.
    drop(writer.send(&bytes).await);
    loop {
        let frame = frames.next().await.map_err(|late| format!("neither answered, reset nor closed: {late}"))?;
        let Some(frame) = frame else {
            return Ok(Ended::Closed);
        };
        match frame.status() {
            Some(status) if frame.stream == stream => return Ok(Ended::Status(status)),
            _ if frame.kind == GOAWAY => return Ok(Ended::Closed),
            _ if frame.kind == h2::RST_STREAM && frame.stream == stream => {
                return Ok(Ended::Reset(frame.error_code().unwrap_or_default()));
            }
            _ => {}
        }
    }
}

/// Opens and resets streams as fast as it can: the gate must end the connection.
async fn rapid_reset(case: &Case, gate: &Gate, times: u32) -> Result<(), String> {
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    let fields = case.headers();
    let flood = tokio::spawn(async move {
        for n in 0..times {
            let stream = 2 * n + 1;
            let mut bytes = h2::headers(stream, &fields, End::Open);
            bytes.extend_from_slice(&h2::reset(stream));
            if writer.send(&bytes).await.is_err() {
                break;
            }
        }
        writer
    });
    let ended = loop {
        match frames.next().await {
            Ok(Some(frame)) if frame.kind != GOAWAY => {}
            Ok(_) => break Ok(()),
            Err(_) => break Err(format!("{times} resets, and the connection stays open")),
        }
    };
    flood.abort();
    ended
}

/// Opens streams without end: those above the limit are refused one by one, or the connection is ended.
async fn many_streams(case: &Case, gate: &Gate, streams: u32) -> Result<(), String> {
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    let fields = case.headers();
    let flood = tokio::spawn(async move {
        for n in 0..streams {
            let bytes = h2::headers(2 * n + 1, &fields, End::Open);
            if writer.send(&bytes).await.is_err() {
                break;
            }
        }
        writer
    });
    let mut limit = None;
    let mut refused = 0;
    let ended = loop {
        match frames.next().await {
            Ok(Some(frame)) if frame.kind == GOAWAY => break Ok(()),
            Ok(None) => break Ok(()),
            Ok(Some(frame)) => {
                limit = limit.or(frame.max_concurrent_streams());
                refused += u32::from(frame.error_code() == Some(REFUSED_STREAM));
                if limit.is_some_and(|limit| limit <= 1000 && refused + limit >= streams) {
                    break Ok(());
                }
            }
            Err(_) => break Err(format!("limit {limit:?}, {refused} of {streams} refused")),
        }
    };
    flood.abort();
    ended
}
