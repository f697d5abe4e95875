//! What decided: a rule by its place in a file, so that whoever reads a decision finds it.

use std::fmt;
use std::sync::Arc;

/// A rule by file, line and path: `policies/records.yaml:4 roles.reader.tools`, or `default`, or `protocol`.
///
/// A policy has one for every name it grants, so it is small: those of one list share all but the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId {
    place: Arc<Place>,
    /// From 1; 0 where there is no file.
    line: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    file: Box<str>,
    path: Box<str>,
}

impl RuleId {
    /// The rule at `path`, written in `file` at `line` (from 1). Of the file only its name and its folder's stay: the
    /// same rule has the same id in every replica, wherever the folder is mounted.
    pub fn at(file: &str, line: u32, path: &str) -> Self {
        let mut slashes = file.rmatch_indices('/').map(|(at, _)| at + 1);
        let short = file.get(slashes.nth(1).unwrap_or(0)..).unwrap_or(file);
        let place = Arc::new(Place { file: short.into(), path: path.into() });
        Self { place, line }
    }

    /// Another rule of the same list.
    #[must_use]
    pub fn at_line(&self, line: u32) -> Self {
        Self { place: Arc::clone(&self.place), line }
    }

    /// No rule: what is not granted is refused.
    pub fn default_deny() -> Self {
        Self::nowhere("default")
    }

    /// No rule: the protocol cannot work without it.
    pub fn protocol() -> Self {
        Self::nowhere("protocol")
    }

    fn nowhere(path: &str) -> Self {
        Self { place: Arc::new(Place { file: Box::default(), path: path.into() }), line: 0 }
    }

    /// The rule without its place in a file, which changes when lines above it do.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// The rule and its file: what stays the same when lines above it change.
    pub fn label(&self) -> String {
        self.file().map_or_else(|| self.path().to_owned(), |file| format!("{file} {}", self.path()))
    }

    /// The file's name and its folder's; `None` if no file says so.
    pub fn file(&self) -> Option<&str> {
        Some(&*self.place.file).filter(|file| !file.is_empty())
    }

    /// The line in the file, from 1; `None` if no file says so.
    pub fn line(&self) -> Option<u32> {
        self.file().map(|_| self.line)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(file) => write!(f, "{file}:{} {}", self.line, self.place.path),
            None => f.write_str(&self.place.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RuleId;

    #[test]
    fn a_rule_is_called_the_same_wherever_its_folder_is() {
        for (file, text) in [
            ("policies/a.yaml", "policies/a.yaml:4 roles.r"),
            ("/etc/my gate/policies/a.yaml", "policies/a.yaml:4 roles.r"),
            ("./policies/a b.yaml", "policies/a b.yaml:4 roles.r"),
            ("a.yaml", "a.yaml:4 roles.r"),
        ] {
            let rule = RuleId::at(file, 4, "roles.r");
            assert_eq!((rule.to_string().as_str(), rule.path()), (text, "roles.r"));
            assert_eq!(rule, RuleId::at(file, 9, "roles.r").at_line(4));
        }
        let default = RuleId::default_deny();
        assert_eq!((default.to_string().as_str(), default.path(), default.line()), ("default", "default", None));
    }
}
