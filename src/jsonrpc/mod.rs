//! JSON-RPC 2.0 and nothing of MCP: ids, error codes, error objects.

mod error;
mod id;

pub use error::{ErrorObject, code};
pub use id::RequestId;
