//! Compares the tools of a list with those that were pinned. What is new of that is said once: to the operator in the log,
//! and to the streams that clients hold open, for which other tools are there now.

use std::sync::Arc;

use crate::mcp::{Definition, Method, ServerName};
use crate::policy::{Deviation, Mode, Pins, PolicySet, Shown};
use crate::state::{Changed, State};

/// How a list shows a tool: `definition` is its entry, in which `hidden` was found.
pub(super) fn shown(definition: &[u8], hidden: Option<char>, pins: Option<&Pins>) -> Shown {
    match (hidden, pins) {
        (Some(hidden), _) => Shown::Hiding(hidden),
        (None, None) => Shown::NotYet,
        // The scanner has read it; what nobody else can read is as good as hidden.
        (None, Some(_)) => Definition::read(definition)
            .map_or(Shown::Hiding(char::REPLACEMENT_CHARACTER), |definition| Shown::As(definition.fingerprint())),
    }
}

/// Remembers how a list shows the server's tools to this account. If that is not how an earlier one did, the earlier one is not given again:
/// it would be learned from as if it were the last.
pub(super) fn learn<'a>(
    policy: &PolicySet,
    server: &ServerName,
    (state, account): (&State, &Arc<str>),
    list: impl IntoIterator<Item = (&'a str, Shown)>,
) {
    let pins = policy.pins(server);
    let changed = state.learnt(account).shown().learn(list, |tool| pins.is_some_and(|pins| pins.has(tool)));
    if changed.iter().any(|changed| changed.before != Shown::NotYet) {
        state.lists().changed(Method::ToolsList);
    }
    let mut news = false;
    for Changed { tool, before, now } in changed {
        let was = policy.deviation(server, &tool, before);
        let is = policy.deviation(server, &tool, now);
        news |= was.as_ref().is_some_and(withholds) != is.as_ref().is_some_and(withholds);
        say(server, &tool, now, was.as_ref(), is.as_ref());
    }
    if news {
        state.tell();
    }
}

fn withholds(deviation: &Deviation) -> bool {
    deviation.mode == Mode::Enforce
}

fn say(server: &ServerName, tool: &str, now: Shown, was: Option<&Deviation>, is: Option<&Deviation>) {
    let shown = match now {
        Shown::As(fingerprint) => fingerprint.to_string(),
        Shown::Hiding(hidden) => format!("U+{:04X}", u32::from(hidden)),
        Shown::NotYet => String::new(),
    };
    match (was, is) {
        (_, Some(Deviation { reason, rule, mode })) => {
            let (reason, what) = (
                reason.word(),
                match mode {
                    Mode::Enforce => "a tool is withheld: it is not what was pinned, or hides something",
                    Mode::Shadow => "a tool is not what was pinned; it passes",
                },
            );
            tracing::warn!(%server, tool, reason, %rule, shown, "{what}");
        }
        (Some(_), None) => tracing::info!(%server, tool, shown, "a tool is again what was pinned"),
        (None, None) => {}
    }
}
