//! A policy out of a text, for tests of the floors above.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::compile::RolesElsewhere;
use super::{Context, PolicyFile, PolicySet, Shown, compile};
use crate::diagnostic::SourceFile;
use crate::mcp::ServerName;

impl Context {
    /// Some time, on this machine.
    pub(crate) fn for_test() -> Self {
        Self { at: UNIX_EPOCH, from: Ipv4Addr::LOCALHOST.into(), shown: Shown::NotYet }
    }
}

impl PolicySet {
    /// The policy of the server `records` that this text says.
    pub(crate) fn for_test(text: &str) -> Self {
        let file = PolicyFile::new(SourceFile::new("records.yaml", text), serde_yaml::from_str(text).unwrap());
        let server = ServerName::new("records").unwrap();
        compile(&[file], &[server], RolesElsewhere::InBrokenFiles, Arc::from("test")).unwrap().policy
    }
}
