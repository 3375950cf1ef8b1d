//! Whatever stands in a bake file, the manifest says the same.

use std::collections::BTreeMap;

use super::*;
use crate::import::bake::{self, File, Request};
use imgmake_core::manifest::{Facts, load};

/// The build `a` of the manifest that is made of this bake file.
fn through(bake: &serde_json::Value) -> BuildTarget {
    let text = bake.to_string();
    let request = Request {
        files: &[File {
            name: "b.json",
            text: &text,
        }],
        environment: &BTreeMap::new(),
        wanted: &["a".to_string()],
        overrides: &[],
        now: "",
        unsayable: bake::Unsayable::Refused,
        others: &bake::NO_OTHERS,
        valueless: bake::Valueless::Now,
    };
    let imported = bake::read(&request).unwrap_or_else(|mistake| panic!("{mistake}"));
    let written = manifest(&imported, &[], None, &[], "b.json");
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
fn a_group_and_a_target_of_one_name_have_two() {
    let of = |groups: &str| {
        let text = format!(
            "{groups}target \"app\" {{\n  tags = [\"reg.io/app:1\"]\n}}\ntarget \"b\" {{}}\ntarget \"push-app\" {{}}\n"
        );
        let files = [File {
            name: "b.hcl",
            text: &text,
        }];
        let nothing = BTreeMap::new();
        let request = |wanted| Request {
            files: &files,
            environment: &nothing,
            wanted,
            overrides: &[],
            now: "",
            unsayable: bake::Unsayable::LeftOut,
            others: &bake::NO_OTHERS,
            valueless: bake::Valueless::Now,
        };
        let wanted = bake::everything(&request(&[])).unwrap();
        let imported = bake::read(&request(&wanted)).unwrap();
        let written = manifest(&imported, &[], None, &[], "b.hcl");
        let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let loaded = load("imgmake.kdl", &written.text, &Facts::default(), &nothing);
        loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{}", written.text));
        let lines = written.text.lines();
        let groups = lines.filter(|line| line.starts_with("group ") && !line.contains("release"));
        (groups.map(String::from).collect::<Vec<_>>(), written.notes)
    };
    assert_eq!(
        of("group \"app\" { targets = [\"app\"] }\n"),
        (vec![], vec![])
    );
    let (groups, notes) = of("group \"app\" { targets = [\"app\", \"b\"] }\n");
    assert_eq!(groups, ["group app-all app b"]);
    assert_eq!(
        notes,
        ["`app` is a group and a target: here the target is `app`, and the group is `app-all`"]
    );
    // A name that is made up takes none that is written, and none is changed without a word.
    let (groups, notes) = of(
        "group \"app\" { targets = [\"app\", \"b\"] }\ngroup \"_b\" { targets = [\"b\"] }\ngroup \"app-all\" { targets = [\"b\"] }\n",
    );
    let ["group b-2 b", "group app-all-2 app b", "group app-all b"] =
        groups.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        panic!("{groups:?}");
    };
    assert_eq!(
        notes,
        [
            "the group `_b` is `b-2` here: names do not begin with `_` or `-`",
            "`app` is a group and a target: here the target is `app`, and the group is `app-all-2`"
        ]
    );
}

#[test]
fn variables_inside_of_a_dockerfile_are_said() {
    let notes = |dockerfile: &str| {
        let text = format!(
            "variable \"BASE\" {{ default = \"alpine\" }}\nvariable \"TAG\" {{ default = \"3\" }}\n\
             target \"a\" {{\n  dockerfile-inline = {dockerfile}\n  args = {{ T = TAG }}\n}}\n"
        );
        written(&text).notes
    };
    for (dockerfile, says) in [
        ("\"FROM scratch\"", None),
        (
            "\"FROM ${BASE}:${TAG}\"",
            Some("`a.Dockerfile` holds the values of BASE, TAG, and stays"),
        ),
        (
            "\"FROM ${upper(BASE)}\"",
            Some("`a.Dockerfile` holds what expressions make of variables, and stays"),
        ),
        (
            "\"FROM scratch\\nLABEL at=${timestamp()}\"",
            Some("`a.Dockerfile` depends on the time"),
        ),
    ] {
        let notes = notes(dockerfile);
        assert_eq!(notes.len(), usize::from(says.is_some()), "{notes:?}");
        let said = says.is_none_or(|says| notes[0].starts_with(says));
        assert!(said, "{dockerfile}: {notes:?}");
    }
}

#[test]
fn a_secret_from_a_variable_may_be_empty_as_in_the_file() {
    let written = written("target \"a\" {\n  secret = [\"id=t,env=TOKEN\", \"id=f,src=file\"]\n}");
    for line in [
        "secret t env=\"TOKEN\" unset=\"empty\"\n",
        "secret f file=\"file\"\n",
    ] {
        assert!(written.text.contains(line), "{}", written.text);
    }
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let (manifest, _) = load("imgmake.kdl", &written.text, &Facts::default(), &nothing).unwrap();
    let absences: Vec<Absence> = manifest.secrets.iter().map(|s| s.absence).collect();
    assert_eq!(absences, [Absence::Empty, Absence::Fails]);
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
            files: &[File {
                name: "b.hcl",
                text,
            }],
            environment: &environment,
            wanted: &wanted,
            overrides: &[],
            now: "",
            unsayable: bake::Unsayable::Refused,
            others: &bake::NO_OTHERS,
            valueless: bake::Valueless::Now,
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
    let written = manifest(&imported, &[marked], None, &variables, "b.hcl");
    for line in [
        "var TAG \"dev\"",
        "registry registry \"${REPO}\"",
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

fn written(text: &str) -> Written {
    let files = [File {
        name: "b.hcl",
        text,
    }];
    let read = |environment: &BTreeMap<String, String>, now: &str| {
        let wanted = ["a".to_string()];
        let request = Request {
            files: &files,
            environment,
            wanted: &wanted,
            overrides: &[],
            now,
            unsayable: bake::Unsayable::Refused,
            others: &bake::NO_OTHERS,
            valueless: bake::Valueless::Now,
        };
        let variables = bake::variables(&request).unwrap();
        (
            bake::read(&request).unwrap_or_else(|m| panic!("{m}")),
            variables,
        )
    };
    let now = "2026-01-02T03:04:05Z";
    let (imported, variables) = read(&BTreeMap::new(), now);
    let marks = variables
        .iter()
        .map(|v| (v.name.clone(), v.mark.clone()))
        .collect();
    let (marked, _) = read(&marks, now);
    let (later, _) = read(&BTreeMap::new(), "1970-12-30T22:58:57Z");
    manifest(&imported, &[marked], Some(&later), &variables, "b.hcl")
}

#[test]
fn what_depends_on_the_time_is_a_variable_and_noted() {
    let written = written(
        "variable \"REG\" { default = \"reg.io\" }\ntarget \"a\" {\n  labels = { created = timestamp(), one = \"1\" }\n  \
         tags = [\"reg.io/a:${formatdate(\"YYYYMMDD\", timestamp())}\", \"${REG}/b:x-${formatdate(\"YYYYMMDD\", timestamp())}\", \
         \"${upper(REG)}/c:${formatdate(\"YYYYMMDD\", timestamp())}\"]\n}",
    );
    for line in [
        "var BUILD_TIME_2 \"2026-01-02T03:04:05\"",
        "created \"${BUILD_TIME_2}Z\"",
        "var BUILD_TIME \"20260102\"",
        "tags \"reg.io/a:${BUILD_TIME}\" \"${REG}/b:x-${BUILD_TIME}\" \"REG.IO/c:${BUILD_TIME}\"",
        "to registry { repository \"a\"; tags \"${BUILD_TIME}\" }",
        "one \"1\"",
    ] {
        assert!(
            written.text.contains(line),
            "{line} is not in\n{}",
            written.text
        );
    }
    let noted = |says: &str| written.notes.iter().any(|note| note.contains(says));
    assert!(
        noted("`labels.created` of `a`: depends on the time"),
        "{:?}",
        written.notes
    );
    assert!(noted("\"REG.IO/c:20260102\" is an expression of variables"));
    assert!(
        noted("`tags` of `a`: depends on the time"),
        "{:?}",
        written.notes
    );
}

#[test]
fn registries_stay_variables_and_an_empty_default_is_no_tag() {
    let written = written(
        "variable \"REG\" { default = \"reg.io\" }\nvariable \"REPO\" { default = \"reg.io/team\" }\nvariable \"TAG\" {}\n\
         target \"a\" {\n  tags = [\"${REG}/one:${TAG}\", \"${REPO}/two:2\"]\n}",
    );
    for line in [
        "registry registry \"${REG}\"",
        "registry registry-2 \"${REPO}\"",
        "to registry { repository \"one\"; tags \"${default(TAG, 'latest')}\" }",
        "to registry-2 { repository \"two\"; tags \"2\" }",
        "tags \"${REG}/one:${default(TAG, 'latest')}\" \"${REPO}/two:2\"",
    ] {
        assert!(
            written.text.contains(line),
            "{line} is not in\n{}",
            written.text
        );
    }
    assert!(
        written
            .notes
            .iter()
            .any(|note| note.contains("`TAG` is empty")),
        "{:?}",
        written.notes
    );
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let loaded = load("imgmake.kdl", &written.text, &Facts::default(), &nothing);
    assert!(loaded.is_ok(), "{:?}\n{}", loaded.err(), written.text);
}

#[test]
fn where_an_empty_variable_may_be_a_registry_no_push_is_written() {
    let written = written(
        "variable \"R\" { default = \"\" }\ntarget \"a\" {\n  tags = [\"${R}/shop/a:1\", \"reg.io/a:2\"]\n}",
    );
    let noted = |says: &str| written.notes.iter().any(|note| note.contains(says));
    assert!(
        noted("so its registry is unknown, and no push of it is written"),
        "{:?}",
        written.notes
    );
    for line in [
        "registry registry \"reg.io\"",
        "to registry { repository \"a\"; tags \"2\" }",
    ] {
        assert!(written.text.contains(line), "{}", written.text);
    }
    assert!(!written.text.contains("docker.io"), "{}", written.text);
}
