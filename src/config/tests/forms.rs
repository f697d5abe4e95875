//! The forms that editors are told accept what is right, refuse what has another shape, and are the committed ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use super::{HASH, broken_files};
use crate::config::yaml::Document;
use crate::config::{ConfigSource, form};
use crate::diagnostic::{Code, Severity};
use crate::federation::{VIEWS_KEYS, ViewsSource};
use crate::identity::{PRINCIPALS_KEYS, PrincipalsSource};
use crate::policy::{KillsSource, POLICY_KEYS, PolicySource};
use crate::trial::CasesSource;

/// What a file of another shape is told.
const SHAPE: &[Code] = &[
    Code::UnknownKey,
    Code::WrongType,
    Code::MissingKey,
    Code::UnknownKeyword,
    Code::UnknownMode,
    Code::UnknownScope,
    Code::UnknownQuestion,
    Code::EmptyList,
    Code::InvalidDuration,
    Code::InvalidKeyHash,
    Code::UngrantableMethod,
];

/// Mistakes under one of these codes that no form shows.
const UNSHOWN: &[&str] = &[
    "cache-for-too-long",
    "limit-of-server-per-tool", // a form does not know where a limit stands
    "mode-enforce-in-shadow",   // each of the two is right by itself
    "octal-number",             // 10 to YAML 1.2
    "period-too-long",          // spans of time are not compared
    "principals-issuer-leeway-too-long",
    "timeout-too-long",
    "timeout-zero",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The forms by the names of their files.
fn forms() -> [(&'static str, Value); 6] {
    [
        ("policy", form::<PolicySource>()),
        ("principals", form::<PrincipalsSource>()),
        ("views", form::<ViewsSource>()),
        ("config", form::<ConfigSource>()),
        ("test", form::<CasesSource>()),
        ("kills", form::<KillsSource>()),
    ]
}

/// The form of this name, for use.
fn validator(name: &str) -> Validator {
    let forms = forms();
    let (_, form) = forms.iter().find(|(known, _)| *known == name).unwrap();
    jsonschema::draft202012::meta::validate(form).unwrap();
    jsonschema::draft202012::new(form).unwrap()
}

/// A file by itself, and the name of its form; `None` if it cannot be read as anything.
fn read(bytes: &[u8]) -> Option<(&'static str, Value)> {
    let document = Document::new("file.yaml", bytes).ok()?;
    let has = |known: &[&str]| document.keys().iter().any(|(key, _)| known.contains(&key.as_str()));
    let form = match (has(&["cases"]), has(POLICY_KEYS), has(PRINCIPALS_KEYS)) {
        _ if has(&["kills"]) => "kills",
        _ if has(VIEWS_KEYS) => "views",
        (true, _, _) => "test",
        (_, true, false) => "policy",
        (_, false, true) => "principals",
        _ => "config",
    };
    Some((form, document.read().ok()?))
}

/// Why the form refuses it.
fn refused(form: &str, value: &Value) -> Vec<String> {
    validator(form).iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_committed_forms_are_those_of_the_program() {
    for (name, form) in forms() {
        let file = format!("policies/schema/{name}.schema.json");
        let committed = fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert!(
            committed.parse::<Value>().is_ok_and(|committed| committed == form),
            "{file} is not what reads the file; to refresh it: cargo run -- schema {name} > {file}"
        );
    }
}

#[test]
fn every_key_is_described() {
    for (name, form) in forms() {
        let named = form["$defs"].as_object().unwrap().iter().filter(|(name, _)| *name != "Condition");
        for object in named.map(|(_, object)| object).chain([&form]) {
            for (key, value) in object["properties"].as_object().into_iter().flatten() {
                let told = value["description"].as_str().unwrap_or_default();
                assert!(
                    told.len() > 10 && !told.contains('\n'),
                    "{name}: {key} is not described in one line: {told:?}"
                );
            }
        }
    }
}

#[test]
fn broken_files_are_refused_where_they_have_another_shape_and_odd_ones_are_accepted() {
    let (mut refusals, mut accepted, mut unshown) = (0, 0, Vec::new());
    for (name, bytes) in broken_files::broken() {
        let Some((form, value)) = read(&bytes).filter(|_| !name.starts_with("lock-")) else {
            continue;
        };
        let refused = refused(form, &value);
        let found = broken_files::found(&name, &bytes);
        if found.iter().all(|problem| problem.severity == Severity::Warning) {
            assert!(refused.is_empty(), "{name} is only odd, but {refused:?}");
            accepted += 1;
        } else if found.iter().any(|problem| SHAPE.contains(&problem.code)) {
            refusals += 1;
            unshown.extend(refused.is_empty().then_some(name));
        }
    }
    assert_eq!(unshown, UNSHOWN);
    assert!(refusals > 30 && accepted > 15, "{refusals} of another shape, {accepted} accepted");
}

#[test]
fn shipped_files_and_the_examples_of_the_documents_are_accepted() {
    let told: Vec<_> =
        ["README.md", "policies/README.md", "policies/REVIEW.md"].into_iter().flat_map(examples).collect();
    let mut forms: BTreeSet<_> = forms().iter().map(|(name, _)| *name).collect();
    for (name, text) in told.into_iter().chain(shipped(&root().join("policies"))) {
        let (form, value) = read(text.as_bytes()).unwrap();
        assert_eq!(refused(form, &value), [""; 0], "{name}");
        forms.remove(form);
    }
    assert!(forms.is_empty(), "nothing shows {forms:?}");
}

/// The files that a document shows.
fn examples(document: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(document)).unwrap().replace("sha256:…", HASH);
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let ours = blocks.filter(|text| !text.contains("\njobs:\n") && !text.contains("yaml.schemas"));
    ours.map(|text| (format!("{document}: {text}"), text)).collect()
}

/// Every policy file below a folder, and its text.
fn shipped(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(shipped(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    files
}
