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
use tokio::sync::Mutex as Turn;
use tokio::time::timeout;
use tower::Service;

use crate::clock;

/// The names of servers that were asked for, and where they are.
pub(super) struct Names {
    asked: Mutex<HashMap<Box<str>, Arc<Place>>>,
    lookup: Lookup,
}

/// Looks a name up.
type Lookup = Box<dyn Fn(Box<str>) -> Looking + Send + Sync>;
type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Where a name leads.
#[derive(Debug, Default)]
struct Place {
    known: Mutex<Option<Known>>,
    /// Whose turn it is to look it up. A lookup has a thread of its own that nothing ends but an answer: a crowd that
    /// waits for one name may not have one each.
    turn: Turn<()>,
}

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
        Self { asked: Mutex::default(), lookup: Box::new(lookup) }
    }

    /// Where this name leads.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let place = Arc::clone(self.asked().entry(name.into()).or_default());
        if let Some(known) = place.known() {
            return Ok(known.addresses);
        }
        let _turn = place.turn.lock().await;
        match place.known() {
            Some(known) => Ok(known.addresses),
            None => self.look(name, &place, clock::monotonic()).await,
        }
    }

    async fn look(&self, name: &str, place: &Place, now: Instant) -> io::Result<Vec<IpAddr>> {
        let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the name was not found in time");
        let addresses = timeout(PATIENCE, (self.lookup)(name.into())).await.map_err(late)??;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name leads nowhere"));
        }
        place.knows(Some(Known { addresses: addresses.clone(), since: now }));
        Ok(addresses)
    }

    /// Looks a name up again, if it was ever asked for.
    pub(super) async fn renew(&self, name: &str, now: Instant) -> Moved {
        let Some(place) = self.asked().get(name).cloned() else { return Moved::Nowhere };
        let _turn = place.turn.lock().await;
        let before = place.known();
        match (self.look(name, &place, now).await, before) {
            (Ok(addresses), Some(before)) => {
                let addresses: BTreeSet<_> = addresses.into_iter().collect();
                if before.addresses.iter().all(|address| addresses.contains(address)) {
                    return Moved::Nowhere;
                }
                tracing::info!(%name, ?addresses, "a name of a server leads elsewhere");
                Moved::Away
            }
            (Err(error), Some(before)) if now.saturating_duration_since(before.since) > STALE => {
                tracing::warn!(%name, %error, "a name of a server cannot be looked up, and its last address is too old");
                place.knows(None);
                Moved::Away
            }
            (Err(error), before) => {
                let last = before.map(|before| before.addresses);
                tracing::debug!(%name, %error, ?last, "a name of a server cannot be looked up; its last address counts");
                Moved::Nowhere
            }
            (Ok(_), None) => Moved::Nowhere,
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Place>>> {
        // Every change is one step.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn knows(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("asked", &*self.asked()).finish_non_exhaustive()
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
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NAME: &str = "records.test";

    fn at(ends: &[u8]) -> Vec<IpAddr> {
        ends.iter().map(|end| IpAddr::from([127, 0, 0, *end])).collect()
    }

    /// Names as this tells them; `None` while no name server answers.
    fn told(told: &Arc<Mutex<Option<Vec<u8>>>>) -> Names {
        let told = Arc::clone(told);
        Names::with(move |_| {
            let now = told.lock().unwrap().clone();
            Box::pin(async move { now.map(|ends| at(&ends)).ok_or_else(|| io::Error::other("no name server")) })
        })
    }

    #[tokio::test]
    async fn a_name_that_moves_is_followed_and_one_that_cannot_be_looked_up_stays_where_it_was() {
        let now = Arc::new(Mutex::new(Some(vec![1, 2])));
        let (names, mut then) = (told(&now), clock::monotonic());
        assert_eq!(names.renew(NAME, then).await, Moved::Nowhere, "nobody has asked");
        assert_eq!(names.addresses(NAME).await.unwrap(), at(&[1, 2]));
        for (tells, moved, leads) in [
            (Some(vec![2, 1]), Moved::Nowhere, [2, 1].as_slice()), // the order says nothing
            (None, Moved::Nowhere, &[2, 1]),
            (Some(vec![]), Moved::Nowhere, &[2, 1]),
            (Some(vec![2, 1, 3]), Moved::Nowhere, &[2, 1, 3]),
            (Some(vec![3]), Moved::Away, &[3]),
        ] {
            then += STALE; // it was seen well just before
            *now.lock().unwrap() = tells.clone();
            assert_eq!(names.renew(NAME, then).await, moved, "{tells:?}");
            assert_eq!(names.addresses(NAME).await.unwrap(), at(leads), "{tells:?}");
            *now.lock().unwrap() = Some(leads.to_vec());
            assert_eq!(names.renew(NAME, then).await, Moved::Nowhere);
        }
        *now.lock().unwrap() = None;
        assert_eq!(names.renew(NAME, then + STALE).await, Moved::Nowhere);
        assert_eq!(names.addresses(NAME).await.unwrap(), at(&[3]));
        let older = then + STALE + Duration::from_secs(1);
        assert_eq!(names.renew(NAME, older).await, Moved::Away, "somebody else may be there by now");
        assert!(names.addresses(NAME).await.is_err());
        *now.lock().unwrap() = Some(vec![4]);
        assert_eq!(names.renew(NAME, older).await, Moved::Nowhere);
        assert_eq!(names.addresses(NAME).await.unwrap(), at(&[4]));
    }

    #[tokio::test]
    async fn a_crowd_that_waits_for_a_name_looks_it_up_once() {
        let looked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looked);
        let names = Names::with(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(pending())
        });
        let mut crowd: Vec<_> = (0..100).map(|_| Box::pin(names.addresses(NAME))).collect();
        for one in &mut crowd {
            assert!(one.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        }
        assert_eq!(looked.load(Ordering::SeqCst), 1);
    }
}
