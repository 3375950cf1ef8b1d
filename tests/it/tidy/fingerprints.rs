//! What makes keys: every field is named, every type has a test, and no Debug form is hashed.

use std::collections::BTreeSet;

use syn::visit::Visit;

use super::source::{Source, sources, texts};

/// Implementations of `Fingerprint`, as they stand in one file.
#[derive(Default)]
struct Keys {
    /// Everything here makes keys.
    whole_file: bool,
    types: BTreeSet<String>,
    inside: bool,
    /// How many patterns leave fields out.
    rests: usize,
}

impl<'ast> Visit<'ast> for Keys {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of_trait = item
            .trait_
            .as_ref()
            .and_then(|(_, path, _)| path.segments.last());
        let is_fingerprint = of_trait.is_some_and(|last| last.ident == "Fingerprint");
        if is_fingerprint
            && let syn::Type::Path(named) = &*item.self_ty
            && let Some(last) = named.path.segments.last()
        {
            self.types.insert(last.ident.to_string());
        }
        let before = std::mem::replace(&mut self.inside, is_fingerprint);
        syn::visit::visit_item_impl(self, item);
        self.inside = before;
    }

    fn visit_pat_rest(&mut self, _: &'ast syn::PatRest) {
        self.rests += usize::from(self.inside || self.whole_file);
    }

    fn visit_pat_struct(&mut self, pattern: &'ast syn::PatStruct) {
        let leaves_out = pattern.rest.is_some() && (self.inside || self.whole_file);
        self.rests += usize::from(leaves_out);
        syn::visit::visit_pat_struct(self, pattern);
    }
}

fn keys_of(source: &Source) -> Keys {
    let makes_keys = ["fingerprint", "step_key"];
    let mut keys = Keys {
        whole_file: source
            .module
            .iter()
            .any(|m| makes_keys.contains(&m.as_str())),
        ..Keys::default()
    };
    keys.visit_file(&source.syntax());
    keys
}

#[test]
fn keys_name_every_field() {
    let wrong: Vec<&str> = sources()
        .iter()
        .filter(|source| keys_of(source).rests > 0)
        .map(|source| source.path.as_str())
        .collect();
    assert!(wrong.is_empty(), "`..` in a key: {}", wrong.join(", "));
}

#[test]
fn no_debug_form_is_in_a_file_that_makes_keys() {
    let makes_keys = ["LengthPrefixedHasher", "fingerprint_of", "Inputs"];
    let wrong: Vec<&str> = sources()
        .iter()
        .filter(|source| {
            let code = source.code();
            let names: BTreeSet<&str> = code
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .collect();
            makes_keys.iter().any(|name| names.contains(name))
                && (code.contains(":?}") || code.contains(":#?}"))
        })
        .map(|source| source.path.as_str())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
}

/// Values of the language, and wrappers around them or around a type that has a test.
const PLAIN: [&str; 9] = [
    "str", "String", "bool", "Duration", "Option", "Vec", "BTreeSet", "BTreeMap", "Bytes",
];
const WRAPPERS: [(&str, &str); 1] = [("ScanPolicy", "ScanTarget")];

#[test]
fn every_type_with_a_fingerprint_has_a_test_that_changes_its_fields() {
    let tests: Vec<String> = texts()
        .into_iter()
        .filter(|text| text.contains("each_field!("))
        .collect();
    let words: BTreeSet<&str> = tests
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let mut found = 0;
    let mut missing = Vec::new();
    for source in sources() {
        for name in keys_of(source).types {
            let wrapped = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name);
            let name = wrapped.map_or(name.as_str(), |(_, inner)| *inner);
            found += 1;
            if !PLAIN.contains(&name) && !words.contains(name) {
                missing.push(format!("{}: {name}", source.path));
            }
        }
    }
    assert!(found > 20, "{found} implementations");
    assert!(missing.is_empty(), "{}", missing.join(", "));
}
