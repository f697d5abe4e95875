//! What MCP adds to JSON-RPC: methods, targets, revisions, mirrored headers.

mod call;
mod confusable;
mod header;
mod method;
mod read;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod version;

pub use call::{Call, Era};
pub use header::{Mismatch, agree, decode_sentinel};
pub use method::{Method, Subject};
pub use read::{CallError, Problem, read};
pub use server::{NotAServerName, ServerName};
pub use target::{Target, is_well_formed};
pub use version::ProtocolVersion;
