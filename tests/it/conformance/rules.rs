//! `tests/conformance/RULES.kdl`: what must hold, and what shows it. Everything named
//! there exists, every case stands there, and nothing that the parser knows is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use imgmake_dockerfile::lint::Rule;
use imgmake_dockerfile::{Dockerfile, INSTRUCTIONS};
use kdl::{KdlDocument, KdlNode};

use super::case::cases;

#[derive(Default)]
struct Table {
    /// Rules that the table names, each with whether anything shows it.
    rules: BTreeMap<String, bool>,
    cases: BTreeSet<String>,
    errors: BTreeSet<String>,
    /// File and function; a file alone counts whole.
    tests: Vec<(String, Option<String>)>,
}

fn arguments(node: &KdlNode) -> Vec<String> {
    let entries = node.entries().iter();
    let text = |e: &kdl::KdlEntry| e.value().as_string().unwrap().to_string();
    entries.map(text).collect()
}

fn children(node: &KdlNode) -> impl Iterator<Item = &KdlNode> {
    node.children().into_iter().flat_map(KdlDocument::nodes)
}

impl Table {
    fn read() -> Table {
        let text = fs::read_to_string(cases("conformance").join("RULES.kdl")).unwrap();
        let document = KdlDocument::parse_v2(&text).unwrap();
        let mut table = Table::default();
        for rule in document.nodes().iter().flat_map(children) {
            table.rule(rule);
        }
        table
    }

    fn rule(&mut self, rule: &KdlNode) {
        let name = arguments(rule).remove(0);
        let mut shown = false;
        for shows in children(rule) {
            let named = arguments(shows);
            shown |= !named.is_empty();
            match shows.name().value() {
                "cases" => self.cases.extend(named),
                "errors" => self.errors.extend(named),
                "test" => self.tests.push((named[0].clone(), named.get(1).cloned())),
                other => panic!("a rule knows no `{other}`"),
            }
        }
        let twice = self.rules.insert(name.clone(), shown);
        assert!(twice.is_none(), "the rule `{name}` stands twice");
    }

    fn has(&self, name: &str) -> bool {
        self.rules.contains_key(name)
    }
}

fn directories(kind: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(cases(kind)).unwrap().map(|e| e.unwrap());
    let directories = entries.filter(|e| e.path().is_dir());
    directories
        .map(|e| e.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_rule_is_shown_by_something_that_exists() {
    let table = Table::read();
    for (rule, shown) in &table.rules {
        assert!(shown, "nothing shows the rule `{rule}`");
    }
    for (file, function) in &table.tests {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        if let Some(function) = function {
            assert!(
                text.contains(&format!("fn {function}(")),
                "{file}: {function}"
            );
        }
    }
}

#[test]
fn every_case_shows_a_rule() {
    let table = Table::read();
    for (kind, named) in [
        ("conformance", &table.cases),
        ("conformance-errors", &table.errors),
    ] {
        let there = directories(kind);
        let unnamed: Vec<_> = there.difference(named).collect();
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(
            unnamed.is_empty() && missing.is_empty(),
            "{kind}: without a rule: {unnamed:?}; named and not there: {missing:?}"
        );
    }
}

/// What the parser says about a line after `FROM scratch`.
fn told(line: &str) -> String {
    let parsed = Dockerfile::parse(format!("FROM scratch\n{line}\n").as_bytes());
    parsed.map_or_else(|e| e.to_string(), |_| String::new())
}

/// The list behind some words of a message.
fn listed(message: &str, behind: &str) -> Vec<String> {
    let (_, list) = message.split_once(behind).unwrap_or_default();
    let list = list.split(')').next().unwrap_or_default();
    let words = list.split(", ").map(str::trim).filter(|w| !w.is_empty());
    words.map(str::to_string).collect()
}

#[test]
fn every_instruction_flag_option_and_check_has_a_rule() {
    let table = Table::read();
    let mut lacking = Vec::new();
    let mut wanted = |rule: String| {
        if !table.has(&rule) {
            lacking.push(rule);
        }
    };
    for instruction in INSTRUCTIONS {
        wanted(format!("instruction {instruction}"));
        let message = told(&format!("{instruction} --no-such-flag CMD a b"));
        for flag in listed(&message, "its flags are ") {
            wanted(format!("flag {instruction} {flag}"));
        }
    }
    for rule in Rule::ALL {
        wanted(format!("lint {}", rule.name()));
    }
    let message = told("RUN --mount=nosuchkey=1 a");
    let options = listed(&message, "the options are ");
    assert!(options.len() > 10, "{message}");
    let message = told("RUN --mount=type=nosuchtype a");
    for kind in listed(&message, "the types are ") {
        let means = |option: &&String| {
            let line = format!("RUN --mount=type={kind},target=/x,id=i,{option}=1 a");
            *option != "type" && !told(&line).contains("is not an option of type")
        };
        let named = |rule: &&String| rule.starts_with(&format!("mount {kind}: "));
        let told = table
            .rules
            .keys()
            .find(named)
            .expect("every type has a rule");
        let told: BTreeSet<&str> = told.split(' ').skip(2).collect();
        let meant: BTreeSet<&str> = options.iter().filter(means).map(String::as_str).collect();
        assert_eq!(told, meant, "mount type {kind}");
    }
    assert!(lacking.is_empty(), "without a rule: {lacking:#?}");
}
