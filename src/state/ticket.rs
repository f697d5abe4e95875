//! Tickets: names of sessions that carry, sealed, what another gate needs to go on with the session; what RFC 5077 does for
//! TLS. Who has the keys opens one, for the account that it was given to.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use sha2::{Digest as _, Sha256};

use super::revocations::RevocationList;
use super::{Known, Several};
use crate::clock;
use crate::json::Bounds;
use crate::mcp::{self, ServerName};
use crate::seal::{OVERHEAD, Seal, SealingKey};

/// Makes tickets of the sessions with one server, or with views, and opens them.
#[derive(Debug)]
pub struct Tickets {
    seal: Seal,
    of: String,
    /// Where the server is: what it keeps elsewhere is lost.
    homes: Box<[Uri]>,
    list: Option<Arc<RevocationList>>,
}

/// What gates share whose tickets are good at each of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sealing<'a> {
    /// The first seals, all open. Without any there are no tickets: a session is where it began.
    pub keys: &'a [SealingKey],
    /// Where it is noted which sessions have ended.
    pub list: Option<&'a Arc<RevocationList>>,
}

/// What a ticket carries.
#[derive(Debug)]
pub(super) struct Ticket {
    /// When the session began, by the calendar: the clock of a gate says nothing to others.
    pub(super) begun: SystemTime,
    pub(super) known: Known,
    /// Where the server keeps it; `None` if that is in several.
    pub(super) home: Option<Uri>,
}

/// What a session is called where it is noted that it has ended. Nobody can ask in it by that.
pub(super) type Name = u128;

const PURPOSE: &str = "sessions: seal";
/// What a longer ticket would carry, stays here: it is sent with every request, and no header may be much longer.
const LONGEST: usize = 4096;
/// Before each session: when it began, in milliseconds of the calendar.
const BEGUN: usize = size_of::<u64>();

impl Tickets {
    /// Tickets of sessions with this server, which is in these places.
    pub fn of_server(sealing: Sealing<'_>, server: &ServerName, homes: impl Iterator<Item = Uri>) -> Self {
        Self { of: format!("server {server}"), homes: homes.collect(), ..Self::of_views(sealing) }
    }

    /// Tickets of sessions with views.
    pub fn of_views(Sealing { keys, list }: Sealing<'_>) -> Self {
        let list = list.filter(|_| !keys.is_empty()).cloned();
        Self { seal: Seal::new(keys, PURPOSE), of: "views".to_owned(), homes: Box::default(), list }
    }

    /// Where it is noted which sessions have ended, if gates share that.
    pub(super) fn list(&self) -> Option<&Arc<RevocationList>> {
        self.list.as_ref()
    }

    /// A ticket for this account; `None` if this session cannot go on elsewhere.
    pub(super) fn seal(&self, account: &str, ticket: &Ticket) -> Option<HeaderValue> {
        let session = ticket.text()?;
        if session.len() > LONGEST - BEGUN {
            tracing::debug!(bytes = session.len(), "a session begins that is too long for a ticket: it stays here");
            return None;
        }
        let plain = [&millis(ticket.begun).to_be_bytes(), session.as_bytes()].concat();
        let sealed = BASE64_URL_SAFE_NO_PAD.encode(self.seal.seal(&self.about(account), plain)?);
        HeaderValue::try_from(sealed).ok()
    }

    /// What a ticket of this account carries; `None` if it is none, or what it is about is not there any more.
    pub(super) fn open(&self, account: &str, ours: &HeaderValue) -> Option<Ticket> {
        let text = Some(ours.as_bytes()).filter(|text| text.len() <= (LONGEST + OVERHEAD).div_ceil(3) * 4)?;
        let plain = self.seal.open(&self.about(account), &BASE64_URL_SAFE_NO_PAD.decode(text).ok()?)?;
        let (begun, session) = plain.split_at_checked(BEGUN)?;
        let begun = at(u64::from_be_bytes(begun.try_into().ok()?))?;
        let (home, rest) = std::str::from_utf8(session).ok()?.split_once('\n')?;
        if let Some(home) = self.homes.iter().find(|it| **it == home) {
            let theirs = HeaderValue::from_str(rest).ok()?;
            return Some(Ticket { begun, known: Known::Header(theirs), home: Some(home.clone()) });
        }
        let (name, hello) = Some(rest).filter(|_| home.is_empty())?.split_once('\n')?;
        let hello = mcp::read(&Bytes::copy_from_slice(hello.as_bytes()), &Bounds::default()).ok()?;
        let several = Several::new(ServerName::new(name).ok()?, hello.into());
        Some(Ticket { begun, known: Known::Several(several.into()), home: None })
    }

    /// All that a ticket is good for. Lengths first: no part runs into another.
    fn about(&self, account: &str) -> String {
        format!("{}:{} {}:{account}", self.of.len(), self.of, account.len())
    }
}

impl Ticket {
    /// What begins now.
    pub(super) fn of(known: Known, home: Option<Uri>) -> Self {
        let now = clock::wall();
        // As whoever opens it reads it.
        Self { begun: at(millis(now)).unwrap_or(now), known, home }
    }

    /// The session in words; `None` if there is nothing that another gate could go on with.
    fn text(&self) -> Option<String> {
        match (&self.known, &self.home) {
            (Known::Header(theirs), Some(home)) => Some(format!("{home}\n{}", theirs.to_str().ok()?)),
            (Known::Several(several), None) => {
                let hello = std::str::from_utf8(several.hello().body()).ok()?;
                Some(format!("\n{}\n{hello}", several.name()))
            }
            // 2024-11-05: such a session is its stream, which is here.
            (Known::Url(_) | Known::Nowhere | Known::Header(_) | Known::Several(_), _) => None,
        }
    }
}

/// What the session of this ticket is called where it is noted that it has ended.
pub(super) fn name(ours: &HeaderValue) -> Name {
    // Half of it is as much as anybody can find a second one for.
    Sha256::digest(ours.as_bytes()).iter().take(size_of::<Name>()).fold(0, |name, byte| name << 8 | Name::from(*byte))
}

/// By the calendar, as precisely as tickets say.
fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn at(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    const HELLO: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\n\"method\":\"initialize\",\"params\":{}}";

    fn key(of: &str) -> SealingKey {
        SealingKey::new(&Secret::new(of.repeat(32))).unwrap()
    }

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    fn tickets(keys: &[SealingKey], of: &str, homes: &[&'static str]) -> Tickets {
        let homes = homes.iter().map(|home| Uri::from_static(home));
        Tickets::of_server(Sealing { keys, list: None }, &server(of), homes)
    }

    const HOMES: [&str; 2] = ["http://a:8000/mcp", "http://b:8000/mcp?x=1"];

    fn known(theirs: &str) -> Ticket {
        Ticket::of(Known::Header(HeaderValue::from_str(theirs).unwrap()), Some(Uri::from_static(HOMES[1])))
    }

    fn several(hello: &str) -> Ticket {
        let hello = mcp::read(&Bytes::copy_from_slice(hello.as_bytes()), &Bounds::default()).unwrap();
        Ticket::of(Known::Several(Several::new(server("all"), hello.into()).into()), None)
    }

    fn theirs(ticket: &Ticket) -> &HeaderValue {
        match &ticket.known {
            Known::Header(theirs) => theirs,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_ticket_carries_the_session_for_its_account_alone(
            theirs_is in "[!-~]{1,2000}", account in "\\PC{0,40}", other in "\\PC{0,40}", at in any::<prop::sample::Index>(),
        ) {
            let keys = [key("a")];
            let tickets = tickets(&keys, "records", &HOMES);
            let ticket = known(&theirs_is);
            let ours = tickets.seal(&account, &ticket).unwrap();
            prop_assert!(ours.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b)) && ours.len() < 6000);
            let opened = tickets.open(&account, &ours).unwrap();
            prop_assert_eq!(theirs(&opened), &theirs_is);
            prop_assert_eq!((opened.begun, opened.home), (ticket.begun, ticket.home));
            prop_assert!(other == account || tickets.open(&other, &ours).is_none());
            let mut changed = ours.as_bytes().to_vec();
            let at = at.index(changed.len());
            for by in b'!'..=b'~' {
                changed[at] = by;
                let same = changed == ours.as_bytes();
                let opened = tickets.open(&account, &HeaderValue::from_bytes(&changed).unwrap());
                prop_assert_eq!(opened.is_some(), same);
            }
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_server_where_that_still_is() {
        let keys = [key("a")];
        let ours = tickets(&keys, "records", &HOMES).seal("alice", &known("theirs")).unwrap();
        for (of, homes, good) in [
            ("records", &HOMES[..], true),
            ("records", &HOMES[1..], true),
            ("records", &HOMES[..1], false),
            ("billing", &HOMES, false),
        ] {
            assert_eq!(tickets(&keys, of, homes).open("alice", &ours).is_some(), good, "{of} {homes:?}");
        }
        let views = Tickets::of_views(Sealing { keys: &keys, list: None });
        assert!(views.open("alice", &ours).is_none());
        let of_view = views.seal("alice", &several(HELLO)).unwrap();
        assert!(tickets(&keys, "records", &HOMES).open("alice", &of_view).is_none());
        let Known::Several(several) = views.open("alice", &of_view).unwrap().known else { panic!("a view's") };
        assert_eq!((several.name().as_str(), &several.hello().body()[..]), ("all", HELLO.as_bytes()));
    }

    #[test]
    fn while_keys_change_any_of_them_opens() {
        let tickets = |keys: &[&str]| tickets(&keys.iter().map(|it| key(it)).collect::<Vec<_>>(), "records", &HOMES);
        let ours = tickets(&["a"]).seal("alice", &known("theirs")).unwrap();
        for (opens, good) in [(&["b", "a"][..], true), (&["a", "b"], true), (&["b"], false), (&[], false)] {
            assert_eq!(tickets(opens).open("alice", &ours).is_some(), good, "{opens:?}");
        }
        assert!(tickets(&[]).seal("alice", &known("theirs")).is_none());
    }

    #[test]
    fn what_is_long_or_cannot_go_on_elsewhere_has_no_ticket() {
        let keys = [key("a")];
        let views = Tickets::of_views(Sealing { keys: &keys, list: None });
        // Beside what stands in HELLO: the view's name between two ends of lines, and the member `"x":""`.
        let room = LONGEST - BEGUN - HELLO.len() - "\nall\n".len() - "\"x\":\"\"".len();
        let said = |bytes: usize| several(&HELLO.replace("{}", &format!("{{\"x\":\"{}\"}}", "x".repeat(bytes))));
        let longest = views.seal("alice", &said(room)).unwrap();
        assert!(views.open("alice", &longest).is_some());
        assert!(views.seal("alice", &said(room + 1)).is_none());
        let tickets = tickets(&keys, "records", &HOMES);
        assert!(tickets.seal("alice", &known(&"x".repeat(5000))).is_none());
        for known in [Known::Nowhere, Known::Url(Uri::from_static("http://a/messages/?session=1"))] {
            assert!(tickets.seal("alice", &Ticket::of(known, Some(Uri::from_static(HOMES[0])))).is_none());
        }
        for none in ["", "AAAA", "made-up", &"A".repeat(10_000)] {
            assert!(views.open("alice", &HeaderValue::from_str(none).unwrap()).is_none(), "{none}");
        }
    }
}
