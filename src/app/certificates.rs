//! Certificates while the gate runs: taken anew when their files change, and told of before they end.

use std::sync::Arc;

use crate::clock;
use crate::proxy::Gateway;
use crate::telemetry::{Credential, Reload};
use crate::tls::{Change, Server};

/// The certificates of the port that clients speak to.
pub(super) struct Certificates {
    tls: Arc<Server>,
    gateway: Arc<Gateway>,
    /// What was last said of files that cannot be taken, so that it is said once and not at every look.
    told: Option<String>,
}

impl Certificates {
    pub(super) fn new(tls: Arc<Server>, gateway: Arc<Gateway>) -> Self {
        let certificates = Self { tls, gateway, told: None };
        certificates.measure();
        certificates
    }

    /// Looks at the files, and takes what changed.
    pub(super) fn look(&mut self) {
        let telemetry = &self.gateway.telemetry;
        match self.tls.look(clock::wall()) {
            Change::None => self.told = None,
            Change::Taken => {
                self.told = None;
                telemetry.tls_reloaded(Reload::Ok);
                self.measure();
                // Streams may be held open by whoever nobody stands for any longer.
                self.gateway.judged.send_replace(());
                tracing::info!("certificates reloaded");
            }
            Change::Refused(flaw) => {
                let said = flaw.to_string();
                if self.told.as_ref() != Some(&said) {
                    telemetry.tls_reloaded(Reload::Refused);
                    let way_out = flaw.way_out();
                    tracing::error!("changed certificates refused, the old ones stay in force: {said} ({way_out})");
                }
                self.told = Some(said);
            }
        }
    }

    fn measure(&self) {
        let telemetry = &self.gateway.telemetry;
        telemetry.credential_ends(Credential::Certificate, Some(self.tls.certificate().ends()));
        telemetry.credential_ends(Credential::ClientCa, self.tls.client_ca_ends());
    }
}
