//! HTTP/2 in clear text by prior knowledge: an orderly client on the h2 crate, and a writer of raw frames for what that
//! crate would refuse to send.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::DEADLINE;
use super::http1::Head;
use super::raw::Response;

/// An orderly connection. Its driver ends with the runtime of the test.
#[derive(Debug)]
pub(crate) struct Client {
    requests: h2::client::SendRequest<Bytes>,
}

impl Client {
    pub(crate) async fn open(to: SocketAddr) -> Result<Self, h2::Error> {
        let stream = TcpStream::connect(to).await.expect("the gate accepts");
        let (requests, connection) = h2::client::handshake(stream).await?;
        // An error of the connection reaches every exchange on it as well.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests })
    }

    /// One exchange. Pseudo headers are given among the others, by their `:` names.
    pub(crate) async fn call(&mut self, headers: &[(String, String)], body: &[u8]) -> Result<Response, h2::Error> {
        let field = |name: &str| {
            let found = headers.iter().find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let target = format!("{}://{}{}", field(":scheme"), field(":authority"), field(":path"));
        let mut request = http::Request::builder().method(field(":method")).uri(target);
        for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("the headers are well formed");
        let exchange = self.exchange(request, Bytes::copy_from_slice(body));
        timeout(DEADLINE, exchange).await.expect("an answer over HTTP/2 in time")
    }

    async fn exchange(&mut self, request: http::Request<()>, body: Bytes) -> Result<Response, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut sender) = requests.send_request(request, false)?;
        sender.send_data(body, true)?;
        let (parts, mut stream) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            stream.flow_control().release_capacity(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        let headers = parts.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        });
        Ok(Response {
            status: parts.status.as_u16(),
            head: Head { headers: headers.collect(), ..Head::default() },
            body,
            interim: Vec::new(),
        })
    }
}

/// Whether a frame is the last of our side of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Stream,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

/// The error code by which a server refuses a stream above its limit.
pub(crate) const REFUSED_STREAM: u32 = 7;

const MAX_CONCURRENT_STREAMS: u16 = 3;

/// One frame, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The status, where this frame is a HEADERS frame that begins with one.
    pub(crate) fn status(&self) -> Option<u16> {
        if self.kind != HEADERS {
            return None;
        }
        status_of_block(&self.payload)
    }

    pub(crate) fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(code.try_into().ok()?))
    }

    /// The last stream that is taken, where this is a GOAWAY frame.
    pub(crate) fn last_stream(&self) -> Option<u32> {
        let last = self.payload.first_chunk().filter(|_| self.kind == GOAWAY)?;
        Some(u32::from_be_bytes(*last) & 0x7fff_ffff)
    }

    /// The limit on concurrent streams, where this is a SETTINGS frame that sets one.
    pub(crate) fn max_concurrent_streams(&self) -> Option<u32> {
        if self.kind != SETTINGS {
            return None;
        }
        let entry = self.payload.chunks_exact(6).find(|e| e[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes())?;
        Some(u32::from_be_bytes(entry[2..6].try_into().ok()?))
    }
}

/// The side of a raw connection that reads.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: OwnedReadHalf,
}

impl Frames {
    /// The next frame; `None` once the peer has closed. Times out as an error.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        match timeout(DEADLINE, self.read()).await {
            Err(late) => Err(late.into()),
            Ok(Err(_)) => Ok(None),
            Ok(Ok(frame)) => Ok(Some(frame)),
        }
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.reader.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).expect("24 bits fit")];
        self.reader.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], stream, payload })
    }
}

/// The side of a raw connection that writes: whatever it is told.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    writer: OwnedWriteHalf,
}

/// Opens a connection and sends the preface.
pub(crate) async fn open_raw(to: SocketAddr) -> (FrameWriter, Frames) {
    let stream = TcpStream::connect(to).await.expect("the gate accepts");
    let (reader, writer) = stream.into_split();
    let mut writer = FrameWriter { writer };
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
    writer.send(&preface).await.expect("a fresh connection takes bytes");
    (writer, Frames { reader })
}

impl FrameWriter {
    /// Writes the bytes. An error means that the peer has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }
}

/// A HEADERS frame with every field spelt out literally, so that nothing corrects it on the way.
pub(crate) fn headers(stream: u32, fields: &[(String, String)], end: End) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let end_headers = 4;
    let end_stream = u8::from(end == End::Stream);
    frame(HEADERS, end_headers | end_stream, stream, &block)
}

pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 1, stream, bytes)
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    let cancel: u32 = 8;
    frame(RST_STREAM, 0, stream, &cancel.to_be_bytes())
}

/// The answer to a PING.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PING, 1, 0, payload)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames here are short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An HPACK string length: 7 bits, continued in groups of 7.
fn push_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).expect("below 127"));
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("below 128") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("below 128"));
}

/// Reads `:status` where a block begins with it, in the forms that servers write before their table fills.
fn status_of_block(block: &[u8]) -> Option<u16> {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let resize = block.iter().take_while(|byte| *byte & 0xe0 == 0x20).count();
    let block = &block[resize..];
    let first = *block.first()?;
    if first & 0x80 != 0 {
        let index = usize::from(first & 0x7f).checked_sub(8)?;
        return STATIC.get(index).copied();
    }
    let status_name = matches!(first, 0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e);
    let length = *block.get(1)?;
    let text = block.get(2..2 + usize::from(length & 0x7f))?;
    if !status_name {
        return None;
    }
    if length & 0x80 == 0 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    huffman_digits(text)
}

/// Three digits in HPACK's Huffman code: 0 to 2 take five bits, the others six.
fn huffman_digits(text: &[u8]) -> Option<u16> {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |i| u16::from(byte >> i & 1)));
    let mut status = 0;
    for _ in 0..3 {
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | bits.next()?;
        }
        let digit = if code < 3 { code } else { (code << 1 | bits.next()?).checked_sub(0b1_0110)? };
        status = status * 10 + digit;
    }
    Some(status)
}

#[test]
fn reads_a_status_in_every_form_a_server_writes() {
    assert_eq!(status_of_block(&[0x88]), Some(200));
    assert_eq!(status_of_block(&[0xbf]), None);
    assert_eq!(status_of_block(&[0x20, 0x8c]), Some(400));
    assert_eq!(status_of_block(b"\x48\x03403"), Some(403));
    // 403 in Huffman code: 011010 00000 011001, padded with ones.
    assert_eq!(status_of_block(&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111]), Some(403));
}
