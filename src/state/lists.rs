//! Which of its lists the server shows: one that was kept is not given again once another was seen, or heard of.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Per;
use crate::mcp::Method;

/// How often each list was seen, or said, to be another one than before.
#[derive(Debug, Default)]
pub struct Lists {
    per: Per,
    tools: AtomicU64,
    prompts: AtomicU64,
    resources: AtomicU64,
}

impl Lists {
    /// As they are now, for these.
    pub(super) fn new(per: Per) -> Self {
        Self { per, ..Self::default() }
    }

    /// From now on another list answers this method.
    pub fn changed(&self, method: Method) {
        if let Some(list) = self.of(method) {
            list.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Which list answers this method, as far as is known; `None` if it is none of those whose changes a server tells, or each
    /// caller has another one.
    pub fn version(&self, method: Method) -> Option<u64> {
        self.of(method).filter(|_| self.per == Per::Server).map(|list| list.load(Ordering::Acquire))
    }

    /// Servers tell of templates as of resources.
    fn of(&self, method: Method) -> Option<&AtomicU64> {
        match method {
            Method::ToolsList => Some(&self.tools),
            Method::PromptsList => Some(&self.prompts),
            Method::ResourcesList | Method::ResourcesTemplatesList => Some(&self.resources),
            _ => None,
        }
    }
}
