//! A client's session with several servers as one: what it said when it began, and which session it has at each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use serde_json::Value;
use tokio::sync::watch;

use crate::mcp::{Call, ServerName};

/// A client's session with several servers as one.
#[derive(Debug)]
pub struct Several {
    /// Which servers: what they are called together.
    name: ServerName,
    /// `initialize`, as each of them is greeted.
    hello: Arc<Call>,
    legs: Mutex<BTreeMap<ServerName, Arc<Leg>>>,
    /// `logging/setLevel`, as its client said it last.
    level: Mutex<Option<Arc<Call>>>,
    /// Counts the sessions that have begun.
    begun: watch::Sender<u64>,
    /// Counts the streams that its client has opened: the last one counts.
    streams: watch::Sender<u64>,
}

/// The session at one server.
#[derive(Debug, Default)]
pub struct Leg {
    /// Held by whoever begins it.
    pub beginning: tokio::sync::Mutex<()>,
    begun: Mutex<Option<Begun>>,
    /// What the server said when it was greeted.
    told: Mutex<Option<Arc<Value>>>,
}

/// A session that has begun at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The gate calls it so.
    Named(HeaderValue),
    /// The server keeps none.
    Nameless,
}

impl Several {
    /// A session that its client began so, with the servers that are called so together.
    pub fn new(name: ServerName, hello: Arc<Call>) -> Self {
        let (begun, streams) = (watch::Sender::default(), watch::Sender::default());
        Self { name, hello, legs: Mutex::default(), level: Mutex::default(), begun, streams }
    }

    /// What the servers are called together.
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// How a server is greeted.
    pub fn hello(&self) -> &Arc<Call> {
        &self.hello
    }

    /// The session at this server, begun or not.
    pub fn leg(&self, server: &ServerName) -> Arc<Leg> {
        Arc::clone(held(&self.legs).entry(server.clone()).or_default())
    }

    /// All sessions that have begun, each with its server.
    pub fn begun(&self) -> Vec<(ServerName, Begun)> {
        held(&self.legs).iter().filter_map(|(server, leg)| Some((server.clone(), leg.begun()?))).collect()
    }

    /// The one at this server has begun, which said this when it was greeted.
    pub fn begin(&self, leg: &Leg, begun: Begun, told: Value) {
        *held(&leg.told) = Some(Arc::new(told));
        *held(&leg.begun) = Some(begun);
        self.begun.send_modify(|count| *count += 1);
    }

    /// Hears of those that begin.
    pub fn beginnings(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }

    /// From now on this is the stream of its client; hears when another is.
    pub fn open_stream(&self) -> watch::Receiver<u64> {
        self.streams.send_modify(|count| *count += 1);
        self.streams.subscribe()
    }

    /// What its client wants to hear of logs.
    pub fn level(&self) -> Option<Arc<Call>> {
        held(&self.level).clone()
    }

    /// It wants to hear so much from now on.
    pub fn set_level(&self, level: Arc<Call>) {
        *held(&self.level) = Some(level);
    }
}

impl Leg {
    /// What has begun.
    pub fn begun(&self) -> Option<Begun> {
        held(&self.begun).clone()
    }

    /// What the server said when it was greeted.
    pub fn told(&self) -> Option<Arc<Value>> {
        held(&self.told).clone()
    }
}

impl Begun {
    /// What the gate calls it, if it has a name.
    pub fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Named(ours) => Some(ours),
            Self::Nameless => None,
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one step, so what a panic left behind is as good as any.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
