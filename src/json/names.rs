//! The names of members, so that none stands twice in one object.

use std::borrow::Cow;

use super::Flaw;

/// The names of the members of all open objects, innermost last.
#[derive(Default)]
pub(super) struct Names<'a> {
    names: Vec<Cow<'a, str>>,
}

/// Up to so many names each new one is compared with the others at once; objects with more are sorted when they close.
const FEW: usize = 16;

impl<'a> Names<'a> {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn add(&mut self, name: Cow<'a, str>, first: usize, most: usize) -> Result<(), Flaw> {
        let siblings = self.names.get(first..).unwrap_or_default();
        if siblings.len() == most {
            return Err(Flaw::TooManyMembers);
        }
        if siblings.len() < FEW && siblings.contains(&name) {
            return Err(Flaw::DuplicateMember);
        }
        if self.names.is_empty() {
            self.names.reserve(FEW);
        }
        self.names.push(name);
        Ok(())
    }

    pub(super) fn close(&mut self, first: usize) -> Result<(), Flaw> {
        let siblings = self.names.get_mut(first..).unwrap_or_default();
        if siblings.len() > FEW {
            siblings.sort_unstable();
            if siblings.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                return Err(Flaw::DuplicateMember);
            }
        }
        self.names.truncate(first);
        Ok(())
    }
}
