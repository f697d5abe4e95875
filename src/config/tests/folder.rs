//! Policy folders on disk.

use std::fs;
use std::path::Path;

use super::{HASH, lines, now, told};
use crate::config::{Folder, Policies, Reach};
use crate::diagnostic::Diagnostics;

fn compile(path: &Path) -> Result<Policies, Diagnostics> {
    let folder = Folder::read(path);
    let servers = folder.servers();
    folder.compile(&servers, Reach::Loopback, now())
}

fn good(path: &Path) {
    let keys = format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [reader], expires: 2027-06-01 }}]\n");
    fs::write(path.join("principals.yaml"), keys).unwrap();
    fs::write(path.join("records.yml"), "server: records\nroles: { reader: { tools: [a] } }\n").unwrap();
}

#[test]
fn only_policy_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path());
    let before = compile(folder.path()).unwrap();
    for other in ["records.test.yaml", ".hidden.yaml", "README.md", "records.yaml~", "x.yaml.bak", ".yaml"] {
        fs::write(folder.path().join(other), "neither: this\n").unwrap();
    }
    fs::create_dir(folder.path().join("..2026_11_21")).unwrap();
    let after = compile(folder.path()).unwrap();
    assert_eq!(before.policy.digest(), after.policy.digest());
    assert_eq!(before.policy.digest().len(), 12);
    assert!(after.warnings.is_empty());
}

#[test]
fn the_digest_is_of_names_and_bytes() {
    let digests: Vec<_> = [("a.yaml", ""), ("b.yaml", ""), ("a.yaml", "# comment\n")]
        .into_iter()
        .map(|(name, comment)| {
            let folder = tempfile::tempdir().unwrap();
            good(folder.path());
            fs::write(folder.path().join(name), format!("{comment}allowed_tools: [b]\n")).unwrap();
            compile(folder.path()).unwrap().policy.digest().to_string()
        })
        .collect();
    assert!(digests[0] != digests[1] && digests[0] != digests[2] && digests[1] != digests[2]);
}

#[cfg(unix)]
#[test]
fn a_mounted_configmap_is_read_through_its_links() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("..2026_11_21");
    fs::create_dir(&data).unwrap();
    good(&data);
    symlink("..2026_11_21", folder.path().join("..data")).unwrap();
    for file in ["principals.yaml", "records.yml"] {
        symlink(Path::new("..data").join(file), folder.path().join(file)).unwrap();
    }
    assert_eq!(told(compile(folder.path())), "fits");
}

#[cfg(unix)]
#[test]
fn nothing_is_shown_of_a_file_that_a_link_leads_to_out_of_the_folder() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    good(folder.path());
    let secret = elsewhere.path().join("environ");
    fs::write(&secret, "TOKEN=hunter2\0HOME=/root\0").unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("x.yaml")).unwrap();
    let told = told(compile(folder.path()));
    assert!(told.contains("x.yaml this link leads out of the folder") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |result: Result<Policies, Diagnostics>| {
        lines(&result.unwrap_err()).replace(&folder.path().display().to_string(), "POLICIES")
    };
    insta::assert_snapshot!(told(compile(&folder.path().join("none"))), @"POLICIES/none cannot be read: No such file or directory (os error 2) | this is the policy folder; `--policies DIR` or `policies:` in tollgate.yaml names it");
    insta::assert_snapshot!(told(compile(folder.path())), @"POLICIES there is no policy file in this folder | policy files end in .yaml; `tollgate init --server URL` writes a first one");
    good(folder.path());
    fs::create_dir(folder.path().join("x.yaml")).unwrap();
    fs::write(folder.path().join("large.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    insta::assert_snapshot!(told(compile(folder.path())), @"POLICIES/x.yaml cannot be read: not a regular file");
}
