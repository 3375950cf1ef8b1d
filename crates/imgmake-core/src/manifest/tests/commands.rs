//! Conditions, and what commands are given.

use super::*;

fn names(vars: &[(&str, &str)], condition: &str) -> Result<Vec<String>, Vec<String>> {
    let text = format!(
        "var A \"x\"\nvar B #true\nrun t {{ command \"true\"; {condition} }}\nrun other {{ command \"true\" }}"
    );
    let manifest = with(facts(vars, &[]), &text)?;
    let targets = manifest.targets.into_iter();
    Ok(targets.map(|target| target.name.value).collect())
}

#[test]
fn a_target_exists_when_all_of_its_conditions_hold() {
    for (vars, condition, exists) in [
        (&[][..], r#"if "${B}""#, true),
        (&[("B", "false")], r#"if "${B}""#, false),
        (&[], r#"if "${A}" equals="x""#, true),
        (&[("A", "y")], r#"if "${A}" equals="x""#, false),
        (&[("A", "y")], r#"if "${A}" equals="${A}""#, true),
        (&[], r#"if "${A}" not-equals="x""#, false),
        (&[("A", "")], r#"if "${A}" not-equals="x""#, true),
        (&[("A", "v1.2")], r#"if "${A}" matches="^v[0-9]+""#, true),
        (&[("A", "1.2")], r#"if "${A}" matches="^v[0-9]+""#, false),
        (
            &[("A", "v0")],
            r#"if "${A}" matches="^v" not-equals="v0""#,
            false,
        ),
        (&[], r#"if "${A}" equals="x"; if "${B}""#, true),
        (
            &[("B", "false")],
            r#"if "${A}" equals="x"; if "${B}""#,
            false,
        ),
        (&[("A", "y")], r#"if "${A}" equals="x"; if "${B}""#, false),
    ] {
        let found = names(vars, condition).unwrap();
        assert_eq!(
            found.contains(&"t".to_string()),
            exists,
            "{vars:?} {condition}"
        );
    }
    for (condition, told) in [
        (r#"if "${A}" equls="x""#, "equls"),
        (r#"if "${A}" equals="${C}""#, "C"),
        (r#"if equals="x""#, "what is compared"),
        (r#"if "${A}" matches="(""#, "invalid regular expression `(`"),
        (r#"if "${A}""#, "x"),
        (r#"if "${A}" equals=1"#, "expected a string"),
    ] {
        let found = names(&[], condition).unwrap_err();
        assert!(
            found.iter().any(|one| one.contains(told)),
            "{condition}: {found:?}"
        );
    }
}

fn run_of(text: &str) -> Result<RunTarget, Vec<String>> {
    let read = |path: &str| match path {
        "one.env" => Ok("A=1\nB=1\nC=1".to_string()),
        "sub/two.env" => Ok("B=2\nC=\"2 #\"".to_string()),
        "broken.env" => Ok("A=1\n=2".to_string()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let loaded = load("imgmake.kdl", text, &Facts::default(), &read);
    let manifest = loaded.map_err(|found| {
        let messages = found.into_iter().map(|one| one.message);
        messages.collect::<Vec<String>>()
    })?;
    let (manifest, _) = manifest;
    assert!(
        manifest
            .read_files
            .iter()
            .all(|path| path.ends_with(".env"))
    );
    match manifest
        .targets
        .into_iter()
        .next()
        .map(|target| target.kind)
    {
        Some(TargetKind::Run(run)) => Ok(run),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_has_the_values_of_its_env_files_and_its_own_env_before_them() {
    let run = run_of(
        r#"run t { command "true"; env-file "one.env"; env-file "sub/two.env"; env-file "none.env" optional=#true; env C="3" }"#,
    )
    .unwrap();
    let pairs: Vec<(&str, &str)> = run
        .env
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(pairs, [("A", "1"), ("B", "2"), ("C", "3")]);
    for (file, told) in [
        ("none.env", "cannot read env-file `none.env`"),
        (
            "broken.env",
            "env-file `broken.env`, line 2: invalid variable name before `=`",
        ),
    ] {
        let text = format!("run t {{ command \"true\"; env-file \"{file}\" }}");
        assert_eq!(run_of(&text).unwrap_err(), [told]);
    }
}

#[test]
fn an_env_file_that_is_missing_is_an_error_of_who_needs_it() {
    for text in [
        r#"run a { command "true"; env-file "none.env" optional=#true }
        run b { command "true"; env-file "none.env" }"#,
        r#"run a { command "true"; env-file "none.env" }
        run b { command "true"; env-file "none.env" optional=#true }"#,
    ] {
        let found = load("imgmake.kdl", text, &Facts::default(), &|_: &str| {
            Err(std::io::ErrorKind::NotFound.into())
        });
        let found = found.unwrap_err();
        let said = "cannot read env-file `none.env`";
        assert!(found.len() == 1 && found[0].message == said, "{found:?}");
    }
}

#[test]
fn env_files_of_many_targets_do_not_fill_the_memory() {
    let text = "run t { matrix { n \"1\" \"2\" \"3\"; m \"1\" \"2\" \"3\" }; command \"true\"; env-file \".env\" }";
    let value = format!("A={}", "x".repeat(8 << 20));
    let read = |_: &str| Ok(value.clone());
    let found = load("imgmake.kdl", text, &Facts::default(), &read).unwrap_err();
    assert!(found[0].message.contains("64 MiB"), "{found:?}");
}
