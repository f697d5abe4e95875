//! What gates share so that any of them goes on where another has begun.

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::federation::Cursors;
use crate::mcp::ServerName;
use crate::seal::{SHORTEST_KEY, SealingKey, WeakKey};
use crate::secret::Reference;
use crate::state::{RevocationList, Sealing, TaskNames, Tickets};
use crate::store::Link;

/// The keys of cursors, tickets and names of tasks, and where it is noted which sessions have ended.
pub(super) struct Sharing {
    keys: Vec<SealingKey>,
    list: Option<Arc<RevocationList>>,
}

impl Sharing {
    /// What the configuration says is shared; by this way, if there is a store.
    ///
    /// # Errors
    /// A key cannot be had, or is none.
    pub(super) fn open(config: &Config, link: Option<&Arc<Link>>) -> io::Result<Self> {
        let keys = config.sealing_keys.iter().map(key).collect::<io::Result<Vec<_>>>()?;
        let list = link.map(|link| Arc::new(RevocationList::new(Arc::clone(link))));
        Ok(Self { keys, list })
    }

    /// What makes the cursors of views.
    pub(super) fn cursors(&self) -> Cursors {
        Cursors::shared(&self.keys)
    }

    /// What makes tickets of sessions with views.
    pub(super) fn tickets_of_views(&self) -> Tickets {
        Tickets::of_views(self.sealing())
    }

    /// What makes tickets of sessions with this server, which is in these places.
    pub(super) fn tickets_of(&self, server: &ServerName, homes: impl Iterator<Item = http::Uri>) -> Tickets {
        Tickets::of_server(self.sealing(), server, homes)
    }

    /// What clients of views call the tasks of this server.
    pub(super) fn tasks_of(&self, server: &ServerName) -> TaskNames {
        TaskNames::of_server(&self.keys, server)
    }

    fn sealing(&self) -> Sealing<'_> {
        Sealing { keys: &self.keys, list: self.list.as_ref() }
    }
}

fn key(kept: &Reference) -> io::Result<SealingKey> {
    let secret = kept.read().map_err(|why| io::Error::other(format!("sealing_keys: {kept}: {why}")))?;
    SealingKey::new(&secret).map_err(|WeakKey| {
        let weak = format!("sealing_keys: what is at {kept} has fewer than {SHORTEST_KEY} characters");
        io::Error::other(format!("{weak}; make a key with `openssl rand -hex 32`"))
    })
}
