//! What the manifest's parser reads is in the book: the names are taken from its code.

use std::collections::BTreeSet;

use syn::visit::Visit;

use crate::tidy::source::{root, sources};

/// The pages that describe nodes and attributes.
const PAGES: [&str; 5] = ["manifest", "registries", "cache", "scanning", "commands"];
/// Methods of the parser whose first argument is the name of a node, an attribute or a property.
const READERS: [&str; 13] = [
    "all_texts",
    "child",
    "children",
    "duration",
    "flag",
    "integer",
    "map",
    "prop",
    "prop_boolean",
    "prop_duration",
    "prop_text",
    "text",
    "texts",
];
/// Files that color the manifest in editors.
const GRAMMARS: [&str; 2] = [
    "editors/vim/syntax/imgmake.vim",
    "editors/vscode/syntaxes/imgmake.tmLanguage.json",
];

#[test]
fn every_name_that_the_manifest_may_hold_is_in_the_book() {
    let found = names_of_the_manifest();
    let book = code_of_the_book();
    let missing: Vec<&String> = found.iter().filter(|name| !has(&book, name)).collect();
    assert!(missing.is_empty(), "not in {PAGES:?}: {missing:?}");
}

#[test]
fn every_name_that_the_manifest_may_hold_is_colored_in_editors() {
    let found = names_of_the_manifest();
    for grammar in GRAMMARS {
        let text = std::fs::read_to_string(root().join(grammar)).unwrap();
        // In regular expressions a dot and a dash are escaped.
        let text = text.replace('\\', "");
        let missing: Vec<&String> = found.iter().filter(|name| !has(&text, name)).collect();
        assert!(missing.is_empty(), "not in {grammar}: {missing:?}");
    }
}

/// Names of nodes, attributes and properties, and values that are words.
fn names_of_the_manifest() -> BTreeSet<String> {
    let mut names = Names::default();
    let manifest = "crates/imgmake-core/src/manifest/";
    for source in sources().iter().filter(|s| s.path.starts_with(manifest)) {
        names.visit_file(&source.syntax());
    }
    let found = names.found;
    // One of each way in which the parser names something.
    for known in [
        "matrix",
        "mirrors-only",
        "sts-endpoint",
        "docker-config",
        "healthcheck",
    ] {
        assert!(found.contains(known), "{known}: {found:?}");
    }
    found
}

#[derive(Default)]
struct Names {
    found: BTreeSet<String>,
}

impl Names {
    fn add(&mut self, text: &str) {
        let is_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if text.chars().all(is_name) && text.starts_with(|c: char| c.is_ascii_lowercase()) {
            self.found.insert(text.to_string());
        }
    }
}

impl<'a> Visit<'a> for Names {
    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let method = call.method.to_string();
        let named = match call.args.first() {
            Some(syn::Expr::Lit(literal)) if READERS.contains(&method.as_str()) => {
                Some(&literal.lit)
            }
            _ => None,
        };
        if let Some(syn::Lit::Str(name)) = named {
            self.add(&name.value());
        }
        // `cx.choice(&word, &["a", "b"])`: the values of an attribute.
        if method == "choice" {
            call.args.iter().skip(1).for_each(|list| self.texts(list));
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    /// `const STEPS: [&str; 16] = […]`, and lists of pairs that begin with a name.
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.texts(&item.expr);
    }
}

impl Names {
    fn texts(&mut self, expression: &syn::Expr) {
        match expression {
            syn::Expr::Reference(inner) => self.texts(&inner.expr),
            syn::Expr::Array(array) => array.elems.iter().for_each(|one| self.texts(one)),
            syn::Expr::Tuple(tuple) => {
                if let Some(first) = tuple.elems.first() {
                    self.texts(first);
                }
            }
            syn::Expr::Lit(literal) => {
                if let syn::Lit::Str(text) = &literal.lit {
                    self.add(&text.value());
                }
            }
            _ => {}
        }
    }
}

/// Fenced blocks, and what stands between backticks.
fn code_of_the_book() -> String {
    let mut code = String::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root().join(format!("book/src/{page}.md"))).unwrap();
        for block in super::blocks(&text) {
            code.push_str(&block.text);
        }
        let mut inside = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                line.split('`').skip(1).step_by(2).for_each(|span| {
                    code.push_str(span);
                    code.push('\n');
                });
            }
        }
    }
    code
}

/// As a whole name: `name` is not in `file-name`.
fn has(code: &str, name: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    code.match_indices(name).any(|(at, _)| {
        !joins(code[..at].chars().next_back()) && !joins(code[at + name.len()..].chars().next())
    })
}
