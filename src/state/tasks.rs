//! Who began which task, and where. Task ids are as good as credentials, so only their principal may use them (MCP 2025-11-25,
//! Tasks, Security; tasks extension of 2026-07-28).
//!
//! Clients of views, where several servers may call tasks the same, have names for them that are sealed: whoever has the keys
//! goes on with a task that began at another gate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Uri;

use crate::clock;
use crate::identity::Principal;
use crate::mcp::{LONGEST_NAME, ServerName};
use crate::seal::{NameSeal, SealingKey};

/// Who began which task.
#[derive(Debug)]
pub struct Tasks {
    known: Mutex<HashMap<Box<str>, Task>>,
    names: TaskNames,
}

/// What clients of views call the tasks of one server.
#[derive(Debug)]
pub struct TaskNames {
    seal: NameSeal,
    server: ServerName,
}

#[derive(Debug)]
struct Task {
    principal: Arc<str>,
    tool: Box<str>,
    /// The endpoint that has it.
    home: Uri,
    /// A name that its principal has for it in a view, sealed with a key that is not the first any more.
    alias: Option<(ServerName, Box<str>)>,
    used: Instant,
}

const PURPOSE: &str = "tasks: name";
/// How many tasks are remembered. Beyond that the one unused for longest is forgotten: nobody can ask for it then.
const MOST: usize = 100_000;
/// A task that nobody has asked for in so long is forgotten.
const IDLE: Duration = Duration::from_hours(24);

impl TaskNames {
    /// Those of all gates that have these keys; of this process alone, if there are none.
    pub fn of_server(keys: &[SealingKey], server: &ServerName) -> Self {
        let seal = match keys {
            [] => NameSeal::new(&[SealingKey::of_this_process()], PURPOSE),
            keys => NameSeal::new(keys, PURPOSE),
        };
        Self { seal, server: server.clone() }
    }

    /// All that a name is good for. Lengths first: no part runs into another.
    fn about(&self, view: &ServerName, principal: &Principal) -> String {
        let (server, account) = (self.server.as_str(), principal.account());
        format!("{}:{server} {}:{view} {}:{account}", server.len(), view.as_str().len(), account.len())
    }
}

impl Tasks {
    pub(super) fn new(names: TaskNames) -> Self {
        Self { known: Mutex::default(), names }
    }

    /// What this principal calls a task of its own in this view; `None` if that would be too long to be asked for.
    pub fn called(&self, task: &str, view: &ServerName, principal: &Principal) -> Option<String> {
        let plain = {
            let tasks = self.tasks();
            let known = tasks.get(task).filter(|known| known.principal == *principal.account())?;
            if let Some((_, alias)) = known.alias.as_ref().filter(|(of, _)| of == view) {
                return Some(alias.to_string());
            }
            // Neither the name of a tool that was called nor a URL has an end of a line.
            format!("{}\n{}\n{task}", known.tool, known.home)
        };
        let sealed = self.names.seal.seal(&self.names.about(view, principal), plain.into_bytes())?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(sealed)).filter(|called| called.len() <= LONGEST_NAME)
    }

    /// The task that this principal calls so in this view, which is known from then on; `None` if it is none of this server.
    pub fn meant(&self, called: &str, view: &ServerName, principal: &Principal) -> Option<Box<str>> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(called).ok()?;
        let plain = String::from_utf8(self.names.seal.open(&self.names.about(view, principal), &sealed)?).ok()?;
        let (tool, rest) = plain.split_once('\n')?;
        let (home, task) = rest.split_once('\n')?;
        if !self.begin(task, principal, (tool, &home.parse().ok()?)) {
            return None;
        }
        if self.called(task, view, principal).is_none_or(|it| it != called)
            && let Some(known) = self.tasks().get_mut(task)
        {
            known.alias = Some((view.clone(), called.into()));
        }
        Some(task.into())
    }

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
        tasks.insert(task.into(), Task { principal, tool, home, alias: None, used: now });
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
