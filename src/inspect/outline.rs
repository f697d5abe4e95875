//! What kind of message a server sends, told while its bytes pass: nothing is kept but a few words.
//!
//! Not a validator: it follows strings and nesting, which is enough to find the members that tell what a message is.

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A result; of a tool that failed, where `isError` says so.
    Result { failed: bool },
    /// A JSON-RPC error with this code.
    Error { code: i64 },
    /// The server asks the client something.
    Request,
    /// The server tells the client something.
    Notification,
    /// None of these.
    Nothing,
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
    /// The member at depth 2 that is being read is the one that matters there.
    inner: bool,
    /// Behind a colon.
    value: bool,
    has: Has,
    result: Option<bool>,
    error: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaped {
    No,
    Yes,
}

/// Which members the message has.
#[derive(Clone, Copy, Debug, Default)]
struct Has {
    id: bool,
    method: bool,
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
const WORD: usize = 24;

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
                (Some(Escaped::No), b'"') => self.string = None,
                (Some(Escaped::No), b'\\') => self.string = Some(Escaped::Yes),
                (Some(Escaped::No), plain) => self.keep(plain),
                (None, byte) => self.outside(byte),
            }
        }
    }

    /// Texts that cannot matter are skipped as fast as memory goes.
    fn skip(&self, rest: &[u8]) -> usize {
        if self.string == Some(Escaped::No) && self.depth > 2 {
            memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
        } else {
            0
        }
    }

    /// What the message was; begins anew.
    pub(super) fn finish(&mut self) -> Sort {
        self.end_value();
        let seen = std::mem::take(self);
        match (seen.has.method, seen.has.id, seen.result, seen.error) {
            (true, true, _, _) => Sort::Request,
            (true, false, _, _) => Sort::Notification,
            (false, _, _, Some(code)) => Sort::Error { code },
            (false, _, Some(failed), None) => Sort::Result { failed },
            (false, _, None, None) => Sort::Nothing,
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
                self.string = Some(Escaped::No);
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.value = false;
                self.inner = false;
                self.begin();
            }
            b'}' | b']' => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
                self.value = false;
            }
            b',' => {
                self.end_value();
                self.value = false;
            }
            b':' => self.end_name(),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            plain if self.value => self.keep(plain),
            _ => {}
        }
    }

    /// A result or error object began.
    fn begin(&mut self) {
        if self.depth == 2 {
            match self.member {
                Member::Result => self.result = Some(false),
                Member::Error => self.error = Some(0),
                Member::Other | Member::Id | Member::Method => {}
            }
        }
    }

    fn end_name(&mut self) {
        self.value = true;
        match self.depth {
            1 => {
                self.member = match self.word.as_slice() {
                    b"id" => Member::Id,
                    b"method" => Member::Method,
                    b"result" => Member::Result,
                    b"error" => Member::Error,
                    _ => Member::Other,
                };
                self.has.id |= self.member == Member::Id;
                self.has.method |= self.member == Member::Method;
            }
            2 => {
                self.inner = matches!(
                    (self.member, self.word.as_slice()),
                    (Member::Result, b"isError") | (Member::Error, b"code")
                );
            }
            _ => {}
        }
        self.word.clear();
    }

    fn end_value(&mut self) {
        if self.depth == 2 && self.inner && self.value {
            match self.member {
                Member::Result => self.result = Some(self.word == b"true"),
                Member::Error => {
                    self.error = std::str::from_utf8(&self.word).ok().and_then(|code| code.parse().ok());
                }
                Member::Other | Member::Id | Member::Method => {}
            }
            self.inner = false;
        }
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_by_its_members_however_it_is_cut() {
        for (message, sort) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a \"isError\":true"}]}}"#,
                Sort::Result { failed: false },
            ),
            (r#"{"result":{"content":[],"isError" : true },"id":1}"#, Sort::Result { failed: true }),
            (r#"{"result":{"isError":true,"content":[{"isError":false}]},"id":1}"#, Sort::Result { failed: true }),
            (r#"{"result":{"isError":false},"id":1}"#, Sort::Result { failed: false }),
            (r#"{"id":1,"error":{"message":"x","code":-32602,"data":{"code":7}}}"#, Sort::Error { code: -32602 }),
            (r#"{"id":"s1","method":"elicitation/create","params":{"result":{"isError":true}}}"#, Sort::Request),
            (r#"{"method":"notifications/progress","params":{"id":1,"error":{"code":1}}}"#, Sort::Notification),
            (r#"{"result":{},"id":1}"#, Sort::Result { failed: false }),
            ("", Sort::Nothing),
            ("[1,2", Sort::Nothing),
        ] {
            for cut in 1..=message.len().max(1) {
                let mut outline = Outline::default();
                message.as_bytes().chunks(cut).for_each(|piece| outline.feed(piece));
                assert_eq!(outline.finish(), sort, "{message} in pieces of {cut}");
            }
        }
    }
}
