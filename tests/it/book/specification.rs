//! The table of the distribution specification's cases in the book, made from the tests of the client.

use syn::visit::Visit;

use crate::ground::expected::assert_part;
use crate::tidy::source::texts_of;

const PAGE: &str = "book/src/registries.md";
const START: &str = "<!-- The table is made from the tests: UPDATE=1 cargo test --test it book::specification -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// Endpoints of the specification, "Endpoints", and what the client does with each.
const ENDPOINTS: [(&str, &str); 14] = [
    ("end-1", "`GET /v2/`"),
    ("end-2", "`GET`, `HEAD` of a blob"),
    ("end-3", "`GET`, `HEAD` of a manifest"),
    ("end-4a", "`POST`: an upload begins"),
    ("end-5", "`PATCH`: a chunk"),
    ("end-6", "`PUT`: an upload ends"),
    ("end-7", "`PUT` of a manifest"),
    ("end-8a", "`GET` of the tags"),
    ("end-9", "`DELETE` of a manifest"),
    ("end-10", "`DELETE` of a blob"),
    ("end-11", "`POST` with `mount`"),
    ("end-12a", "`GET` of the referrers"),
    ("end-13", "`GET` of an upload's status"),
    ("errors", "error codes, retries, warnings"),
];

#[derive(Default)]
struct Rows {
    /// Endpoints as they are written, the case, the test.
    found: Vec<(String, String, String)>,
}

impl<'a> Visit<'a> for Rows {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        let is_test = function.attrs.iter().any(|one| one.path().is_ident("test"));
        let first = function.attrs.iter().find_map(|one| match &one.meta {
            syn::Meta::NameValue(pair) if one.path().is_ident("doc") => match &pair.value {
                syn::Expr::Lit(literal) => match &literal.lit {
                    syn::Lit::Str(text) => Some(text.value().trim().to_string()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
        if let Some((endpoints, case)) = first.as_deref().and_then(|text| text.split_once(": "))
            && (endpoints.starts_with("end-") || endpoints == "errors")
        {
            let name = function.sig.ident.to_string();
            assert!(is_test, "{name} is no test");
            self.found
                .push((endpoints.to_string(), case.to_string(), name));
        }
        syn::visit::visit_item_fn(self, function);
    }
}

fn table() -> String {
    let mut rows = Rows::default();
    for text in texts_of("imgmake-registry") {
        rows.visit_file(&syn::parse_file(&text).unwrap());
    }
    for (endpoints, ..) in &rows.found {
        let first = endpoints.split(", ").next();
        let known = ENDPOINTS.iter().any(|(name, _)| first == Some(*name));
        assert!(known, "`{endpoints}` begins with no endpoint of the table");
    }
    let mut table = String::from("\n| endpoint | what the client does | test |\n|---|---|---|\n");
    for (name, what) in ENDPOINTS {
        let mut of_endpoint: Vec<_> = rows
            .found
            .iter()
            .filter(|(endpoints, ..)| endpoints.split(", ").next() == Some(name))
            .collect();
        of_endpoint.sort();
        let mentioned = rows
            .found
            .iter()
            .any(|(endpoints, ..)| endpoints.contains(name));
        assert!(mentioned, "no test for {name}");
        if !of_endpoint.is_empty() {
            table.push_str(&format!("| **{name}** | **{what}** | |\n"));
        }
        for (endpoints, case, test) in of_endpoint {
            let others: Vec<&str> = endpoints.split(", ").skip(1).collect();
            table.push_str(&format!("| {} | {case} | `{test}` |\n", others.join(", ")));
        }
    }
    table + "\n"
}

#[test]
fn the_books_table_of_the_specification_is_what_the_tests_say() {
    assert_part(PAGE, START, END, &table());
}
