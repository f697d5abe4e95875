//! When credentials end. One number for each kind: that of the one that ends first. Which one it is stands in the log.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::attribute::CREDENTIAL;
use crate::clock;

/// What proves an identity, and has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// The certificate that the gate shows to clients.
    Certificate,
    /// An authority that signs for clients.
    ClientCa,
    /// The last API key of an id.
    ApiKey,
}

/// When the first credential of each kind ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<RwLock<BTreeMap<Credential, SystemTime>>>);

impl Ends {
    /// Says when the first of a kind ends; `None` if there is none.
    pub(super) fn set(&self, credential: Credential, end: Option<SystemTime>) {
        let mut ends = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match end {
            Some(end) => drop(ends.insert(credential, end)),
            None => drop(ends.remove(&credential)),
        }
    }

    pub(super) fn register(&self, meter: &Meter) {
        let ends = Arc::clone(&self.0);
        meter
            .f64_observable_gauge("tollgate.credential.time_left")
            .with_unit("s")
            .with_description("Until the first credential of a kind ends; below 0 since it has")
            .with_callback(move |observer| {
                let now = clock::wall();
                for (credential, end) in &*ends.read().unwrap_or_else(PoisonError::into_inner) {
                    let left = end
                        .duration_since(now)
                        .map_or_else(|over| -over.duration().as_secs_f64(), |left| left.as_secs_f64());
                    observer.observe(left, &[KeyValue::new(CREDENTIAL, credential.label())]);
                }
            })
            .build();
    }
}

impl Credential {
    fn label(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::ClientCa => "client_ca",
            Self::ApiKey => "api_key",
        }
    }
}
