//! What is accepted has one reading; what has more, or none, is refused for the right reason.

use std::ops::Range;

use proptest::prelude::*;
use serde_json::Value;

use super::{Bounds, Fault, Flaw, Kind, Lens, cuts, decode, quote, quote_canonical, scan, without};

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

/// Notes where the values of the members called `x` stand, those within each other once.
#[derive(Default)]
struct Xs(Vec<Range<usize>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    X,
    WithinX,
    Other,
}

impl Lens for Xs {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Other, "x" | "x\"" | "x\\") => Place::X,
            _ => self.element(place),
        })
    }

    fn element(&mut self, place: Place) -> Place {
        if place == Place::Other { Place::Other } else { Place::WithinX }
    }

    fn value(&mut self, place: Place, _: Kind, span: Range<usize>) {
        if place == Place::X {
            self.0.push(span);
        }
    }
}

fn without_x(text: &str) -> String {
    let mut xs = Xs::default();
    scan(text.as_bytes(), Place::Other, &Bounds::default(), &mut xs).unwrap();
    String::from_utf8(without(text.as_bytes(), &cuts(text.as_bytes(), xs.0))).unwrap()
}

#[test]
fn a_member_is_cut_out_with_its_comma_and_nothing_else_changes() {
    for (text, left) in [
        (r#"{"x":1}"#, "{}"),
        (r#"{ "x" : 1 }"#, "{  }"),
        (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":1,"x":2}"#, r#"{"a":1}"#),
        (r#"{"a":1,"x":[2,{"x":3}],"b":4}"#, r#"{"a":1,"b":4}"#),
        ("{\"a\":1 ,\n \"x\" :\t{} ,\r\n \"b\":1.10}", "{\"a\":1 ,\n \r\n \"b\":1.10}"),
        (r#"{ "a":1 , "x":2 }"#, r#"{ "a":1  }"#),
        (r#"{"x":1,"x\"":2,"x\\":3}"#, "{}"),
        (r#"{"x":1,"a":2,"x\"":3,"x\\":4}"#, r#"{"a":2}"#),
        (r#"{"a":2 , "x":1 , "x\"":3}"#, r#"{"a":2 }"#),
        (r#"{"a":2,"x":1,"b":3,"x\"":4}"#, r#"{"a":2,"b":3}"#),
        (r#"{"\u0078":1,"a":"x"}"#, r#"{"a":"x"}"#),
        (r#"{"a\"":1,"x":2}"#, r#"{"a\"":1}"#),
        (r#"{"a":{"x":1},"b":{"x":2,"c":3},"x":{}}"#, r#"{"a":{},"b":{"c":3}}"#),
        (r#"[{"x":1},{"x":2}]"#, "[{},{}]"),
        (r#"{"a":1}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(without_x(text), left, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_left_when_members_are_cut_out_is_the_same_without_them(
        members in proptest::collection::vec("(x|x\\\\\"|\\\\u0078|[a-c])", 0..6), space in "[ \n]{0,2}", nested in any::<bool>()
    ) {
        let mut seen = std::collections::HashSet::new();
        let members: Vec<_> = members.into_iter().filter(|name| seen.insert(decode(name).into_owned())).collect();
        let members: Vec<_> = members.iter().map(|name| format!("\"{name}\"{space}:{space}{{\"x\":0}}")).collect();
        let text = format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")));
        let text = if nested { format!("[{{\"n\":{text}}}]") } else { text };
        let mut expected: Value = serde_json::from_str(&text).unwrap();
        strip(&mut expected);
        prop_assert_eq!(serde_json::from_str::<Value>(&without_x(&text)).unwrap(), expected, "{}", text);
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !matches!(name.as_str(), "x" | "x\"" | "x\\"));
            members.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

#[test]
fn what_has_to_be_escaped_is_wherever_it_stands() {
    for (length, odd) in (1..40).flat_map(|length| ['"', '\\', '\n', '\u{1f}'].map(|odd| (length, odd))) {
        for at in 0..length {
            let text: String = (0..length).map(|here| if here == at { odd } else { 'x' }).collect();
            let (mut quoted, mut canonical) = (String::new(), String::new());
            quote(&text, &mut quoted);
            quote_canonical(&text, &mut canonical);
            assert_eq!(canonical, serde_json::to_string(&text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text, "{quoted}");
        }
    }
}
