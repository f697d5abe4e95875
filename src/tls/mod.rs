//! TLS: what the gate shows of itself, whom it trusts, and what clients show. Not the handshakes, which are `app`'s.

mod certificate;
mod client;
mod files;
mod server;
mod spiffe;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, Names};
pub use client::{ClientCertificate, Distrust};
pub use files::{ClientCertificates, Files, Flaw, Identity, Part, authorities, identity};
pub use server::{Change, Server};
pub use spiffe::SpiffeId;

use std::time::Duration;

/// What ends within this is about to end, unless its whole life is not much longer.
const SOON: Duration = Duration::from_hours(14 * 24);
