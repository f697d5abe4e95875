//! The callers of the test world and their API keys. The policy files get only hashes.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub(crate) const ALICE: &str = "alice-9f2Kq7LmZx4TbW8sVd3HyRn6";
pub(crate) const BOB: &str = "bob-5Jc1QeGu0PwXk7NtYh2BvMz9Lr";
/// Was alice's until it was taken out of the policy.
pub(crate) const REVOKED: &str = "revoked-3Df8UoKi6AsZn1XqCe4Wb7";
/// Still listed, long past its date.
pub(crate) const EXPIRED: &str = "expired-8Ty2PlMj5RvGh0QwSx9Dk4";

/// Every secret of the test world: none of them may be seen behind the gate or in what it writes.
pub(crate) const ALL: [&str; 4] = [ALICE, BOB, REVOKED, EXPIRED];

/// The hash as a policy file spells it: `sha256:<64 hex digits>`.
pub(crate) fn hash(key: &str) -> String {
    format!("sha256:{}", sha256_hex(key))
}

pub(crate) fn sha256_hex(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes what is written to it");
        hex
    })
}
