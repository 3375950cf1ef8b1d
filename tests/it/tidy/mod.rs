//! The architecture holds: which crate may know which, no cycles of files, and where effects are.

mod error_texts;
mod fingerprints;
mod imports;
mod map;
pub mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graphmap::DiGraphMap;

use imports::{Crate, Import};
use source::{Source, root, sources};

/// Every crate and the crates of ours that it may depend on: a new edge needs a reason, and never a
/// cycle. The compiler holds the rest.
const CRATES: [(&str, &[&str]); 13] = [
    ("imgmake-event", &[]),
    ("imgmake-guard", &["event"]),
    ("imgmake-oci", &["event", "guard"]),
    ("imgmake-dockerfile", &["guard"]),
    ("imgmake-sandbox", &["guard"]),
    ("imgmake-registry", &["event", "guard", "oci"]),
    ("imgmake-registry-testkit", &["oci"]),
    ("imgmake-git", &["event", "guard", "registry"]),
    ("imgmake-core", &["event", "guard", "oci"]),
    (
        "imgmake-build",
        &[
            "event",
            "guard",
            "oci",
            "dockerfile",
            "sandbox",
            "registry",
            "git",
            "core",
        ],
    ),
    ("imgmake-scan", &["event", "guard", "oci"]),
    ("imgmake-compat", &["core", "guard"]),
    (
        "imgmake",
        &[
            "event",
            "guard",
            "oci",
            "dockerfile",
            "sandbox",
            "registry",
            "git",
            "core",
            "build",
            "scan",
            "compat",
        ],
    ),
];

/// What runs in helper processes: their standard input is a socket or a pipe to the run.
const HELPERS: [&str; 3] = [
    "crates/imgmake-build/src/run/worker/helper.rs",
    "crates/imgmake-sandbox/src/child.rs",
    "src/targets/watchdog.rs",
];

#[test]
fn a_crate_depends_on_those_that_it_may_know_and_on_no_others() {
    let named: BTreeSet<String> = source::packages().into_keys().collect();
    let listed: BTreeSet<String> = CRATES.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(named, listed, "the crates on disk and in this table");
    for (package, allowed) in CRATES {
        let expected: BTreeSet<String> = allowed.iter().map(|c| format!("imgmake-{c}")).collect();
        assert_eq!(map::dependencies(package), expected, "{package}");
    }
}

/// Files that still import each other in a circle, by package. It only shrinks: whoever unties some
/// writes the new number, and the row goes with the last.
const IN_CYCLES: [(&str, usize); 0] = [];

#[test]
fn files_of_a_crate_import_each_other_in_one_direction() {
    let mut wrong = Vec::new();
    for package in source::packages().keys() {
        let files = Crate::new(sources().iter().filter(|s| s.package == *package));
        let cycles = cycles_of(&files.imports());
        let found: usize = cycles.iter().map(|cycle| cycle.members).sum();
        let known = IN_CYCLES.iter().find(|(name, _)| name == package);
        let known = known.map_or(0, |(_, files)| *files);
        if found != known {
            let lines: Vec<&str> = cycles.iter().map(|cycle| cycle.lines.as_str()).collect();
            wrong.push(format!(
                "{package}: {found} files in cycles, {known} in the table of this test\n{}",
                lines.join("\n\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Modules that still need each other in a circle, by package: whoever unties some writes the new
/// number, and the row goes with the last.
const MODULES_IN_CYCLES: [(&str, usize); 0] = [];

/// Folders too: a folder counts with all that is in it, beside its neighbors in the same folder.
#[test]
fn modules_of_a_crate_need_each_other_in_one_direction() {
    let mut wrong = Vec::new();
    for package in source::packages().keys() {
        let of_package: Vec<&Source> = sources().iter().filter(|s| s.package == *package).collect();
        let imports = Crate::new(of_package.iter().copied()).imports();
        let cycles = cycles_of_modules(&of_package, &imports);
        let found: usize = cycles.iter().map(|cycle| cycle.members).sum();
        let known = MODULES_IN_CYCLES.iter().find(|(name, _)| name == package);
        let known = known.map_or(0, |(_, modules)| *modules);
        if found != known {
            let lines: Vec<&str> = cycles.iter().map(|cycle| cycle.lines.as_str()).collect();
            wrong.push(format!(
                "{package}: {found} modules in cycles, {known} in the table of this test\n{}",
                lines.join("\n\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Folder by folder: which of its modules need each other in a circle.
fn cycles_of_modules(sources: &[&Source], imports: &[Import]) -> Vec<Cycle> {
    let by_path: BTreeMap<&str, &[String]> = sources
        .iter()
        .map(|s| (s.path.as_str(), s.module.as_slice()))
        .collect();
    let mut between: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for import in imports {
        let (from, to) = (by_path[import.from.as_str()], by_path[import.to.as_str()]);
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        // The face of a folder and what is in it are files: the other test has them.
        if from.len() > common && to.len() > common {
            let module = |path: &[String]| path[..=common].join("::");
            let names = between.entry((module(from), module(to))).or_default();
            names.extend(import.names.iter().cloned());
        }
    }
    let edges: Vec<Import> = between
        .into_iter()
        .map(|((from, to), names)| Import { from, to, names })
        .collect();
    cycles_of(&edges)
}

struct Cycle {
    /// How many files or modules are in it.
    members: usize,
    /// Its imports, one each.
    lines: String,
}

fn cycles_of(imports: &[Import]) -> Vec<Cycle> {
    let graph = DiGraphMap::<&str, ()>::from_edges(
        imports.iter().map(|i| (i.from.as_str(), i.to.as_str())),
    );
    let mut cycles = Vec::new();
    for files in petgraph::algo::tarjan_scc(&graph) {
        if files.len() == 1 {
            continue;
        }
        let inside = imports
            .iter()
            .filter(|i| files.contains(&i.from.as_str()) && files.contains(&i.to.as_str()));
        let lines: Vec<String> = inside
            .map(|i| {
                let names: Vec<&str> = i.names.iter().map(String::as_str).collect();
                format!("  {} -> {}: {}", i.from, i.to, names.join(", "))
            })
            .collect();
        cycles.push(Cycle {
            members: files.len(),
            lines: lines.join("\n"),
        });
    }
    cycles
}

#[test]
fn only_the_program_reads_the_environment_and_asks_for_terminals() {
    let effects = ["env::var", "env::vars", "is_terminal(", "io::stdin("];
    let wiring = |s: &Source| s.package == "imgmake" && matches!(s.first_module(), "cli" | "main");
    assert_nowhere(&effects, |s| {
        !wiring(s) && !HELPERS.contains(&s.path.as_str())
    });
}

/// `run` targets are the user's own commands; everything else that is started goes
/// through `program`.
const USERS_COMMANDS: &str = "src/targets/command.rs";

#[test]
fn only_program_starts_programs() {
    assert_nowhere(&["Command::new(", ".current_dir("], |source| {
        source.first_module() != "program" && source.path != USERS_COMMANDS
    });
}

/// Where images get published: the only file outside of the registry's crate that may name what a
/// push of an image is.
const PUBLISH: &str = "src/targets/publish.rs";
/// Where an image is cleared for it.
const CLEARED: &str = "src/targets/cleared.rs";

/// A push of an image needs a `PushJob`, which `publish` makes of a `Cleared`, whose fields only
/// `cleared.rs` can set. Caches are written by `push_cache`, whose tags are none of images.
#[test]
fn nothing_is_published_that_its_gate_did_not_pass() {
    let of_registry = |source: &Source| source.package == "imgmake-registry";
    assert_nowhere(&["PushJob", "PushPhase"], |source| {
        !of_registry(source) && source.path != PUBLISH
    });
    // `Cleared` and `Passed` have private fields; a record becomes a `Passed` in one place.
    assert_nowhere(&["from_recorded_outcome"], |source| {
        source.path != "crates/imgmake-scan/src/gate.rs" && source.path != CLEARED
    });
    let file = |path: &str| sources().iter().find(|s| s.path == path).unwrap().code();
    let publish = file(PUBLISH);
    assert_eq!(publish.matches("pub fn ").count(), 1, "{PUBLISH}");
    assert!(publish.contains("images: &[Cleared],"), "{PUBLISH}");
    let passed = file("crates/imgmake-scan/src/gate.rs");
    assert!(passed.contains("pub struct Passed {\n    digest: Digest,\n}"));
    let cleared = file(CLEARED);
    assert!(cleared.contains("pub struct Cleared {\n    root: Descriptor,"));
    // What was attested before is found, with all that is demanded of it, in one place.
    let attested = file("src/targets/attested.rs");
    assert!(attested.contains("pub struct Attested {\n    root: Digest,\n}"));
    assert_eq!(attested.matches("Ok(Attested {").count(), 1);
    // What writes manifests and blobs to a registry at all, and who asks for a token that way.
    let writers = ["push.rs", "referrers.rs", "upload.rs", "cloud/keys.rs"];
    let writers = writers.map(|name| format!("crates/imgmake-registry/src/{name}"));
    assert_nowhere(&["Method::PUT"], |source| {
        of_registry(source) && !writers.contains(&source.path)
    });
}

fn assert_nowhere(calls: &[&str], within: impl Fn(&Source) -> bool) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| within(source)) {
        let code = source.code();
        let found = calls.iter().filter(|call| code.contains(**call));
        wrong.extend(found.map(|call| format!("{}: `{call}`", source.path)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What runs in the helper process, which has no umask, and in the store, which holds what
/// images of strangers hold: a file without a mode would be everybody's.
#[test]
fn whatever_is_made_in_the_store_has_a_mode() {
    let helper = [
        "crates/imgmake-sandbox/src/",
        "crates/imgmake-build/src/rootfs/",
        "crates/imgmake-build/src/run/worker/",
        "crates/imgmake-oci/src/store/",
    ];
    let silent = [
        "fs::create_dir(",
        "fs::create_dir_all(",
        "File::create(",
        "File::create_new(",
        "fs::write(",
    ];
    // Files of the kernel, which make nothing.
    let kernel = ["cgroup.rs", "enter.rs", "id_map.rs"].map(|f| format!("{}{f}", helper[0]));
    for directory in helper {
        assert!(root().join(directory).is_dir(), "{directory}");
    }
    let of_helper = |source: &Source| {
        helper
            .iter()
            .any(|directory| source.path.starts_with(directory))
            && !kernel.contains(&source.path)
    };
    assert_nowhere(&silent, of_helper);
    for source in sources().iter().filter(|source| of_helper(source)) {
        let code = source.code();
        let opened = code.matches(".create(true)").count();
        assert!(
            code.matches(".mode(").count() >= opened,
            "{}: a file is made without a mode",
            source.path
        );
    }
}

#[test]
fn unsafe_code_is_in_one_file() {
    assert_nowhere(&["allow(unsafe_code)"], |source| {
        source.path != "crates/imgmake-sandbox/src/system.rs"
    });
}

#[test]
fn every_module_says_what_it_does_first() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path.clone())
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn every_crate_says_what_it_is_for_in_a_few_lines() {
    for package in source::packages().keys().filter(|name| *name != "imgmake") {
        let path = root().join("crates").join(package).join("README.md");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{package}: {e}"));
        assert!(text.starts_with(&format!("# {package}\n")), "{package}");
        assert!(text.lines().count() <= 30, "{package}: README.md is long");
        let folders: BTreeSet<String> = sources()
            .iter()
            .filter(|s| s.package == *package && s.module.len() == 2)
            .map(|s| s.module[0].clone())
            .collect();
        for module in &folders {
            assert!(
                text.contains(module.as_str()),
                "{package}: README.md misses `{module}`"
            );
        }
    }
}

#[test]
fn a_cycle_is_found_and_named() {
    let import = |from: &str, to: &str| Import {
        from: from.to_string(),
        to: to.to_string(),
        names: BTreeSet::from(["Name".to_string()]),
    };
    let one_way = [import("a", "b"), import("b", "c"), import("a", "c")];
    assert!(cycles_of(&one_way).is_empty());
    let both = [import("a", "b"), import("b", "c"), import("c", "b")];
    let cycles = cycles_of(&both);
    assert_eq!(cycles.len(), 1);
    assert_eq!(cycles[0].members, 2);
    assert_eq!(cycles[0].lines, "  b -> c: Name\n  c -> b: Name");
}

#[test]
fn a_cycle_of_folders_is_found_where_no_file_is_in_one() {
    let source = |path: &str| Source {
        path: path.to_string(),
        package: "p".to_string(),
        module: path.split('/').map(str::to_string).collect(),
        text: String::new(),
    };
    let files = ["a/one", "a/two", "b/one", "b/two"].map(source);
    let import = |from: &str, to: &str| Import {
        from: from.to_string(),
        to: to.to_string(),
        names: BTreeSet::from(["Name".to_string()]),
    };
    let imports = [import("a/one", "b/one"), import("b/two", "a/two")];
    assert!(cycles_of(&imports).is_empty());
    let cycles = cycles_of_modules(&files.each_ref(), &imports);
    assert_eq!(cycles.len(), 1);
    assert_eq!(cycles[0].members, 2);
    assert_eq!(cycles[0].lines, "  a -> b: Name\n  b -> a: Name");
}

/// Modules of each package that others see, for the map of the book.
fn modules_by_package(sources: &[Source]) -> BTreeMap<&str, Vec<&Source>> {
    let mut packages: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.module.len() <= 1) {
        packages.entry(&source.package).or_default().push(source);
    }
    packages
}
