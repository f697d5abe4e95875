//! HTTP/1.1 framing, read leniently and reported exactly: for the fake server and the raw client.
//! Not a client library: it neither normalises nor refuses.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// A message's start line and header fields, with the bytes they came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    /// Names in lower case; order and duplicates as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) raw: Vec<u8>,
}

impl Head {
    /// Every value of one field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(head: &Head) -> Self {
        Self::declared(head).unwrap_or(Self::Empty)
    }

    pub(crate) fn of_response(head: &Head, status: u16) -> Self {
        match status {
            100..200 | 204 | 304 => Self::Empty,
            _ => Self::declared(head).unwrap_or(Self::UntilClose),
        }
    }

    fn declared(head: &Head) -> Option<Self> {
        if head.first("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            return Some(Self::Chunked);
        }
        let length = head.first("content-length")?.trim().parse().ok()?;
        Some(Self::Length(length))
    }
}

/// Reads up to and with the blank line. `None`: the peer closed before the first byte.
pub(crate) async fn read_head<R>(reader: &mut R) -> io::Result<Option<Head>>
where
    R: AsyncBufRead + Unpin,
{
    let mut head = Head::default();
    loop {
        let before = head.raw.len();
        if reader.read_until(b'\n', &mut head.raw).await? == 0 {
            if before == 0 {
                return Ok(None);
            }
            return Err(cut("inside a message head"));
        }
        let line = String::from_utf8_lossy(&head.raw[before..]);
        let line = line.trim_end_matches(['\r', '\n']);
        if before == 0 {
            head.start = line.to_owned();
        } else if line.is_empty() {
            return Ok(Some(head));
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

/// Reads the whole body.
pub(crate) async fn read_body<R>(reader: &mut R, framing: Framing) -> io::Result<Vec<u8>>
where
    R: AsyncBufRead + Unpin,
{
    let mut body = Vec::new();
    match framing {
        Framing::Empty => {}
        Framing::Length(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).await?;
        }
        Framing::UntilClose => {
            reader.read_to_end(&mut body).await?;
        }
        Framing::Chunked => {
            while let Some(chunk) = read_chunk(reader).await? {
                body.extend_from_slice(&chunk);
            }
        }
    }
    Ok(body)
}

/// Reads one chunk of a chunked body. `None`: the last chunk, and its trailer, are read.
pub(crate) async fn read_chunk<R>(reader: &mut R) -> io::Result<Option<Vec<u8>>>
where
    R: AsyncBufRead + Unpin,
{
    let line = read_line(reader).await?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if size == 0 {
        while !read_line(reader).await?.is_empty() {}
        return Ok(None);
    }
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk).await?;
    read_line(reader).await?;
    Ok(Some(chunk))
}

async fn read_line<R>(reader: &mut R) -> io::Result<String>
where
    R: AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).await? == 0 {
        return Err(cut("inside a chunked body"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn cut(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the peer closed {place}"))
}
