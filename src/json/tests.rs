//! What is accepted has one reading; what has more, or none, is refused for the right reason.

use std::ops::Range;

use proptest::prelude::*;
use serde_json::Value;

use super::{Bounds, Fault, Flaw, Kind, Lens, decode, quote, scan};

/// Notes every value with its path.
#[derive(Default)]
struct Notes {
    values: usize,
    names: Vec<String>,
}

impl Lens for Notes {
    type Place = ();

    fn member(&mut self, (): (), name: &str) -> Result<(), Flaw> {
        self.names.push(name.to_owned());
        Ok(())
    }

    fn element(&mut self, (): ()) {}

    fn value(&mut self, (): (), _: Kind, _: Range<usize>) {
        self.values += 1;
    }
}

fn read(text: &[u8]) -> Result<Notes, Fault> {
    let mut notes = Notes::default();
    scan(text, (), &Bounds::default(), &mut notes).map(|()| notes)
}

fn flaw(text: &[u8]) -> Option<Flaw> {
    read(text).err().map(|fault| fault.flaw)
}

/// So many members, each with a comma behind it.
fn members(count: usize) -> String {
    (0..count).fold(String::new(), |text, at| text + &format!("\"{at}\":0,"))
}

#[test]
fn texts_with_more_than_one_reading_are_refused() {
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let wide = format!("[{}0]", "0,".repeat(100_000));
    let many = members(10_001);
    let many = format!("{{{many}\"last\":0}}");
    let hidden = members(20);
    let hidden = format!("{{{hidden}\"7\":0}}");
    let long = "1".repeat(65);
    for (text, why) in [
        (b"\xef\xbb\xbf{}".as_slice(), Flaw::ByteOrderMark),
        (b"\"\xff\"", Flaw::NotUtf8),
        (b"\"\xc1\xa1\"", Flaw::NotUtf8),
        (b"", Flaw::Syntax),
        (b" ", Flaw::Syntax),
        (b"{} {}", Flaw::Syntax),
        (b"{}x", Flaw::Syntax),
        (b"[1,]", Flaw::Syntax),
        (b"{\"a\":1,}", Flaw::Syntax),
        (b"{,}", Flaw::Syntax),
        (b"{a:1}", Flaw::Syntax),
        (b"{'a':1}", Flaw::Syntax),
        (b"{\"a\" 1}", Flaw::Syntax),
        (b"[1 2]", Flaw::Syntax),
        (b"[1}", Flaw::Syntax),
        (b"{\"a\":1]", Flaw::Syntax),
        (b"[", Flaw::Syntax),
        (b"\"a", Flaw::Syntax),
        (b"\"a\nb\"", Flaw::Syntax),
        (b"\"\\x\"", Flaw::Syntax),
        (b"\"\\u12\"", Flaw::Syntax),
        (b"NaN", Flaw::Syntax),
        (b"Infinity", Flaw::Syntax),
        (b"True", Flaw::Syntax),
        (b"01", Flaw::Syntax),
        (b"+1", Flaw::Syntax),
        (b"1.", Flaw::Syntax),
        (b".5", Flaw::Syntax),
        (b"1e", Flaw::Syntax),
        (b"0x10", Flaw::Syntax),
        (b"/**/1", Flaw::Syntax),
        (b"\x0b1", Flaw::Syntax),
        (b"\xc2\xa01", Flaw::Syntax),
        (b"\"\\ud800\"", Flaw::LoneSurrogate),
        (b"\"\\udc00\"", Flaw::LoneSurrogate),
        (b"\"\\ud800\\u0041\"", Flaw::LoneSurrogate),
        (b"1e999", Flaw::NumberOverflow),
        (long.as_bytes(), Flaw::NumberTooLong),
        (deep.as_bytes(), Flaw::TooDeep),
        (wide.as_bytes(), Flaw::TooManyValues),
        (many.as_bytes(), Flaw::TooManyMembers),
        (b"{\"a\":1,\"a\":1}", Flaw::DuplicateMember),
        (b"{\"a\":1,\"\\u0061\":1}", Flaw::DuplicateMember),
        (b"[{\"b\":{\"a\":1,\"c\":{},\"a\":2}}]", Flaw::DuplicateMember),
        (hidden.as_bytes(), Flaw::DuplicateMember),
        (b"{\"$serde_json::private::RawValue\":1}", Flaw::PrivateMember),
    ] {
        assert_eq!(flaw(text), Some(why), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_fault_says_at_which_byte() {
    assert_eq!(read(b"{\"a\":1,\"a\":2}").map(|_| ()), Err(Fault { flaw: Flaw::DuplicateMember, at: 10 }));
    assert_eq!(read(b"[1, x]").map(|_| ()), Err(Fault { flaw: Flaw::Syntax, at: 4 }));
}

#[test]
fn names_are_told_decoded() {
    let names = read(br#"{"\u006dethod":1,"a\/b":{"\ud83d\ude00":2},"":3}"#).unwrap().names;
    assert_eq!(names, ["method", "a/b", "😀", ""]);
}

/// Any JSON value, as `serde_json` knows it.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::hash_map(any::<String>(), inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Something near JSON: pieces of it in any order.
const PIECES: &str =
    r#"(\{|\}|\[|\]|,|:|"a"|"b"|"\\u0061"|"\\ud83d\\ude00"|"\\ud83d"|1|-0|1\.5e3|01|true|nul|null| |\n|\\|"|é){0,24}"#;

proptest! {
    #[test]
    fn whatever_serde_json_writes_is_accepted(value in values()) {
        let text = serde_json::to_vec(&value).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let (dense, loose) = (read(&text).unwrap(), read(&pretty).unwrap());
        prop_assert_eq!(dense.values, loose.values);
        prop_assert_eq!(dense.names, loose.names);
    }

    #[test]
    fn whatever_is_accepted_serde_json_reads_and_no_bytes_make_it_panic(text in PIECES) {
        let ours = read(text.as_bytes());
        let theirs = serde_json::from_str::<Value>(&text);
        if ours.is_ok() {
            prop_assert!(theirs.is_ok(), "accepted, but serde_json says {:?}", theirs);
        } else if theirs.is_ok() {
            prop_assert_eq!(ours.err().map(|fault| fault.flaw), Some(Flaw::DuplicateMember));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        drop(read(&bytes));
    }

    #[test]
    fn texts_survive_the_way_there_and_back(text in any::<String>()) {
        let mut quoted = String::new();
        quote(&text, &mut quoted);
        prop_assert!(read(quoted.as_bytes()).is_ok());
        prop_assert_eq!(decode(quoted.get(1..quoted.len() - 1).unwrap()), text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        let disturbing = quoted.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
        prop_assert!(!disturbing);
    }
}
