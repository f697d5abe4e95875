//! The house keeps its shape: a module uses only modules listed before it, and some words stay in their rooms.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules, from the ground up: the order of `mod` lines in `src/lib.rs`.
fn floors() -> Vec<String> {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.split(';').next()?.to_owned());
    map.lines().filter_map(name).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, as a path below `src/`, with its text.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&src).unwrap().to_string_lossy().into_owned(), text)
    };
    found.into_iter().map(named).collect()
}

/// The floor that a file stands on: its first folder, or its own name.
fn floor(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The lines of a file that are code, numbered from 1, up to its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.split("#[cfg(test)]\nmod ")
        .next()
        .unwrap()
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(move |(_, line)| is_code(line))
}

fn hold(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn a_module_uses_only_modules_listed_before_it() {
    let floors = floors();
    let height = |name: &str| floors.iter().position(|floor| floor == name);
    let mut problems = Vec::new();
    for (file, text) in sources() {
        let Some(here) = height(floor(&file)) else {
            continue;
        };
        for (line, code) in code(&text) {
            for used in code.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                match height(&used) {
                    Some(there) if there > here => problems.push(format!(
                        "src/{file}:{line} uses `{used}`, which stands above it; pass the value in, or move the type down"
                    )),
                    Some(_) => {}
                    None => problems.push(format!("src/{file}:{line} uses `crate::{used}`, which src/lib.rs does not list")),
                }
            }
        }
    }
    assert!(floors.len() > 10, "src/lib.rs lists the modules as `pub mod name;`");
    hold(&problems);
}

/// The floors that do no IO.
fn no_io(file: &str) -> bool {
    matches!(floor(file), "json" | "jsonrpc" | "sse" | "mcp" | "sql" | "policy")
}

#[test]
fn words_stay_in_their_rooms() {
    type Rule = (&'static str, fn(&str) -> bool, &'static str);
    let rules: &[Rule] = &[
        ("tokio", |file| !no_io(file), "words and policy do no IO"),
        ("hyper", |file| !no_io(file), "words and policy do no IO"),
        ("std::fs", |file| !no_io(file), "words and policy do no IO"),
        ("std::env", |file| !no_io(file), "words and policy do no IO"),
        ("crate::clock", |file| !no_io(file), "a decision does not depend on when it is asked for"),
        ("opentelemetry", |file| floor(file) == "telemetry", "steps leave facts; telemetry reads them"),
        (
            "StatusCode",
            |file| {
                matches!(file, "proxy/respond/mod.rs" | "proxy/respond/server.rs" | "upstream/http.rs")
                    || floor(file) == "admin"
                    || floor(file) == "cli"
            },
            "status codes are chosen in proxy/respond/",
        ),
        (
            "supposed",
            |file| matches!(floor(file), "identity" | "trial" | "cli"),
            "who asks the gate has proved it; only questions suppose",
        ),
        ("extensions_mut", |_| false, "nothing travels in extensions: pass it"),
    ];
    let mut problems = Vec::new();
    for (file, text) in sources() {
        for (line, code) in code(&text) {
            for (word, may, why) in rules {
                if code.contains(word) && !may(&file) {
                    problems.push(format!("src/{file}:{line} says `{word}`: {why}"));
                }
            }
        }
    }
    hold(&problems);
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut problems = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//!") {
            problems.push(format!("src/{file} does not begin with a line `//!` that says what it is"));
        }
        let lines = text.lines().count();
        if lines > 500 {
            problems.push(format!("src/{file} has {lines} lines; split it by what it knows"));
        }
    }
    hold(&problems);
}
