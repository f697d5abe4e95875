//! The files that `listen.tls` names.

use std::fs;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::deployment::{deployment, file_of};
use super::lines;
use crate::clock;
use crate::config::{Kept, load};

/// A certificate that lasts from now until then, and its key.
fn pair(lasts: Duration) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = (clock::wall() - Duration::from_hours(24 * 60)).into();
    params.not_after = (clock::wall() + lasts).into();
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// What is told where these stand in the files.
fn told(certificate: &str, key: &str, client_ca: &str, kept: Kept) -> String {
    let folder = deployment("");
    let at = folder.path().display();
    let config = format!(
        "servers: {{ records: {{ url: http://a/mcp }} }}\nlisten:\n  tls:\n    certificate: tls.crt\n    key: file:{at}/tls.key\n    client_ca: ca.crt\n"
    );
    fs::write(folder.path().join("tollgate.yaml"), config).unwrap();
    for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", client_ca)] {
        if !text.is_empty() {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }
    let found = load(&file_of(folder.path()), kept).map_or_else(|found| found, |loaded| loaded.warnings);
    let all = lines(&found).replace(&format!("{at}/"), "");
    all.lines().filter(|line| !line.contains("never expires")).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_that_tls_cannot_be_served_with() {
    const DAY: Duration = Duration::from_hours(24);
    let (certificate, key) = pair(60 * DAY);
    let (_, other) = pair(60 * DAY);
    let (soon, its_key) = pair(5 * DAY + DAY / 2);
    let ca = authority();
    let rsa_with_password = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let rows = [
        ("all right", told(&certificate, &key, &ca, Kept::Here)),
        ("ends soon", told(&soon, &its_key, &ca, Kept::Here)),
        ("no file", told("", &key, &ca, Kept::Here)),
        ("no file, kept elsewhere", told("", &key, &ca, Kept::Elsewhere)),
        ("wrong file, kept elsewhere", told(&key, &key, &ca, Kept::Elsewhere)),
        ("of another key", told(&certificate, &other, &ca, Kept::Here)),
        ("swapped", told(&key, &certificate, &ca, Kept::Here)),
        ("key with a password", told(&certificate, rsa_with_password, &ca, Kept::Here)),
        ("key in pieces", told(&certificate, &key.replace("-----END", "----END"), &ca, Kept::Here)),
        ("no authority", told(&certificate, &key, "# to come\n", Kept::Here)),
    ];
    let rows: Vec<_> =
        rows.iter().map(|(what, said)| format!("{what}\n    {}", said.replace('\n', "\n    "))).collect();
    let shown = rows.join("\n");
    let secret = key.lines().nth(1).unwrap();
    assert!(secret.get(..8).is_some_and(|begin| !shown.contains(begin)), "no key is quoted");
    insta::assert_snapshot!(shown);
}
