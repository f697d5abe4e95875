//! How the server last showed its tools, as far as that bears on whether they may be used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::mcp::Target;
use crate::policy::Shown;

/// How the server last showed its tools. Calls look here and never wait; lists write.
#[derive(Debug, Default)]
pub struct ShownTools {
    known: ArcSwap<HashMap<Box<str>, Shown>>,
    learning: Mutex<()>,
}

/// A tool that is shown in another way than before.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its name.
    pub tool: Box<str>,
    /// How it was shown.
    pub before: Shown,
    /// How it is.
    pub now: Shown,
}

/// More tools than this are not remembered, but for those that are pinned.
const MOST: usize = 10_000;

impl ShownTools {
    /// How that was last shown.
    pub fn of(&self, target: Target<'_>) -> Shown {
        let Target::Tool(tool) = target else {
            return Shown::NotYet;
        };
        let known = self.known.load();
        if known.is_empty() { Shown::NotYet } else { known.get(tool).copied().unwrap_or_default() }
    }

    /// Learns how the tools of a list are shown, and which of them are pinned. Returns what is new.
    pub fn learn<'a>(
        &self,
        list: impl IntoIterator<Item = (&'a str, Shown)>,
        is_pinned: impl Fn(&str) -> bool,
    ) -> Vec<Changed> {
        let _one_at_a_time = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Arc::clone(&self.known.load());
        let mut changed = Vec::new();
        for (tool, now) in list {
            let before = known.get(tool).copied().unwrap_or_default();
            if before == now || (known.len() >= MOST && before == Shown::NotYet && !is_pinned(tool)) {
                continue;
            }
            // Copied at the first change; a list that says nothing new, as nearly all do, costs no copy.
            let known = Arc::make_mut(&mut known);
            match now {
                Shown::NotYet => known.remove(tool),
                now => known.insert(tool.into(), now),
            };
            changed.push(Changed { tool: tool.into(), before, now });
        }
        if !changed.is_empty() {
            self.known.store(known);
        }
        changed
    }
}
