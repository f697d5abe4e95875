//! Pieces of an event stream that come one right behind the other go on together: a write for each would cost more than
//! all else that is done with them. Nothing is held back for what is not there yet.

use std::task::Context;

use bytes::{Bytes, BytesMut};

/// Pieces that wait for what is right behind them.
#[derive(Debug, Default)]
pub(super) struct Joined {
    bytes: BytesMut,
    looked: u8,
}

/// So much is worth a write.
const ENOUGH: usize = 16 * 1024;
/// How often to look for more. hyper asks a body twice in one turn of its task, so it is only behind the second look
/// that the server's connection has had a turn to hand over what it has read.
const LOOKS: u8 = 2;

impl Joined {
    /// Adds a piece; returns all of them once they are enough. One that is enough by itself is not copied.
    pub(super) fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.bytes.is_empty() && piece.len() >= ENOUGH {
            return Some(piece);
        }
        self.bytes.extend_from_slice(&piece);
        self.looked = 0;
        if self.bytes.len() < ENOUGH { None } else { self.take() }
    }

    /// What waits.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.looked = 0;
        (!self.bytes.is_empty()).then(|| self.bytes.split().freeze())
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Has the caller look again, as soon as all that is ready to run has run; false if it has done so.
    pub(super) fn look_again(&mut self, cx: &Context<'_>) -> bool {
        if self.looked == LOOKS {
            return false;
        }
        self.looked += 1;
        cx.waker().wake_by_ref();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn pieces_wait_for_a_turn_and_no_longer() {
        let cx = Context::from_waker(Waker::noop());
        let mut joined = Joined::default();
        assert!(joined.is_empty());
        assert_eq!(joined.push(Bytes::from_static(b"a")), None);
        assert!(joined.look_again(&cx));
        assert_eq!(joined.push(Bytes::from_static(b"b")), None);
        assert!(joined.look_again(&cx) && joined.look_again(&cx) && !joined.look_again(&cx));
        assert_eq!(joined.take().as_deref(), Some(&b"ab"[..]));
        assert_eq!(joined.take(), None);
    }

    #[test]
    fn enough_goes_on_at_once() {
        let mut joined = Joined::default();
        let short = Bytes::from(vec![b'x'; ENOUGH - 1]);
        assert_eq!(joined.push(short.clone()), None);
        assert_eq!(joined.push(short).map(|bytes| bytes.len()), Some(2 * ENOUGH - 2));
        let long = Bytes::from(vec![b'x'; ENOUGH]);
        assert_eq!(joined.push(long.clone()).map(|bytes| bytes.as_ptr()), Some(long.as_ptr()), "not copied");
        assert!(joined.is_empty());
    }
}
