//! What a hostile server answers, as a case writes it down. Recipes are in words; one that nothing here knows stops the
//! run.

use std::net::SocketAddr;

use flate2::{Compress, Compression, Crc, FlushCompress};
use serde::Deserialize;

use crate::support::upstream::Reply;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body_text: Option<String>,
    body_gen: Option<String>,
    /// Exactly these bytes instead of the above; the connection stays open.
    raw_text: Option<String>,
    raw_gen: Option<String>,
    /// The body comes in chunks of this size.
    chunk_bytes: Option<usize>,
}

/// The places outside that the cases name. None is ever connected to: a canary on loopback stands for them.
const OUTSIDE: [&str; 2] = ["http://169.254.169.254/", "http://evil.test/"];

impl Script {
    /// The names of the header fields that the server sends.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn reply(&self, canary: SocketAddr) -> Reply {
        let inside = |text: &str| {
            let canary = format!("http://{canary}/");
            OUTSIDE.iter().fold(text.to_owned(), |text, outside| text.replace(outside, &canary))
        };
        if let Some(raw) = &self.raw_text {
            return Reply::RawKept(inside(raw).into_bytes());
        }
        match self.raw_gen.as_deref() {
            Some(r"'HTTP/1.1 103 Early Hints\r\n\r\n' x 50000") => {
                return Reply::Raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50_000).into_bytes());
            }
            Some(unknown) => panic!("nothing here makes {unknown}"),
            None => {}
        }
        let body = match self.body_gen.as_deref() {
            Some("valid progress events forever") => {
                return Reply::Endless(format!("data: {PROGRESS}"));
            }
            Some("tools x100000") => hundred_thousand_tools(),
            Some("gzip(zeros,1GiB)") => gzipped_gibibyte(),
            Some("text = 'a'*1048576 + '!'") => result_with_text(&("a".repeat(1 << 20) + "!")),
            Some(unknown) => panic!("nothing here makes {unknown}"),
            None => inside(self.body_text.as_deref().expect("a body in some form")).into_bytes(),
        };
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.clone(), inside(value))).collect();
        match self.chunk_bytes {
            Some(size) => Reply::RawKept(chunked(self.status, &headers, &body, size)),
            None => Reply::Whole { status: self.status, headers, body },
        }
    }
}

const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;

fn result_with_text(text: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#).into_bytes()
}

fn hundred_thousand_tools() -> Vec<u8> {
    let tool = |n: usize| format!(r#"{{"name":"tool_{n}","description":"x","inputSchema":{{"type":"object"}}}}"#);
    let tools: Vec<String> = (0..100_000).map(tool).collect();
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(",")).into_bytes()
}

fn chunked(status: u16, headers: &[(String, String)], body: &[u8], size: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\ntransfer-encoding: chunked\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let mut bytes = (head + "\r\n").into_bytes();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A gibibyte of zeros in about a mebibyte, made without compressing a gibibyte: a block that was flushed in full says
/// the same wherever it stands, so one is enough, 1,024 times.
fn gzipped_gibibyte() -> Vec<u8> {
    const MEBIBYTE: usize = 1 << 20;
    let zeros = vec![0; MEBIBYTE];
    let mut block = Vec::with_capacity(MEBIBYTE);
    Compress::new(Compression::best(), false)
        .compress_vec(&zeros, &mut block, FlushCompress::Full)
        .expect("it has room");
    let mut end = Vec::with_capacity(64);
    Compress::new(Compression::best(), false).compress_vec(&[], &mut end, FlushCompress::Finish).expect("it has room");
    let (mut crc, mut of_block) = (Crc::new(), Crc::new());
    of_block.update(&zeros);
    (0..1024).for_each(|_| crc.combine(&of_block));
    // The head of RFC 1952, 2.3: deflate, no name, no time, no system.
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(block.repeat(1024));
    gzip.extend(end);
    gzip.extend(crc.sum().to_le_bytes());
    gzip.extend((1_u32 << 30).to_le_bytes());
    gzip
}

#[test]
fn the_bomb_is_one() {
    let bomb = gzipped_gibibyte();
    assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
    // Its first blocks hold what they should; all of them would take their time.
    let mut first = vec![1; 3 << 20];
    std::io::Read::read_exact(&mut flate2::bufread::GzDecoder::new(&bomb[..]), &mut first).unwrap();
    assert!(first.iter().all(|byte| *byte == 0));
}
