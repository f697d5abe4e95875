//! A value and who gave it: a flag or a file, so that a problem with it names the right place.

use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, Severity, SourceFile, Spanned};
use crate::secret::Reference;

/// A text that somebody wrote somewhere.
pub(super) struct Given<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place<'a>,
}

/// Where somebody wrote something.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Flag(&'static str),
    File(&'a SourceFile, At),
}

impl<'a> Given<'a> {
    /// The flag, or else the value in the file.
    pub(super) fn either(
        flag: Option<&'a str>,
        name: &'static str,
        file: Option<(&'a SourceFile, &'a Spanned<String>)>,
    ) -> Option<Self> {
        match (flag, file) {
            (Some(text), _) => Some(Self { text, place: Place::Flag(name) }),
            (None, Some((file, value))) => {
                Some(Self { text: &value.value, place: Place::File(file, value.referenced) })
            }
            (None, None) => None,
        }
    }
}

/// Where a secret is kept. What does not say that may be the secret itself: it is not shown.
pub(super) fn reference(file: &SourceFile, text: &Spanned<String>, found: &mut Diagnostics) -> Option<Reference> {
    let reference = Reference::parse(&text.value);
    if reference.is_none() {
        found.push(
            file.error(Code::SecretInFile, text.referenced, "this does not say where a secret is kept")
                .without_source_line()
                .help("write `env:NAME` or `file:/PATH`; if this is the secret itself, treat it as leaked"),
        );
    }
    reference
}

impl Place<'_> {
    pub(super) fn error(self, code: Code, message: impl Into<String>) -> Diagnostic {
        match self {
            Self::Flag(name) => Diagnostic::error(code, name, message),
            Self::File(file, at) => file.error(code, at, message),
        }
    }

    pub(super) fn warning(self, code: Code, message: impl Into<String>) -> Diagnostic {
        let mut problem = self.error(code, message);
        problem.severity = Severity::Warning;
        problem
    }
}
