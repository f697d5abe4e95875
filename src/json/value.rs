//! A whole text as a value, where something must be built: small texts, of which every part counts.

use std::ops::Range;

use serde_json::Value;

use super::{Bounds, Fault, Flaw, Kind, Lens, scan};

/// The one value that a text is.
///
/// # Errors
/// It is none, or could be read as another one.
pub fn value(text: &[u8], bounds: &Bounds) -> Result<Value, Fault> {
    scan(text, (), bounds, &mut Blind)?;
    #[expect(clippy::disallowed_methods, reason = "it was just proved to have one reading, within bounds")]
    serde_json::from_slice(text).map_err(|error| Fault { flaw: Flaw::Syntax, at: error.column() })
}

/// Looks for nothing: what counts is that the text can be read in one way only.
pub(super) struct Blind;

impl Lens for Blind {
    type Place = ();

    fn member(&mut self, (): (), _: &str) -> Result<(), Flaw> {
        Ok(())
    }

    fn element(&mut self, (): ()) {}

    fn value(&mut self, (): (), _: Kind, _: Range<usize>) {}
}
