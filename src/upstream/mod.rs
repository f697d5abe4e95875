//! Where it goes: [`Upstream::send`] carries an admitted call to its server and brings the reply back.

mod error;
mod headers;
mod http;
mod session;

pub use error::UpstreamError;
pub use http::{Carried, MediaType, Reply, ReplyBody, Upstream, media_type};
pub use session::{SESSION_ID, Sessions};
