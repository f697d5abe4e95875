//! `tollgate.yaml` as written. What it means is in `build`.

use serde::Deserialize;
use serde_yaml::Spanned;

use crate::policy::Entries;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigSource {
    #[serde(default)]
    pub(super) listen: ListenSource,
    #[serde(default)]
    pub(super) admin: AdminSource,
    #[serde(default)]
    pub(super) servers: Entries<ServerSource>,
    #[serde(default)]
    pub(super) sessions: SessionsSource,
    pub(super) policies: Option<Spanned<String>>,
    pub(super) drain_timeout: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenSource {
    pub(super) address: Option<Spanned<String>>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) origins: Option<Vec<Spanned<String>>>,
    pub(super) max_body_bytes: Option<Spanned<u64>>,
    pub(super) max_in_flight: Option<Spanned<u64>>,
    pub(super) request_decompression: Option<bool>,
    pub(super) batches: Option<bool>,
    pub(super) keep_alive: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionsSource {
    pub(super) max: Option<Spanned<u64>>,
    pub(super) max_per_principal: Option<Spanned<u64>>,
    pub(super) idle: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminSource {
    pub(super) address: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSource {
    pub(super) url: Option<Spanned<String>>,
    pub(super) sse: Option<Spanned<String>>,
    pub(super) max_reply_bytes: Option<Spanned<u64>>,
}
