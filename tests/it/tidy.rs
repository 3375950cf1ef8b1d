//! The house keeps its shape: which room may know which, and where effects are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every room of `src/` and the rooms that its code may name. `event`, `printable` and `bounded` are known
/// to all. Data moves one way: a new edge needs a reason, and never a circle.
const ROOMS: [(&str, &[&str]); 33] = [
    ("manifest", &[]),
    ("checkout", &["confined"]),
    ("excerpt", &[]),
    ("dockerfile", &["excerpt"]),
    ("image", &[]),
    ("event", &[]),
    ("modes", &[]),
    ("printable", &[]),
    ("bounded", &[]),
    ("watch", &[]),
    ("mac", &[]),
    ("program", &[]),
    ("confined", &[]),
    ("sandbox", &["confined", "modes", "program"]),
    ("daemon", &[]),
    ("connection", &[]),
    ("git", &["connection", "confined", "program"]),
    // A layer is known by its digest.
    ("layer", &["image", "confined"]),
    ("graph", &["manifest"]),
    ("plan", &["graph", "manifest"]),
    ("key", &["manifest", "graph"]),
    ("state", &["key", "mac"]),
    ("store", &["image", "layer", "mac", "modes", "confined"]),
    // What is signed is named by its digest.
    ("signature", &["image"]),
    ("archive", &["image", "layer", "store"]),
    ("registry", &["image", "store", "connection", "program"]),
    // A layer is known by its digest here too.
    ("rootfs", &["image", "layer", "modes", "store", "confined"]),
    (
        "build",
        &[
            "manifest",
            "checkout",
            "dockerfile",
            "image",
            "layer",
            "modes",
            "store",
            "rootfs",
            "confined",
            "sandbox",
            "program",
            "registry",
            "signature",
            "git",
            "mac",
        ],
    ),
    (
        "scan",
        &["image", "layer", "store", "archive", "program", "excerpt"],
    ),
    ("execute", &["plan", "key", "state"]),
    ("report", &[]),
    ("import", &["manifest"]),
    ("plugin", &["manifest", "import"]),
];

/// `cli` wires the others and may know them all; `lib` and `main` only name them.
const WIRING: [&str; 3] = ["cli", "lib", "main"];

/// What runs in helper processes: their standard input is a socket to the run.
const HELPERS: [&str; 2] = ["src/build/worker/server.rs", "src/sandbox/child.rs"];

struct Source {
    path: String,
    room: String,
    /// Without comments and without what is compiled for tests alone.
    code: String,
    text: String,
}

#[test]
fn no_room_names_a_room_that_it_may_not_know() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, knows)| (*room, knows.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(knows) = allowed.get(source.room.as_str()) else {
            assert!(
                WIRING.contains(&source.room.as_str()),
                "{}: the room `{}` is not in the table of tests/it/tidy.rs",
                source.path,
                source.room
            );
            continue;
        };
        for named in rooms_named(&source.code) {
            if named != source.room
                && !["event", "printable", "bounded"].contains(&named.as_str())
                && !knows.contains(named.as_str())
            {
                wrong.push(format!(
                    "{}: `{}` must not know `{named}`",
                    source.path, source.room
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < ROOMS.len() {
        let ready = ROOMS.iter().find(|(room, knows)| {
            !placed.contains(room) && knows.iter().all(|k| placed.contains(k))
        });
        let (room, _) = ready.expect("every room stands above those that it knows");
        placed.insert(room);
    }
}

#[test]
fn only_cli_reads_the_environment_and_asks_for_terminals() {
    let effects = ["env::var", "env::vars", "is_terminal(", "io::stdin("];
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|s| !WIRING.contains(&s.room.as_str()) && !HELPERS.contains(&s.path.as_str()))
    {
        for effect in effects
            .iter()
            .filter(|effect| source.code.contains(**effect))
        {
            wrong.push(format!("{}: `{effect}`", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `run` targets are the user's own commands; everything else that is started goes
/// through `program`.
const USERS_COMMANDS: &str = "src/cli/runner/command.rs";

#[test]
fn only_program_starts_programs() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room == "program" || source.path == USERS_COMMANDS {
            continue;
        }
        for way in ["Command::new(", ".current_dir("] {
            if source.code.contains(way) {
                wrong.push(format!("{}: `{way}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What runs in the helper process, which has no umask, and in the store, which holds what
/// images of strangers hold: a file without a mode would be everybody's.
#[test]
fn whatever_is_made_in_the_store_has_a_mode() {
    let helper = ["sandbox", "rootfs", "store"];
    let silent = [
        "fs::create_dir(",
        "fs::create_dir_all(",
        "File::create(",
        "File::create_new(",
        "fs::write(",
    ];
    // Files of the kernel, which make nothing.
    let kernel = [
        "src/sandbox/cgroup.rs",
        "src/sandbox/enter.rs",
        "src/sandbox/id_map.rs",
    ];
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| {
        (helper.contains(&source.room.as_str()) || source.path.starts_with("src/build/worker/"))
            && !kernel.contains(&source.path.as_str())
    }) {
        let made = silent.iter().filter(|call| source.code.contains(**call));
        wrong.extend(made.map(|call| format!("{}: `{call}`: use `modes`", source.path)));
        let opened = source.code.matches(".create(true)").count();
        if source.code.matches(".mode(").count() < opened {
            wrong.push(format!("{}: a file is made without a mode", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_does_first() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    rust_files(&root, &mut paths);
    let of_tests = modules_of_tests(&paths);
    paths
        .iter()
        .filter(|path| !of_tests.iter().any(|module| is_in_module(path, module)))
        .map(|path| source(&root, path))
        .collect()
}

fn rust_files(directory: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, paths);
        } else if path.extension().is_some_and(|e| e == "rs") {
            paths.push(path);
        }
    }
}

fn source(root: &Path, path: &Path) -> Source {
    let inside = path.strip_prefix(root).unwrap();
    let first = Path::new(inside.iter().next().unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    Source {
        path: format!("src/{}", inside.display()),
        room: first.file_stem().unwrap().to_string_lossy().into_owned(),
        code: code(&text),
        text,
    }
}

/// Modules declared as `#[cfg(test)] mod name;`, as the path without `.rs`.
fn modules_of_tests(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let declared = pair[1]
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ");
            if let Some(name) = declared
                .strip_prefix("mod ")
                .and_then(|d| d.strip_suffix(';'))
            {
                modules.push(children_of(path).join(name));
            }
        }
    }
    modules
}

/// Where the submodules of a file are.
fn children_of(path: &Path) -> PathBuf {
    match path.file_name().unwrap().to_str().unwrap() {
        "mod.rs" | "lib.rs" | "main.rs" => path.parent().unwrap().to_path_buf(),
        _ => path.with_extension(""),
    }
}

fn is_in_module(path: &Path, module: &Path) -> bool {
    path.with_extension("") == module || path.starts_with(module)
}

/// The text up to an inline test module, without line comments.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map_or("", |next| next.trim());
        if line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    code
}

/// The rooms in `crate::room` and in `use crate::{room, other::Thing}`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(heads_of_group(group)),
            None => rooms.extend(head(rest)),
        }
    }
    rooms
}

fn head(path: &str) -> Option<String> {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let name = &path[..end.unwrap_or(path.len())];
    // A type or macro at the root of the crate is no room.
    name.starts_with(|c: char| c.is_ascii_lowercase())
        .then(|| name.to_string())
}

fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut expects = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects = true,
            c if expects && depth == 0 && !c.is_whitespace() => {
                heads.extend(head(&group[at..]));
                expects = false;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn grouped_and_plain_paths_are_both_seen() {
    let code = code(
        "use crate::{a, b::{C, d}, e};\nlet x = crate::f::g(); // crate::no\nmy_crate::h;\n#[cfg(test)]\nmod tests {\n crate::i\n",
    );
    let rooms: Vec<String> = rooms_named(&code).into_iter().collect();
    assert_eq!(rooms, ["a", "b", "e", "f"]);
}
