//! Whom certificates name.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::{Certificate, Names};
use crate::clock;

/// The certificate for these URIs, hosts and mailboxes, with this key usage.
fn certificate(names: &[&str], usages: &[KeyUsagePurpose], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| {
            let text = (*name).try_into().unwrap();
            match name {
                uri if uri.contains(':') => SanType::URI(text),
                email if email.contains('@') => SanType::Rfc822Name(text),
                _ => SanType::DnsName(text),
            }
        })
        .collect();
    params.key_usages = usages.to_vec();
    params.distinguished_name.push(rcgen::DnType::CommonName, "spiffe://example.org/admin");
    change(&mut params);
    Certificate::read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

#[test]
fn a_workload_is_whom_one_sound_spiffe_id_names() {
    const SIGNS: &[KeyUsagePurpose] = &[KeyUsagePurpose::DigitalSignature];
    let id = "spiffe://example.org/ns/prod/sa/billing";
    let sound = certificate(&[id, "billing.prod.svc"], SIGNS, |_| {});
    assert!(matches!(sound.names(), Names::Workload(workload) if workload.as_str() == id));
    let unsound = [
        (
            certificate(&[id, "spiffe://example.org/other"], SIGNS, |_| {}),
            "it has a SPIFFE id, and another URI beside it",
        ),
        (certificate(&[id, "https://example.org"], SIGNS, |_| {}), "it has a SPIFFE id, and another URI beside it"),
        (certificate(&["spiffe://example.org"], SIGNS, |_| {}), "its SPIFFE id is not one of a workload"),
        (certificate(&["SPIFFE://example.org/a"], SIGNS, |_| {}), "its SPIFFE id is not one of a workload"),
        (certificate(&["spiffe://example.org/a/../b"], SIGNS, |_| {}), "its SPIFFE id is not one of a workload"),
        (certificate(&[id], &[], |_| {}), "its key usage does not say digitalSignature"),
        (
            certificate(&[id], &[KeyUsagePurpose::KeyEncipherment], |_| {}),
            "its key usage does not say digitalSignature",
        ),
        (
            certificate(&[id], &[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign], |_| {}),
            "its key may sign other certificates",
        ),
        (
            certificate(&[id], &[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign], |_| {}),
            "its key may sign other certificates",
        ),
        (
            certificate(&[id], SIGNS, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "it is one that signs others",
        ),
    ];
    for (certificate, why) in &unsound {
        assert_eq!(*certificate.names(), Names::Unsound(why));
    }
}

#[test]
fn other_names_are_told_by_their_kind_and_the_common_name_is_none() {
    let plain = certificate(&["Build.Example.com", "ops@example.com", "https://example.com/a"], &[], |_| {});
    let Names::Plain { uris, hosts, emails } = plain.names() else { panic!("{plain:?}") };
    assert_eq!(
        (uris.as_slice(), hosts.as_slice(), emails.as_slice()),
        (
            &["https://example.com/a".to_owned()][..],
            &["build.example.com".to_owned()][..],
            &["ops@example.com".to_owned()][..],
        )
    );
    let nothing = certificate(&[], &[], |_| {});
    assert_eq!(*nothing.names(), Names::Plain { uris: vec![], hosts: vec![], emails: vec![] });
}

#[test]
fn soon_is_relative_to_a_whole_life() {
    const HOUR: Duration = Duration::from_hours(1);
    let now = clock::wall();
    let lasting = |life: u32, left: u32| {
        certificate(&["a"], &[], |params| {
            params.not_before = (now + left * HOUR - life * HOUR).into();
            params.not_after = (now + left * HOUR).into();
        })
    };
    for (life, left, soon) in
        [(365 * 24, 15 * 24, false), (365 * 24, 13 * 24, true), (1, 1, false), (24, 9, false), (24, 7, true)]
    {
        assert_eq!(lasting(life, left).ends_soon(now), soon, "{left} of {life} hours");
    }
}
