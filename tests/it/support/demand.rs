//! Demands that name a time.

use std::time::Duration;

use super::{half, is_optimised};

/// What must not take longer than that.
///
/// A released gate keeps it as it stands in half of the tries: whatever else the machine does lengthens one or another, and says
/// nothing of the gate. One that is not optimised, and shares two cores with its callers, its servers and other tests, cannot:
/// for it there is another time, after which something is wrong on any machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Its number, and what takes the time.
    pub(crate) name: &'static str,
    pub(crate) most: Duration,
    pub(crate) most_unoptimised: Duration,
}

impl Demand {
    #[expect(clippy::print_stderr, reason = "the figures are worth knowing where they are good, too")]
    pub(crate) fn judge(self, took: &mut [Duration]) {
        let most = if is_optimised() { self.most } else { self.most.max(self.most_unoptimised) };
        let half = half(took);
        let said =
            format!("{}: {half:?}, {most:?} at most; {} tries, {:?} at worst", self.name, took.len(), took.last());
        eprintln!("{said}");
        assert!(half <= most, "{said}");
    }
}
