//! Tollgate: a gate in front of MCP servers.
//!
//! The modules stand in the order of the request, from the ground up: **a module uses only modules listed before it.**
//! `tests/architecture.rs` checks that. Start reading at [`proxy`], `Gateway::read`.

// Words: no IO, but the clock's, and what reads secrets and certificates.
pub mod diagnostic; // a problem in a file: where it is, what is wrong, how to put it right
pub mod clock; // the one source of "now"
pub mod duration; // spans of time as people write them
pub mod breaker; // whether to ask at all what fails
pub mod secret; // what must never be shown, and where it is kept
pub mod seal; // what only gates with the same key read and make
pub mod store; // what several gates share: a Redis or Valkey, and the one way to it
pub mod tls; // certificates: what the gate shows, and what clients do
pub mod json; // strict JSON, read in one pass without building anything
pub mod jsonrpc; // JSON-RPC 2.0 and nothing of MCP
pub mod sse; // event-stream framing
pub mod mcp; // what MCP adds to JSON-RPC

// Judgement: may they, and how much.
pub mod fetch; // what is asked of identity providers: bounded, and of no address that nobody meant
pub mod identity; // who is asking
pub mod sql; // what an SQL text does
pub mod redact; // what must not be seen by everyone, and what stands there instead
pub mod policy; // what is allowed
pub mod limits; // how much

// Hands: ask, and look at what comes back.
pub mod state; // what is remembered between messages
pub mod upstream; // where it goes
pub mod cache; // answers that are given again
pub mod inspect; // what comes back
pub mod federation; // several servers as one

// Memory: what happened.
pub mod exchange; // one message's trip, from first byte to last
pub mod audit; // what happened, so that later changes show
pub mod telemetry; // traces, metrics and decision lines

// House: put together and run.
pub mod trial; // what would be decided, without a server
pub mod config; // the files, as written
pub mod proxy; // the request's way
pub mod kill_switch; // what operators stop at once
pub mod admin; // health and metrics, on their own port
pub mod app; // the running process
pub mod cli; // the commands
