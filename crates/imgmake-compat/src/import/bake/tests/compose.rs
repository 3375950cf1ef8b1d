//! What a Compose file says of a build.

use super::*;

fn service(build: &str, pairs: &[(&str, &str)]) -> Result<Imported, Mistake> {
    let text = format!("services:\n  a:\n    build:\n{build}");
    attempt("compose.yaml", &text, &["a"], &[], pairs)
}

#[test]
fn only_a_true_privilege_is_an_entitlement() {
    let noted = |build: &str, pairs: &[(&str, &str)]| {
        let imported = service(build, pairs).unwrap_or_else(|mistake| panic!("{mistake}"));
        let mut notes = imported.notes.iter();
        notes.any(|note| note.contains("`entitlements` of `a` has no effect"))
    };
    for (build, given, is_noted) in [
        ("      privileged: true\n", "", true),
        ("      privileged: false\n", "", false),
        ("      privileged: ${P:-false}\n", "", false),
        ("      privileged: ${P:-false}\n", "true", true),
        (
            "      privileged: false\n      entitlements: [network.host]\n",
            "",
            true,
        ),
    ] {
        assert_eq!(noted(build, &[("P", given)]), is_noted, "{build}{given}");
    }
    let both = "      ulimits: {}\n      privileged: false\n";
    assert!(service(both, &[]).unwrap().notes.is_empty());
    let wrong = service("      privileged: [a]\n", &[]).unwrap_err();
    assert!(wrong.to_string().contains("compose.yaml:4: `privileged`"));
}

fn args_of(list: &str, pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let imported = service(&format!("      args: {list}\n"), pairs);
    let imported = imported.map_err(|mistake| mistake.to_string())?;
    let args = build(&imported, "a").args.clone();
    Ok(args.into_values().map(|text| text.value).collect())
}

#[test]
fn a_variable_with_a_message_has_to_be_given() {
    let text = "services:\n  a:\n    build: {context: ., args: ['a=${A:?give A}', 'b=${B?}', 'c=${C}', 'd=${A:-x}']}\n";
    let files = [File {
        name: "compose.yaml",
        text,
    }];
    let given = BTreeMap::new();
    let request = Request {
        files: &files,
        environment: &given,
        wanted: &["a".to_string()],
        overrides: &[],
        now: "2026-01-01T00:00:00Z",
        unsayable: Unsayable::Refused,
    };
    let forms: Vec<(String, Form)> = variables(&request)
        .unwrap()
        .into_iter()
        .map(|variable| (variable.name, variable.form))
        .collect();
    let is = |name: &str, form: Form| forms.contains(&(name.to_string(), form));
    assert!(is("A", Form::NotEmpty) && is("B", Form::Given), "{forms:?}");
    assert!(is("C", Form::Default), "{forms:?}");
}

/// What Compose makes of them, by its specification.
#[test]
fn a_default_is_that_of_its_place() {
    let given = [("A", "1"), ("V", "1"), ("W", "x")];
    for (list, without, with) in [
        ("['a=${A}', 'b=${A:-x}']", ["", "x"], ["1", "1"]),
        ("['a=${A:-x}', 'b=$A']", ["x", ""], ["1", "1"]),
        ("['a=${V:-1}', 'b=${V:-2}']", ["1", "2"], ["1", "1"]),
        ("['a=${A:+y}', 'b=${A:-x}']", ["", "x"], ["y", "1"]),
        ("['a=${W:-x}', 'b=${W:-y}']", ["x", "y"], ["x", "x"]),
        (
            r"['a=${A:-it\s}', 'b=-${A:-}-']",
            [r"it\s", "--"],
            ["1", "-1-"],
        ),
        ("['a=${A:-${V:-2}}', 'b=${V:-3}']", ["2", "3"], ["1", "1"]),
        ("['a=${A-x}', 'b=${A:-x}']", ["x", "x"], ["1", "1"]),
        ("['a=$${A}', 'b=${A:-$$}']", ["${A}", "$"], ["${A}", "1"]),
    ] {
        assert_eq!(args_of(list, &[]).unwrap(), without, "{list}");
        assert_eq!(args_of(list, &given).unwrap(), with, "{list}");
    }
    let empty = [("A", "")];
    let list = "['a=${A:-x}', 'b=${A-x}']";
    assert_eq!(args_of(list, &empty).unwrap(), ["x", ""]);
    for list in [
        "['a=${A-x}', 'b=${A}']",
        "['a=${A}', 'b=${A-x}']",
        "['a=${A-x}', 'b=${A-y}']",
        "['a=${A-x}', 'b=${A:-y}']",
        "['a=${A-x}', 'b=${A:+y}']",
        "['a=${A-${B}}']",
        "['a=${A+y}']",
    ] {
        let why = args_of(list, &[]).unwrap_err();
        assert!(why.starts_with("compose.yaml:4: "), "{list}: {why}");
        assert!(why.contains("write `${A:"), "{list}: {why}");
    }
}
