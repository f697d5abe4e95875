//! What a server has for each of its callers, where that is something else for each: asked in the caller's name when it is
//! needed, kept in bounded memory, and shown to nobody else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::catalogue::{AGAIN, CatalogueSettings, LEAST, MOST, News, jittered, patience};
use super::contents::Contents;
use super::known::{self, Known};
use crate::clock;
use crate::identity::Principal;
use crate::mcp::{Era, ProtocolVersion};

/// What one server has, caller by caller.
#[derive(Debug)]
pub struct Callers {
    kept: Mutex<Kept>,
    evicted: AtomicU64,
    /// What it speaks in either era, as callers have heard, and when.
    spoken: Mutex<[Option<(Spoken, Instant)>; 2]>,
    settings: CatalogueSettings,
    news: News,
}

/// What a server speaks in an era: the latest revision; `None`: nothing.
pub type Spoken = Option<ProtocolVersion>;

/// Whose it is, and by all that it depends on: no other caller has the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerKey {
    account: Arc<str>,
    by: [u8; 32],
}

/// What one caller has, while it is known.
#[derive(Debug)]
pub struct Own {
    known: Known,
    pace: Mutex<Pace>,
    /// Whether it is being asked for.
    asking: watch::Sender<bool>,
    /// Counts how often something else was told once nobody waited for it any more.
    late: AtomicU64,
}

/// When it is asked for again.
#[derive(Debug, Default)]
struct Pace {
    /// So often in vain, in a row.
    failed: u32,
    /// Not before then.
    not_before: Option<Instant>,
    /// Counts how often its server has said that it has something else.
    outdated: u64,
}

/// The right to ask for it, for all who wait. Dropped without an answer it was asked for in vain.
#[derive(Debug)]
pub struct Turn {
    callers: Arc<Callers>,
    key: CallerKey,
    own: Arc<Own>,
    outdated: u64,
    ended: Ended,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    InVain,
    Told,
}

#[derive(Debug, Default)]
struct Kept {
    /// Those of one account stand together.
    all: BTreeMap<CallerKey, Entry>,
    /// Whoever was not looked at for longest comes first.
    order: BTreeMap<u64, CallerKey>,
    looked: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    own: Arc<Own>,
    looked: u64,
    bytes: usize,
}

/// One account has at most so many: by its sessions, and by what its clients offer. What it brings up itself pushes out nobody
/// else's.
const MOST_OF_ACCOUNT: usize = 64;
/// What one takes beside what it holds, about.
const OVERHEAD: usize = 1024;

impl CallerKey {
    /// Of this caller, by all of this; and by all that servers may be told of it or that its credential is good for, which is not
    /// the same for all that one account shows.
    pub fn new(caller: &Principal, by: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            // Lengths first: no part runs into another.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        };
        for part in by {
            add(part);
        }
        add(b"roles");
        caller.roles().iter().for_each(|role| add(role.as_bytes()));
        add(b"scopes");
        caller.scopes().for_each(|scope| add(scope.as_bytes()));
        add(b"claims");
        for (name, claim) in caller.claims() {
            add(name.as_bytes());
            add(claim.to_json().to_string().as_bytes());
        }
        Self { account: Arc::clone(caller.account()), by: digest.finalize().into() }
    }
}

impl Callers {
    pub(super) fn new(settings: CatalogueSettings, news: &News) -> Self {
        let (kept, evicted, spoken) = (Mutex::default(), AtomicU64::default(), Mutex::default());
        Self { kept, evicted, spoken, settings, news: news.clone() }
    }

    /// What this caller has, as far as is known.
    pub fn of(&self, key: &CallerKey) -> Arc<Own> {
        let mut kept = held(&self.kept);
        if let Some(own) = kept.look(key) {
            return own;
        }
        let own = Arc::new(Own::new(self.settings.shown_for));
        let of_account: Vec<_> =
            kept.of_account(&key.account).map(|(key, entry)| (entry.looked, key.clone())).collect();
        if of_account.len() >= MOST_OF_ACCOUNT
            && let Some((_, oldest)) = of_account.into_iter().min()
        {
            self.give_up(&mut kept, &oldest);
        }
        kept.add(key, &own);
        self.make_room(&mut kept);
        own
    }

    /// The turn to ask what this caller has, if it is time to and nobody does.
    pub fn turn(self: &Arc<Self>, key: &CallerKey, own: &Arc<Own>) -> Option<Turn> {
        let outdated = own.begin()?;
        Some(Turn { callers: Arc::clone(self), key: key.clone(), own: Arc::clone(own), outdated, ended: Ended::InVain })
    }

    /// The server has said to this account that it has something else now.
    pub fn outdate(&self, account: &Arc<str>) {
        held(&self.kept).of_account(account).for_each(|(_, entry)| entry.own.outdate());
    }

    /// How long the server may take to say all that it has.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// What it speaks in an era, if some caller has heard it not too long ago.
    pub fn spoken(&self, era: Era) -> Option<Spoken> {
        let spoken = *of(&held(&self.spoken), era);
        let (spoken, at) = spoken?;
        (clock::monotonic().saturating_duration_since(at) < self.settings.shown_for).then_some(spoken)
    }

    /// A caller has heard what it speaks in an era.
    pub fn speaks(&self, era: Era, spoken: Spoken) {
        let mut all = held(&self.spoken);
        let [legacy, modern] = &mut *all;
        let one = match era {
            Era::Legacy => legacy,
            Era::Modern => modern,
        };
        *one = Some((spoken, clock::monotonic()));
    }

    /// A caller was greeted by this revision, and the server has agreed to that one. Of what is later than both nothing is known:
    /// it may speak that.
    pub fn agrees(&self, asked: Option<ProtocolVersion>, agreed: Spoken) {
        let known = self.spoken(Era::Legacy).flatten();
        let latest = known.unwrap_or(ProtocolVersion::V2025_11_25);
        match agreed {
            None => {}
            Some(agreed) if asked == Some(agreed) => self.speaks(Era::Legacy, Some(latest.max(agreed))),
            Some(agreed) => self.speaks(Era::Legacy, Some(agreed).filter(|agreed| !agreed.is_modern())),
        }
    }

    /// How many callers' there are.
    pub fn count(&self) -> usize {
        held(&self.kept).all.len()
    }

    /// How many have been given up for others.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// It takes so much now.
    fn weigh(&self, key: &CallerKey, own: &Arc<Own>, bytes: usize) {
        let mut kept = held(&self.kept);
        // What was given up meanwhile is its holders' alone.
        if let Some(entry) = kept.all.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.own, own)) {
            let before = std::mem::replace(&mut entry.bytes, OVERHEAD + bytes);
            kept.bytes = kept.bytes.saturating_sub(before) + OVERHEAD + bytes;
            self.make_room(&mut kept);
        }
    }

    fn make_room(&self, kept: &mut Kept) {
        // The last one that was looked at stays, however much it takes: somebody waits for it.
        while kept.bytes > self.settings.max_bytes
            && kept.order.len() > 1
            && let Some(oldest) = kept.order.first_key_value().map(|(_, key)| key.clone())
        {
            self.give_up(kept, &oldest);
        }
    }

    fn give_up(&self, kept: &mut Kept, key: &CallerKey) {
        if let Some(Entry { looked, bytes, .. }) = kept.all.remove(key) {
            kept.order.remove(&looked);
            kept.bytes = kept.bytes.saturating_sub(bytes);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn of<T>(both: &[T; 2], era: Era) -> &T {
    let [legacy, modern] = both;
    match era {
        Era::Legacy => legacy,
        Era::Modern => modern,
    }
}

impl Kept {
    fn look(&mut self, key: &CallerKey) -> Option<Arc<Own>> {
        let entry = self.all.get_mut(key)?;
        self.looked += 1;
        self.order.remove(&std::mem::replace(&mut entry.looked, self.looked));
        self.order.insert(self.looked, key.clone());
        Some(Arc::clone(&entry.own))
    }

    fn add(&mut self, key: &CallerKey, own: &Arc<Own>) {
        self.looked += 1;
        self.bytes += OVERHEAD;
        self.order.insert(self.looked, key.clone());
        self.all.insert(key.clone(), Entry { own: Arc::clone(own), looked: self.looked, bytes: OVERHEAD });
    }

    fn of_account(&self, account: &Arc<str>) -> impl Iterator<Item = (&CallerKey, &Entry)> {
        let end = |by| CallerKey { account: Arc::clone(account), by };
        self.all.range(end([u8::MIN; 32])..=end([u8::MAX; 32]))
    }
}

impl Own {
    fn new(shown_for: Duration) -> Self {
        Self {
            known: Known::new(shown_for),
            pace: Mutex::default(),
            asking: watch::Sender::default(),
            late: AtomicU64::default(),
        }
    }

    /// What is known of what the server has for it.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What the server has for it; nothing if that is not known, or was told too long ago.
    pub fn contents(&self) -> Option<Arc<Contents>> {
        self.known.contents().map(|(contents, _)| contents)
    }

    /// How often something else was told once nobody waited for it any more: its caller does not know of that.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Acquire)
    }

    /// Waits until nobody asks for it.
    pub async fn asked(&self) {
        // This has the other end.
        drop(self.asking.subscribe().wait_for(|asking| !asking).await);
    }

    /// Begins to ask, if it is time to and nobody does.
    fn begin(&self) -> Option<u64> {
        let pace = held(&self.pace);
        let now = clock::monotonic();
        let waits = pace.not_before.is_some_and(|then| now < then) || !self.known.left().is_zero();
        let begins = !waits && self.asking.send_if_modified(|asking| !std::mem::replace(asking, true));
        begins.then(|| {
            self.known.asks();
            pace.outdated
        })
    }

    fn outdate(&self) {
        held(&self.pace).outdated += 1;
        self.known.outdate();
    }
}

impl Turn {
    /// The server has told this, which holds for so long as it says.
    pub fn told(mut self, contents: Contents, ttl: Option<Duration>) {
        self.ended = Ended::Told;
        let ttl = jittered(ttl.unwrap_or(AGAIN).clamp(LEAST, MOST));
        let bytes = contents.bytes();
        let own = Arc::clone(&self.own);
        let mut pace = held(&own.pace);
        // Nobody waited who was told that it fails.
        let unexpected = std::mem::take(&mut pace.failed) > 0;
        pace.not_before = None;
        let news = own.known.learn(contents, ttl);
        if pace.outdated != self.outdated {
            own.known.outdate();
        }
        drop(pace);
        self.callers.weigh(&self.key, &own, bytes);
        if unexpected && news == known::News::Some {
            own.late.fetch_add(1, Ordering::Release);
            self.callers.news.tell();
        }
    }
}

/// Whoever waits goes on.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.ended == Ended::InVain {
            let mut pace = held(&self.own.pace);
            self.own.known.miss();
            pace.failed = pace.failed.saturating_add(1);
            pace.not_before = Some(clock::monotonic() + jittered(patience(pace.failed)));
        }
        self.own.asking.send_replace(false);
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic leaves behind is at worst counted wrongly.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::federation::Eras;
    use crate::inspect::{List, listed};

    fn callers(max_bytes: usize) -> Arc<Callers> {
        Arc::new(Callers::new(CatalogueSettings { max_bytes, ..CatalogueSettings::default() }, &News::default()))
    }

    fn key(account: &str, by: &str) -> CallerKey {
        CallerKey::new(&Principal::for_test(account, &[]), &[by.as_bytes()])
    }

    fn contents(tool: &str) -> Contents {
        let page = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{{"name":"{tool}"}}]}}}}"#);
        let tools = listed(List::Tools, &page.into()).unwrap();
        let things = [tools, vec![], vec![], vec![]];
        Contents { things, eras: Eras::default(), instructions: None, offers: Vec::new() }
    }

    fn tell(callers: &Arc<Callers>, key: &CallerKey, tool: &str) {
        let own = callers.of(key);
        callers.turn(key, &own).expect("it is time").told(contents(tool), None);
    }

    fn has(callers: &Callers, key: &CallerKey) -> Option<String> {
        Some(callers.of(key).contents()?.things[0][0].name.to_string())
    }

    #[test]
    fn nobody_has_what_another_has() {
        let callers = callers(1 << 20);
        let keys = [("alice", "a"), ("bob", "a"), ("alice", "b"), ("a", "licea")].map(|(account, by)| key(account, by));
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(has(&callers, key), None);
            tell(&callers, key, &n.to_string());
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(has(&callers, key), Some(n.to_string()));
        }
        let parts = |parts: &[&str]| {
            CallerKey::new(&Principal::for_test("a", &[]), &parts.iter().map(|it| it.as_bytes()).collect::<Vec<_>>())
        };
        assert_ne!(parts(&["a", "bc"]), parts(&["ab", "c"]), "no part runs into another");
        let alice = Principal::for_test("alice", &["reader"]);
        let store = |store: &str| Principal::for_test("alice", &["reader"]).claiming("store_id", &json!(store));
        let of = [&alice, &Principal::for_test("alice", &["writer"]), &store("a"), &store("b")];
        let of: BTreeSet<_> = of.into_iter().map(|caller| CallerKey::new(caller, &[])).collect();
        assert_eq!(of.len(), 4, "nor has who is told to be another, by one account");
    }

    #[test]
    fn one_asks_for_all_and_not_again_while_it_holds_or_has_just_failed() {
        let callers = callers(1 << 20);
        let alice = key("alice", "");
        let own = callers.of(&alice);
        let turn = callers.turn(&alice, &own).unwrap();
        assert!(callers.turn(&alice, &own).is_none(), "one asks");
        drop(turn);
        assert!(own.known().fails() && callers.turn(&alice, &own).is_none(), "it has just failed");
        held(&own.pace).not_before = None;
        callers.turn(&alice, &own).unwrap().told(contents("a"), Some(MOST));
        assert!(!own.known().fails() && callers.turn(&alice, &own).is_none(), "it holds");
        assert_eq!(own.late(), 1, "nobody waited for what had failed");
        callers.outdate(&Arc::from("bob"));
        assert!(callers.turn(&alice, &own).is_none(), "that was another's");
        callers.outdate(&Arc::from("alice"));
        let turn = callers.turn(&alice, &own).expect("there is something else");
        assert!(has(&callers, &alice).is_some(), "it is shown meanwhile");
        callers.outdate(&Arc::from("alice"));
        turn.told(contents("b"), Some(MOST));
        assert!(callers.turn(&alice, &own).is_some(), "since it was asked there is something else again");
        assert_eq!(own.late(), 1);
    }

    #[test]
    fn memory_is_bounded_and_an_account_pushes_out_its_own() {
        let room = callers(3 * (OVERHEAD + contents("0").bytes()));
        let keys: Vec<_> = (0..4).map(|n| key(&n.to_string(), "")).collect();
        for (n, key) in keys.iter().enumerate() {
            tell(&room, key, &n.to_string());
            has(&room, &keys[0]);
        }
        assert_eq!((room.count(), room.evicted()), (3, 1));
        assert_eq!(has(&room, &keys[0]), Some("0".to_owned()), "it was looked at last");
        let known = |key: &CallerKey| held(&room.kept).all.contains_key(key);
        assert_eq!(keys.iter().map(known).collect::<Vec<_>>(), [true, false, true, true]);
        tell(&room, &keys[1], &"x".repeat(100_000));
        assert_eq!((room.count(), has(&room, &keys[1]).is_some()), (1, true), "whoever asks is told");

        let many = callers(1 << 20);
        tell(&many, &key("bob", ""), "b");
        (0..100).for_each(|n| tell(&many, &key("alice", &n.to_string()), "a"));
        assert_eq!((many.count(), many.evicted()), (1 + MOST_OF_ACCOUNT, 100 - 64));
        assert!(has(&many, &key("bob", "")).is_some() && has(&many, &key("alice", "99")).is_some());
    }

    #[test]
    fn the_latest_revision_is_what_a_server_has_not_declined() {
        let callers = callers(1);
        let [old, mid, new] =
            [ProtocolVersion::V2025_03_26, ProtocolVersion::V2025_06_18, ProtocolVersion::V2025_11_25];
        callers.agrees(Some(mid), Some(mid));
        assert_eq!(callers.spoken(Era::Legacy), Some(Some(new)), "who asked for less knows nothing of more");
        callers.agrees(Some(new), Some(old));
        assert_eq!(callers.spoken(Era::Legacy), Some(Some(old)));
        callers.agrees(Some(old), None);
        assert_eq!((callers.spoken(Era::Legacy), callers.spoken(Era::Modern)), (Some(Some(old)), None));
    }
}
