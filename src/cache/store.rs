//! The second level: answers in the store that several gates share, for whichever of them is asked the same.
//!
//! What lies there is sealed with a key that only these gates have: who reads the store learns nothing from it, and who
//! writes into it can make up no answer, nor put one in the place of another or keep it beyond its time. A call waits a
//! moment for the store at most, and never for what is written there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::key::{Key, Wanted};
use super::{Kept, SharedSettings};
use crate::clock;
use crate::seal::{OVERHEAD, SHORTEST_KEY, Seal, SealingKey, WeakKey};
use crate::secret::{Reference, Unreadable};
use crate::store::{Failure, Link};
use crate::upstream::InFlight;

/// Answers that several gates share.
pub struct AnswerStore {
    link: Arc<Link>,
    seal: Seal,
    names: hmac::Key,
    patience: Duration,
    writing: Arc<Semaphore>,
    looks: [AtomicU64; Look::ALL.len()],
    tasks: TaskTracker,
}

/// How it went to look for an answer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It was there.
    Hit,
    /// It was not.
    Miss,
    /// The store did not answer, or not at once.
    Failed,
    /// The store fails, and is not asked.
    Unasked,
}

/// Why answers cannot be shared.
#[derive(Debug)]
pub enum SharingError {
    /// There is no key.
    Unreadable(Reference, Unreadable),
    /// It can be guessed.
    Weak(Reference),
}

/// Longer answers are not shared: calls wait for counts on the same connection.
const LONGEST: usize = 64 << 10;
/// So many are written at once at most; what comes meanwhile is not shared.
const WRITES: usize = 64;
/// Before each answer: when it is over, in milliseconds of the calendar.
const DEADLINE: usize = size_of::<u64>();
/// What an answer takes beside its text.
const SEAL: usize = DEADLINE + OVERHEAD;

impl AnswerStore {
    /// Answers at the other end of this. What nobody awaits runs on `tasks`.
    ///
    /// # Errors
    /// The key cannot be had, or is none.
    pub fn open(link: Arc<Link>, settings: &SharedSettings, tasks: TaskTracker) -> Result<Self, SharingError> {
        let key = settings.key.read().map_err(|why| SharingError::Unreadable(settings.key.clone(), why))?;
        let key = SealingKey::new(&key).map_err(|WeakKey| SharingError::Weak(settings.key.clone()))?;
        let names = hmac::Key::new(HMAC_SHA256, key.derived("answers: names").as_ref());
        Ok(Self {
            link,
            seal: Seal::new(&[key], "answers: seal"),
            names,
            patience: settings.timeout,
            writing: Arc::new(Semaphore::new(WRITES)),
            looks: Default::default(),
            tasks,
        })
    }

    /// How often it was looked for answers here, by how that went.
    pub fn looks(&self, look: Look) -> u64 {
        self.looks.iter().zip(Look::ALL).find(|(_, it)| *it == look).map_or(0, |(n, _)| n.load(Ordering::Relaxed))
    }

    /// What some gate has kept of a call, if the store says so at once.
    pub(super) async fn find(&self, wanted: &Wanted, from: &InFlight) -> Option<Kept> {
        let names: Vec<_> = wanted.keys.all().into_iter().map(|key| (key, self.name(key))).collect();
        let found = self.link.glance(self.patience, async |mut connection| {
            let mut asked = redis::pipe();
            for (_, name) in &names {
                // What is longer, none of these gates has written.
                asked.cmd("GETRANGE").arg(name).arg(0).arg(LONGEST + SEAL).cmd("PTTL").arg(name);
            }
            let said: Vec<(Vec<u8>, i64)> = asked.query_async(&mut connection).await?;
            if said.len() == names.len() { Ok(said) } else { Err(Failure::Strange) }
        });
        let (found, look) = match found.await {
            Ok(said) => {
                let found = names.iter().zip(said).find_map(|((key, name), (sealed, left))| {
                    let left = Duration::from_millis(u64::try_from(left).ok()?);
                    let kept = self.read((name, sealed), left, wanted, from)?;
                    (wanted.keys.of_answer(&kept) == *key).then_some(kept)
                });
                let look = if found.is_some() { Look::Hit } else { Look::Miss };
                (found, look)
            }
            Err(Failure::LeftAlone) => (None, Look::Unasked),
            Err(_) => (None, Look::Failed),
        };
        for (count, _) in self.looks.iter().zip(Look::ALL).filter(|(_, it)| *it == look) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Reads an answer that has so much time left by the store's clock. It has no more than it was given when it came,
    /// whatever the store says.
    fn read(&self, (name, sealed): (&str, Vec<u8>), left: Duration, wanted: &Wanted, from: &InFlight) -> Option<Kept> {
        let plain = self.seal.open(name, &sealed)?;
        let (deadline, message) = plain.split_at_checked(DEADLINE)?;
        let deadline = Duration::from_millis(u64::from_be_bytes(deadline.try_into().ok()?));
        let left = left.min(deadline.saturating_sub(since_epoch()));
        Kept::read(message, from.ended(), wanted.terms, clock::monotonic())?.with_left(left)
    }

    /// Writes an answer there that is good for so long. Nobody waits for that.
    pub(super) fn put(self: &Arc<Self>, key: Key, message: &[u8], lasts: Duration) {
        let deadline = u64::try_from((since_epoch() + lasts).as_millis()).ok();
        let room = Arc::clone(&self.writing).try_acquire_owned();
        let (Some(deadline), Ok(room), true) = (deadline, room, message.len() <= LONGEST) else {
            return;
        };
        let (store, name) = (Arc::clone(self), self.name(key));
        let plain = [&deadline.to_be_bytes(), message].concat();
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        self.tasks.spawn(async move {
            let Some(sealed) = store.seal.seal(&name, plain) else {
                return;
            };
            let mut call = redis::cmd("SET");
            call.arg(name).arg(sealed).arg("PX").arg(lasts);
            let written = async |mut connection| Ok(call.query_async::<()>(&mut connection).await?);
            if let Err(failure) = store.link.ask(written).await {
                tracing::debug!(%failure, "an answer is not shared");
            }
            drop(room);
        });
    }

    /// What a question is called there. Who has not the key cannot tell which question that is.
    fn name(&self, key: Key) -> String {
        format!("{}:answers:{}", self.link.prefix(), BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.names, &key)))
    }
}

/// By the calendar: the clock of this gate says nothing to others.
fn since_epoch() -> Duration {
    clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Look {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Failed, Self::Unasked];

    /// A word for labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Failed => "failed",
            Self::Unasked => "unasked",
        }
    }
}

impl fmt::Debug for AnswerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStore").field("link", &self.link).finish_non_exhaustive()
    }
}

impl fmt::Display for SharingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(place, why) => write!(f, "cache.shared.key: {place}: {why}"),
            Self::Weak(place) => write!(
                f,
                "cache.shared.key: what is at {place} is too short to seal answers with; make one of {SHORTEST_KEY} \
                 characters or more, such as by `openssl rand -base64 32`"
            ),
        }
    }
}

impl std::error::Error for SharingError {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::store::LinkSettings;

    fn store(key: &str) -> Result<AnswerStore, SharingError> {
        let file = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.into_temp_path()
        };
        let (url, key) = (file("redis://127.0.0.1:1/"), file(key));
        let (timeout, prefix) = (Duration::from_millis(50), "tollgate".to_owned());
        let link = Link::open(LinkSettings { url: Reference::File(url.to_path_buf()), timeout, prefix }).unwrap();
        let settings = SharedSettings { key: Reference::File(key.to_path_buf()), timeout };
        AnswerStore::open(Arc::new(link), &settings, TaskTracker::new())
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_for_the_same_question_and_by_nothing_else() {
        let [one, same, other] = ["a", "a", "b"].map(|key| store(&key.repeat(SHORTEST_KEY)).unwrap());
        let [name, elsewhere] = [[1; 32], [2; 32]].map(|key| one.name(key));
        assert_eq!((&name, name.len()), (&same.name([1; 32]), "tollgate:answers:".len() + 43));
        assert!(name != elsewhere && name != other.name([1; 32]));
        let mut sealed = one.seal.seal(&name, b"answer".to_vec()).unwrap();
        assert!(!sealed.windows(6).any(|text| text == b"answer"));
        assert_eq!(same.seal.open(&name, &sealed).as_deref(), Some(&b"answer"[..]));
        assert_eq!(same.seal.open(&elsewhere, &sealed), None);
        assert_eq!(other.seal.open(&name, &sealed), None);
        for at in 0..sealed.len() {
            sealed[at] ^= 1;
            assert_eq!(one.seal.open(&name, &sealed), None, "{at}");
            sealed[at] ^= 1;
        }
        assert_eq!(one.seal.open(&name, b"short"), None);
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused_and_not_shown() {
        let said = store("hunter2").unwrap_err().to_string();
        assert!(said.contains("too short to seal answers with") && !said.contains("hunter2"), "{said}");
    }
}
