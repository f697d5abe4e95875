//! Where it goes: [`Upstream::send`] carries an admitted call to its server and brings the reply back.

mod error;
mod headers;
mod http;

pub use error::{Unsound, UpstreamError};
pub use http::{Behalf, Carried, Endpoints, MediaType, Reply, ReplyBody, Upstream, VERSION, media_type};
