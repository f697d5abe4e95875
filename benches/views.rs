//! A view of many servers: what a page of its list costs, and what a call through it costs above one to the server's own path.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot run says so, and says what it found"
)]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::clock;
use tollgate::identity::hash_entry;

/// How much is measured.
struct Size {
    servers: usize,
    tools: usize,
    rounds: usize,
    clients: u32,
    calls: u32,
    lists: u32,
}

const FULL: Size = Size { servers: 200, tools: 50, rounds: 41, clients: 16, calls: 100, lists: 20 };
const SMOKE: Size = Size { servers: 3, tools: 5, rounds: 1, clients: 2, calls: 2, lists: 2 };
/// The key that it shows. It opens nothing but folders made here.
const KEY: &str = "tollgate-bench-key-of-no-other-use";
const REVISION: &str = "2026-07-28";
/// A gate serves, and knows all tools, within this.
const START: Duration = Duration::from_mins(2);
const LONGEST: usize = 1 << 20;

fn main() {
    let size = if is_bench() { FULL } else { SMOKE };
    let server = serve(size.tools);
    let gate = Gate::start(&size, server).expect("the gate starts");
    let mut client = Client::open(gate.address).expect("the gate accepts");
    // A gate that has nothing to do in between sleeps and wakes, which costs more than a call and never the same.
    let mut clients: Vec<_> =
        (0..size.clients).map(|_| Client::open(gate.address).expect("the gate accepts")).collect();
    wait_for_all(&mut client, &size);
    let call = |path: &str, name: &str| {
        request(path, "tools/call", &format!(r#""name":"{name}","arguments":{{"id":"1"}}"#), Some(name))
    };
    let (own, view) = (call("/s0/mcp", "tool_0"), call("/mcp", "s0_tool_0"));
    let list = request("/mcp", "tools/list", "", None);
    let (mut of_own, mut more, mut of_list, mut pages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let mut each = |request| gate.cpu_of(size.calls, || all(&mut clients, request)) / f64::from(size.clients);
        // Round by round: what a machine does beside it changes.
        let (own, view) = (each(&own), each(&view));
        of_own.push(own);
        more.push(view - own);
        of_list.push(gate.cpu_of(size.lists, || {
            let begun = clock::monotonic();
            drop(client.ask(&list));
            pages.push(clock::monotonic().duration_since(begun).as_secs_f64() * 1e6);
        }));
    }
    println!("{} servers with {} tools each, {} connections", size.servers, size.tools, size.clients);
    println!(
        "call, CPU of the gate: {:.1} µs at the server's path, through the view {:+.1} µs (target: at most +3)",
        median(&mut of_own),
        median(&mut more)
    );
    println!(
        "page of the list: {:.2} ms, CPU of the gate {:.2} ms (target: at most 5)",
        median(&mut pages) / 1e3,
        median(&mut of_list) / 1e3
    );
}

/// Asks it over all connections at once.
fn all(clients: &mut [Client], request: &[u8]) {
    for client in &mut *clients {
        client.say(request);
    }
    for client in clients {
        client.hear();
    }
}

fn median(micros: &mut [f64]) -> f64 {
    micros.sort_unstable_by(f64::total_cmp);
    micros.get(micros.len() / 2).copied().unwrap_or_default()
}

/// Whether figures are wanted, and not only that it runs.
fn is_bench() -> bool {
    let said = |word: &str| std::env::args().any(|arg| arg == word);
    said("--bench") && !said("--test")
}

/// A gate before all servers.
struct Gate {
    child: Child,
    address: SocketAddr,
    _home: TempDir,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Gate {
    fn start(size: &Size, server: SocketAddr) -> io::Result<Self> {
        let home = TempDir::new()?;
        let policies = home.path().join("policies");
        fs::create_dir(&policies)?;
        let mut config =
            "listen: { address: \"127.0.0.1:0\", hosts: [localhost] }\nadmin: { address: \"127.0.0.1:0\" }\nservers:\n"
                .to_owned();
        let mut views = "views:\n  all:\n    default: true\n    servers:\n".to_owned();
        for n in 0..size.servers {
            writeln!(config, "  s{n}: {{ url: \"http://{server}/s{n}/mcp\" }}").expect("a String takes all");
            writeln!(views, "      s{n}: {{ tools: [\"*\"] }}").expect("a String takes all");
            let policy = format!("server: s{n}\nroles: {{ reader: {{ tools: [\"tool_*\"] }} }}\n");
            fs::write(policies.join(format!("s{n}.yaml")), policy)?;
        }
        fs::write(home.path().join("tollgate.yaml"), config)?;
        fs::write(policies.join("views.yaml"), views)?;
        fs::write(
            policies.join("principals.yaml"),
            format!("keys: [{{ id: bench, hash: \"{}\", roles: [reader] }}]\n", hash_entry(KEY)),
        )?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["run", "--config"]).arg(home.path().join("tollgate.yaml"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the gate does not serve"));
            }
            let named = line.split_once("listening on http://").and_then(|(_, rest)| rest.split('/').next());
            if let Some(address) = named.and_then(|named| named.parse().ok()) {
                break address;
            }
        };
        // Nobody reads on, and nobody may wait for that.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(Self { child, address, _home: home })
    }

    /// Microseconds on a processor that it spends on each of so many.
    fn cpu_of(&self, count: u32, mut each: impl FnMut()) -> f64 {
        let before = self.cpu();
        (0..count).for_each(|_| each());
        self.cpu().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(count)
    }

    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs on Linux");
        let counters = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
        let nanos = counters.filter_map(|counters| counters.split(' ').next()?.parse::<u64>().ok());
        Duration::from_nanos(nanos.sum())
    }
}

/// Waits until the gate knows every tool of every server.
fn wait_for_all(client: &mut Client, size: &Size) {
    let begun = clock::monotonic();
    loop {
        let (mut count, mut params) = (0, String::new());
        loop {
            let page: Value = String::from_utf8_lossy(&client.ask(&request("/mcp", "tools/list", &params, None)))
                .parse()
                .expect("JSON");
            count += page.pointer("/result/tools").and_then(Value::as_array).map_or(0, Vec::len);
            match page.pointer("/result/nextCursor").and_then(Value::as_str) {
                Some(next) => params = format!(r#""cursor":"{next}""#),
                None => break,
            }
        }
        if count == size.servers * size.tools {
            return;
        }
        assert!(clock::monotonic().duration_since(begun) < START, "{count} of all tools are known");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A client on one connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The body of the answer to a request.
    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.say(request);
        self.hear()
    }

    fn say(&mut self, request: &[u8]) {
        self.0.get_mut().write_all(request).expect("the gate takes it");
    }

    fn hear(&mut self) -> Vec<u8> {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("the gate answers");
            assert!(!line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.1 200"), "{line}");
            let told =
                line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|told| told.trim().parse().ok());
            length = told.unwrap_or(length);
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the gate answers");
        body
    }
}

fn request(path: &str, method: &str, params: &str, name: Option<&str>) -> Vec<u8> {
    let meta = format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{REVISION}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    );
    let comma = if params.is_empty() { "" } else { "," };
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{comma}{meta}}}}}"#);
    let name = name.map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: {REVISION}\r\nmcp-method: {method}\r\n{name}x-api-key: {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// All servers, each under its own path, on a thread of their own.
fn serve(tools: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("it is new");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |request| answer(tools, request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async { connection.await.ok() });
            }
        });
    });
    address
}

#[expect(
    clippy::disallowed_methods,
    reason = "`collect` is bounded by `Limited`, and this process reads its own messages"
)]
async fn answer(tools: usize, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), LONGEST)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => json!({ "supportedVersions": [REVISION], "capabilities": { "tools": {} } }),
        Some("tools/list") => json!({ "tools": (0..tools).map(tool).collect::<Vec<_>>() }),
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": "done" }], "isError": false }),
        _ => {
            let error =
                json!({ "jsonrpc": "2.0", "id": message.get("id"), "error": { "code": -32601, "message": "no" } });
            let mut response = Response::new(Full::from(error.to_string()));
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            return Ok(response);
        }
    };
    let mut result = answer;
    if let Some(members) = result.as_object_mut() {
        let common = json!({ "resultType": "complete", "ttlMs": 300_000, "cacheScope": "public" });
        members.extend(common.as_object().cloned().unwrap_or_default());
    }
    let answer = json!({ "jsonrpc": "2.0", "id": message.get("id"), "result": result });
    let mut response = Response::new(Full::from(answer.to_string()));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A tool as servers have them: a name, a sentence, a schema of a few members.
fn tool(n: usize) -> Value {
    json!({
        "name": format!("tool_{n}"),
        "description": "Finds what belongs to this id, and says in a few words what is known of it, and since when.",
        "inputSchema": {
            "type": "object",
            "properties": { "id": { "type": "string", "description": "Whose." }, "limit": { "type": "integer", "maximum": 100 } },
            "required": ["id"],
        },
    })
}
