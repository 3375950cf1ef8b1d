//! Which file uses what of which other file of its crate.
//!
//! A name is followed through re-exports to the file that defines it, so that a `mod.rs` that hands
//! on the names of its children is no dependency of theirs.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use super::source::Source;

type Module = Vec<String>;

/// The files of one crate and the names that they hand on.
pub struct Crate<'a> {
    modules: BTreeMap<Module, File<'a>>,
}

struct File<'a> {
    source: &'a Source,
    syntax: syn::File,
    /// Names that it imports, with the path that each stands for: its children see them all.
    exports: BTreeMap<String, Module>,
    /// Modules all of whose names are handed on.
    globs: Vec<Module>,
    /// What the file defines itself.
    defines: BTreeSet<String>,
}

/// A file of the crate uses names of another.
pub struct Import {
    pub from: String,
    pub to: String,
    pub names: BTreeSet<String>,
}

impl<'a> Crate<'a> {
    pub fn new(sources: impl Iterator<Item = &'a Source>) -> Crate<'a> {
        let files: Vec<&Source> = sources.collect();
        let known: BTreeSet<Module> = files.iter().map(|s| s.module.clone()).collect();
        let modules = files
            .into_iter()
            .map(|source| (source.module.clone(), File::new(source, &known)))
            .collect();
        Crate { modules }
    }

    /// All imports between files, in the order of their paths.
    pub fn imports(&self) -> Vec<Import> {
        let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for file in self.modules.values() {
            for path in mentions(file, |module| self.modules.contains_key(module)) {
                let Some((module, name)) = self.definition(&path, 0) else {
                    continue;
                };
                let to = self.modules[&module].source;
                if to.path != file.source.path {
                    let pair = (file.source.path.clone(), to.path.clone());
                    found.entry(pair).or_default().insert(name);
                }
            }
        }
        found
            .into_iter()
            .map(|((from, to), names)| Import { from, to, names })
            .collect()
    }

    /// The module whose file defines what a path names, and the name.
    fn definition(&self, path: &[String], depth: usize) -> Option<(Module, String)> {
        let mut module = Module::new();
        let mut rest = path;
        while let Some((next, after)) = rest.split_first() {
            let child = [module.clone(), vec![next.clone()]].concat();
            if self.modules.contains_key(&child) {
                module = child;
                rest = after;
                continue;
            }
            let file = self.modules.get(&module)?;
            // Re-exports of re-exports end somewhere: the code compiles.
            if depth < 8 && !file.defines.contains(next) {
                if let Some(target) = file.exports.get(next) {
                    return self.definition(&[target.as_slice(), after].concat(), depth + 1);
                }
                for glob in &file.globs {
                    let there = self.modules.get(glob);
                    if there
                        .is_some_and(|f| f.defines.contains(next) || f.exports.contains_key(next))
                    {
                        return self.definition(&[glob.as_slice(), rest].concat(), depth + 1);
                    }
                }
            }
            return Some((module, next.clone()));
        }
        let name = module.last().cloned().unwrap_or_default();
        Some((module, name))
    }
}

impl<'a> File<'a> {
    fn new(source: &'a Source, known: &BTreeSet<Module>) -> File<'a> {
        let syntax = source.syntax();
        let mut file = File {
            source,
            syntax: syn::parse_quote!(),
            exports: BTreeMap::new(),
            globs: Vec::new(),
            defines: BTreeSet::new(),
        };
        for item in &syntax.items {
            if let syn::Item::Use(item) = item {
                for leaf in leaves(&item.tree) {
                    let path = absolute(&source.module, &leaf.path, &|m| known.contains(m));
                    let Some(path) = path else { continue };
                    match leaf.name {
                        Some(name) => drop(file.exports.insert(name, path)),
                        None => file.globs.push(path),
                    }
                }
            } else if let Some(name) = name_of(item) {
                file.defines.insert(name);
            }
        }
        file.syntax = syntax;
        file
    }
}

fn name_of(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(i) => &i.ident,
        syn::Item::Enum(i) => &i.ident,
        syn::Item::Fn(i) => &i.sig.ident,
        syn::Item::Macro(i) => i.ident.as_ref()?,
        syn::Item::Static(i) => &i.ident,
        syn::Item::Struct(i) => &i.ident,
        syn::Item::Trait(i) => &i.ident,
        syn::Item::Type(i) => &i.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

struct Leaf {
    path: Vec<String>,
    /// Under which name it is known; none for `*`.
    name: Option<String>,
}

fn leaves(tree: &syn::UseTree) -> Vec<Leaf> {
    fn walk(tree: &syn::UseTree, before: &[String], leaves: &mut Vec<Leaf>) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => walk(&path.tree, &with(path.ident.to_string()), leaves),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    walk(tree, before, leaves);
                }
            }
            syn::UseTree::Name(name) if name.ident == "self" => leaves.push(Leaf {
                path: before.to_vec(),
                name: before.last().cloned(),
            }),
            syn::UseTree::Rename(rename) if rename.ident == "self" => leaves.push(Leaf {
                path: before.to_vec(),
                name: Some(rename.rename.to_string()),
            }),
            syn::UseTree::Name(name) => leaves.push(Leaf {
                path: with(name.ident.to_string()),
                name: Some(name.ident.to_string()),
            }),
            syn::UseTree::Rename(rename) => leaves.push(Leaf {
                path: with(rename.ident.to_string()),
                name: Some(rename.rename.to_string()),
            }),
            syn::UseTree::Glob(_) => leaves.push(Leaf {
                path: before.to_vec(),
                name: None,
            }),
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

/// A path as its crate's root sees it; none if it leads to another crate, or is a name of the file's own.
fn absolute(module: &Module, path: &[String], exists: &dyn Fn(&Module) -> bool) -> Option<Module> {
    let first = path.first()?;
    match first.as_str() {
        "crate" | "$crate" => Some(path[1..].to_vec()),
        "self" => Some([module.as_slice(), &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let kept = module.len().checked_sub(ups)?;
            Some([&module[..kept], &path[ups..]].concat())
        }
        _ => {
            let child = [module.clone(), vec![first.clone()]].concat();
            exists(&child).then(|| [module.as_slice(), path].concat())
        }
    }
}

/// Everything of its crate that a file mentions, but for what it only hands on.
fn mentions(file: &File, exists: impl Fn(&Module) -> bool) -> BTreeSet<Module> {
    struct Paths<'s> {
        module: Module,
        exists: &'s dyn Fn(&Module) -> bool,
        /// Modules that are imported as such: what counts is what is used of them.
        modules: BTreeMap<String, Module>,
        found: BTreeSet<Module>,
    }
    impl Paths<'_> {
        fn add(&mut self, path: &[String]) {
            match self.modules.get(&path[0]) {
                Some(module) => drop(self.found.insert([module.as_slice(), &path[1..]].concat())),
                None => self.found.extend(absolute(&self.module, path, self.exists)),
            }
        }

        fn add_tokens(&mut self, tokens: TokenStream) {
            let mut path: Vec<String> = Vec::new();
            let mut colons = 0;
            for token in tokens {
                match token {
                    TokenTree::Ident(ident) => {
                        if colons != 2 {
                            self.add_long(&path);
                            path.clear();
                        }
                        path.push(ident.to_string());
                        colons = 0;
                    }
                    TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                    TokenTree::Group(group) => {
                        self.add_long(&path);
                        path.clear();
                        colons = 0;
                        self.add_tokens(group.stream());
                    }
                    _ => {
                        self.add_long(&path);
                        path.clear();
                        colons = 0;
                    }
                }
            }
            self.add_long(&path);
        }

        fn add_long(&mut self, path: &[String]) {
            if path.len() > 1 {
                self.add(path);
            }
        }
    }
    impl<'ast> Visit<'ast> for Paths<'_> {
        fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
            if matches!(item.vis, syn::Visibility::Inherited) {
                for leaf in leaves(&item.tree) {
                    let path = absolute(&self.module, &leaf.path, self.exists);
                    if !path.is_some_and(|path| (self.exists)(&path)) || leaf.name.is_none() {
                        self.add(&leaf.path);
                    }
                }
            }
        }

        fn visit_path(&mut self, path: &'ast syn::Path) {
            let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
            self.add_long(&segments);
            syn::visit::visit_path(self, path);
        }

        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            self.add_tokens(call.tokens.clone());
        }

        fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
            // What an inline module names, it names for its file.
            self.module.push(module.ident.to_string());
            syn::visit::visit_item_mod(self, module);
            self.module.pop();
        }

        fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    }
    let source = file.source;
    let mut modules = BTreeMap::new();
    for item in &file.syntax.items {
        let syn::Item::Use(item) = item else { continue };
        for leaf in leaves(&item.tree) {
            let path = absolute(&source.module, &leaf.path, &exists);
            if let (Some(name), Some(path)) = (leaf.name, path.filter(|path| exists(path))) {
                modules.insert(name, path);
            }
        }
    }
    let mut paths = Paths {
        module: source.module.clone(),
        exists: &exists,
        modules,
        found: BTreeSet::new(),
    };
    paths.visit_file(&file.syntax);
    paths.found
}

#[test]
fn imports_are_followed_to_the_file_that_defines_the_name() {
    let source = |path: &str, module: &[&str], text: &str| Source {
        path: path.to_string(),
        package: "p".to_string(),
        module: module.iter().map(|m| m.to_string()).collect(),
        text: text.to_string(),
    };
    let files = [
        source("lib.rs", &[], "pub mod a; pub mod b;"),
        source(
            "a/mod.rs",
            &["a"],
            "mod one; mod two; pub use one::{One as First}; pub use two::*; fn own() { two::start() }",
        ),
        source("a/one.rs", &["a", "one"], "use super::Two; pub struct One;"),
        source(
            "a/two.rs",
            &["a", "two"],
            "use std::fmt; pub struct Two; pub fn start() { println!(\"{}\", crate::b::deep::f()) }",
        ),
        source(
            "b.rs",
            &["b"],
            "use crate::a::{self, First}; pub mod deep { pub fn f() { super::g() } } fn g() { a::own() }",
        ),
    ];
    let found: Vec<String> = Crate::new(files.iter())
        .imports()
        .iter()
        .map(|i| {
            format!(
                "{} -> {}: {}",
                i.from,
                i.to,
                i.names.iter().cloned().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "a/mod.rs -> a/two.rs: start",
            "a/one.rs -> a/two.rs: Two",
            "a/two.rs -> b.rs: deep",
            "b.rs -> a/mod.rs: own",
            "b.rs -> a/one.rs: One"
        ]
    );
}
