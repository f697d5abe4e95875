//! Strict JSON (RFC 8259, I-JSON), read in one pass, without recursion and without building anything.
//!
//! [`scan`] walks bytes and tells a [`Lens`] what stands where; the lens keeps the spans it cares about. There is one
//! reading of every accepted text: two parsers that both accept it see the same names and values.

mod cut;
mod names;
mod run;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use cut::{cuts, edited, name, without};
pub use run::{ends_in_escape, string_end};
pub use scan::{Bounds, Fault, Flaw, Kind, Lens, scan};
pub use text::{Decoded, decode, quote, quote_canonical, quote_canonical_shown, quote_shown};
pub use value::value;
