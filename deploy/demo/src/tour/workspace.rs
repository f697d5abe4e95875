//! The gate's files, in a temporary folder: the policy that the repository ships, and two keys that nobody had before.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const POLICY: &str = include_str!("../../../../policies/records.yaml");

#[derive(Debug)]
pub(super) struct Workspace {
    folder: TempDir,
    analyst: String,
    oncall: String,
}

impl Workspace {
    pub(super) fn make(listen: SocketAddr, server_url: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tollgate-demo-").tempdir()?;
        let (analyst, oncall) = (key("analyst"), key("oncall"));
        let policies = folder.path().join("policies");
        fs::create_dir(&policies)?;
        fs::write(policies.join("records.yaml"), POLICY)?;
        fs::write(policies.join("principals.yaml"), principals(&analyst, &oncall))?;
        fs::write(folder.path().join("tollgate.yaml"), config(listen, server_url))?;
        Ok(Self { folder, analyst, oncall })
    }

    /// A key with the role `reader`.
    pub(super) fn analyst(&self) -> &str {
        &self.analyst
    }

    /// A key with the role `operator`.
    pub(super) fn oncall(&self) -> &str {
        &self.oncall
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("tollgate.yaml")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// 32 letters and digits: 190 bits.
fn key(holder: &str) -> String {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
    format!("demo-{holder}-{random}")
}

fn principals(analyst: &str, oncall: &str) -> String {
    let hash = |key: &str| {
        let bytes = Sha256::digest(key);
        bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    };
    format!(
        "# Made for this run of the demo; the keys themselves are printed once, after the tour.\n\
         keys:\n  \
           - {{ id: analyst, hash: \"sha256:{}\", roles: [reader] }}\n  \
           - {{ id: oncall, hash: \"sha256:{}\", roles: [operator] }}\n",
        hash(analyst),
        hash(oncall),
    )
}

fn config(listen: SocketAddr, server_url: &str) -> String {
    format!(
        "listen: {{ address: \"{listen}\" }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n\
         servers:\n  records: {{ url: \"{server_url}\" }}\n\
         policies: policies/\n\
         drain_timeout: 2s\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_listed_by_its_hash_only() {
        let listed = principals("abc", "another");
        assert!(!listed.contains("abc"));
        assert!(listed.contains("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert_ne!(key("x"), key("x"));
    }
}
