//! What must never be shown: read from where it is kept, wiped from memory when it is no longer needed.
//!
//! Files of ours hold no secret, only a [`Reference`] to one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A secret. It is shown by nothing: not by `Debug`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Where a secret is kept: `env:NAME` or `file:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In an environment variable.
    Env(String),
    /// In a file, such as one of a mounted Kubernetes Secret.
    File(PathBuf),
}

/// Why there is no secret where one should be. Never quotes what is there.
#[derive(Debug)]
pub enum Unreadable {
    /// The variable is not set.
    Unset,
    /// The file cannot be read.
    Io(io::Error),
    /// There is nothing but white space.
    Empty,
    /// It is not UTF-8.
    NotText,
    /// It is longer than [`MAX_BYTES`].
    TooLong,
}

/// No secret is longer.
pub const MAX_BYTES: u64 = 64 << 10;

impl Secret {
    /// Takes a secret over. Other copies of it are the caller's to wipe.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Reference {
    /// `env:NAME` or `file:/PATH`; `None` if it is neither, which may then be a secret itself: do not show it.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("env:") {
            let named = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            return (begins && name.bytes().all(named)).then(|| Self::Env(name.to_owned()));
        }
        let path = Path::new(text.strip_prefix("file:")?);
        path.is_absolute().then(|| Self::File(path.to_owned()))
    }

    /// What is kept there now. The line's end that editors put behind a secret is no part of it.
    ///
    /// # Errors
    /// There is nothing that could be a secret.
    pub fn read(&self) -> Result<Secret, Unreadable> {
        let text = match self {
            Self::Env(name) => from_environment(name)?,
            Self::File(path) => from_file(path)?,
        };
        let kept = text.strip_suffix('\n').unwrap_or(&text);
        let kept = kept.strip_suffix('\r').unwrap_or(kept);
        if kept.trim().is_empty() { Err(Unreadable::Empty) } else { Ok(Secret::new(kept.to_owned())) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a secret may be kept in the environment, and only this reads it")]
fn from_environment(name: &str) -> Result<Zeroizing<String>, Unreadable> {
    match std::env::var(name) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(std::env::VarError::NotPresent) => Err(Unreadable::Unset),
        Err(std::env::VarError::NotUnicode(_)) => Err(Unreadable::NotText),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Unreadable> {
    // As large as it can get: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES + 1).unwrap_or_default()));
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(Unreadable::Io)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Unreadable::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_not_shown| Unreadable::NotText)?;
    Ok(Zeroizing::new(text.to_owned()))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("the variable is not set"),
            Self::Io(error) => write!(f, "the file cannot be read: {error}"),
            Self::Empty => f.write_str("it is empty"),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::TooLong => write!(f, "it is longer than {MAX_BYTES} bytes"),
        }
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8]) -> Result<Secret, Unreadable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Reference::File(file.path().to_owned()).read()
    }

    #[test]
    fn a_secret_is_what_stands_in_the_file_without_the_end_of_its_line() {
        for written in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(kept(written.as_bytes()).unwrap().expose(), "s3cret", "{written:?}");
        }
        assert_eq!(kept(b" s3cret \n\n").unwrap().expose(), " s3cret \n");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_never_quoted() {
        let long = "x".repeat(65_537);
        let cases: &[(&[u8], &str)] = &[
            (b"", "it is empty"),
            (b" \n", "it is empty"),
            (b"hunter2\xff", "it is not UTF-8"),
            (long.as_bytes(), "it is longer than 65536 bytes"),
        ];
        for (bytes, says) in cases {
            assert_eq!(kept(bytes).unwrap_err().to_string(), *says);
        }
        let missing = Reference::File("/nowhere/at/all".into()).read().unwrap_err().to_string();
        assert_eq!(missing, "the file cannot be read: No such file or directory (os error 2)");
        let unset = Reference::Env("TOLLGATE_TEST_NO_SUCH_VARIABLE".into()).read().unwrap_err().to_string();
        assert_eq!(unset, "the variable is not set");
    }

    #[test]
    fn a_reference_says_where_and_nothing_else_is_one() {
        for text in ["env:API_TOKEN", "env:_x1", "file:/run/secrets/token"] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        for text in ["hunter2", "env:", "env:1X", "env:A-B", "file:", "file:relative", "ENV:X", " env:X", "env:X "] {
            assert_eq!(Reference::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret(…)");
    }
}
