//! From keys as written to hashes that prove somebody, or every problem.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::source::{KeySource, MOST_HASHES, Written};
use super::{KeyHash, PREFIX};
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::identity::parse_expiry;
use crate::identity::principals::MAKE_A_KEY;
use crate::identity::weak::{is_placeholder, weak_key};

/// A key that is valid for longer is likely forgotten.
const LONG: Duration = Duration::from_hours(400 * 24);
/// A key that ends within this must be replaced now.
pub const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// What the keys before had.
#[derive(Default)]
pub(in crate::identity) struct Seen {
    hashes: BTreeMap<String, String>,
    /// How many have not expired.
    pub(in crate::identity) valid: usize,
}

/// The hashes of a key, and when each ends; `None` if something is wrong, which `found` then has.
pub(in crate::identity) fn compile(
    file: &SourceFile,
    key: &KeySource,
    now: SystemTime,
    seen: &mut Seen,
    found: &mut Diagnostics,
) -> Option<Vec<(KeyHash, Option<SystemTime>)>> {
    let mut reader = Reader { file, id: quoted(&key.id.value), now, seen, found };
    let whole = reader.form(key);
    let read: Vec<_> = key.written().map(|written| reader.one(key, written)).collect();
    let read: Vec<_> = read.into_iter().collect::<Option<_>>().filter(|_| whole)?;
    reader.ends_soon(key, &read);
    Some(read)
}

struct Reader<'a> {
    file: &'a SourceFile,
    /// Whose key it is, for the words of a problem.
    id: String,
    now: SystemTime,
    seen: &'a mut Seen,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    /// Whether it says one thing: one hash with its end, or a list of them.
    fn form(&mut self, key: &KeySource) -> bool {
        let wrong = match (&key.hash, &key.hashes) {
            (None, None) => Some((
                Code::MissingKey,
                key.id.referenced,
                "the key `hash` is missing here".to_owned(),
                "the entry that this is part of needs one: `hash: …`".to_owned(),
            )),
            (None, Some(list)) if !(1..=MOST_HASHES).contains(&list.value.len()) => Some((
                if list.value.is_empty() { Code::EmptyList } else { Code::TooLarge },
                list.referenced,
                format!("`hashes` has {} entries", list.value.len()),
                format!("write 1 to {MOST_HASHES}: the key, and those that replace it"),
            )),
            (None, Some(list)) if key.expires.is_some() => Some((
                Code::InvalidKeyHash,
                list.referenced,
                "`expires` stands beside `hashes`".to_owned(),
                "each hash has its own end: `hashes: [{ hash: …, expires: … }]`".to_owned(),
            )),
            (Some(_), None) | (None, Some(_)) => None,
            (Some(_), Some(list)) => Some((
                Code::InvalidKeyHash,
                list.referenced,
                "`hash` stands beside `hashes`".to_owned(),
                "put it into the list, with its `expires`".to_owned(),
            )),
        };
        let whole = wrong.is_none();
        if let Some((code, at, message, help)) = wrong {
            self.found.push(self.file.error(code, at, message).help(help));
        }
        whole
    }

    fn one(&mut self, key: &KeySource, (hash, expires): Written<'_>) -> Option<(KeyHash, Option<SystemTime>)> {
        // Both are looked at, so that all problems are told.
        let (hash, ends) = (self.hash(hash), self.expires(key, expires));
        Some((hash?, ends.ok()?))
    }

    fn hash(&mut self, written: &Spanned<String>) -> Option<KeyHash> {
        let (at, text) = (written.referenced, written.value.as_str());
        let Some(hash) = KeyHash::parse(text) else {
            if text.starts_with(PREFIX) {
                let problem = self.file.error(Code::SecretInFile, at, "this is a key itself, not its hash");
                self.found.push(problem.help(format!("treat it as leaked; {MAKE_A_KEY}")));
                return None;
            }
            let message = if text.starts_with("hmac-") {
                "expected `hmac-sha256:`, the id of a pepper, `:` and 64 hexadecimal digits in lower case"
            } else {
                "expected `sha256:` and 64 hexadecimal digits in lower case"
            };
            self.found.push(self.file.error(Code::InvalidKeyHash, at, message).help(MAKE_A_KEY));
            return None;
        };
        if is_placeholder(text.rsplit(':').next().unwrap_or_default()) {
            let problem = self.file.error(Code::WeakKey, at, "this hash is a placeholder");
            self.found.push(problem.help(MAKE_A_KEY));
            return None;
        }
        if let Some(weak) = weak_key(&hash) {
            let message = format!("this is the hash of a key that everyone knows: {}", quoted(&weak));
            self.found.push(self.file.error(Code::WeakKey, at, message).help(MAKE_A_KEY));
            return None;
        }
        let place = format!("{}:{}", self.file.name(), at.line);
        if let Some(first) = self.seen.hashes.insert(text.to_owned(), place) {
            let message = "two entries have this hash, so one key would prove two identities";
            let problem = self.file.error(Code::DuplicateKeyHash, at, message);
            self.found.push(problem.help(format!("the other is at {first}; {MAKE_A_KEY}")));
            return None;
        }
        Some(hash)
    }

    /// When it ends, if ever.
    fn expires(&mut self, key: &KeySource, written: Option<&Spanned<String>>) -> Result<Option<SystemTime>, NotADate> {
        let id = &self.id;
        let Some(text) = written else {
            self.seen.valid += 1;
            let message = format!("the key {id} never expires");
            let problem = self.file.warning(Code::KeyNeverExpires, key.id.referenced, message);
            self.found.push(problem.help("add `expires: YYYY-MM-DD`"));
            return Ok(None);
        };
        let Some(end) = parse_expiry(&text.value) else {
            let message = format!("{} is not a date", quoted(&text.value));
            let problem = self.file.error(Code::InvalidDate, text.referenced, message);
            self.found.push(
                problem.help(
                    "write `2027-06-01` (the first day on which the key is refused, UTC) or `2027-06-01T12:00:00Z`",
                ),
            );
            return Err(NotADate);
        };
        if end <= self.now {
            let message = format!("the key {id} has expired");
            let problem = self.file.warning(Code::ExpiredKey, text.referenced, message);
            self.found.push(problem.help("replace it, or delete the entry"));
        } else {
            self.seen.valid += 1;
        }
        if end.duration_since(self.now).is_ok_and(|left| left > LONG) {
            let message = format!("the key {id} is valid for more than 400 days");
            let problem = self.file.warning(Code::LongLivedKey, text.referenced, message);
            self.found.push(problem.help("keys are easily replaced: two may be valid at once"));
        }
        Ok(Some(end))
    }

    /// Tells of a key that ends soon, unless another one of its id goes on.
    fn ends_soon(&mut self, key: &KeySource, read: &[(KeyHash, Option<SystemTime>)]) {
        let ends: Option<Vec<_>> = read.iter().map(|(_, end)| *end).collect();
        let last = ends.and_then(|ends| ends.into_iter().max());
        if let Some(left) = last.and_then(|end| end.duration_since(self.now).ok())
            && !left.is_zero()
            && left <= EXPIRES_SOON
        {
            let days = left.as_secs().div_ceil(24 * 3600);
            let message = format!("the key {} ends within {days} {}", self.id, if days == 1 { "day" } else { "days" });
            let at = key.written().filter_map(|(_, end)| end).last().map_or(key.id.referenced, |end| end.referenced);
            let help = format!("make one that replaces it: `tollgate keys new --rotate {}`", key.id.value);
            self.found.push(self.file.warning(Code::ExpiringKey, at, message).help(help));
        }
    }
}

/// The problem was told already.
struct NotADate;
