//! That one record is in the log: its path to the root of a signed checkpoint (RFC 6962, 2.1.1), in the form of C2SP
//! `tlog-proof`. Whoever has the log's verifying key needs nothing else to check it.

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::chain::{Chain, Hash, leaf, parent};
use super::note::{Checkpoint, VerifyingKey};
use super::read::{Lines, Read};
use super::segment::Link;
use super::verify::Kind;

/// The first line of a proof.
const FORM: &str = "c2sp.org/tlog-proof@v1";

/// Which record is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one at this index.
    Index(u64),
    /// The decision of this id.
    Decision(String),
}

/// That a record is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The record.
    pub record: Vec<u8>,
    /// Its index.
    pub index: u64,
    path: Vec<Hash>,
    note: String,
}

/// Looks for a record, and for the first checkpoint that covers it. `None` if there is no such record, or none covers
/// it yet.
///
/// This does not verify the log: the proof proves itself.
///
/// # Errors
/// The log cannot be read, or is broken before the checkpoint.
pub fn prove(log: &Path, wanted: &Wanted) -> io::Result<Option<Proof>> {
    let mut lines = Lines::open(log)?;
    let broken =
        |line: &Path| io::Error::other(format!("{} is broken; `tollgate audit verify` says how", line.display()));
    let mut chain: Option<Chain> = None;
    let mut proof: Option<Proof> = None;
    while let Some(Read::Line(line)) = lines.read()? {
        let Some(link) = Link::read(line) else {
            return Err(broken(lines.file()));
        };
        let before = chain.take().or_else(|| link.begins());
        let Some(mut now) = before.filter(|before| before.size() == link.index) else {
            return Err(broken(lines.file()));
        };
        if let (Some(mut proof), "checkpoint", Some(note)) = (proof.clone(), &*link.kind, link.note.clone()) {
            proof.finish(&now);
            proof.note = note;
            return Ok(Some(proof));
        }
        let is_wanted = match wanted {
            Wanted::Index(index) => *index == link.index,
            Wanted::Decision(id) => link.kind == "decision" && link.decision.as_deref() == Some(id),
        };
        if is_wanted {
            proof = Some(Proof { record: line.to_vec(), index: link.index, path: Vec::new(), note: String::new() });
        }
        if let Some(proof) = &mut proof {
            proof.grow(&now, line);
        }
        now.push(line);
        chain = Some(now);
    }
    Ok(None)
}

impl Proof {
    /// Adds what stands beside our subtree where the next line completes larger ones.
    fn grow(&mut self, before: &Chain, line: &[u8]) {
        let mut node = leaf(line);
        let mut is_ours = before.size() == self.index;
        let mut begins = before.size();
        for (level, left) in (0..before.size().trailing_ones()).zip(before.edge().iter().rev()) {
            let ends = begins;
            begins -= 1 << level;
            if is_ours {
                self.path.push(*left);
            } else if (begins..ends).contains(&self.index) {
                self.path.push(node);
                is_ours = true;
            }
            node = parent(left, &node);
        }
    }

    /// Adds what stands beside it up to the root.
    fn finish(&mut self, chain: &Chain) {
        let mut ends = chain.size();
        let mut right: Option<(Hash, bool)> = None;
        for node in chain.edge().iter().rev() {
            let begins = ends & (ends - 1);
            let is_ours = (begins..ends).contains(&self.index);
            right = Some(match right {
                None => (*node, is_ours),
                Some((right, has_ours)) => {
                    if has_ours {
                        self.path.push(*node);
                    } else if is_ours {
                        self.path.push(right);
                    }
                    (parent(node, &right), has_ours || is_ours)
                }
            });
            ends = begins;
        }
    }

    /// Reads a proof; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (proof, note) = text.split_once("\n\n")?;
        let mut lines = proof.lines();
        let record = lines.next().filter(|form| *form == FORM).and(lines.next())?.strip_prefix("extra ")?;
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let hash = |line: &str| BASE64_STANDARD.decode(line).ok()?.try_into().ok();
        let path = lines.map(hash).collect::<Option<Vec<Hash>>>()?;
        Some(Self { record: BASE64_STANDARD.decode(record).ok()?, index, path, note: note.to_owned() })
    }

    /// Whether the log whose checkpoints this key signs has the record; if so, by which.
    ///
    /// # Errors
    /// What is wrong with the proof.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Checkpoint, Kind> {
        let checkpoint = key.open(&self.note).map_err(|bad| Kind::of(&bad))?;
        if self.root(checkpoint.size) == Some(checkpoint.root) { Ok(checkpoint) } else { Err(Kind::Rewritten) }
    }

    /// The root that the path leads to in a tree of this size (RFC 9162, 2.1.3.2); `None` if none has such a path.
    fn root(&self, size: u64) -> Option<Hash> {
        let (mut at, mut last) = (self.index, size.checked_sub(1)?);
        if at > last {
            return None;
        }
        let mut node = leaf(&self.record);
        for beside in &self.path {
            if last == 0 {
                return None;
            }
            if at & 1 == 1 || at == last {
                node = parent(beside, &node);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                node = parent(&node, beside);
            }
            at >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(node)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORM}\nextra {}\nindex {}", BASE64_STANDARD.encode(&self.record), self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64_STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}
