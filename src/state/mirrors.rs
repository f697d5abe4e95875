//! Which headers the server's tools ask for, as the last list that named them said.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;

use crate::mcp::{Call, Mirrored, Mismatch, Target, Tools};

/// Which headers the server's tools ask for. Unknown until a list of them has passed: then nothing is checked, and the
/// server does.
#[derive(Debug, Default)]
pub struct Mirrors(RwLock<HashMap<Box<str>, Arc<Mirrored>>>);

/// More tools than this are not remembered.
const MOST: usize = 10_000;

impl Mirrors {
    /// Learns what the tools of a list ask for.
    pub(super) fn learn(&self, tools: Tools) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (tool, mirrored) in tools {
            if mirrored == Mirrored::default() {
                known.remove(&tool);
            } else if known.len() < MOST {
                known.insert(tool, Arc::new(mirrored));
            }
        }
    }

    /// Checks the headers that mirror arguments of a modern tool call.
    ///
    /// # Errors
    /// One is missing, or says something else than the body.
    pub fn agree(&self, headers: &HeaderMap, call: &Call) -> Result<(), Mismatch> {
        let (Target::Tool(tool), Some(_)) = (call.target(), call.version().filter(|version| version.is_modern()))
        else {
            return Ok(());
        };
        let mirrored = self.0.read().unwrap_or_else(PoisonError::into_inner).get(tool).cloned();
        match (mirrored, call.arguments()) {
            (Some(mirrored), Some(arguments)) => mirrored.agree(headers, &arguments),
            (None, _) | (_, None) => Ok(()),
        }
    }
}
