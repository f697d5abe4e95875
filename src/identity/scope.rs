//! Scopes: what a credential is good for, in the words of whoever issues it.

use std::sync::Arc;

use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, quoted};

/// The longest scope.
const LONGEST: usize = 256;
/// More than that no token has.
const MOST: usize = 32;
/// Clients ask for it by themselves, so that they need not ask their user again; it opens nothing.
const OFFLINE: &str = "offline_access";

/// One scope: a word that can stand in a challenge without quoting anything (RFC 6749, 3.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// This text, if it is one scope.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        ((1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(Arc::from(text)))
    }

    /// The scope.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scopes of a list that stands in a file at `path`; problems go to `found`.
    pub fn list<'a>(
        file: &SourceFile,
        (at, list): (At, impl IntoIterator<Item = Spanned<&'a str>>),
        path: &str,
        found: &mut Diagnostics,
    ) -> Vec<Self> {
        let list: Vec<_> = list.into_iter().collect();
        let mut scopes = Vec::new();
        if list.is_empty() {
            let message = format!("`{path}` is empty");
            found.push(file.error(Code::EmptyList, at, message).help("name a scope, or delete it"));
        }
        if list.len() > MOST {
            let message = format!("more than {MOST} scopes");
            found.push(file.error(Code::TooLarge, at, message).help("make one of those that go together"));
        }
        for word in list {
            let error = |message: String| file.error(Code::InvalidScope, word.referenced, message);
            match Self::new(word.value) {
                None => found.push(error(format!("{} is no scope", quoted(word.value))).help(
                    "a scope is 1 to 256 characters of ASCII without spaces, `\"` and `\\`; write one in each entry",
                )),
                Some(Self(scope)) if *scope == *OFFLINE => {
                    let problem = error(format!("{} says nothing of what a token is good for", quoted(OFFLINE)));
                    found.push(problem.help("clients ask for it by themselves; delete it"));
                }
                Some(scope) if scopes.contains(&scope) => {
                    let message = format!("{} stands here twice", quoted(word.value));
                    found.push(
                        file.warning(Code::DuplicateName, word.referenced, message).help("delete one of the two"),
                    );
                }
                Some(scope) => scopes.push(scope),
            }
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_scope_can_end_the_challenge_or_begin_another() {
        for good in ["a", "records:write", "https://graph.test/.default", "mcp:tools:get_x", "!#[]~"] {
            assert!(Scope::new(good).is_some(), "{good}");
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "a b", "a\"", "a\\", "a\r\nX-Evil: 1", "a\tb", "\u{7f}", "ä", &long] {
            assert!(Scope::new(bad).is_none(), "{bad}");
        }
    }
}
