//! `server_may`: what the server may ask of its clients. What stands in no file, it may not.

use super::list::List;
use crate::diagnostic::{Code, Diagnostics, SourceFile, did_you_mean, quoted};
use crate::mcp::{Question, Questions};

/// Compiles the list of one file; problems go to `found`.
pub(super) fn compile(file: &SourceFile, list: &List, found: &mut Diagnostics) -> Questions {
    if list.is_empty() {
        found.push(
            file.error(Code::EmptyList, list.at(), "`server_may` is empty")
                .help("delete it: what it does not name, the server may not ask"),
        );
    }
    let mut may = Questions::default();
    for word in list.iter() {
        let names = || Question::ALL.into_iter().map(Question::name);
        let Some(question) = Question::named(word.value) else {
            let help = did_you_mean(word.value, names())
                .unwrap_or_else(|| format!("there are {}", names().collect::<Vec<_>>().join(", ")));
            let message = format!("{} is nothing that a server asks", quoted(word.value));
            found.push(file.error(Code::UnknownQuestion, word.referenced, message).help(help));
            continue;
        };
        if may.has(question) {
            let message = format!("{} stands here twice", quoted(word.value));
            found.push(file.warning(Code::DuplicateName, word.referenced, message).help("delete one of them"));
        }
        may = may | question.into();
    }
    may
}
