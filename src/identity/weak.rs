//! Keys that everyone knows. A policy that lists the hash of one is refused, in every mode.

use std::sync::LazyLock;

use super::api_key::KeyHash;

/// Defaults, examples and placeholders, as other gateways shipped them and tutorials show them.
const WEAK: &[&str] = &[
    "",
    "0",
    "1",
    "a",
    "abc",
    "abc123",
    "admin",
    "admin123",
    "administrator",
    "anonymous",
    "api-key",
    "api_key",
    "apikey",
    "bearer",
    "change-me",
    "change-this",
    "change_me",
    "changeit",
    "changeme",
    "changeme123",
    "default",
    "demo",
    "demo-key",
    "dev",
    "dev-key",
    "dummy",
    "example",
    "example-api-key",
    "example-key",
    "example_key",
    "foo",
    "foobar",
    "guest",
    "hunter2",
    "insecure",
    "key",
    "letmein",
    "local",
    "localhost",
    "mcp",
    "mcp-key",
    "my-api-key",
    "my-key",
    "my-secret",
    "my-secret-key",
    "my_api_key",
    "mykey",
    "mysecret",
    "mytoken",
    "none",
    "null",
    "pass",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "placeholder",
    "qwerty",
    "replace-me",
    "replace_me",
    "replaceme",
    "root",
    "s3cr3t",
    "sample",
    "secret",
    "secret-api-key",
    "secret-key",
    "secret123",
    "secret_key",
    "sk-test",
    "string",
    "supersecret",
    "tbd",
    "test",
    "test-api-key",
    "test-key",
    "test-token",
    "test123",
    "test_key",
    "testing",
    "testkey",
    "todo",
    "token",
    "tollgate",
    "undefined",
    "user",
    "xxx",
    "xxxx",
    "xxxxxxxx",
    "xxxxxxxxxxxxxxxx",
    "your-api-key",
    "your-api-key-here",
    "your-key",
    "your-secret",
    "your-secret-key",
    "your-token",
    "your_api_key",
    "your_api_key_here",
    "your_key",
    "yourapikey",
    "__REPLACE_ME__",
    "REPLACE_ME",
    "CHANGE_ME",
    "CHANGEME",
    "YOUR_API_KEY",
    "<api-key>",
    "<key>",
    "<your-api-key>",
    "${API_KEY}",
    "$API_KEY",
    "{{API_KEY}}",
    "my-test-key",
    "my-test-key-but-changeme",
    "correct horse battery staple",
];

/// How the hash of each begins, in order, and which of them it is. Computed when the first key is checked: some thousand hashes, of
/// which no more is kept than finds them.
static BEGINNINGS: LazyLock<Box<[(u32, usize)]>> = LazyLock::new(|| {
    let hashes = known().enumerate().map(|(nth, key)| (KeyHash::of(key.as_bytes()).beginning(), nth));
    let mut beginnings: Box<[_]> = hashes.collect();
    beginnings.sort_unstable();
    beginnings
});

/// The weak key that has this hash, if it is one.
pub(super) fn weak_key(hash: &KeyHash) -> Option<String> {
    let begins = hash.beginning();
    let first = BEGINNINGS.partition_point(|(known, _)| *known < begins);
    let alike = BEGINNINGS.iter().skip(first).take_while(|(known, _)| *known == begins);
    alike.filter_map(|(_, nth)| known().nth(*nth)).find(|key| KeyHash::of(key.as_bytes()) == *hash)
}

/// All of them.
fn known() -> impl Iterator<Item = String> {
    WEAK.iter().map(|key| (*key).to_owned()).chain(runs())
}

/// `1`, `12`, … `12345678901234567890…`, the same from 0, and each printable character up to 64 times.
fn runs() -> impl Iterator<Item = String> {
    let counted = |from: usize| {
        (1..=64).map(move |length| {
            (from..from + length).map(|n| char::from(b'0' + u8::try_from(n % 10).unwrap_or(0))).collect()
        })
    };
    let repeated = (b' '..=b'~').flat_map(|c| (1..=64).map(move |length| char::from(c).to_string().repeat(length)));
    counted(0).chain(counted(1)).chain(repeated)
}

/// Whether a hash was never computed: all its digits are alike, or count up.
pub(super) fn is_placeholder(hex: &str) -> bool {
    let bytes = hex.as_bytes();
    let steps = |step: u8| bytes.windows(2).all(|pair| matches!(pair, [a, b] if digit(*b) == (digit(*a) + step) % 16));
    bytes.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
        || steps(1)
        || bytes.chunks_exact(8).all(|chunk| Some(chunk) == bytes.get(..8))
}

fn digit(hex: u8) -> u8 {
    char::from(hex).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_keys_are_known_by_their_hash() {
        for key in [
            "",
            "changeme",
            "secret-api-key",
            "__REPLACE_ME__",
            "1234567890123456",
            "0123456789012345",
            "aaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(weak_key(&KeyHash::of(key.as_bytes())).as_deref(), Some(key));
        }
        assert_eq!(weak_key(&KeyHash::of(b"tg_8s7df6g8s7d6fg87sdf6g8s7df6g87sd")), None);
    }

    #[test]
    fn placeholders_are_no_hashes() {
        for hex in ["0".repeat(64), "f".repeat(64), "0123456789abcdef".repeat(4), "deadbeef".repeat(8)] {
            assert!(is_placeholder(&hex), "{hex}");
        }
        assert!(!is_placeholder("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    }
}
