//! Expressions come to what they come to in bake.

use super::*;

const VARIABLES: &str = r#"
variable "TAG" { default = "v1.2.3" }
variable "EMPTY" { default = "" }
variable "NUM" { default = 3 }
variable "FLAG" { default = true }
variable "NONE" { default = null }
variable "LIST" { default = ["b", "a"] }
variable "MAP" { default = { b = 1, a = "x" } }
"#;

/// Different here on purpose.
const DIFFERENT: [&str; 5] = [
    // A list is a list, whether it was written or made.
    r#"split(",", "a,b") == ["a", "b"]"#,
    // A duplicate key is a mistake.
    "{a = 1, a = 2}",
    // There it is infinity, which no text holds.
    "can(1 / 0)",
    r#"try(UNKNOWN, 1 / 0, "z")"#,
    // There a map has a length, and an object none.
    "length(MAP)",
];

#[test]
fn expressions_come_to_what_they_come_to_in_bake() {
    let lines = include_str!("expressions.txt").lines();
    let cases: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    assert!(cases.len() > 300, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let (expression, expected) = match case.strip_suffix(" !") {
            Some(expression) => (expression, None),
            None => {
                let (expression, value) = case.rsplit_once(" => ").unwrap();
                (expression, Some(value.to_string()))
            }
        };
        if DIFFERENT.contains(&expression) {
            continue;
        }
        let text = format!(
            "{VARIABLES}target \"default\" {{\n args = {{ a = jsonencode({expression}) }}\n}}"
        );
        let found = attempt("b.hcl", &text, &[], &[], &[]);
        let found = found.map(|imported| args(build(&imported, "default"))[0].1.to_string());
        if found.as_ref().ok() != expected.as_ref() {
            wrong.push(format!(
                "{expression}\n  bake: {expected:?}\n  here: {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
