//! A recording MCP server: keeps every request with its exact bytes and answers as a test asks.
//! Not a model of MCP: it never refuses anything.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::http1::{self, Framing, Head};

/// One request, as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(std::str::from_utf8(&self.body).ok()?).ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body without the trace context that the gate has written into it: the one that `traceparent` names.
    pub(crate) fn without_context(&self) -> Vec<u8> {
        let (text, own) = (self.text(), self.head.first("traceparent").unwrap_or_default());
        for written in [format!(r#""_meta":{{"traceparent":"{own}"}}"#), format!(r#""traceparent":"{own}""#)] {
            if let Some((before, after)) = text.split_once(&written) {
                return [before, after.strip_prefix(',').unwrap_or(after)].concat().into_bytes();
            }
        }
        self.body.clone()
    }

    /// Whether these bytes occur anywhere in what the server saw.
    pub(crate) fn holds(&self, needle: &str) -> bool {
        [&self.head.raw, &self.body].iter().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle.as_bytes()))
    }
}

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole HTTP answer.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// An event stream: each text is one event, written as it stands with a blank line behind it.
    Events(Vec<String>, Ending),
    /// Exactly these bytes on the socket, then close.
    Raw(Vec<u8>),
    /// An event stream of this head event and whatever [`Upstream::push`] says while it is open.
    Pushed(String),
    /// Exactly these bytes on the socket, which stays open for the next request.
    RawKept(Vec<u8>),
    /// An event stream that says this one event every millisecond for as long as anybody listens.
    Endless(String),
    /// Takes the request and never answers.
    Hang,
    /// A byte of an answer now and then, for as long as anybody waits.
    Dripping,
    /// Takes the request and closes the connection.
    BreakOff,
    /// Answers after a pause.
    Late(Duration, Box<Reply>),
    /// Answers once [`Upstream::release`] is called.
    OnRelease(Box<Reply>),
}

/// How an event stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Orderly, with the last chunk.
    Clean,
    /// The connection closes inside the stream.
    BreakOff,
    /// It stays open until the peer goes or the server is released, and then ends clean.
    StayOpen,
}

impl Reply {
    pub(crate) fn json(message: &Value) -> Self {
        Self::status(200, message)
    }

    pub(crate) fn status(status: u16, message: &Value) -> Self {
        Self::Whole {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: message.to_string().into_bytes(),
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::Whole { status, headers: Vec::new(), body: Vec::new() }
    }

    /// What an obliging server says: the tools of the test world, or the call's arguments as text.
    pub(crate) fn obliging(request: &Recorded) -> Self {
        let message = request.json().unwrap_or_default();
        if request.method != "POST" {
            return Self::empty(405);
        }
        let Some(id) = message.get("id") else {
            return Self::empty(202);
        };
        let result = match message["method"].as_str().unwrap_or_default() {
            "tools/list" => json!({ "tools": tools() }),
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "recording", "version": "1" },
            }),
            "tools/call" => json!({
                "content": [{ "type": "text", "text": message["params"]["arguments"].to_string() }],
                "isError": false,
            }),
            _ => json!({}),
        };
        Self::json(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }
}

/// The tools that the server has; the test world's readers may call all but the last two.
const TOOLS: [&str; 5] = ["search_records", "get_record_detail", "get_statistics", "get_pool_status", "delete_record"];

/// What it says of them.
pub(crate) fn tools() -> Vec<Value> {
    TOOLS.map(tool).to_vec()
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "description": name, "inputSchema": { "type": "object" } })
}

type Answers = Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>;

struct Shared {
    answers: Mutex<Answers>,
    seen: Mutex<Vec<Recorded>>,
    /// The last look of the gate whether it is there.
    probed: Mutex<Option<Recorded>>,
    count: watch::Sender<usize>,
    hung_up: watch::Sender<usize>,
    released: watch::Sender<bool>,
    pushed: broadcast::Sender<String>,
}

/// The server. Ends when it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Upstream {
    /// Starts on a free port and answers as [`Reply::obliging`] says.
    pub(crate) async fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same at an address that was free a moment ago.
    #[expect(clippy::unused_async, reason = "it can only be called where a runtime is")]
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("it is new");
        socket.bind(address).expect("a free port");
        // A crowd must not wait for its server, which shares the machine with it.
        let listener = socket.listen(4096).expect("it is bound");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            answers: Mutex::new(Arc::new(Reply::obliging)),
            seen: Mutex::default(),
            probed: Mutex::default(),
            count: watch::Sender::new(0),
            hung_up: watch::Sender::new(0),
            released: watch::Sender::new(false),
            pushed: broadcast::Sender::new(64),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// From now on every request gets this reply.
    pub(crate) fn answer(&self, reply: Reply) {
        self.answer_with(move |_| reply.clone());
    }

    /// From now on every request gets the reply that this function gives.
    pub(crate) fn answer_with(&self, answers: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) {
        *self.shared.answers.lock().unwrap() = Arc::new(answers);
    }

    /// Says an event on every stream that is open for that.
    pub(crate) fn push(&self, event: &str) {
        self.shared.pushed.send(event.to_owned()).expect("a stream is open");
    }

    /// Lets every held reply go, and all later ones.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Holds replies again after a release.
    pub(crate) fn hold(&self) {
        self.shared.released.send_replace(false);
    }

    pub(crate) fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// How many peers went away while their request hung or their stream was open.
    pub(crate) async fn wait_for_hang_ups(&self, n: usize, deadline: Duration) -> bool {
        let mut hung_up = self.shared.hung_up.subscribe();
        timeout(deadline, hung_up.wait_for(|seen| *seen >= n)).await.is_ok()
    }

    /// Everything seen from the nth request on.
    pub(crate) fn since(&self, n: usize) -> Vec<Recorded> {
        self.shared.seen.lock().unwrap()[n..].to_vec()
    }

    /// The gate's last look whether it is there.
    pub(crate) fn probe(&self) -> Option<Recorded> {
        self.shared.probed.lock().unwrap().clone()
    }

    /// Waits until at least `n` requests were taken; `false` if they do not come in time.
    pub(crate) async fn wait_for(&self, n: usize, deadline: Duration) -> bool {
        let mut count = self.shared.count.subscribe();
        timeout(deadline, count.wait_for(|seen| *seen >= n)).await.is_ok()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

/// One connection: an error only ever means that the peer is gone.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(head)) = http1::read_head(&mut reader).await {
        let Ok(body) = http1::read_body(&mut reader, Framing::of_request(&head)).await else {
            return;
        };
        let mut words = head.start.split(' ').map(str::to_owned);
        let request =
            Recorded { method: words.next().unwrap_or_default(), path: words.next().unwrap_or_default(), head, body };
        if is_probe(&request) {
            *shared.probed.lock().unwrap() = Some(request);
            let answer = whole(405, &[], &[]);
            if writer.write_all(&answer).await.is_err() {
                return;
            }
            continue;
        }
        let answers = Arc::clone(&shared.answers.lock().unwrap());
        let reply = answers(&request);
        shared.seen.lock().unwrap().push(request);
        shared.count.send_modify(|count| *count += 1);
        match send(reply, &mut reader, &mut writer, &shared).await {
            Ok(Connection::Kept) => {}
            Ok(Connection::Closed) | Err(_) => return,
        }
    }
}

/// The gate looks now and then whether its server answers at all. That is nobody's request: it is answered, not recorded.
fn is_probe(request: &Recorded) -> bool {
    request.method == "OPTIONS" && request.body.is_empty() && request.head.first("x-gateway-principal").is_none()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Kept,
    Closed,
}

async fn send(
    mut reply: Reply,
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    shared: &Shared,
) -> std::io::Result<Connection> {
    loop {
        reply = match reply {
            Reply::Late(pause, then) => {
                tokio::time::sleep(pause).await;
                *then
            }
            Reply::OnRelease(then) => {
                released_or_gone(reader, shared).await?;
                *then
            }
            Reply::Hang => {
                gone(reader).await;
                shared.hung_up.send_modify(|count| *count += 1);
                return Ok(Connection::Closed);
            }
            Reply::Dripping => return send_drops((reader, writer), shared).await,
            Reply::BreakOff => return Ok(Connection::Closed),
            Reply::Raw(bytes) => {
                writer.write_all(&bytes).await?;
                return Ok(Connection::Closed);
            }
            Reply::RawKept(bytes) => {
                writer.write_all(&bytes).await?;
                return Ok(Connection::Kept);
            }
            Reply::Endless(event) => return send_endless(&event, (reader, writer), shared).await,
            Reply::Whole { status, headers, body } => {
                writer.write_all(&whole(status, &headers, &body)).await?;
                return Ok(Connection::Kept);
            }
            Reply::Pushed(first) => return send_pushed(first, (reader, writer), shared).await,
            Reply::Events(events, ending) => {
                return send_events(&events, ending, (reader, writer), shared).await;
            }
        }
    }
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One event as one chunk.
fn chunk_of(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2).into_bytes()
}

async fn send_endless(
    event: &str,
    (reader, writer): (&mut BufReader<OwnedReadHalf>, &mut OwnedWriteHalf),
    shared: &Shared,
) -> std::io::Result<Connection> {
    let chunk = chunk_of(event);
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let telling = async {
        writer.write_all(STREAM_HEAD.as_bytes()).await?;
        loop {
            tick.tick().await;
            writer.write_all(&chunk).await?;
        }
    };
    // It ends only where the peer has gone, which either side of it may notice first.
    let ended: std::io::Result<Connection> = tokio::select! {
        ended = telling => ended,
        () = gone(reader) => Ok(Connection::Closed),
    };
    shared.hung_up.send_modify(|count| *count += 1);
    ended
}

async fn send_drops(
    (reader, writer): (&mut BufReader<OwnedReadHalf>, &mut OwnedWriteHalf),
    shared: &Shared,
) -> std::io::Result<Connection> {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let dripping = async {
        writer
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n")
            .await?;
        loop {
            tick.tick().await;
            writer.write_all(b" ").await?;
        }
    };
    let ended: std::io::Result<Connection> = tokio::select! {
        ended = dripping => ended,
        () = gone(reader) => Ok(Connection::Closed),
    };
    shared.hung_up.send_modify(|count| *count += 1);
    ended
}

async fn send_events(
    events: &[String],
    ending: Ending,
    (reader, writer): (&mut BufReader<OwnedReadHalf>, &mut OwnedWriteHalf),
    shared: &Shared,
) -> std::io::Result<Connection> {
    writer.write_all(STREAM_HEAD.as_bytes()).await?;
    for event in events {
        writer.write_all(&chunk_of(event)).await?;
    }
    match ending {
        Ending::BreakOff => return Ok(Connection::Closed),
        Ending::StayOpen => released_or_gone(reader, shared).await?,
        Ending::Clean => {}
    }
    writer.write_all(b"0\r\n\r\n").await?;
    Ok(Connection::Kept)
}

async fn send_pushed(
    first: String,
    (reader, writer): (&mut BufReader<OwnedReadHalf>, &mut OwnedWriteHalf),
    shared: &Shared,
) -> std::io::Result<Connection> {
    let mut pushed = shared.pushed.subscribe();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await?;
    let mut event = first;
    loop {
        let chunk = format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2);
        writer.write_all(chunk.as_bytes()).await?;
        event = tokio::select! {
            next = pushed.recv() => next.expect("the server lives"),
            () = gone(reader) => {
                shared.hung_up.send_modify(|count| *count += 1);
                return Ok(Connection::Closed);
            }
        };
    }
}

async fn released_or_gone(reader: &mut BufReader<OwnedReadHalf>, shared: &Shared) -> std::io::Result<()> {
    let mut released = shared.released.subscribe();
    tokio::select! {
        _ = released.wait_for(|released| *released) => Ok(()),
        () = gone(reader) => {
            shared.hung_up.send_modify(|count| *count += 1);
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
}

/// Waits until the peer closes. It has no reason to send anything while it waits for an answer.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    while let Ok(bytes) = reader.fill_buf().await {
        let taken = bytes.len();
        if taken == 0 {
            return;
        }
        reader.consume(taken);
    }
}

fn whole(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(name);
        answer.push_str(": ");
        answer.push_str(value);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    answer
}
