//! What would be decided: questions put to policies without a server, by the very steps that decide for real.
//!
//! Who asks is supposed, not proved: nothing here has a way to send anything. Read [`Question::put`] first.

mod case;
mod coverage;
mod question;
mod record;
mod replay;
mod run;
mod source;
mod told;
mod who;

pub use case::{Case, CaseFile, Expected};
pub use coverage::{Coverage, Untested};
pub use question::{Answer, Asked, Question, Verdict};
pub use record::{Entry, Record, Said};
pub use replay::{Change, Direction, Groups, MOST_GROUPS, Replay};
pub use run::{Ran, Trial, Wrong};
pub use source::CasesSource;
pub use told::{Sources, Step};
pub use who::{Against, Unknown};
