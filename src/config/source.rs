//! `tollgate.yaml` as written. What it means is in `build`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::assertion::AssertionSource;
use super::audit::MAX_SEGMENT;
use super::breaker::MAX_FAILURES;
use super::build::{MAX_BODY, MAX_IN_FLIGHT, MAX_SESSIONS, MEMORY};
use super::cache::MAX_BYTES;
use super::catalogue::CatalogueSource;
use super::credential::CredentialSource;
use super::endpoints::{BalanceSource, UrlsSource};
use super::limits_store::MAX_REPLICAS;
use super::server::MAX_REPLY;
use super::server_tls::ServerTlsSource;
use super::timeouts::{ListenTimeoutsSource, TimeoutsSource};
use super::tls::Written;
use crate::diagnostic::Spanned;
use crate::duration::DURATION;
use crate::policy::Entries;

/// Where things are. Flags and `TOLLGATE_*` variables beat it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate configuration")]
pub struct ConfigSource {
    /// The port that clients speak to.
    #[serde(default)]
    pub(super) listen: ListenSource,
    /// The port of probes and metrics.
    #[serde(default)]
    pub(super) admin: AdminSource,
    /// The servers behind the gate, under the names that the policies call them. Each is at `/NAME/mcp`, a single one at `/mcp`, too.
    #[serde(default)]
    pub(super) servers: Entries<ServerSource>,
    /// The sessions of clients up to 2025-11-25, with each server. Later ones have none.
    #[serde(default)]
    pub(super) sessions: SessionsSource,
    /// Answers that are given again, where policies say so of a tool (`cache`).
    #[serde(default)]
    pub(super) cache: CacheSource,
    /// How much memory the process may use, in bytes. Nearly there, it lets fewer messages in. The limit of its control group if not said.
    #[schemars(range(min = *MEMORY.start(), max = *MEMORY.end()))]
    pub(super) max_memory_bytes: Option<Spanned<u64>>,
    /// The kill switch: what operators stop at once, whatever the policies say.
    #[serde(default)]
    pub(super) kill_switch: KillSwitchSource,
    /// The audit log: every decision and how it ended, so that later changes show. None is kept if not said.
    pub(super) audit: Option<Spanned<AuditSource>>,
    /// A Redis or Valkey in which several gates count their limits together. Each counts by itself if not said.
    pub(super) limits_store: Option<LimitsStoreSource>,
    /// Where the keys are kept by which cursors of views, their ids of tasks and ids of sessions are sealed: `env:NAME` or `file:/PATH`, each of 32 characters at least. The first seals, all open: gates that share them take each other's, so that any of them goes on where another has begun. If not said, each gate takes its own only, and until it ends.
    #[serde(alias = "cursor_keys")]
    #[schemars(length(min = 1), example = ["file:/run/secrets/sealing-key"])]
    pub(super) sealing_keys: Option<Spanned<Vec<Spanned<String>>>>,
    /// Secrets that go into hashes of keys (`hmac-sha256:ID:…`): their ids, and where they are kept, `env:NAME` or `file:/PATH`.
    #[serde(default)]
    #[schemars(example = json!({ "p1": "file:/run/secrets/pepper" }))]
    pub(super) peppers: Entries<Spanned<String>>,
    /// The folder of policy files, from where this file lies. `policies` if not said.
    pub(super) policies: Option<Spanned<String>>,
    /// How long calls under way may take to end when the process is told to. 30s if not said, `1h` at most.
    #[schemars(regex(pattern = DURATION), example = "30s")]
    pub(super) drain_timeout: Option<Spanned<String>>,
}

/// The port that clients speak to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listen")]
pub(super) struct ListenSource {
    /// An IP address and a port. 127.0.0.1:8080 if not said.
    #[schemars(example = "127.0.0.1:8080", example = "0.0.0.0:8080")]
    pub(super) address: Option<Spanned<String>>,
    /// Values of the header Host that are accepted. On a loopback address its own names if not said.
    #[schemars(length(min = 1), example = ["mcp.example.com"])]
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    /// Where clients reach `/mcp`, as they write it. Clients that look for a token are told; of one server of several, `/NAME/mcp` beside it.
    #[schemars(example = "https://mcp.example.com/mcp")]
    pub(super) public_url: Option<Spanned<String>>,
    /// Web origins that are accepted beside the gate's own.
    #[schemars(example = ["https://app.example.com"])]
    pub(super) origins: Option<Vec<Spanned<String>>>,
    /// The largest request body in bytes, unpacked. 1048576 if not said.
    #[schemars(range(min = 1, max = MAX_BODY))]
    pub(super) max_body_bytes: Option<Spanned<u64>>,
    /// How many messages may be under way at once for each server, streams included. 1024 if not said.
    #[schemars(range(min = 1, max = MAX_IN_FLIGHT))]
    pub(super) max_in_flight: Option<Spanned<u64>>,
    /// Whether request bodies may be packed by gzip. They are checked and carried unpacked.
    pub(super) request_decompression: Option<bool>,
    /// Whether a request may hold a batch of messages (MCP 2025-03-26). Each is decided by itself.
    pub(super) batches: Option<bool>,
    /// How often a silent stream gets a comment. 15s if not said, from `1s` to `1h`.
    #[schemars(regex(pattern = DURATION), example = "15s")]
    pub(super) keep_alive: Option<Spanned<String>>,
    /// How long a client may take for what.
    #[serde(default)]
    pub(super) timeouts: ListenTimeoutsSource,
    /// Whether answers tell callers by `RateLimit` what is left for them of their limits.
    pub(super) rate_limit_header: Option<bool>,
    /// TLS on this port. Without it the port speaks plain HTTP.
    pub(super) tls: Option<Spanned<TlsSource>>,
}

/// TLS on the port that clients speak to. Its files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tls")]
pub(super) struct TlsSource {
    /// The gate's certificate and those between it and an authority, in PEM. A path, from where this file lies.
    #[schemars(example = "/etc/tollgate/tls/tls.crt")]
    pub(super) certificate: Spanned<String>,
    /// Where the certificate's key is kept, in PEM: `file:/PATH` or `env:NAME`.
    #[schemars(regex(pattern = "^(file:/|env:[A-Za-z_])"), example = "file:/etc/tollgate/tls/tls.key")]
    pub(super) key: Spanned<String>,
    /// Authorities that sign for clients, in PEM. Clients are asked for a certificate of one of them.
    #[schemars(example = "/etc/tollgate/tls/ca.crt")]
    pub(super) client_ca: Option<Spanned<String>>,
    /// Whether a client may come without a certificate. `required` if not said.
    pub(super) client_certificates: Option<Spanned<Written>>,
}

/// Sessions of clients up to 2025-11-25.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Sessions")]
pub(super) struct SessionsSource {
    /// How many there may be at once. 10000 if not said.
    #[schemars(range(min = 1, max = MAX_SESSIONS))]
    pub(super) max: Option<Spanned<u64>>,
    /// How many one principal may have at once. 1000 if not said.
    #[schemars(range(min = 1, max = MAX_SESSIONS))]
    pub(super) max_per_principal: Option<Spanned<u64>>,
    /// Unused for so long, one is over. 24h if not said, up to `30d`.
    #[schemars(regex(pattern = DURATION), example = "24h")]
    pub(super) idle: Option<Spanned<String>>,
    /// So long after it began one is over, however much it is used. 7d if not said, or as long as `idle`; up to `30d`.
    #[schemars(regex(pattern = DURATION), example = "7d")]
    pub(super) lifetime: Option<Spanned<String>>,
}

/// Answers that are given again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cache")]
pub(super) struct CacheSource {
    /// About how many bytes they may take, in memory. What is asked least goes first. 67108864 if not said.
    #[schemars(range(min = 1, max = MAX_BYTES))]
    pub(super) max_bytes: Option<Spanned<u64>>,
    /// For how long at most lists of servers of 2026-07-28 are given again that say for how long they are good (`ttlMs`), from `1s` to `24h`. None is if not said.
    #[schemars(regex(pattern = DURATION), example = "5m")]
    pub(super) lists: Option<Spanned<String>>,
    /// Whether gates that share a `limits_store` share answers in it, too. Each keeps its own if not said.
    pub(super) shared: Option<SharedCacheSource>,
}

/// Answers that several gates share, sealed, in their `limits_store`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SharedCache")]
pub(super) struct SharedCacheSource {
    /// Where the key is kept that answers are sealed with: `env:NAME` or `file:/PATH`. All gates have the same; `openssl rand -base64 32` makes one.
    #[schemars(example = "file:/run/secrets/cache-key")]
    pub(super) key: Spanned<String>,
    /// How long a call waits for an answer from there at most, before its server is asked. 1ms if not said, up to `1s`.
    #[schemars(regex(pattern = DURATION), example = "1ms")]
    pub(super) timeout: Option<Spanned<String>>,
}

/// The kill switch. There is none if neither is said.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KillSwitch")]
pub(super) struct KillSwitchSource {
    /// A file that operators write, from where this file lies. A change is in force within a second.
    #[schemars(example = "kill.yaml")]
    pub(super) file: Option<Spanned<String>>,
    /// `/kills` on the admin port, for `tollgate kill`.
    pub(super) api: Option<KillApiSource>,
}

/// The kill switch over the admin port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KillApi")]
pub(super) struct KillApiSource {
    /// Where the key is kept that its users show: `env:NAME` or `file:/PATH`.
    #[schemars(example = "env:TOLLGATE_KILL_KEY", example = "file:/run/secrets/kill-key")]
    pub(super) key: Spanned<String>,
    /// The file in which the gate keeps what is stopped, so that it stays so after a restart.
    #[schemars(example = "/var/lib/tollgate/kills.yaml")]
    pub(super) state: Spanned<String>,
}

/// The audit log. It goes to `file` or to `stdout`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audit")]
pub(super) struct AuditSource {
    /// A folder of its own for this gate, from where this file lies.
    #[schemars(example = "/var/lib/tollgate/audit")]
    pub(super) file: Option<Spanned<String>>,
    /// Whether it goes to standard output, beside the decision lines. Each process begins a log of its own there.
    pub(super) stdout: Option<bool>,
    /// What of it a collector gets as logs, beside that: `checkpoints`, or all `records`. Nothing if not said.
    pub(super) otlp: Option<OtlpSource>,
    /// What becomes of checkpoints where no collector gets them: `fetched`, a job of somebody else's takes them away; or `here`.
    pub(super) checkpoints: Option<CheckpointsSource>,
    /// Where the key is kept that signs checkpoints: `env:NAME` or `file:/PATH`. `tollgate audit keys new` makes one.
    #[schemars(example = "file:/run/secrets/audit-key")]
    pub(super) key: Spanned<String>,
    /// Where the key is kept that digests of arguments are made with. There are none without.
    #[schemars(example = "env:TOLLGATE_ARGUMENTS_KEY")]
    pub(super) arguments_key: Option<Spanned<String>>,
    /// Whether arguments of allowed calls stand in it: `redacted`, with everything masked that a detector finds, 4096 bytes at most. They do not if not said.
    pub(super) arguments: Option<ArgumentsSource>,
    /// When a decision is on the disk: `before_call`, before its call leaves; or `interval`, also if not said.
    #[serde(default)]
    pub(super) mode: ModeSource,
    /// How long a record may wait until it is on the disk. 1s if not said, from `10ms` to `1m`.
    #[schemars(regex(pattern = DURATION), example = "1s")]
    pub(super) interval: Option<Spanned<String>>,
    /// What becomes of calls that cannot be recorded: `deny` or `allow`. `deny` if not said.
    #[serde(default)]
    pub(super) failure: FailureSource,
    /// About how many bytes a segment has. 67108864 if not said.
    #[schemars(range(min = 1, max = MAX_SEGMENT))]
    pub(super) segment_bytes: Option<Spanned<u64>>,
    /// How old a segment gets. 24h if not said, from `1m` to `30d`.
    #[schemars(regex(pattern = DURATION), example = "24h")]
    pub(super) segment_age: Option<Spanned<String>>,
}

/// What of the audit log a collector gets.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum OtlpSource {
    /// Signed checkpoints: with one, later changes of what it covers show.
    Checkpoints,
    /// Every line.
    Records,
}

/// What becomes of checkpoints that no collector gets.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum CheckpointsSource {
    /// Somebody takes them away.
    Fetched,
    /// They stay here. Then the log proves less.
    Here,
}

/// How arguments stand in the audit log.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ArgumentsSource {
    /// Masked.
    Redacted,
}

/// When a decision is on the disk.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum ModeSource {
    /// Before its call goes to the server.
    BeforeCall,
    /// Within the interval.
    #[default]
    Interval,
}

/// What becomes of calls that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum FailureSource {
    /// They are refused.
    #[default]
    Deny,
    /// They pass.
    Allow,
}

/// Where several gates count their limits together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LimitsStore")]
pub(super) struct LimitsStoreSource {
    /// Where its URL is kept, `redis://HOST:6379` or `rediss://USER:PASSWORD@HOST:6379`: `env:NAME` or `file:/PATH`.
    #[schemars(example = "env:TOLLGATE_LIMITS_STORE", example = "file:/run/secrets/limits-store")]
    pub(super) url: Spanned<String>,
    /// How long a call waits for it at most. 50ms if not said, from `1ms` to `1s`.
    #[schemars(regex(pattern = DURATION), example = "50ms")]
    pub(super) timeout: Option<Spanned<String>>,
    /// What becomes of calls while it is away: `local_share`, `open` or `closed`. `local_share` if not said.
    #[serde(default)]
    pub(super) when_down: WhenDownSource,
    /// How many gates share the limits until the store has said how many. 1 if not said.
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub(super) replicas: Option<Spanned<u64>>,
    /// How the names of all counters begin: gates with the same one count together. `tollgate` if not said.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"), example = &"tollgate")]
    pub(super) prefix: Option<Spanned<String>>,
}

/// What becomes of calls while the store is away.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum WhenDownSource {
    /// Each gate enforces its share of every limit.
    #[default]
    LocalShare,
    /// No call is refused for a limit. What they take is told to the store when it is there again.
    Open,
    /// Calls that a limit is on are refused.
    Closed,
}

/// The port of probes and metrics.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(super) struct AdminSource {
    /// An IP address and a port. 127.0.0.1:9901 if not said.
    #[schemars(example = "127.0.0.1:9901")]
    pub(super) address: Option<Spanned<String>>,
}

/// A server behind the gate: either `url` or `sse`. Each may be a list: places that do the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Server")]
pub(super) struct ServerSource {
    /// Its Streamable HTTP endpoint.
    #[schemars(example = "http://127.0.0.1:8000/mcp", example = ["http://records-0:8000/mcp", "http://records-1:8000/mcp"])]
    pub(super) url: Option<Spanned<UrlsSource>>,
    /// Or instead its stream of 2024-11-05 (HTTP+SSE). Clients find it at /sse.
    #[schemars(example = "http://127.0.0.1:8000/sse")]
    pub(super) sse: Option<Spanned<UrlsSource>>,
    /// Values of the header Host under which it stands alone, at `/mcp`. They are accepted beside those of `listen`.
    #[schemars(length(min = 1), example = ["records.example.com"])]
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    /// Which of several URLs gets the next call: `least_requests` or `round_robin`. `least_requests` if not said.
    #[serde(default)]
    pub(super) balance: BalanceSource,
    /// How many calls may be under way at each of its URLs, but for streams without an end. 512 if not said.
    #[schemars(range(min = 1, max = MAX_IN_FLIGHT))]
    pub(super) max_in_flight: Option<Spanned<u64>>,
    /// When it is left alone, at one of its URLs, because it fails.
    #[serde(default)]
    pub(super) breaker: BreakerSource,
    /// How long it may take for what.
    #[serde(default)]
    pub(super) timeouts: TimeoutsSource,
    /// How the gate keeps what it has, where a view shows it.
    #[serde(default)]
    pub(super) catalogue: CatalogueSource,
    /// How many bytes its reply to one request may have. 67108864 if not said.
    #[schemars(range(min = 1, max = MAX_REPLY))]
    pub(super) max_reply_bytes: Option<Spanned<u64>>,
    /// Headers of callers that it may see, beside those that the protocol needs. None if not said.
    #[schemars(length(min = 1), example = ["x-request-source"])]
    pub(super) forward_headers: Option<Spanned<Vec<Spanned<String>>>>,
    /// What lets the gate in. Nothing if not said; never a credential of the caller's, unless that is spelt out.
    pub(super) credential: Option<Spanned<CredentialSource>>,
    /// A signed statement of who asks, with each message. None if not said.
    pub(super) assertion: Option<Spanned<AssertionSource>>,
    /// TLS towards it, where the system's authorities are not those to believe, or it wants a certificate.
    pub(super) tls: Option<Spanned<ServerTlsSource>>,
}

/// When a server is left alone because it fails.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub(super) struct BreakerSource {
    /// After so many calls in a row that did not reach it. 5 if not said.
    #[schemars(range(min = 1, max = MAX_FAILURES))]
    pub(super) failures: Option<Spanned<u64>>,
    /// Or when so many of a hundred calls of the last 10 s failed, of 20 at least. 50 if not said.
    #[schemars(range(min = 1, max = 100))]
    pub(super) percent: Option<Spanned<u64>>,
    /// For how long; then one call tries. 500ms if not said, up to `1m`.
    #[schemars(regex(pattern = DURATION), example = "500ms")]
    pub(super) pause: Option<Spanned<String>>,
}
