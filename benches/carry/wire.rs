//! The calls that are carried and the answers they get. Nothing here knows who carries them.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use tollgate::identity::API_KEY;

use crate::Failure;
use crate::process::Process;
use crate::shared::{KEY, tools_call};

/// A tool of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Answers with its arguments, some two hundred bytes of JSON.
    Echo,
    /// Answers with 16 KiB of JSON.
    Blob16k,
    /// Answers with 1 MiB of JSON.
    Blob1m,
    /// Answers with a stream of one event.
    Sse1,
    /// Answers with a stream of ninety-nine notifications and the answer.
    Sse100,
}

impl Tool {
    pub(crate) const ALL: [Self; 5] = [Self::Echo, Self::Blob16k, Self::Blob1m, Self::Sse1, Self::Sse100];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Blob16k => "blob16k",
            Self::Blob1m => "blob1m",
            Self::Sse1 => "sse1",
            Self::Sse100 => "sse100",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }
}

/// A tool beside those that are loaded: its events come one by one, in their own time.
pub(crate) const PACED: &str = "paced";

/// A request as a client sends it, ready to be sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    head: Request<()>,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(target: &Process, tool: &str) -> Result<Self, Failure> {
        let text = "two hundred bytes or so, with \\\"quotation marks\\\" and a \\n line end, ".repeat(3);
        let body = Bytes::from(tools_call(tool, &format!(r#"{{"message":"{text}"}}"#)));
        let head = Request::builder()
            .method(Method::POST)
            .uri("/mcp")
            .header(HOST, target.address.to_string())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header(API_KEY, KEY)
            .body(())?;
        Ok(Self { head, body })
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        self.head.clone().map(|()| Full::new(self.body.clone()))
    }
}
