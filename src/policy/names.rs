//! Which names and patterns a policy may hold.
//!
//! A reviewer must see what is granted, so a name that looks like another, or matches what nobody expects, is refused.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, is_invisible, quoted};
use crate::mcp::{self, Method, Subject, Target};

/// No name or URI is longer.
const MAX_LENGTH: usize = 2048;

/// What a list of names is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tools,
    Prompts,
    Resources,
    Methods,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Methods];

    /// What a target is one of.
    pub(super) fn of(target: Target<'_>) -> Option<Self> {
        match target {
            Target::Tool(_) => Some(Self::Tools),
            Target::Prompt(_) => Some(Self::Prompts),
            Target::Resource(_) => Some(Self::Resources),
            Target::None | Target::Task(_) => None,
        }
    }

    /// The key it stands under.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Methods => "methods",
        }
    }
}

/// What a list of names is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Grant,
    Deny,
}

/// Checks one name or pattern. `Err` must not be compiled; warnings go to `found`.
pub(super) fn check(
    file: &SourceFile,
    name: Spanned<&str>,
    (kind, purpose): (Kind, Purpose),
    found: &mut Diagnostics,
) -> Result<(), Diagnostic> {
    // Nearly all names are plain words, in which nothing of what follows can stand.
    if kind != Kind::Methods && mcp::is_well_formed(name.value) {
        return Ok(());
    }
    legible(file, name)?;
    let Spanned { value: text, referenced: at } = name;
    if text.matches('*').count() > 1 {
        return Err(file
            .error(Code::SeveralWildcards, at, format!("{} has more than one `*`", quoted(text)))
            .help("one `*` stands for any run of characters; write several patterns"));
    }
    match kind {
        Kind::Methods => method(file, name, purpose),
        Kind::Tools if purpose == Purpose::Grant => tool(file, name, found),
        // A pattern that denies means every name, also one that no tool should have.
        Kind::Tools | Kind::Prompts | Kind::Resources => Ok(()),
    }
}

/// Checks the name of a role, as it is written where it is defined.
pub(super) fn check_role(file: &SourceFile, name: &Spanned<String>) -> Result<(), Diagnostic> {
    legible(file, name.as_text())?;
    if mcp::is_well_formed(&name.value) {
        return Ok(());
    }
    Err(file
        .error(Code::InvalidRoleName, name.referenced, format!("{} cannot be the name of a role", quoted(&name.value)))
        .help("use up to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`"))
}

/// Whether the name is what it seems to be.
fn legible(file: &SourceFile, name: Spanned<&str>) -> Result<(), Diagnostic> {
    let text = name.value;
    let error =
        |code: Code, message: String, way_out: &str| Err(file.error(code, name.referenced, message).help(way_out));
    if text.is_empty() {
        return error(Code::InvalidName, "an empty name".to_owned(), "write the name, or delete the entry");
    }
    if text.len() > MAX_LENGTH {
        return error(Code::InvalidName, format!("a name of more than {MAX_LENGTH} bytes"), "use a pattern with `*`");
    }
    if text.trim() != text {
        let message = format!("{} begins or ends with a space", quoted(text));
        return error(Code::InvalidName, message, "delete the space");
    }
    if let Some(hidden) = text.chars().find(|c| is_invisible(*c)) {
        let message = format!("{} holds the invisible character U+{:04X}", quoted(text), u32::from(hidden));
        return error(Code::InvisibleCharacter, message, "it is not the name that it seems to be; type it anew");
    }
    if text.contains(['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}']) {
        let message = format!("{} holds typographic quotes, which are part of the name", quoted(text));
        return error(Code::ConfusableName, message, "write `\"` or `'` for quotes, or none");
    }
    if let Some(double) = text.chars().find(|c| imitates_ascii(*c))
        && text.chars().any(|c| c.is_ascii_alphabetic())
    {
        let message = format!("{} mixes scripts: {double} is U+{:04X}", quoted(text), u32::from(double));
        return error(Code::ConfusableName, message, "it looks like a name that it is not; type it anew");
    }
    Ok(())
}

/// Letters of other scripts, and styled ones, that pass for plain Latin.
fn imitates_ascii(c: char) -> bool {
    matches!(c,
        'ı' | 'ſ' | 'ɑ' | 'ɡ' | 'ɩ' | '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}'
        | '\u{1d00}'..='\u{1d7f}' | '\u{2100}'..='\u{214f}' | '\u{2160}'..='\u{217f}' | '\u{a4d0}'..='\u{a4ff}'
        | '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}')
}

fn tool(file: &SourceFile, name: Spanned<&str>, found: &mut Diagnostics) -> Result<(), Diagnostic> {
    let Spanned { value: text, referenced: at } = name;
    let literal = text.replacen('*', "", 1);
    if text == "*" {
        found.push(
            file.warning(Code::GrantsEveryTool, at, "this grants every tool, also those that the server adds later")
                .help("name the tools, or use a pattern such as `get_*`"),
        );
    } else if !literal.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        if text.contains('*') {
            return Err(file
                .error(Code::ImpossiblePattern, at, format!("{} can never match", quoted(text)))
                .help("a pattern grants only names of A-Z, a-z, 0-9, `_`, `.` and `-`; spell other names out"));
        }
        found.push(
            file.warning(
                Code::UnusualName,
                at,
                format!("{} is an unusual name for a tool and is taken literally", quoted(text)),
            )
            .help("tools are named by A-Z, a-z, 0-9, `_`, `.` and `-`; the only wildcard is `*`"),
        );
    } else if splits_a_word(text) {
        found.push(
            file.warning(Code::OddPattern, at, format!("the `*` in {} stands inside of a word", quoted(text))).help(
                "it stands for any run of characters, also for several words; name the tools, or end it at a `_`",
            ),
        );
    }
    Ok(())
}

/// Whether a `*` has letters or digits on both sides: what lies between is rarely what was thought of.
fn splits_a_word(pattern: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    pattern.split_once('*').is_some_and(|(head, tail)| joins(head.chars().next_back()) && joins(tail.chars().next()))
}

fn method(file: &SourceFile, name: Spanned<&str>, purpose: Purpose) -> Result<(), Diagnostic> {
    let text = name.value;
    if text == "*" || Method::grantable().any(|known| known == text) {
        return Ok(());
    }
    let verb = match purpose {
        Purpose::Grant => "granted",
        Purpose::Deny => "denied",
    };
    let message = format!("{} is not {verb} under `methods`", quoted(text));
    let problem = file.error(Code::UngrantableMethod, name.referenced, message);
    let way_out = match Method::named(text).subject() {
        Subject::Protocol => "it is open to every caller; leave it out".to_owned(),
        Subject::Task => {
            "whoever may call a tool may ask for the tasks that they began with it; leave it out".to_owned()
        }
        Subject::Tool => "name the tools under `tools`".to_owned(),
        Subject::Prompt | Subject::PromptList => "name the prompts under `prompts`".to_owned(),
        Subject::Resource | Subject::ResourceList => "name the resources under `resources`".to_owned(),
        Subject::Reference => "name its prompts under `prompts`, its templates under `resources`".to_owned(),
        Subject::Method | Subject::Unknown => did_you_mean(text, Method::grantable()).unwrap_or_else(|| {
            format!("those that are: {}, or \"*\"", Method::grantable().collect::<Vec<_>>().join(", "))
        }),
    };
    Err(problem.help(way_out))
}
