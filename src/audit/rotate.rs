//! Another key for a log that stands still: the old one signs what there is, and says which one signs from then on.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::copying::Copying;
use super::log::{Log, Undone};
use super::note::SigningKey;
use super::{Arguments, Copied, Destination, Failure, Mode, Settings};
use crate::secret::Reference;

/// Hands the log over from one key to another of the same name.
///
/// # Errors
/// A process writes the log, it is damaged or not signed by the old key, or the disk fails.
pub fn rotate(folder: &Path, from: SigningKey, to: SigningKey) -> io::Result<()> {
    let mut log = Log::open(&settings(folder), from, Copying::new(None, Copied::Nothing))?;
    log.hand_over(to).map_err(|Undone { error, .. }| error)
}

/// Of a log that is only taken up and closed again.
fn settings(folder: &Path) -> Settings {
    Settings {
        to: Destination::Folder(folder.to_owned()),
        copied: Copied::Nothing,
        key: Reference::File(folder.to_owned()),
        arguments_key: None,
        arguments: Arguments::Left,
        mode: Mode::BeforeCall,
        failure: Failure::Deny,
        segment_bytes: u64::MAX,
        segment_age: Duration::MAX,
    }
}
