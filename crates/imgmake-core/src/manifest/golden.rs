//! Whole messages: `tests/data/manifest/*.kdl` beside what a person sees, `*.stderr`.
//! `UPDATE=1 cargo test golden` rewrites them; a new `.kdl` file is a new test.

use std::path::Path;

use super::facts::Facts;

use super::{load, render};
use crate::graph::Graph;

/// Errors and warnings of loading, then of the graph. An empty text means that all is well.
fn messages(text: &str) -> String {
    let mut facts = Facts::default();
    facts
        .environment
        .insert("HOME".to_string(), "/home/user".to_string());
    facts.git.insert("short".to_string(), "abc1234".to_string());
    let read = |path: &str| match path {
        "good.env" => Ok("TOKEN=abc\nTAG=from-file\n".to_string()),
        "bad.env" => Ok("TOKEN=abc\nnot a pair\n".to_string()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let found = match load("imgmake.kdl", text, &facts, &read) {
        Ok((manifest, warnings)) => match Graph::new(manifest) {
            Ok(_) => warnings,
            Err(errors) => errors,
        },
        Err(errors) => errors,
    };
    render(&found, "imgmake.kdl", text, false, 100)
}

#[test]
fn golden_messages() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifest");
    let mut different = String::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        let shown = messages(&std::fs::read_to_string(&path).unwrap());
        let golden = path.with_extension("stderr");
        if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
            std::fs::write(&golden, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            different += &format!("{}:\n{shown}\n", path.display());
        }
    }
    assert!(
        different.is_empty(),
        "other messages than recorded:\n{different}"
    );
}
