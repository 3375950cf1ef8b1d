//! The table of crates and modules in the book, made from the code.

use std::collections::BTreeSet;

use super::source::{self, Source, root};
use crate::ground::expected::assert_part;

const PAGE: &str = "book/src/architecture.md";
const START: &str =
    "<!-- The table is made from the code: UPDATE=1 cargo test --test it tidy:: -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// The crates of ours that a package is built with, as its `Cargo.toml` names them.
pub fn dependencies(package: &str) -> BTreeSet<String> {
    let path = match package {
        "imgmake" => root().join("Cargo.toml"),
        _ => root().join("crates").join(package).join("Cargo.toml"),
    };
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    dependencies
        .keys()
        .filter(|name| name.starts_with("imgmake-"))
        .cloned()
        .collect()
}

#[test]
fn the_books_table_is_what_the_code_says() {
    assert_part(PAGE, START, END, &table());
}

fn table() -> String {
    let by_package = super::modules_by_package(source::sources());
    let mut table = String::from("\n| crate | module | what it holds |\n|---|---|---|\n");
    for (package, _) in super::CRATES {
        let known: Vec<String> = dependencies(package)
            .iter()
            .map(|name| name.trim_start_matches("imgmake-").to_string())
            .collect();
        let known = match known.as_slice() {
            [] => "depends on none of ours".to_string(),
            known => format!("depends on {}", known.join(", ")),
        };
        let modules = &by_package[package];
        let face = modules.iter().find(|s| s.module.is_empty()).unwrap();
        table.push_str(&format!(
            "| `{package}` | | **{}** {known} |\n",
            summary(face)
        ));
        for module in modules.iter().filter(|s| !s.module.is_empty()) {
            let name = module.module.join("/");
            table.push_str(&format!("| | `{name}` | {} |\n", summary(module)));
        }
    }
    table + "\n"
}

/// The first sentence of a module's header.
fn summary(source: &Source) -> String {
    let mut sentence = String::new();
    for line in source.text.lines() {
        let Some(text) = line.strip_prefix("//!") else {
            break;
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with("```") {
            break;
        }
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(text);
    }
    let end = sentence.find(". ").map_or(sentence.len(), |at| at + 1);
    sentence[..end].replace('|', "\\|")
}

/// Pages that send readers to files of this repository.
const GUIDES: [&str; 4] = [
    "CONTRIBUTING.md",
    "README.md",
    "book/src/architecture.md",
    "book/src/recipes.md",
];

#[test]
fn files_that_the_guides_name_are_there() {
    let mut named = 0;
    let mut gone = Vec::new();
    for guide in GUIDES {
        let text = std::fs::read_to_string(root().join(guide)).unwrap();
        for span in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "tests/", "benches/", "fuzz/", "examples/"];
            if is_path.iter().any(|start| span.starts_with(start)) && !span.contains([' ', 'N']) {
                named += 1;
                if !root().join(span).exists() {
                    gone.push(format!("{guide}: `{span}`"));
                }
            }
        }
    }
    assert!(named > 20, "{named} files are named");
    assert!(gone.is_empty(), "{}", gone.join("\n"));
}
