//! What kind of message a server sends, told while its bytes pass: for answers too long to be held. Nothing is kept but
//! a few words.
//!
//! It follows strings and nesting, which is enough to read the members that tell what a message is, once and exactly;
//! what stands deeper is not looked at.

use crate::json;
use crate::jsonrpc::{RequestId, code};
use crate::mcp::Form;

/// A long answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LongAnswer {
    /// Which request it answers.
    pub(super) id: RequestId,
    /// With what.
    pub(super) form: Form,
}

/// Follows one message.
#[derive(Debug, Default)]
pub(super) struct Outline {
    depth: usize,
    /// Inside a string; the byte before was a backslash.
    string: Option<Escaped>,
    /// The text of the last short string or scalar at depth 1 or 2, for names and values.
    word: Vec<u8>,
    /// The member at depth 1 that is being read.
    member: Member,
    /// What is being read.
    at: At,
    /// The value of `id`, as it came.
    id: Option<Vec<u8>>,
    /// The members of the message that have been read.
    seen: Vec<Member>,
    failed: bool,
    code: Option<i64>,
    /// Something stands there that a long answer must not have.
    odd: bool,
}

/// Where in an object or array the outline stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before a colon, or where there is none.
    #[default]
    Name,
    /// Behind it.
    Value,
    /// Behind that of the member at depth 2 that matters there.
    Inner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaped {
    No,
    Yes,
}

/// A member of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Member {
    #[default]
    Other,
    Id,
    Method,
    Result,
    Error,
}

/// No name or value that matters is longer.
const WORD: usize = 264;

impl Outline {
    /// Follows the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&byte, next)) = rest.get(self.skip(rest)..).and_then(<[u8]>::split_first) {
            rest = next;
            match (self.string, byte) {
                (Some(Escaped::Yes), plain) => {
                    self.string = Some(Escaped::No);
                    self.keep(plain);
                }
                (Some(Escaped::No), b'"') => {
                    self.string = None;
                    self.mark();
                }
                (Some(Escaped::No), b'\\') => {
                    self.string = Some(Escaped::Yes);
                    self.keep(b'\\');
                }
                (Some(Escaped::No), plain) => self.keep(plain),
                (None, byte) => self.outside(byte),
            }
        }
    }

    /// Texts that cannot matter are skipped as fast as memory goes.
    fn skip(&self, rest: &[u8]) -> usize {
        if self.string != Some(Escaped::No) || self.depth <= 2 {
            return 0;
        }
        // A backslash at the end is read as what it is: the next piece begins with what it escapes.
        json::string_end(rest).unwrap_or_else(|| rest.len() - usize::from(json::ends_in_escape(rest)))
    }

    /// What the message was, if it was one answer with one reading.
    pub(super) fn finish(mut self) -> Option<LongAnswer> {
        self.end_value();
        let form = match self.seen.as_slice() {
            _ if self.odd || self.depth != 0 || self.string.is_some() => return None,
            seen if seen.contains(&Member::Method) => return None,
            seen => match (seen.contains(&Member::Result), seen.contains(&Member::Error)) {
                (true, false) => Form::Result { failed: self.failed },
                // What asks for input is short, and read as a whole.
                (false, true) => {
                    Form::Error { code: self.code.filter(|code| *code != code::URL_ELICITATION_REQUIRED)? }
                }
                (true, true) | (false, false) => return None,
            },
        };
        let id = RequestId::from_json(std::str::from_utf8(&self.id?).ok()?)?;
        Some(LongAnswer { id, form })
    }

    /// A value keeps its quotation marks: `1` and `"1"` differ.
    fn mark(&mut self) {
        if self.at != At::Name {
            self.keep(b'"');
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth <= 2 && self.word.len() < WORD {
            self.word.push(byte);
        }
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.word.clear();
                self.mark();
                self.string = Some(Escaped::No);
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.at = At::Name;
                // The message is one object, and no batch.
                self.odd |= self.depth == 1 && (byte == b'[' || !self.seen.is_empty());
                self.odd |= self.depth == 2 && self.member == Member::Id;
            }
            b'}' | b']' => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
                self.at = At::Name;
            }
            b',' => {
                self.end_value();
                self.at = At::Name;
            }
            b':' => self.end_name(),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            plain if self.at != At::Name => self.keep(plain),
            _ => {}
        }
    }

    fn end_name(&mut self) {
        self.at = At::Value;
        match self.depth {
            1 => {
                self.member = match self.word.as_slice() {
                    b"id" => Member::Id,
                    b"method" => Member::Method,
                    b"result" => Member::Result,
                    b"error" => Member::Error,
                    // Escaped, it may be one of those.
                    name => {
                        self.odd |= name.contains(&b'\\');
                        Member::Other
                    }
                };
                self.odd |= self.member != Member::Other && self.seen.contains(&self.member);
                self.seen.push(self.member);
                self.seen.retain(|member| *member != Member::Other);
            }
            2 => {
                match (self.member, self.word.as_slice()) {
                    (Member::Result, b"isError") | (Member::Error, b"code") => self.at = At::Inner,
                    (Member::Result, name) => {
                        // What begins a task or asks for input is short, and read as a whole.
                        self.odd |= matches!(name, b"inputRequests" | b"task" | b"taskId") || name.contains(&b'\\');
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        self.word.clear();
    }

    fn end_value(&mut self) {
        if self.at == At::Value && self.depth == 1 && self.member == Member::Id {
            self.id = Some(std::mem::take(&mut self.word));
        }
        if self.at == At::Inner {
            match self.member {
                Member::Result => self.failed = self.word == b"true",
                Member::Error => {
                    self.code = std::str::from_utf8(&self.word).ok().and_then(|code| code.parse().ok());
                }
                Member::Other | Member::Id | Member::Method => {}
            }
        }
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(message: &str, cut: usize) -> Option<(String, Form)> {
        let mut outline = Outline::default();
        message.as_bytes().chunks(cut).for_each(|piece| outline.feed(piece));
        outline.finish().map(|answer| (answer.id.as_json().to_owned(), answer.form))
    }

    #[test]
    fn an_answer_is_told_by_its_members_however_it_is_cut() {
        let ok = |id: &str| Some((id.to_owned(), Form::Result { failed: false }));
        for (message, answer) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a \"isError\":true"}]}}"#, ok("1")),
            (
                r#"{"result":{"content":[],"isError" : true },"id":"a1"}"#,
                Some(("\"a1\"".to_owned(), Form::Result { failed: true })),
            ),
            (r#"{"result":{"isError":false}, "id" : 1 }"#, ok("1")),
            (
                r#"{"id":1,"error":{"message":"x","code":-32602,"data":{"code":7}}}"#,
                Some(("1".to_owned(), Form::Error { code: -32602 })),
            ),
            (r#"{"result":{},"id":1}"#, ok("1")),
            (
                r#"{"result":{"a":[{"b":"c:\\"},{"d":"]]]"},{"d":"\\\"]]","e":"x\"}],\"isError\":true}"}],"isError":false},"id":1}"#,
                ok("1"),
            ),
            (r#"{"result":{"x":{"id":7,"task":1}},"id":1}"#, ok("1")),
        ] {
            for cut in 1..=message.len() {
                assert_eq!(finished(message, cut), answer, "{message} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_one_answer_with_one_reading_is_none() {
        for message in [
            "",
            "[1,2",
            r#"[{"id":1,"result":{}}]"#,
            r#"{"result":{}}"#,
            r#"{"id":1,"result":{}"#,
            r#"{"id":1,"id":2,"result":{}}"#,
            r#"{"id":1,"\u0069d":2,"result":{}}"#,
            r#"{"id":1,"result":{},"result":{}}"#,
            r#"{"id":1,"result":{},"error":{"code":1}}"#,
            r#"{"id":1,"method":"x","result":{}}"#,
            r#"{"id":1,"result":{"task":{"taskId":"t"}}}"#,
            r#"{"id":1,"result":{"t\u0061sk":{"taskId":"t"}}}"#,
            r#"{"id":1,"result":{}}{"id":1,"result":{}}"#,
            r#"{"id":[1],"result":{}}"#,
            r#"{"id":1.5,"result":{}}"#,
            r#"{"id":1,"error":{"code":-32042,"message":""}}"#,
        ] {
            assert_eq!(finished(message, 7), None, "{message}");
        }
    }
}
