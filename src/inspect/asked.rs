//! What a server asks of a client's user: what it may, and only at addresses that are safe.

use http::Uri;

use crate::mcp::{Asked, Question, Questions};
use crate::upstream::Unsound;

/// Whether it is one of these.
pub(super) fn is_among(asked: &Asked, may: Questions) -> bool {
    Question::of(&asked.method).is_some_and(|question| may.has(question))
}

/// An address that a user may be sent to: `https`, or this machine.
pub(super) fn safe(asked: &Asked) -> Result<(), Unsound> {
    let safe = |url: &str| {
        let url = url.parse::<Uri>().ok()?;
        let local = matches!(url.host()?, "localhost" | "127.0.0.1" | "[::1]");
        Some(match url.scheme_str()? {
            "https" => true,
            "http" => local,
            _ => false,
        })
    };
    match &asked.url {
        Some(url) if asked.method.as_ref() == "elicitation/create" && safe(url) != Some(true) => Err(Unsound::Address),
        _ => Ok(()),
    }
}
