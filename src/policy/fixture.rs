//! A policy out of a text, for tests of the floors above.

use std::sync::Arc;

use super::compile::RolesElsewhere;
use super::{PolicyFile, PolicySet, compile};
use crate::diagnostic::SourceFile;
use crate::mcp::ServerName;

impl PolicySet {
    /// The policy of the server `records` that this text says.
    pub(crate) fn for_test(text: &str) -> Self {
        let file = PolicyFile::new(SourceFile::new("records.yaml", text), serde_yaml::from_str(text).unwrap());
        let server = ServerName::new("records").unwrap();
        compile(&[file], &[server], RolesElsewhere::InBrokenFiles, Arc::from("test")).unwrap().policy
    }
}
