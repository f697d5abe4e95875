//! The answer as it passes, for whoever tells of it: kept only where somebody does.

use bytes::Bytes;

use super::verdict::Verdict;

/// What was kept.
#[derive(Debug, Default)]
pub(super) enum Kept {
    /// Nobody wants it.
    #[default]
    Nothing,
    /// The last answer, once it has come.
    Answer(Option<Bytes>),
}

impl Kept {
    /// From now on it is kept.
    pub(super) fn begin(&mut self) {
        *self = Self::Answer(None);
    }

    /// What has come since this was last asked.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Answer(answer) => answer.take(),
        }
    }

    /// An answer passes so.
    pub(super) fn passes(&mut self, verdict: &Verdict, message: &[u8]) {
        if let Self::Answer(answer) = self {
            *answer = match verdict {
                Verdict::Pass => Some(Bytes::copy_from_slice(message)),
                Verdict::Edit(edited) => Some(Bytes::copy_from_slice(edited)),
                Verdict::Drop => None,
            };
        }
    }
}
