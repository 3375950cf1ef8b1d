//! Variables, functions and facts in strings.

use super::*;

#[test]
fn the_command_line_beats_the_environment_beats_the_env_file_beats_the_default() {
    let text = "imgmake version=1 { env-file \".env\" }
var TAG default env=CI_TAG
var ONLY_FILE default
build app { args { T \"${TAG}\"; F \"${ONLY_FILE}\" } }";
    for (vars, environment, expected) in [
        (
            vec![("TAG", "cli"), ("TAG", "last")],
            vec![("TAG", "env")],
            "last",
        ),
        (vec![], vec![("TAG", "env")], "env"),
        (vec![], vec![("TAG", "env"), ("CI_TAG", "ci")], "ci"),
        (vec![], vec![], "file"),
    ] {
        let manifest = with(facts(&vars, &environment), text).unwrap();
        assert_eq!(arg(&manifest, "app", "T"), expected);
        assert_eq!(arg(&manifest, "app", "F"), "file");
        assert_eq!(manifest.targets[0].used_variables, ["ONLY_FILE", "TAG"]);
        assert_eq!(manifest.read_files, [".env"]);
        // A cached manifest depends on variables that were looked at, set or not.
        let looked_at = manifest.read_environment.contains(&"CI_TAG".to_string());
        assert_eq!(looked_at, vars.is_empty());
    }
    let unknown = with(facts(&[("TGA", "x")], &[]), text).unwrap_err();
    assert_eq!(
        unknown,
        ["`--var TGA=…`: the manifest declares no variable `TGA`"]
    );
}

#[test]
fn an_argument_without_a_value_has_the_one_of_the_environment_or_is_not_there() {
    let text = "imgmake version=1 { env-file \".env\" }
build app { args { SET; TAG; UNSET; OWN \"1\" } }";
    let manifest = with(facts(&[], &[("SET", "given")]), text).unwrap();
    assert_eq!(arg(&manifest, "app", "SET"), "given");
    assert_eq!(arg(&manifest, "app", "TAG"), "file");
    assert_eq!(arg(&manifest, "app", "OWN"), "1");
    let TargetKind::Build(build) = &manifest.targets[0].kind else {
        panic!("{manifest:?}")
    };
    assert!(!build.args.contains_key("UNSET"));
    // Whether it is set decides what a cached manifest is worth.
    assert!(manifest.read_environment.contains(&"UNSET".to_string()));
    let labels = with(facts(&[], &[]), "build app { labels { A } }").unwrap_err();
    assert!(labels[0].contains("a string"), "{labels:?}");
}

#[test]
fn functions_and_literals_in_strings() {
    let text = r#"
var PY "3.12-Slim_X"
var LIST "a" "b"
var UNSET
var EMPTY ""
var FLAG #true
build app {
    no-cache "${FLAG}"
    tags "${LIST}" "c"
    args {
        A "${slug(PY)}"; B "${join(LIST, ', ')}"; C "${upper(PY)}/${lower(PY)}"
        D "${replace(PY, '.', '_')}"; E "${default(UNSET, 'x')}"; F "${default(EMPTY, PY)}"
        G "$${PY}"; H "a$b"; I "${default(env.NOPE, 'y')}"; J "$$${PY}"; K "${ PY }"
    }
}"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    for (name, value) in [
        ("A", "3-12-slim-x"),
        ("B", "a, b"),
        ("C", "3.12-SLIM_X/3.12-slim_x"),
        ("D", "3_12-Slim_X"),
        ("E", "x"),
        ("F", "3.12-Slim_X"),
        ("G", "${PY}"),
        ("H", "a$b"),
        ("I", "y"),
        ("J", "$${PY}"),
        ("K", "3.12-Slim_X"),
    ] {
        assert_eq!(arg(&manifest, "app", name), value, "{name}");
    }
    let build = build_of(&manifest, "app");
    assert!(build.no_cache);
    let tags: Vec<&str> = build.tags.iter().map(|tag| tag.value.as_str()).collect();
    assert_eq!(tags, ["a", "b", "c"]);
}

#[test]
fn git_facts_come_from_outside() {
    let mut known = facts(&[], &[]);
    known.git.insert("short".to_string(), "abc123".to_string());
    let text = "var SHA none { default-from git=\"short-sha\" }
build app { args { A \"${SHA}\"; B \"${default(git.tag, 'untagged')}\"; C \"${git.short}\" } }";
    let manifest = with(known.clone(), text).unwrap();
    let args = ["A", "B", "C"].map(|name| arg(&manifest, "app", name).to_string());
    assert_eq!(args, ["abc123", "untagged", "abc123"]);
    let found = with(
        known,
        "build app { tags \"${git.branch}\" \"${git.shrt}\" }",
    )
    .unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
}
