//! What MCP adds to JSON-RPC: methods, targets, revisions, mirrored headers.

mod among;
mod call;
mod client;
mod confusable;
mod definition;
mod header;
mod idempotency;
mod method;
mod page;
mod param;
mod params;
mod problem;
mod question;
mod read;
mod reserved;
mod server;
mod server_message;
mod span;
mod target;
#[cfg(test)]
mod tests;
mod trace_context;
mod version;

pub use among::{among, told_apart, whose};
pub use call::{Call, Declared, Era, Said, TASKS};
pub use client::Client;
pub use definition::{Definition, Fingerprint};
pub use header::{Mismatch, agree, decode_sentinel, encode_sentinel, may_batch, unmirrored};
pub use idempotency::{IdempotencyKey, KeyName, Keyed};
pub use method::{Method, Subject};
pub use page::Page;
pub use param::{Mirrored, Tools, mirrored};
pub use params::{answering, at_cursor, cursor, listening, of_revision, revision};
pub use problem::Problem;
pub use question::{Question, Questions};
pub use read::{CallError, LONGEST_BATCH, LONGEST_NAME, read, read_batch};
pub use reserved::{Reserved, alike};
pub use server::{NotAServerName, ServerName};
pub use server_message::{Answer, Asked, Form, Notice, ServerMessage, read_server};
pub use target::{Target, is_well_formed};
pub use trace_context::{Baggage, TraceContext};
pub use version::ProtocolVersion;
