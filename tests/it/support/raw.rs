//! A client that writes exactly the bytes it is given. Client libraries normalise or refuse half of what an attacker sends.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::DEADLINE;
use super::http1::{self, Framing, Head};

/// One answer, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// 1xx answers that came before it.
    pub(crate) interim: Vec<u16>,
}

impl Response {
    /// The body as JSON; a server-sent event stream counts by its last `data` line.
    pub(crate) fn json(&self) -> Option<Value> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let streamed = self.head.first("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        if !streamed {
            return serde_json::from_str(text).ok();
        }
        let data = text.lines().rev().find_map(|l| l.strip_prefix("data:"))?;
        serde_json::from_str(data).ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What reading the connection brought.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Response(Response),
    /// The peer closed, orderly or not, with no (whole) answer.
    Closed,
    /// Neither an answer nor a close in time.
    Nothing,
}

/// One TCP connection to the gate.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        Self::try_open(to).await.expect("the gate accepts")
    }

    pub(crate) async fn try_open(to: SocketAddr) -> io::Result<Self> {
        let (reader, writer) = timeout(DEADLINE, TcpStream::connect(to)).await??.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// Writes the bytes. An error means that the peer has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Ends our direction and leaves the other one open.
    pub(crate) async fn half_close(&mut self) {
        // Fails only where the peer has closed already, and then the next read says so.
        drop(self.writer.shutdown().await);
    }

    /// Writes while it reads: an answer may come before the last byte is taken.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> Answer {
        let write = async {
            // A peer that closes early has said all it will say; the read tells what.
            drop(self.writer.write_all(bytes).await);
        };
        let read = within_deadline(read_response(&mut self.reader));
        // An answer may come before all is taken, and nothing says that the rest ever will be.
        tokio::pin!(write, read);
        let mut written = false;
        loop {
            tokio::select! {
                answer = &mut read => return answer,
                () = &mut write, if !written => written = true,
            }
        }
    }

    /// Reads the next answer.
    pub(crate) async fn read(&mut self) -> Answer {
        within_deadline(read_response(&mut self.reader)).await
    }

    /// Reads only the head of the next answer; its body follows by [`Self::read_chunk`].
    pub(crate) async fn read_head(&mut self) -> io::Result<Option<Head>> {
        timeout(DEADLINE, http1::read_head(&mut self.reader)).await?
    }

    /// Reads the next chunk of a chunked body; `None` at its end.
    pub(crate) async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        timeout(DEADLINE, http1::read_chunk(&mut self.reader)).await?
    }

    /// Waits for the peer to close; `false` if it does not, or sends something first.
    pub(crate) async fn closes(&mut self) -> bool {
        matches!(self.read().await, Answer::Closed)
    }
}

/// One request over a connection of its own.
pub(crate) async fn call(to: SocketAddr, bytes: &[u8]) -> Response {
    match Connection::open(to).await.exchange(bytes).await {
        Answer::Response(response) => response,
        other => panic!("no answer but {other:?} to {}", String::from_utf8_lossy(bytes)),
    }
}

/// A GET without a body, as a probe sends it.
pub(crate) async fn get(to: SocketAddr, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
    call(to, request.as_bytes()).await
}

async fn within_deadline(read: impl Future<Output = io::Result<Option<Response>>>) -> Answer {
    match timeout(DEADLINE, read).await {
        Ok(Ok(Some(response))) => Answer::Response(response),
        Ok(Ok(None) | Err(_)) => Answer::Closed,
        Err(_) => Answer::Nothing,
    }
}

async fn read_response(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Response>> {
    let mut interim = Vec::new();
    loop {
        let Some(head) = http1::read_head(reader).await? else {
            return Ok(None);
        };
        let status = status_of(&head)?;
        if (100..200).contains(&status) && status != 101 {
            interim.push(status);
            continue;
        }
        let body = http1::read_body(reader, Framing::of_response(&head, status)).await?;
        return Ok(Some(Response { status, head, body, interim }));
    }
}

fn status_of(head: &Head) -> io::Result<u16> {
    head.start
        .split(' ')
        .nth(1)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.start.clone()))
}
