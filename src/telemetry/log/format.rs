//! One event, one line: with the request that it belongs to, and without a character that plays tricks.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::RequestScope;
use crate::diagnostic::is_invisible;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// For people: a line may go on below.
    Text,
    /// An object.
    Json,
}

/// Lines of a format, with the request's ids at their end.
#[derive(Debug)]
pub(super) struct Named<F> {
    pub(super) format: F,
    pub(super) shape: Shape,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        let (line, end) = match self.shape {
            Shape::Text => (line, "\n"),
            Shape::Json => (line.strip_suffix('}').unwrap_or(line), "}\n"),
        };
        self.escaped(line, &mut out)?;
        if let Some(request) = RequestScope::current() {
            for (name, id) in request.ids() {
                match self.shape {
                    Shape::Text => write!(out, " {name}={id}")?,
                    Shape::Json => write!(out, ",\"{name}\":\"{id}\"")?,
                }
            }
        }
        out.write_str(end)
    }
}

impl<F> Named<F> {
    /// Terminals go by controls, and people by what they see.
    fn escaped(&self, line: &str, out: &mut Writer<'_>) -> fmt::Result {
        let stays = |c: char| !is_invisible(c) || (self.shape == Shape::Text && c == '\n');
        if line.chars().all(stays) {
            return out.write_str(line);
        }
        for c in line.chars() {
            if stays(c) {
                out.write_char(c)?;
            } else {
                c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            }
        }
        Ok(())
    }
}
