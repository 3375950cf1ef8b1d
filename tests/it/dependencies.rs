//! What the program is made of is what `deny.toml` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    wildcards: String,
    deny: Vec<Named>,
    skip: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    allow_registry: Vec<String>,
}

fn rules() -> Rules {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[derive(Clone)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    /// Names and versions of what it asks for.
    asks_for: Vec<(String, String)>,
}

/// All packages of the graph, for the machine that the tests run on: those of other
/// systems need not be there.
fn packages(rules: &Rules) -> Vec<Package> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let target = rules.graph.targets.first().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--manifest-path", here, "--filter-platform", target])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_string);
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages: Vec<Package> = packages
        .map(|p| Package {
            name: text(&p["name"]).unwrap(),
            version: text(&p["version"]).unwrap(),
            license: text(&p["license"]),
            source: text(&p["source"]),
            asks_for: p["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| (text(&d["name"]).unwrap(), text(&d["req"]).unwrap()))
                .collect(),
        })
        .collect();
    assert!(packages.len() > 100, "{} packages", packages.len());
    packages
}

fn shown(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

#[test]
fn every_license_is_an_allowed_one() {
    let rules = rules();
    let wrong = packages(&rules).into_iter().filter(|package| {
        let license = package.license.as_deref();
        !license.is_some_and(|license| is_allowed(license, &rules.licenses.allow))
    });
    let wrong: Vec<String> = wrong
        .map(|p| format!("{}: {}", shown(&p), p.license.unwrap_or_default()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_banned_crate_is_in_it() {
    let rules = rules();
    let found = packages(&rules);
    for banned in &rules.bans.deny {
        let is_here = found.iter().any(|p| p.name == banned.name);
        assert!(!is_here, "{}: {}", banned.name, banned.reason);
    }
}

#[test]
fn no_crate_is_in_it_twice_but_for_those_with_a_reason() {
    let rules = rules();
    assert_eq!(rules.bans.multiple_versions, "deny");
    let found = packages(&rules);
    let skipped: BTreeSet<&str> = rules.bans.skip.iter().map(|s| s.name.as_str()).collect();
    assert!(rules.bans.skip.iter().all(|s| !s.reason.is_empty()));
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &found {
        if !skipped.contains(shown(package).as_str()) {
            versions
                .entry(&package.name)
                .or_default()
                .push(&package.version);
        }
    }
    versions.retain(|_, all| all.len() > 1);
    assert_eq!(versions, BTreeMap::new());
    // An entry that is of no use any more hides the next one.
    let unused = skipped.iter().filter(|skip| {
        let (name, _) = skip.split_once('@').expect("a skip names a version");
        let of_name: Vec<&Package> = found.iter().filter(|p| p.name == name).collect();
        of_name.len() < 2 || of_name.iter().all(|p| shown(p) != **skip)
    });
    assert_eq!(unused.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn whatever_is_asked_for_has_a_version() {
    let rules = rules();
    assert_eq!(rules.bans.wildcards, "deny");
    let found = packages(&rules);
    let ours = found.iter().filter(|p| p.source.is_none());
    let asked: Vec<&(String, String)> = ours.flat_map(|p| &p.asks_for).collect();
    assert!(asked.len() > 50, "{}", asked.len());
    let any: Vec<_> = asked.iter().filter(|(_, version)| version == "*").collect();
    assert!(any.is_empty(), "{any:?}");
}

#[test]
fn everything_comes_from_the_one_registry() {
    let rules = rules();
    let sources = &rules.sources;
    assert_eq!(
        (
            sources.unknown_registry.as_str(),
            sources.unknown_git.as_str()
        ),
        ("deny", "deny")
    );
    let found = packages(&rules);
    let ours: Vec<&Package> = found.iter().filter(|p| p.source.is_none()).collect();
    assert!(
        ours.iter().all(|p| p.name.starts_with("imgmake")),
        "{} packages have no source",
        ours.len()
    );
    for package in found.iter().filter(|p| p.source.is_some()) {
        let source = package.source.as_deref().unwrap();
        let registry = source.strip_prefix("registry+").unwrap_or(source);
        assert!(
            sources
                .allow_registry
                .iter()
                .any(|allowed| allowed == registry),
            "{} comes from {source}",
            shown(package)
        );
    }
}

/// A crate more is a crate to read, to compile and to trust. Whoever adds one says in the commit
/// what it replaces.
const MOST_CRATES: usize = 220;

#[test]
fn the_program_is_made_of_few_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{said}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    // `(*)` and `(proc-macro)` say more of a line, not of a crate.
    let crates: BTreeSet<Vec<&str>> = tree
        .lines()
        .map(|line| line.split(' ').take(2).collect())
        .collect();
    assert!(crates.len() > 50, "{said}{tree}");
    assert!(crates.len() <= MOST_CRATES, "{} crates", crates.len());
}

/// A dependency that no code names is compiled all the same, and counted above.
#[test]
fn every_dependency_is_used_by_the_package_that_names_it() {
    // Names in code that are not those of their packages.
    let renamed = BTreeMap::from([("md-5", "md5"), ("rustls-webpki", "webpki")]);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut packages = vec![root.to_path_buf()];
    let crates = std::fs::read_dir(root.join("crates")).unwrap();
    packages.extend(crates.map(|entry| entry.unwrap().path()));
    let workspace: toml::Table = parsed(&root.join("Cargo.toml"));
    let declared = workspace["workspace"]["dependencies"].as_table().unwrap();
    let mut named = BTreeSet::new();
    let mut unused = Vec::new();
    for package in packages {
        let manifest: toml::Table = parsed(&package.join("Cargo.toml"));
        let code: String = ["src", "tests", "benches"]
            .map(|folder| code_below(&package.join(folder)))
            .concat();
        let words: BTreeSet<&str> = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        for section in ["dependencies", "dev-dependencies"] {
            let of_section = manifest.get(section).and_then(|s| s.as_table());
            for name in of_section.into_iter().flat_map(|section| section.keys()) {
                named.insert(name.clone());
                let word = renamed
                    .get(name.as_str())
                    .map_or(name.replace('-', "_"), |w| w.to_string());
                // `std::time` and the like are not the crate: it is named from the root of a path.
                let is_used = words.contains(word.as_str())
                    && [
                        format!("{word}::"),
                        format!("use {word};"),
                        format!("use {word} as"),
                    ]
                    .iter()
                    .any(|form| {
                        code.match_indices(form.as_str()).any(|(at, _)| {
                            !code[..at].ends_with([':', '_'])
                                && !code[..at].ends_with(char::is_alphanumeric)
                        })
                    });
                if !is_used {
                    unused.push(format!("{}: {name}", package.display()));
                }
            }
        }
    }
    assert!(named.len() > 50, "{} dependencies", named.len());
    assert!(unused.is_empty(), "{}", unused.join("\n"));
    let of_nobody: Vec<&String> = declared
        .keys()
        .filter(|name| !named.contains(*name) && !name.starts_with("imgmake"))
        .collect();
    assert!(of_nobody.is_empty(), "{of_nobody:?}");
}

fn parsed(path: &std::path::Path) -> toml::Table {
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn code_below(directory: &std::path::Path) -> String {
    let mut code = String::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => code += &code_below(&path),
            Some(extension) if extension == "rs" => {
                code += &std::fs::read_to_string(&path).unwrap();
            }
            _ => {}
        }
    }
    code
}

/// SPDX expressions: `OR`, `AND`, `WITH`, parentheses; older crates write `/` for `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let result = either(&mut words, allowed);
    assert!(
        words.is_empty(),
        "{expression}: not understood from {words:?} on"
    );
    result
}

fn either(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut result = both(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        result |= both(words, allowed);
    }
    result
}

fn both(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut result = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        result &= one(words, allowed);
    }
    result
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let word = words.pop().expect("a license");
    if word == "(" {
        let result = either(words, allowed);
        assert_eq!(words.pop(), Some(")"));
        return result;
    }
    if words.last() == Some(&"WITH") {
        words.pop();
        let exception = words.pop().expect("an exception");
        return allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(word)
}

#[test]
fn license_expressions_are_understood() {
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(str::to_string).into();
    for (expression, is) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 OR MIT AND Zlib", false),
        ("MIT WITH X", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), is, "{expression}");
    }
}
