//! Whatever stands in a bake file, the manifest says the same.

use std::collections::BTreeMap;

use super::*;
use crate::import::bake::{self, Request};
use imgmake_core::manifest::{Facts, load};

/// The build `a` of the manifest that is made of this bake file.
fn through(bake: &serde_json::Value) -> BuildTarget {
    let text = bake.to_string();
    let request = Request {
        file: "b.json",
        text: &text,
        environment: &BTreeMap::new(),
        wanted: &["a".to_string()],
        overrides: &[],
        now: "",
    };
    let imported = bake::read(&request).unwrap_or_else(|mistake| panic!("{mistake}"));
    let written = manifest(&imported, &[], &[], "b.json");
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let loaded = load("imgmake.kdl", &written.text, &Facts::default(), &nothing);
    let (manifest, _) = loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{}", written.text));
    build_of(&manifest.targets[0]).unwrap().clone()
}

proptest::proptest! {
    #[test]
    fn any_text_comes_through(value in "\\PC{0,12}|[\\x00-\\x1f\"\\\\$%{}\u{200e}\u{2028}\u{feff}\u{85}]{0,8}") {
        // What bake itself would read as a template.
        let template = value.replace("${", "$${").replace("%{", "%%{");
        let bake = serde_json::json!({"target": {"a": {"labels": {"one": template}}}});
        let build = through(&bake);
        proptest::prop_assert_eq!(&build.labels["one"].value, &value);
    }
}

#[test]
fn marks_become_variables_only_where_nothing_else_was_made_of_them() {
    let text = r#"
variable "REPO" { default = "reg.io/team" }
variable "TAG" { default = "dev" }
target "a" {
  tags = ["${REPO}/app:${TAG}", "reg.io/other:1"]
  args = { LOWER = lower(TAG), PART = replace(TAG, ".", "-"), PLAIN = "v${TAG}", SAME = "dev" }
}
"#;
    let read = |pairs: &[(&str, &str)]| {
        let environment = pairs
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        let wanted = ["a".to_string()];
        let request = Request {
            file: "b.hcl",
            text,
            environment: &environment,
            wanted: &wanted,
            overrides: &[],
            now: "",
        };
        (
            bake::read(&request).unwrap(),
            bake::variables(&request).unwrap(),
        )
    };
    let (imported, variables) = read(&[]);
    let marks: Vec<(&str, &str)> = variables
        .iter()
        .map(|variable| (variable.name.as_str(), variable.mark.as_str()))
        .collect();
    let (marked, _) = read(&marks);
    let written = manifest(&imported, &[marked], &variables, "b.hcl");
    for line in [
        "var TAG \"dev\"",
        "registry registry \"reg.io\"",
        "LOWER \"dev\"",
        "PART \"dev\"",
        "PLAIN \"v${TAG}\"",
        "SAME \"dev\"",
        "tags \"${REPO}/app:${TAG}\" \"reg.io/other:1\"",
    ] {
        assert!(
            written.text.contains(line),
            "{line} is not in\n{}",
            written.text
        );
    }
    let noted = |key: &str| written.notes.iter().any(|note| note.contains(key));
    assert!(
        noted("args.LOWER") && noted("args.PART") && !noted("args.SAME"),
        "{:?}",
        written.notes
    );
}
