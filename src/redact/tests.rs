//! What is found, what is not, and what is left of a message.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::message::walk;
use super::*;
use crate::json::{self, Bounds, Flaw, Kind, Lens};

fn all() -> &'static Finder {
    static ALL: LazyLock<Finder> = LazyLock::new(|| Finder::new(Detectors::all(), Vec::new()));
    &ALL
}

fn only(detector: Detector) -> Finder {
    Finder::new(detector.into(), Vec::new())
}

/// What the detector of this name finds in a text, between bars.
fn found(name: &str, text: &str) -> Vec<String> {
    let detector = Detector::ALL.into_iter().find(|it| it.name() == name).expect(name);
    find(&[&only(detector)], text).into_iter().map(|found| text.get(found.span).unwrap().to_owned()).collect()
}

/// Nothing here opens anything: the tokens are made up, and the numbers are those that are published as examples.
fn examples() -> Vec<(&'static str, String)> {
    let a = |count: usize| "aB3".chars().cycle().take(count).collect::<String>();
    let hex = |count: usize| "0f3".chars().cycle().take(count).collect::<String>();
    let mut examples = vec![
        ("aws_key", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("azure_key", format!("AccountKey={}==", a(86))),
        ("google_key", format!("AIza{}", a(35))),
        ("github_token", format!("ghp_{}", a(36))),
        ("github_token", format!("github_pat_{}_{}", a(22), a(59))),
        ("gitlab_token", format!("glpat-{}", a(20))),
        ("slack_token", format!("xoxb-123456789012-{}", a(24))),
        ("stripe_key", format!("sk_live_{}", a(24))),
        ("ai_key", format!("sk-ant-api03-{}", a(90))),
        ("ai_key", format!("sk-{}", a(48))),
        ("registry_token", format!("npm_{}", a(36))),
        ("registry_token", format!("pypi-{}", a(80))),
        ("service_token", format!("dop_v1_{}", hex(64))),
        ("service_token", format!("hvs.{}", a(30))),
        ("tollgate_key", format!("tg_{}_{}", a(32), hex(8))),
        ("jwt", format!("eyJ{}.eyJ{}.{}", a(20), a(60), a(43))),
        ("private_key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----".to_owned()),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nMIIE".to_owned()),
    ];
    let fixed = [
        ("email", "jane.roe+shop@mail.example.com"),
        ("email", "j\u{fc}rgen@example.de"),
        ("card", "4111111111111111"),
        ("card", "4111 1111 1111 1111"),
        ("card", "5555-5555-5555-4444"),
        ("card", "3782 822463 10005"),
        ("card", "378282246310005"),
        ("card", "6011111111111117"),
        ("iban", "DE89370400440532013000"),
        ("iban", "GB29 NWBK 6016 1331 9268 19"),
        ("iban", "MT84MALT011000012345MTLCAST001S"),
        ("id_us", "219-09-9999"),
        ("id_ca", "046 454 286"),
        ("id_br", "529.982.247-25"),
        ("id_gb", "AB123456C"),
        ("id_gb", "AB 12 34 56 C"),
        ("id_de", "86095742719"),
        ("id_fr", "1 85 05 78 006 084 91"),
        ("id_es", "12345678Z"),
        ("id_es", "X1234567L"),
        ("id_it", "RSSMRA85T10A562S"),
        ("id_nl", "111222333"),
        ("id_be", "85.07.30-033.28"),
        ("id_pl", "44051401359"),
        ("id_se", "811228-9874"),
        ("id_ch", "756.9217.0769.85"),
        ("id_in", "2341 2341 2346"),
    ];
    examples.extend(fixed.map(|(name, text)| (name, text.to_owned())));
    examples
}

#[test]
fn each_detector_finds_its_own_wherever_it_stands() {
    let examples = examples();
    for detector in Detector::ALL {
        if detector != Detector::UrlPassword {
            assert!(examples.iter().any(|(name, _)| *name == detector.name()), "no example of {}", detector.name());
        }
    }
    for (name, secret) in &examples {
        for (before, behind) in
            [("", ""), ("it is ", "."), ("(", ")"), ("k=\"", "\""), ("\\n", "\\nnext"), ("\\u000a", ","), ("x: ", "\n")]
        {
            // One without its end goes on to the end of the text.
            let behind = if secret.ends_with("MIIE") { "" } else { behind };
            let text = format!("{before}{secret}{behind}");
            assert_eq!(found(name, &text), std::slice::from_ref(secret), "{name} in {text:?}");
        }
    }
    // What is wrong with the end of a key does not cut what stands behind it.
    assert_eq!(
        found("private_key", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END \u{fc}"),
        ["-----BEGIN PRIVATE KEY-----\nMIIE\n-----END "]
    );
    assert_eq!(found("url_password", "see postgres://app:s3cret@db:5432/x"), ["app:s3cret"]);
}

#[test]
fn what_only_looks_like_it_is_left_alone() {
    for (name, text) in [
        ("aws_key", "AKIAIOSFODNN7EXAMPL"),
        ("aws_key", "xAKIAIOSFODNN7EXAMPLE"),
        ("github_token", "ghp_short"),
        ("jwt", "eyJhbGciOiJ.notanobject.sig"),
        ("private_key", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----"),
        ("private_key", "-----BEGIN PUBLIC KEY-----"),
        ("url_password", "https://example.com/a:b@c"),
        ("url_password", "https://user@example.com"),
        ("email", "@mention and a@b and a@b.c1 a @ b.com"),
        ("card", "4111111111111112"),
        ("card", "1234567890123452"),
        ("card", "1764219190000"),
        ("card", "41111111111111111111111"),
        ("iban", "DE89370400440532013001"),
        ("iban", "DE8937040044053201300"),
        ("id_us", "000-12-3456"),
        ("id_us", "219-09-99991"),
        ("id_gb", "GB123456C"),
        ("id_es", "12345678A"),
        ("id_it", "RSSMRA85T10A562T"),
        ("id_nl", "111222334"),
        ("id_in", "2341 2341 2347"),
        ("id_fr", "1 85 05 78 006 084 90"),
        ("id_de", "86095742718"),
        ("id_pl", "44051401358"),
        ("id_se", "811228-9875"),
        ("id_ch", "756.9217.0769.84"),
        ("id_be", "85.07.30-033.29"),
        ("id_br", "529.982.247-26"),
        ("id_ca", "046 454 287"),
    ] {
        assert_eq!(found(name, text), Vec::<String>::new(), "{name} in {text:?}");
    }
}

#[test]
fn a_word_of_a_policy_means_one_detector_or_a_group() {
    let secrets = Detector::named("secrets").unwrap();
    assert!(secrets.has(Detector::Jwt) && secrets.has(Detector::AwsKey) && !secrets.has(Detector::Email));
    assert_eq!(Detector::named("email"), Some(Detector::Email.into()));
    assert_eq!(Detector::named("mail"), None);
    let ids = Detector::named("ids").unwrap();
    assert_eq!(ids.iter().count(), 14);
    assert!(ids.iter().all(|it| it.name().starts_with("id_")));
}

fn masked_of(finder: &Finder, json: &str, part: Part) -> String {
    let hits = search(&[finder], json.as_bytes(), part);
    let named = hits.iter().map(|hit| match hit.what {
        What::Detector(detector) => (hit, detector.name()),
        What::Pattern(_) => (hit, "own"),
    });
    String::from_utf8(masked(json.as_bytes(), named)).unwrap()
}

#[test]
fn a_message_stays_what_it_is_but_for_what_was_found() {
    for (message, masked) in [
        (
            r#"{"jsonrpc":"2.0","id":4111111111111111,"result":{"content":[{"type":"text","text":"mail a@b.com, \u00e9\n4111 1111 1111 1111!"}],  "structuredContent":{"card":4111111111111111,"n":1.50}}}"#,
            r#"{"jsonrpc":"2.0","id":4111111111111111,"result":{"content":[{"type":"text","text":"mail [redacted: email], \u00e9\n[redacted: card]!"}],  "structuredContent":{"card":0,"n":1.50}}}"#,
        ),
        // Escapes do not hide it, and it is cut out with them.
        (
            r#"{"result":{"content":[{"text":"x \u0061\u0040b.com y postgres:\/\/u:p\"w@h"}]}}"#,
            r#"{"result":{"content":[{"text":"x [redacted: email] y postgres:\/\/u:p\"w@h"}]}}"#,
        ),
        (
            r#"{"result":{"content":[{"text":"postgres:\/\/u:pw@h\/d"}]}}"#,
            r#"{"result":{"content":[{"text":"postgres:\/\/[redacted: url_password]@h\/d"}]}}"#,
        ),
        // JSON in JSON.
        (
            r#"{"result":{"content":[{"type":"text","text":"{\"a\":\"x\\nAKIAIOSFODNN7EXAMPLE\\n\"}"}]}}"#,
            r#"{"result":{"content":[{"type":"text","text":"{\"a\":\"x\\n[redacted: aws_key]\\n\"}"}]}}"#,
        ),
        // Names stay apart.
        (
            r#"{"result":{"by":{"a@b.com":1,"c@b.com":[{"d\"@b.com":2}]}}}"#,
            r#"{"result":{"by":{"[redacted: email 1]":1,"[redacted: email 2]":[{"d\"@b.com":2}]}}}"#,
        ),
        // What only the protocol reads, and encoded bytes.
        (
            r#"{"id":1,"result":{"requestState":"a@b.com","nextCursor":"a@b.com","_meta":{"progressToken":"a@b.com","x":"a@b.com"},"content":[{"type":"image","data":"a@b.com"},{"type":"resource","resource":{"uri":"x:a@b.com","blob":"a@b.com"}}]}}"#,
            r#"{"id":1,"result":{"requestState":"a@b.com","nextCursor":"a@b.com","_meta":{"progressToken":"a@b.com","x":"[redacted: email]"},"content":[{"type":"image","data":"a@b.com"},{"type":"resource","resource":{"uri":"x:[redacted: email]","blob":"a@b.com"}}]}}"#,
        ),
        (
            r#"{"id":1,"error":{"code":-32000,"message":"connect postgres://u:p@h failed","data":["a@b.com"]}}"#,
            r#"{"id":1,"error":{"code":-32000,"message":"connect postgres://[redacted: url_password]@h failed","data":["[redacted: email]"]}}"#,
        ),
    ] {
        assert_eq!(masked_of(all(), message, Part::Said), masked);
        assert_eq!(masked_of(all(), masked, Part::Said), masked, "once more changes nothing");
    }
    let arguments = r#"{"id":"a@b.com","data":"a@b.com"}"#;
    assert_eq!(masked_of(all(), arguments, Part::Whole), r#"{"id":"[redacted: email]","data":"[redacted: email]"}"#);
}

#[test]
fn a_pattern_finds_something_and_has_an_end() {
    let pattern = Pattern::new("EMP-[0-9]{6}").unwrap();
    let finder = Finder::new(Detector::Email.into(), vec![pattern]);
    let spans: Vec<_> = find(&[&finder], "EMP-123456 a@b.com EMP-1").into_iter().map(|found| found.span).collect();
    assert_eq!(spans, [0..10, 11..18]);
    let whys = ["(", "a*", "a|", "a+", "a{2000}", r"(?=a)a", r"(a)\1", r"\w{900}"]
        .map(|text| Pattern::new(text).unwrap_err().to_string());
    insta::assert_snapshot!(whys.join("\n"), @r"
    it is no regular expression: unclosed group
    it finds the empty text, so it would find something everywhere
    it finds the empty text, so it would find something everywhere
    what it finds has no end within 1024 bytes
    what it finds has no end within 1024 bytes
    it is no regular expression: look-around, including look-ahead and look-behind, is not supported
    it is no regular expression: backreferences are not supported
    what it finds has no end within 1024 bytes
    ");
}

/// Texts with what could be in them, one thing behind the other with this between them, and escapes.
fn text(between: &'static str) -> impl Strategy<Value = String> {
    let pieces = examples().into_iter().map(|(_, text)| text).chain(
        ["://", "u:p@", "eyJ", ".", "-----BEGIN ", "-----END ", "\"", "\\", "\n", "\u{fc}", "\u{1f600}", " ", "a", "1"]
            .map(str::to_owned),
    );
    let piece = proptest::sample::select(pieces.collect::<Vec<_>>());
    proptest::collection::vec(piece, 0..12).prop_map(move |pieces| pieces.join(between))
}

/// What becomes of a message in which these texts stand as names and values.
fn message(texts: &[String]) -> (String, String) {
    let members = texts.iter().enumerate().map(|(n, text)| (format!("{n} {text}"), text.clone()));
    let members: std::collections::BTreeMap<_, _> = members.collect();
    let message = serde_json::json!({ "result": { "structuredContent": members } }).to_string();
    let masked = masked_of(all(), &message, Part::Said);
    (message, masked)
}

proptest! {
    #[test]
    fn whatever_stands_in_a_message_nothing_of_it_is_left(texts in proptest::collection::vec(text(" "), 1..5)) {
        let (message, masked) = message(&texts);
        prop_assert!(search(&[all()], masked.as_bytes(), Part::Said).is_empty(), "{masked}");
        if search(&[all()], message.as_bytes(), Part::Said).is_empty() {
            prop_assert_eq!(masked, message);
        }
    }

    /// What is shown of a message elsewhere (R22): to mask it again changes nothing, and there is no more of it than is said.
    #[test]
    fn what_is_shown_is_masked_once_and_for_all(texts in proptest::collection::vec(text(""), 1..5), most in 0..200_usize) {
        let (message, _) = message(&texts);
        let masked = all().mask(message.as_bytes());
        prop_assert_eq!(all().mask(&masked), masked.clone());
        let shown = clipped(&masked, most);
        prop_assert!(shown.len() <= most + '…'.len_utf8(), "{shown}");
        prop_assert!(shown.len() > most || shown.as_bytes() == masked || shown.ends_with('…'), "{shown}");
    }

    #[test]
    fn a_look_at_the_bytes_misses_nothing(texts in proptest::collection::vec(text(""), 1..5)) {
        let (message, _) = message(&texts);
        let found = walk(&[all()], message.as_bytes(), Part::Said);
        prop_assert!(found.is_empty() || all().may_find(message.as_bytes()), "{message}");
    }

    #[test]
    fn whatever_stands_in_a_message_it_stays_json(texts in proptest::collection::vec(text(""), 1..5)) {
        let (_, masked) = message(&texts);
        json::scan(masked.as_bytes(), Depth, &Bounds::default(), &mut Nothing).unwrap();
    }
}

/// What a look at this text costs this thread, whatever else the machine does.
fn cost(finder: &Finder, text: &str) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let took = (0..3).map(|_| {
        let before = now();
        std::hint::black_box(find(&[finder], text));
        now().saturating_sub(before)
    });
    took.min().unwrap()
}

/// Four times the text costs four times as much, not sixteen times.
#[test]
fn no_text_costs_more_than_its_bytes() {
    let own = ["\\b[0-9]{4}", "a\\b", "(?:[a-z]{1,30} ){1,30}", "(?i)(?:password|passwd)[:=].{1,64}", "[^@]{1,64}@"];
    let own = own.map(|pattern| Pattern::new(pattern).unwrap());
    let finders = [Finder::new(Detectors::all(), Vec::new()), Finder::new(Detectors::NONE, own.to_vec())];
    for unit in [
        "a",
        "1",
        "\u{fc}",
        "4111",
        "4111 ",
        "4111 1111 1111 1111 ",
        "a@b-",
        "a@b.",
        "a@",
        "@",
        "a@b.de",
        "eyJ",
        "eyJa.",
        "eyJ-",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "a://b:c",
        "://",
        "u:p@",
        "A1 4 ",
        "DE89 ",
        "DE",
        "AB 12 ",
        "999.",
        "99-",
        "sk-",
        "ghp_",
        "AKIA",
        "\\",
        "\\n",
        "\\u0061",
        "[redacted: ",
        "[redacted: x]",
        "[redacted: x 1",
        "EMP-1",
        "password=",
        "ab cd ",
    ] {
        for finder in &finders {
            let [small, large] = [4096, 4 * 4096].map(|bytes: usize| unit.repeat(bytes / unit.len()));
            let (small, large) = (cost(finder, &small), cost(finder, &large));
            assert!(
                large < small * 9 + Duration::from_micros(50),
                "{unit:?}: {small:?}, and of four times as much {large:?}"
            );
        }
    }
}

#[derive(Clone, Copy)]
struct Depth;
struct Nothing;

impl Lens for Nothing {
    type Place = Depth;

    fn member(&mut self, _: Depth, _: &str) -> Result<Depth, Flaw> {
        Ok(Depth)
    }

    fn element(&mut self, _: Depth) -> Depth {
        Depth
    }

    fn value(&mut self, _: Depth, _: Kind, _: Range<usize>) {}
}
