//! The addresses of servers' names. They are looked up again and again in the background, so that no call waits for that but the
//! first; while a name cannot be looked up, the last addresses count.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{fmt, io, vec};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tower::Service;

use crate::clock;

/// The names of servers that were asked for, and where they are.
pub(super) struct Names {
    known: Mutex<HashMap<Box<str>, Known>>,
    lookup: Lookup,
}

/// Looks a name up.
type Lookup = Box<dyn Fn(Box<str>) -> Looking + Send + Sync>;
type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    since: Instant,
}

/// Whether a name leads elsewhere now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// An address that was there is not any more.
    Away,
    /// All that were there still are.
    Nowhere,
}

/// For so long the last addresses count: later somebody else may have them.
const STALE: Duration = Duration::from_mins(10);
/// A lookup takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

impl Names {
    /// As the system knows them.
    pub(super) fn of_system() -> Self {
        Self::with(|name| {
            Box::pin(async move { Ok(lookup_host((&*name, 0)).await?.map(|address| address.ip()).collect()) })
        })
    }

    fn with(lookup: impl Fn(Box<str>) -> Looking + Send + Sync + 'static) -> Self {
        Self { known: Mutex::default(), lookup: Box::new(lookup) }
    }

    /// Where this name leads.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.known().get(name).map(|known| known.addresses.clone());
        match known {
            Some(addresses) => Ok(addresses),
            None => self.look(name).await,
        }
    }

    async fn look(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the name was not found in time");
        let addresses = timeout(PATIENCE, (self.lookup)(name.into())).await.map_err(late)??;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name leads nowhere"));
        }
        let known = Known { addresses: addresses.clone(), since: clock::monotonic() };
        self.known().insert(name.into(), known);
        Ok(addresses)
    }

    /// Looks all names up again that were ever asked for.
    pub(super) async fn renew(&self) -> Moved {
        let all: Vec<_> = self.known().iter().map(|(name, known)| (name.clone(), known.clone())).collect();
        let mut moved = Moved::Nowhere;
        for (name, before) in all {
            match self.look(&name).await {
                Ok(now) => {
                    let now: BTreeSet<_> = now.into_iter().collect();
                    if before.addresses.iter().any(|address| !now.contains(address)) {
                        tracing::info!(%name, addresses = ?now, "a name of a server leads elsewhere");
                        moved = Moved::Away;
                    }
                }
                Err(error) if clock::monotonic().saturating_duration_since(before.since) > STALE => {
                    tracing::warn!(%name, %error, "a name of a server cannot be looked up, and its last address is too old");
                    self.known().remove(&name);
                    moved = Moved::Away;
                }
                Err(error) => {
                    tracing::debug!(%name, %error, "a name of a server cannot be looked up; its last address counts");
                }
            }
        }
        moved
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        // Every change is one step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("known", &*self.known()).finish_non_exhaustive()
    }
}

/// Tells connections where to go.
#[derive(Clone, Debug)]
pub(super) struct Resolver(pub(super) Arc<Names>);

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            // The port is the URL's.
            Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_moves_is_followed_and_one_that_cannot_be_looked_up_stays_where_it_was() {
        let told = Arc::new(Mutex::new(Some(vec![1, 2])));
        let asked = Arc::clone(&told);
        let names = Names::with(move |_| {
            let now = asked.lock().unwrap().clone();
            Box::pin(async move {
                let ends = now.ok_or_else(|| io::Error::other("no name server"))?;
                Ok(ends.into_iter().map(|end| IpAddr::from([127, 0, 0, end])).collect())
            })
        });
        let leads = async || names.addresses("records.test").await.ok().map(|all| all.into_iter().collect::<Vec<_>>());
        let to = |ends: &[u8]| Some(ends.iter().map(|end| IpAddr::from([127, 0, 0, *end])).collect::<Vec<_>>());
        assert_eq!(leads().await, to(&[1, 2]));
        for (now, moved, led) in [
            (Some(vec![2, 1]), Moved::Nowhere, [2, 1].as_slice()), // the order says nothing
            (None, Moved::Nowhere, &[2, 1]),
            (Some(vec![]), Moved::Nowhere, &[2, 1]),
            (Some(vec![2, 1, 3]), Moved::Nowhere, &[2, 1, 3]),
            (Some(vec![3]), Moved::Away, &[3]),
        ] {
            *told.lock().unwrap() = now.clone();
            assert_eq!((names.renew().await, leads().await), (moved, to(led)), "{now:?}");
        }
    }
}
