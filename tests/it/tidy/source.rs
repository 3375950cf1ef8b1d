//! The code of the workspace, file by file: which module it is, parsed, without what is compiled for
//! tests alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use syn::visit_mut::VisitMut;

/// One file of a library or of the program.
pub struct Source {
    /// From the root of the repository, as messages name it.
    pub path: String,
    /// The package it is part of: `imgmake`, `imgmake-oci`.
    pub package: String,
    /// Its module path in its crate: empty for `lib.rs`.
    pub module: Vec<String>,
    pub text: String,
}

impl Source {
    /// The first component of its module path; `lib` for the root of the crate.
    pub fn first_module(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// Parsed, without what is for tests.
    pub fn syntax(&self) -> syn::File {
        let mut syntax = parse(&self.path, &self.text);
        WithoutTests.visit_file_mut(&mut syntax);
        syntax
    }

    /// Lines that run outside of tests, without line comments.
    pub fn code(&self) -> String {
        let mut code = String::new();
        let mut lines = self.text.lines().peekable();
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
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The packages of the workspace and the directories of their sources.
pub fn packages() -> BTreeMap<String, PathBuf> {
    let mut packages = BTreeMap::from([("imgmake".to_string(), root().join("src"))]);
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        packages.insert(name, path.join("src"));
    }
    packages
}

/// All files that are compiled outside of tests, `main.rs` too.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(read)
}

/// The text of every file, tests included.
pub fn texts() -> Vec<String> {
    packages().keys().flat_map(|name| texts_of(name)).collect()
}

/// The text of every file of a package, tests included.
pub fn texts_of(package: &str) -> Vec<String> {
    let mut paths = Vec::new();
    rust_files(&packages()[package], &mut paths);
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    paths.into_iter().map(read).collect()
}

fn read() -> Vec<Source> {
    let mut sources = Vec::new();
    for (package, directory) in packages() {
        let mut paths = Vec::new();
        rust_files(&directory, &mut paths);
        let of_package: Vec<Source> = paths
            .iter()
            .map(|path| source(&package, &directory, path))
            .collect();
        let of_tests: Vec<Vec<String>> = of_package.iter().flat_map(test_modules).collect();
        sources.extend(
            of_package
                .into_iter()
                .filter(|s| !of_tests.iter().any(|test| s.module.starts_with(test))),
        );
    }
    sources
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

fn source(package: &str, directory: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let inside = path.strip_prefix(directory).unwrap().with_extension("");
    let mut module: Vec<String> = inside
        .iter()
        .map(|part| part.to_str().unwrap().to_string())
        .collect();
    // `main` stays a module of its own: it is another crate than `lib`.
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    Source {
        path: path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_string(),
        package: package.to_string(),
        module,
        text,
    }
}

fn parse(path: &str, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The modules that a file declares for tests alone, in files of their own.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let syntax = parse(&source.path, &source.text);
    let declared = syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_for_tests(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    declared
        .map(|name| [source.module.clone(), vec![name]].concat())
        .collect()
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test_item(item));
        syn::visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test_item(item));
        }
        syn::visit_mut::visit_item_mod_mut(self, module);
    }
}

fn is_test_item(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => return false,
    };
    is_for_tests(attributes)
}
