//! Where it goes: [`Upstream::send`] carries an admitted call to its server and brings the reply back.

mod assertion;
mod balance;
mod client;
mod connections;
mod credential;
mod endpoint;
mod endpoints;
mod error;
mod headers;
mod http;
mod inquiry;
mod kept;
mod links;
mod names;
mod reply;
mod retry;
mod settings;
mod signing;
mod timeouts;

pub use assertion::{Assertions, OWN_CLAIMS};
pub use balance::Balance;
pub use connections::Connections;
pub use credential::CredentialError;
pub use endpoint::{Endpoint, InFlight};
pub use endpoints::Endpoints;
pub use error::{Unsound, UpstreamError};
pub use headers::{REQUEST_ID, TRACEPARENT, TRACESTATE};
pub use http::{Attempts, Behalf, Carried, Upstream, VERSION};
pub use inquiry::{Hearing, Inquired};
pub use links::ReplyStream;
pub use reply::{MediaType, Reply, ReplyBody, media_type};
pub use retry::{Again, Retries};
pub use settings::{AssertionSettings, ClientProof, CredentialSettings, Settings, TlsSettings, TokenEndpoint};
pub use signing::SigningKey;
pub use timeouts::{Deadline, Timeouts};
