//! The gate as its callers and its servers see it: the real binary, real sockets, a recording server behind it.
//! One file per behaviour. Not for unit tests, which stand beside the code.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise and says what it was; the bans guard the request path"
)]

mod support;

mod assertion;
mod attack_cases;
mod audit;
mod breaker;
mod cache;
mod cases;
mod clocks;
mod commands;
mod conversation;
mod credentials;
mod disconnects;
mod drain;
mod explain;
mod framing;
mod health;
mod idle_streams;
mod judgement;
mod kept_lists;
mod kill_switch;
mod limits;
mod limits_script;
mod limits_store;
mod listening;
mod mtls;
mod ownership;
mod pinning;
mod protected_resource;
mod pull_request;
mod questions;
mod redaction;
mod reload;
mod reliability;
mod replay;
mod review;
mod secrets;
mod several_servers;
mod shared_answers;
mod server_tls;
mod shown;
mod story;
mod telemetry;
mod tls;
mod tokens;
mod views;
mod wire;
