//! `tollgate.yaml` under a running gate. What it says counts from the next start on, and a gate that does not run on its own
//! file says so: once in the log, and in a metric for as long as it is so.

use std::sync::Arc;

use crate::config::{Change, Config};
use crate::telemetry::{Reload, Telemetry};

/// Looks whether the file has changed.
pub(super) struct Settings {
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    /// What was said last. It is said once, and not at every look.
    told: Option<String>,
}

impl Settings {
    pub(super) fn new(config: Arc<Config>, telemetry: Arc<Telemetry>) -> Self {
        Self { config, telemetry, told: None }
    }

    pub(super) fn look(&mut self) {
        let changed = self.config.file.changed();
        self.telemetry.config(if changed.is_some() { Reload::Refused } else { Reload::Ok });
        let says = match &changed {
            None => None,
            Some(Change::Sound) => Some(String::new()),
            Some(Change::Broken(problems)) => Some(problems.to_string()),
        };
        if says == self.told {
            return;
        }
        match &says {
            None => tracing::info!("tollgate.yaml says again what the gate runs on"),
            Some(sound) if sound.is_empty() => {
                tracing::warn!("tollgate.yaml has changed: what it says now counts after a restart");
            }
            Some(problems) => {
                tracing::error!(
                    "tollgate.yaml has changed, and no gate would start with it; this one goes on:\n{problems}"
                );
            }
        }
        self.told = says;
    }
}
