//! What `decide` and `carry` share: a folder of policy files with one key, and the calls that are made with it.

use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;
use tollgate::identity::hash_entry;

/// The key that every bench shows. It opens nothing but folders made here.
pub(crate) const KEY: &str = "tollgate-bench-key-of-no-other-use";
/// What the server is called in them.
pub(crate) const SERVER: &str = "bench";

/// A deployment in a temporary folder, which goes when this is dropped.
pub(crate) struct Deployment {
    folder: TempDir,
}

impl Deployment {
    /// A deployment before the server at `url`. The key of [`KEY`] holds these roles; `policies` are file names and
    /// texts; `more_keys` follow it in the principals file.
    pub(crate) fn new(url: &str, roles: &str, policies: &[(String, String)], more_keys: &[String]) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        fs::create_dir(folder.path().join("policies"))?;
        write(
            "tollgate.yaml",
            &format!(
                "listen: {{ address: \"127.0.0.1:0\" }}\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
                 servers: {{ {SERVER}: {{ url: \"{url}\" }} }}\npolicies: policies/\n"
            ),
        )?;
        let keys = std::iter::once(key_entry("bench", KEY, roles)).chain(more_keys.iter().cloned());
        write("policies/principals.yaml", &format!("keys:\n{}", keys.collect::<String>()))?;
        for (name, text) in policies {
            write(&format!("policies/{name}"), text)?;
        }
        Ok(Self { folder })
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("tollgate.yaml")
    }
}

/// One line of a principals file.
pub(crate) fn key_entry(id: &str, key: &str, roles: &str) -> String {
    let hash = hash_entry(key);
    format!("  - {{ id: {id}, hash: \"{hash}\", roles: [{roles}] }}\n")
}

/// A call of a tool, as clients of the revision of 2025-11-25 send it.
pub(crate) fn tools_call(tool: &str, arguments: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#)
}

/// Whether it should only be seen that the bench runs: cargo says `--bench` when figures are wanted, and the caller
/// may say `--test` beside it.
pub(crate) fn is_smoke_test() -> bool {
    let said = |word: &str| std::env::args().any(|arg| arg == word);
    said("--test") || !said("--bench")
}
