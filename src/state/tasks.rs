//! Who began which task, and where. Task ids are as good as credentials, so only their principal may use them (MCP 2025-11-25,
//! Tasks, Security; tasks extension of 2026-07-28).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;

use crate::clock;
use crate::identity::Principal;

/// Who began which task.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<HashMap<Box<str>, Task>>);

#[derive(Debug)]
struct Task {
    principal: Arc<str>,
    tool: Box<str>,
    /// The endpoint that has it.
    home: Uri,
    used: Instant,
}

/// How many tasks are remembered. Beyond that the one unused for longest is forgotten: nobody can ask for it then.
const MOST: usize = 100_000;
/// A task that nobody has asked for in so long is forgotten.
const IDLE: Duration = Duration::from_hours(24);

impl Tasks {
    /// Remembers who began a task, by calling which tool where. A server that gives two principals the same id is wrong about
    /// one of them: the first keeps it, and the other is told `false`.
    pub fn begin(&self, task: &str, principal: &Principal, (tool, home): (&str, &Uri)) -> bool {
        let now = clock::monotonic();
        let mut tasks = self.tasks();
        if let Some(known) = tasks.get(task) {
            return known.principal == *principal.account();
        }
        if tasks.len() >= MOST {
            tasks.retain(|_, task| now.saturating_duration_since(task.used) < IDLE);
        }
        if tasks.len() >= MOST {
            let oldest = tasks.iter().min_by_key(|(_, task)| task.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| tasks.remove(&id));
        }
        let (principal, tool, home) = (Arc::clone(principal.account()), tool.into(), home.clone());
        tasks.insert(task.into(), Task { principal, tool, home, used: now });
        true
    }

    /// The tool that began this task, if this principal called it.
    pub fn tool(&self, task: &str, principal: &Principal) -> Option<Box<str>> {
        let mut tasks = self.tasks();
        let task = tasks.get_mut(task).filter(|task| task.principal == *principal.account())?;
        task.used = clock::monotonic();
        Some(task.tool.clone())
    }

    /// Where it is.
    pub(super) fn home(&self, task: &str) -> Option<Uri> {
        self.tasks().get(task).map(|task| task.home.clone())
    }

    /// Whether somebody else began it.
    pub fn is_foreign(&self, task: &str, principal: &Principal) -> bool {
        self.tasks().get(task).is_some_and(|task| task.principal != *principal.account())
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Box<str>, Task>> {
        // Every change is one insertion or removal, so a poisoned lock is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
