//! What is made of secrets that are kept elsewhere, and made anew when those change: Kubernetes swaps a mounted Secret under a
//! running process.

use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use arc_swap::ArcSwap;

use crate::secret::{Reference, Secret};

/// Something that is made of secrets.
pub(super) struct Kept<T> {
    /// What it is, for whoever reads the log.
    what: &'static str,
    references: Box<[Reference]>,
    make: Make<T>,
    now: ArcSwap<T>,
    last: Mutex<Last>,
}

type Make<T> = Box<dyn Fn(&[Secret]) -> Result<T, String> + Send + Sync>;

/// What was seen at the last look.
struct Last {
    /// What the thing in use was made of.
    secrets: Vec<Secret>,
    /// Why what is there now is not used. Told once.
    told: Option<String>,
}

impl<T> Kept<T> {
    /// Reads the secrets and makes it.
    ///
    /// # Errors
    /// A secret is not there, or nothing can be made of it; the error names the place and quotes nothing.
    pub(super) fn read(
        what: &'static str,
        references: impl Into<Box<[Reference]>>,
        make: impl Fn(&[Secret]) -> Result<T, String> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let references = references.into();
        let (now, secrets) = secrets(&references)
            .and_then(|secrets| Ok((make(&secrets)?, secrets)))
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {why}")))?;
        let last = Mutex::new(Last { secrets, told: None });
        Ok(Self { what, references, make: Box::new(make), now: ArcSwap::from_pointee(now), last })
    }

    /// What is in use.
    pub(super) fn now(&self) -> Arc<T> {
        self.now.load_full()
    }

    /// Makes it anew of the same secrets.
    pub(super) fn again(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.make)(&last.secrets) {
            Ok(anew) => self.now.store(Arc::new(anew)),
            Err(why) => tracing::error!("{}: it cannot be made anew, and the old stays: {why}", self.what),
        }
    }

    /// Looks again. What cannot be used is told, and what is in use stays: an old secret is refused by whoever revoked it.
    pub(super) fn renew(&self) {
        // The environment of a process does not change.
        if !self.references.iter().any(|reference| matches!(reference, Reference::File(_))) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = secrets(&self.references);
        if read.as_ref().is_ok_and(|secrets| *secrets == last.secrets) {
            last.told = None;
            return;
        }
        match read.and_then(|secrets| Ok(((self.make)(&secrets)?, secrets))) {
            Ok((anew, secrets)) => {
                self.now.store(Arc::new(anew));
                *last = Last { secrets, told: None };
                tracing::info!("{}: what is kept has changed, and is used from now on", self.what);
            }
            Err(why) if last.told.as_ref() != Some(&why) => {
                tracing::error!("{}: what is kept has changed and cannot be used, the old stays: {why}", self.what);
                last.told = Some(why);
            }
            Err(_) => {}
        }
    }
}

fn secrets(references: &[Reference]) -> Result<Vec<Secret>, String> {
    references.iter().map(|reference| reference.read().map_err(|why| format!("{reference}: {why}"))).collect()
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("references", &self.references).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_used_and_what_cannot_be_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let number = |secrets: &[Secret]| secrets[0].expose().parse::<u32>().map_err(|no| no.to_string());
        let reference = [Reference::File(file.clone())];
        let missing = Kept::read("the number", reference.clone(), number).unwrap_err().to_string();
        assert!(missing.starts_with("the number: file:/") && missing.contains("cannot be read"), "{missing}");

        std::fs::write(&file, "1\n").unwrap();
        let kept = Kept::read("the number", reference, number).unwrap();
        let at_each = |text: &str| {
            std::fs::write(&file, text).unwrap();
            kept.renew();
            *kept.now()
        };
        assert_eq!(["1", "2\n", "", "hunter2", "3"].map(at_each), [1, 2, 2, 2, 3]);
        std::fs::remove_file(&file).unwrap();
        kept.renew();
        assert_eq!(*kept.now(), 3);
    }
}
