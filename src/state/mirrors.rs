//! Which headers the server's tools ask for, as the last list that named them said.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;

use crate::mcp::{Call, Mirrored, Mismatch, Target, Tools};

/// Which headers the server's tools ask for. Unknown until a list of them has passed: then nothing is checked, and the
/// server does.
#[derive(Debug, Default)]
pub struct Mirrors(RwLock<HashMap<Box<str>, Arc<Mirrored>>>);

/// What a list says of the headers that tools ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// Nothing else than what was known.
    Same,
    /// Of some tool something else.
    Other,
}

/// More tools than this are not remembered.
const MOST: usize = 10_000;

impl Mirrors {
    /// Learns what the tools of a list ask for.
    pub(super) fn learn(&self, tools: Tools) -> Learned {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut learned = Learned::Same;
        for (tool, mirrored) in tools {
            let (before, now) = if mirrored == Mirrored::default() {
                (known.remove(&tool), None)
            } else if known.len() < MOST {
                let now = Arc::new(mirrored);
                (known.insert(tool, Arc::clone(&now)), Some(now))
            } else {
                continue;
            };
            if before.is_some() && before != now {
                learned = Learned::Other;
            }
        }
        learned
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
