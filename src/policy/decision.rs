//! The answer, with its reason.

use std::fmt;
use std::sync::Arc;

/// Yes or no, and which rule said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// What decided.
    pub rule: RuleId,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call may be made.
    Allow,
    /// The call must not be made.
    Deny(Reason),
}

/// Why not. The caller hears less than this; see `proxy::respond`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No role of the principal grants it.
    NotGranted,
    /// The name has characters that no tool name should have, and no rule spells it out.
    IllFormedName,
    /// It may be called, but not with these arguments.
    Arguments,
    /// The method is not one that we know.
    UnknownMethod,
    /// The lock does not know the tool.
    PinMissing,
    /// The server last showed the tool as something else than the lock says.
    PinChanged,
    /// The server last showed the tool with a character that people do not see.
    HiddenCharacter,
}

/// A rule by file, line and path: `policies/records.yaml:4 roles.reader.tools`, or `default`, or `protocol`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleId {
    text: Arc<str>,
    /// Where the path begins in the text.
    path: usize,
}

impl RuleId {
    /// The rule at `path`, written in `file` at `line` (from 1). Of the file only its name and its folder's stay: the
    /// same rule has the same id in every replica, wherever the folder is mounted.
    pub fn at(file: &str, line: u64, path: &str) -> Self {
        let mut slashes = file.rmatch_indices('/').map(|(at, _)| at + 1);
        let short = file.get(slashes.nth(1).unwrap_or(0)..).unwrap_or(file);
        let place = format!("{short}:{line} ");
        Self { text: Arc::from(format!("{place}{path}")), path: place.len() }
    }

    /// No rule: what is not granted is refused.
    pub fn default_deny() -> Self {
        Self { text: Arc::from("default"), path: 0 }
    }

    /// No rule: the protocol cannot work without it.
    pub fn protocol() -> Self {
        Self { text: Arc::from("protocol"), path: 0 }
    }

    /// The rule without its place in a file, which changes when lines above it do.
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }

    /// The rule as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
            assert_eq!((rule.as_str(), rule.path()), (text, "roles.r"));
        }
        assert_eq!(RuleId::default_deny().path(), "default");
    }
}
