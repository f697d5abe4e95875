//! The hash chain over the lines, and the Merkle tree over their hashes (RFC 6962, 2.1).
//!
//! A line's hash is that of a leaf; each line names the hash of the one before it. Of the tree only its edge is kept:
//! at most one hash for each bit of its size.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// What the first line names as the one before it.
pub(super) const NOTHING: Hash = [0; 32];

/// All lines so far, as far as the next one and the root depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    size: u64,
    last: Hash,
    /// The roots of the full subtrees, largest first: one for each bit set in `size`.
    edge: Vec<Hash>,
}

impl Chain {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { size: 0, last: NOTHING, edge: Vec::new() }
    }

    /// A chain that goes on where `edge` and `last` say that it was; `None` if no tree of this size has such an edge.
    pub fn resume(size: u64, last: Hash, edge: Vec<Hash>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()).is_ok_and(|bits| bits == edge.len());
        fits.then_some(Self { size, last, edge })
    }

    /// Takes the next line, without its end.
    pub fn push(&mut self, line: &[u8]) {
        let leaf = leaf(line);
        self.last = leaf;
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.edge.pop() else { break };
            node = parent(&left, &node);
        }
        self.edge.push(node);
        self.size += 1;
    }

    /// How many lines there are; the index of the next one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash of the last line.
    pub fn last(&self) -> &Hash {
        &self.last
    }

    /// The roots of the full subtrees, largest first.
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.edge.iter().rev();
        let Some(last) = from_the_right.next() else {
            return Sha256::digest([]).into();
        };
        from_the_right.fold(*last, |right, left| parent(left, &right))
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of a line.
pub(super) fn leaf(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

/// The hash of two subtrees.
pub(super) fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// In hexadecimal digits, as lines have it.
pub(super) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// From 64 hexadecimal digits in lower case.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, 2.1, to the letter.
    fn by_definition(lines: &[Vec<u8>]) -> Hash {
        match lines {
            [] => Sha256::digest([]).into(),
            [only] => leaf(only),
            _ => {
                let (left, right) = lines.split_at(lines.len().div_ceil(2).next_power_of_two());
                parent(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962_at_every_size() {
        let mut chain = Chain::new();
        let mut lines = Vec::new();
        for n in 0..70_u8 {
            assert_eq!(chain.root(), by_definition(&lines), "{n} lines");
            lines.push(vec![n; usize::from(n)]);
            chain.push(&lines[usize::from(n)]);
            let resumed = Chain::resume(chain.size(), *chain.last(), chain.edge().to_vec());
            assert_eq!(resumed, Some(chain.clone()));
        }
        assert_eq!(Chain::resume(3, NOTHING, vec![NOTHING]), None);
    }

    #[test]
    fn hexadecimal_digits_are_read_as_they_are_written_and_nothing_else_is() {
        let hash = leaf(b"x");
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        for odd in ["", "0", &"0".repeat(63), &"0".repeat(65), &"A".repeat(64), &"g".repeat(64)] {
            assert_eq!(unhex(odd), None, "{odd}");
        }
    }
}
