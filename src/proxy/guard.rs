//! Watches the bytes of a connection for HTTP/1 framing that other readers may read otherwise.
//!
//! hyper accepts some of it (both Content-Length and Transfer-Encoding, doubled lengths, lines that end with a bare
//! LF) or has mended it before a handler could see (RFC 9112, 2.2, 3.2, 6.1 and 6.3). Whatever is seen here condemns
//! the connection: its messages are refused and it is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Peer;
use super::peer::Asking;
use crate::config::ListenTimeouts;
use crate::exchange::TimeoutKind;

/// A connection whose incoming bytes are watched. They pass unchanged.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    framing: Framing,
    peer: Arc<Peer>,
    timeouts: ListenTimeouts,
    /// Runs while a head is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Who sends a head is about to ask, and so is who has just come.
    asking: Option<Asking>,
    /// Runs while the peer takes nothing of what it is sent.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    /// Watches a connection, which keeps these.
    pub fn new(stream: S, peer: Arc<Peer>, timeouts: ListenTimeouts) -> Self {
        let asking = Some(peer.asks());
        Self { stream, framing: Framing::default(), peer, timeouts, timer: None, asking, stalled: None }
    }

    /// Nothing has come: fails when a head takes too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // How a body comes is seen where it is read, and that nothing is asked where the connection is served.
        if !self.framing.is_in_head() {
            return Poll::Pending;
        }
        let patience = self.timeouts.header;
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(self.too_late(TimeoutKind::RequestHeader, "a message's head did not arrive in time")))
    }

    /// Nothing that was written has been taken, or all of it: fails when nothing is for too long. While hyper cannot write it
    /// asks for no more of an answer, so nothing else ends a call whose caller has stopped reading.
    fn taken<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.timeouts.write;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(self.too_late(TimeoutKind::ResponseWrite, "nothing of an answer was taken in time")))
    }

    fn too_late(&self, kind: TimeoutKind, why: &'static str) -> io::Error {
        self.peer.misses(kind);
        io::Error::new(io::ErrorKind::TimedOut, why)
    }
}

/// Follows the framing of the messages on one connection.
#[derive(Debug, Default)]
struct Framing {
    state: State,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte of a connection.
    #[default]
    Preface,
    /// Before a request line.
    Start,
    /// Among header lines.
    Headers,
    /// So many bytes of body to come, then a new message; or, within chunks, a line end and a new chunk.
    Body { left: u64, after: After },
    /// Before a chunk's size.
    ChunkSize,
    /// Behind the last chunk.
    Trailers,
    /// HTTP/2, or condemned: nothing more to see.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Message,
    Chunk,
}

/// The first line of HTTP/2 with prior knowledge (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
/// No line is longer.
const LONGEST_LINE: usize = 128 * 1024;
/// No chunk's size line is longer: extensions have no use here.
const LONGEST_CHUNK_LINE: usize = 256;

impl Framing {
    /// Whether a head has begun and has not ended, or nothing has come yet.
    fn is_in_head(&self) -> bool {
        match self.state {
            State::Preface | State::Headers => true,
            State::Start => !self.line.is_empty(),
            State::Body { .. } | State::ChunkSize | State::Trailers | State::Done => false,
        }
    }

    /// Follows the next bytes.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Done => return Ok(()),
                State::Body { left, after } => self.body(bytes, left, after),
                State::Preface | State::Start | State::Headers | State::ChunkSize | State::Trailers => {
                    self.lines(bytes)?
                }
            };
        }
        Ok(())
    }

    /// Passes a body; returns what is behind it.
    fn body<'a>(&mut self, bytes: &'a [u8], left: u64, after: After) -> &'a [u8] {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - take as u64;
        self.state = match (left, after) {
            (0, After::Message) => State::Start,
            (0, After::Chunk) => State::ChunkSize,
            _ => State::Body { left, after },
        };
        bytes.get(take..).unwrap_or_default()
    }

    /// Reads a line, if its end has arrived; returns what is behind it.
    fn lines<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            return if self.line.len() > LONGEST_LINE { Err("a line is too long") } else { Ok(&[]) };
        };
        let (line, rest) = bytes.split_at(end + 1);
        if self.line.is_empty() {
            self.line(line)?;
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.line(&whole)?;
        }
        Ok(rest)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if self.state == State::Preface {
            self.state = State::Start;
            if line == HTTP2 {
                self.state = State::Done;
                return Ok(());
            }
        }
        let line = line.strip_suffix(b"\r\n").ok_or("a line ends with a bare line feed")?;
        match self.state {
            // Empty lines before a request are to be overlooked (RFC 9112, 2.2).
            State::Start if line.is_empty() => Ok(()),
            State::Start => {
                self.state = State::Headers;
                (self.length, self.chunked) = (None, false);
                if line.contains(&b'#') { Err("the target has a fragment") } else { Ok(()) }
            }
            State::Headers if line.is_empty() => self.end_of_head(),
            State::Headers => self.header(line),
            State::ChunkSize if line.len() > LONGEST_CHUNK_LINE => Err("a chunk's size line is too long"),
            State::ChunkSize => self.chunk(line),
            State::Trailers => {
                if line.is_empty() {
                    self.state = State::Start;
                }
                Ok(())
            }
            State::Preface | State::Body { .. } | State::Done => Ok(()),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|digits| digits.parse().ok()).ok_or("Content-Length is not a number")?;
            if self.length.replace(length).is_some() {
                return Err("Content-Length stands there twice");
            }
        }
        if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is not exactly chunked");
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), &'static str> {
        self.state = match (self.chunked, self.length) {
            (true, Some(_)) => return Err("both Content-Length and Transfer-Encoding"),
            (true, None) => State::ChunkSize,
            (false, None | Some(0)) => State::Start,
            (false, Some(left)) => State::Body { left, after: After::Message },
        };
        Ok(())
    }

    fn chunk(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(size).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or("a chunk has no size")?;
        self.state = match size.checked_add(2) {
            Some(2) => State::Trailers,
            Some(left) => State::Body { left, after: After::Chunk },
            None => return Err("a chunk's size is too large"),
        };
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buf)?.is_pending() {
            return self.wait(cx);
        }
        let Self { framing, peer, timer, asking, .. } = &mut *self;
        if let Err(flaw) = framing.feed(buf.filled().get(before..).unwrap_or_default()) {
            framing.state = State::Done;
            peer.flawed(flaw);
        }
        if framing.is_in_head() {
            // More of the same head does not buy more time.
            asking.get_or_insert_with(|| peer.asks());
        } else {
            (*timer, *asking) = (None, None);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.taken(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.taken(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.taken(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.taken(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn framing_has_one_reading_or_condemns_the_connection_however_it_is_cut() {
        let plain = "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\nab";
        let chunked = "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n\n\n\r\n0\r\nT: 1\r\n\r\n";
        let sound = [
            plain.to_owned(),
            plain.repeat(3),
            format!("{chunked}{plain}"),
            format!("\r\n{plain}"),
            "PRI * HTTP/2.0\r\n\r\nSM\n\n".to_owned(),
        ];
        for text in sound {
            assert_eq!(in_pieces(&text), Ok(()), "{text:?}");
        }
        for (head, flaw) in [
            ("POST /mcp HTTP/1.1\nHost: a\n\n", "a line ends with a bare line feed"),
            ("POST /mcp#x HTTP/1.1\r\n\r\n", "the target has a fragment"),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", "Content-Length stands there twice"),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "Content-Length is not a number"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
                "both Content-Length and Transfer-Encoding",
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding is not exactly chunked"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n", "a chunk has no size"),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                "a chunk's size is too large",
            ),
        ] {
            assert_eq!(in_pieces(head), Err(flaw), "{head:?}");
            assert_eq!(in_pieces(&format!("{plain}{head}")), Err(flaw), "behind a sound one: {head:?}");
        }
    }

    fn in_pieces(text: &str) -> Result<(), &'static str> {
        let whole = Framing::default().feed(text.as_bytes());
        for cut in 1..12 {
            let mut framing = Framing::default();
            assert_eq!(
                text.as_bytes().chunks(cut).try_for_each(|piece| framing.feed(piece)),
                whole,
                "in pieces of {cut}"
            );
        }
        whole
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_in_time_ends_the_connection_and_waiting_between_messages_does_not() {
        let timeouts = ListenTimeouts { header: Duration::from_millis(20), ..ListenTimeouts::default() };
        for (sent, ends) in [
            ("", true),
            ("P", true),
            ("POST /mcp HTTP/1.1\r\nHost: a\r\n", true),
            ("POST /mcp HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("POST /mcp HTTP/1.1\r\nHost: a\r\n\r\nP", true),
        ] {
            let (mut client, server) = tokio::io::duplex(1024);
            let mut guard = Guard::new(server, Arc::new(Peer::new(([127, 0, 0, 1], 1).into())), timeouts);
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut nowhere = tokio::io::sink();
            let reading = tokio::io::copy(&mut guard, &mut nowhere);
            let ended = tokio::time::timeout(timeouts.header * 10, reading).await;
            assert_eq!(ended.is_ok_and(|read| read.is_err()), ends, "{sent:?}");
        }
    }

    /// A request line that never ends.
    async fn drip(client: &mut tokio::io::DuplexStream, pause: Duration) {
        while client.write_all(b"P").await.is_ok() {
            sleep(pause).await;
        }
    }

    #[tokio::test]
    async fn a_head_that_comes_byte_by_byte_has_no_more_time_than_another() {
        let timeouts = ListenTimeouts { header: Duration::from_millis(100), ..ListenTimeouts::default() };
        for before in ["", "POST /mcp HTTP/1.1\r\n\r\n"] {
            let (mut client, server) = tokio::io::duplex(1024);
            let peer = Arc::new(Peer::new(([127, 0, 0, 1], 1).into()));
            let mut guard = Guard::new(server, Arc::clone(&peer), timeouts);
            client.write_all(before.as_bytes()).await.unwrap();
            let mut nowhere = tokio::io::sink();
            let read = tokio::select! {
                read = tokio::io::copy(&mut guard, &mut nowhere) => read,
                () = drip(&mut client, timeouts.header / 10) => panic!("somebody reads"),
                () = sleep(timeouts.header * 10) => panic!("it goes on and on behind {before:?}"),
            };
            assert!(read.is_err());
            assert_eq!(peer.timed_out(), Some(TimeoutKind::RequestHeader));
        }
    }

    #[tokio::test]
    async fn a_peer_asks_from_the_beginning_of_a_head_to_the_end_of_its_answer() {
        let idle = Duration::from_millis(50);
        let head = "POST /mcp HTTP/1.1\r\nHost: a\r\n";
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let done = format!("{head}\r\n");
        let again = format!("{done}P");
        for (sent, asks) in [("", true), (head, true), (&done, false), (&again, true), (preface, false)] {
            let (mut client, server) = tokio::io::duplex(1024);
            let peer = Arc::new(Peer::new(([127, 0, 0, 1], 1).into()));
            let mut guard = Guard::new(server, Arc::clone(&peer), ListenTimeouts::default());
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut nowhere = tokio::io::sink();
            let is_silent = tokio::select! {
                _ = tokio::io::copy(&mut guard, &mut nowhere) => panic!("the peer is there"),
                silent = tokio::time::timeout(idle * 5, peer.asks_nothing_for(idle)) => silent.is_ok(),
            };
            assert_eq!(is_silent, !asks, "{sent:?}");
            let asking = peer.asks();
            assert!(
                tokio::time::timeout(idle * 5, peer.asks_nothing_for(idle)).await.is_err(),
                "it waits for its answer"
            );
            drop((asking, guard));
            peer.asks_nothing_for(idle).await;
        }
    }

    /// Takes so many bytes after each pause.
    async fn take(client: &mut tokio::io::DuplexStream, bytes: usize, pause: Duration) {
        let mut taken = vec![0; bytes];
        while bytes > 0 && client.read_exact(&mut taken).await.is_ok() {
            sleep(pause).await;
        }
        pending::<()>().await;
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_for_too_long_is_cut_off_and_one_that_takes_little_is_not() {
        let timeouts = ListenTimeouts { write: Duration::from_millis(200), ..ListenTimeouts::default() };
        for (takes, cut_off) in [(0, true), (1, false)] {
            let (mut client, server) = tokio::io::duplex(16);
            let peer = Arc::new(Peer::new(([127, 0, 0, 1], 1).into()));
            let mut guard = Guard::new(server, Arc::clone(&peer), timeouts);
            let written = tokio::select! {
                written = tokio::time::timeout(timeouts.write * 4, guard.write_all(&[b'x'; 1_000])) => written,
                () = take(&mut client, takes, timeouts.write / 20) => continue,
            };
            assert_eq!(written.is_ok_and(|written| written.is_err()), cut_off);
            assert_eq!(peer.timed_out(), cut_off.then_some(TimeoutKind::ResponseWrite));
        }
    }
}
