//! Groups, matrices and several files: duplicates, and what shares a name.

use super::*;
use imgmake_core::manifest::ExportForm;

fn all(text: &str, wanted: &[&str]) -> Vec<String> {
    let imported = attempt("b.hcl", text, wanted, &[], &[]).unwrap_or_else(|m| panic!("{m}"));
    names(&imported).into_iter().map(String::from).collect()
}

#[test]
fn a_group_and_a_target_may_have_one_name_and_a_later_group_takes_the_place() {
    let text = "group \"app\" { targets = [\"app\", \"b\"] }\ntarget \"app\" {}\ntarget \"b\" {}";
    assert_eq!(all(text, &["app"]), ["app", "b"]);
    let only = "group \"app\" { targets = [\"b\"] }\ntarget \"app\" {}\ntarget \"b\" {}";
    assert_eq!(all(only, &["app"]), ["b"]);
    let twice = "group \"g\" { targets = [\"a\"] }\ngroup \"g\" { targets = [\"b\"] }\ntarget \"a\" {}\ntarget \"b\" {}";
    assert_eq!(all(twice, &["g"]), ["b"]);
    let many = "target \"tool-a\" {}\ntarget \"tool-b\" {}\ntarget \"other\" {}";
    assert_eq!(all(many, &["tool-*"]), ["tool-a", "tool-b"]);
    assert!(
        refused(&format!(
            "{many}\ngroup \"default\" {{ targets = [\"default\"] }}"
        ))
        .contains("default → default")
    );
}

#[test]
fn members_of_a_matrix_have_names_of_their_own() {
    let one = "target \"app\" {\n matrix = { v = [\"a\"] }\n args = { V = v }\n}";
    assert_eq!(all(one, &["app"]), ["app"]);
    let named = "target \"app\" {\n matrix = { t = [{ n = \"x\" }], o = { p = \"1\", q = \"2\" } }\n name = \"${t.n}_${o}\"\n}";
    assert_eq!(all(named, &["app"]), ["x_1", "x_2"]);
    for (text, says) in [
        (
            "target \"default\" {\n matrix = { v = [1, 2] }\n}",
            "no `name`",
        ),
        (
            "target \"default\" {\n matrix = { v = [1, 2] }\n name = \"x\"\n}",
            "duplicate name `x`",
        ),
        ("target \"default\" {\n name = \"x\"\n}", "no `matrix`"),
        (
            "target \"default\" {\n matrix = { v = [\"1.2\"] }\n name = \"x-${v}\"\n}",
            "invalid target name",
        ),
    ] {
        let said = refused(text);
        assert!(said.contains(says), "{said}");
    }
}

fn several(files: &[(&str, &str)]) -> Result<Imported, Mistake> {
    let files: Vec<File> = files
        .iter()
        .map(|(name, text)| File { name, text })
        .collect();
    read(&Request {
        files: &files,
        environment: &BTreeMap::new(),
        wanted: &[],
        overrides: &[],
        now: "2026-01-02T03:04:05Z",
        unsayable: Unsayable::Refused,
        others: &NO_OTHERS,
        valueless: Valueless::Now,
    })
}

#[test]
fn a_later_file_adds_to_the_earlier_and_mistakes_name_their_file() {
    let first = "variable \"TAG\" { default = \"1\" }\n\ntarget \"default\" {\n  args = { A = TAG, B = \"b\" }\n  tags = [\"x:${TAG}\"]\n}";
    let second =
        r#"{"variable": {"TAG": {"default": "2"}}, "target": {"default": {"args": {"B": "c"}}}}"#;
    let imported =
        several(&[("a.hcl", first), ("b.json", second)]).unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(args(build(&imported, "default")), [("A", "2"), ("B", "c")]);
    assert_eq!(imported.tag_lines["default"].place, "a.hcl:5");
    let wrong = several(&[
        ("a.hcl", first),
        ("b.json", "{\n\"target\": {\"default\": {\n\"arg\": 1}}}"),
    ]);
    let wrong = wrong.unwrap_err();
    assert_eq!(
        (wrong.file.as_str(), wrong.line),
        ("b.json", Some(3)),
        "{wrong}"
    );
    let wrong = several(&[("a.hcl", "\n\ntargt \"x\" {}"), ("b.json", second)]).unwrap_err();
    assert_eq!(
        (wrong.file.as_str(), wrong.line),
        ("a.hcl", Some(3)),
        "{wrong}"
    );
}

#[test]
fn what_cannot_be_said_is_left_out_with_what_needs_it_and_each_note_is_there_once() {
    let text = r#"
group "default" { targets = ["fine", "gone", "after", "cloned"] }
target "fine" { attest = ["type=sbom"] }
target "gone" { no-cache-filter = ["a"] }
target "after" { contexts = { x = "target:gone" } }
target "cloned" { context = "ftp://ann:hunter2@h.example/b.tgz" }
"#;
    let file = [File {
        name: "b.hcl",
        text,
    }];
    let request = Request {
        files: &file,
        environment: &BTreeMap::new(),
        wanted: &["default".to_string(), "fine".to_string()],
        overrides: &[],
        now: "",
        unsayable: Unsayable::LeftOut,
        others: &NO_OTHERS,
        valueless: Valueless::Now,
    };
    let imported = read(&request).unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(names(&imported), ["fine"]);
    assert_eq!(
        imported.groups,
        [("default".to_string(), vec!["fine".to_string()])]
    );
    let count = |says: &str| {
        imported
            .notes
            .iter()
            .filter(|note| note.contains(says))
            .count()
    };
    assert_eq!(count("`attest`"), 1, "{:?}", imported.notes);
    for says in [
        "target `gone` is left out: b.hcl:4: ",
        "target `after` is left out: its context `gone`",
        "target `cloned` is left out: b.hcl:6: the context \"ftp://…@h.example/b.tgz\" is neither",
    ] {
        assert_eq!(count(says), 1, "{says}: {:?}", imported.notes);
    }
    let refused = read(&Request {
        unsayable: Unsayable::Refused,
        others: &NO_OTHERS,
        valueless: Valueless::Now,
        ..request
    });
    assert!(refused.is_err());
}

#[test]
fn what_docker_takes_for_a_repository_is_one() {
    for (context, address) in [
        (
            "https://h.io/a/b.git#v1:sub",
            Some("https://h.io/a/b.git#v1:sub"),
        ),
        ("git@h.io:a/b.git", Some("git@h.io:a/b.git")),
        ("github.com/a/b", Some("https://github.com/a/b.git")),
        (
            "github.com/a/b/#main:sub",
            Some("https://github.com/a/b.git#main:sub"),
        ),
        ("github.com/a/b.git", Some("https://github.com/a/b.git")),
        ("./github.com/a/b", None),
    ] {
        for key in ["context", "contexts"] {
            let value = match key {
                "context" => format!("{context:?}"),
                _ => format!("{{ src = {context:?} }}"),
            };
            let text = format!("target \"default\" {{\n  {key} = {value}\n}}\n");
            let imported = attempt("b.hcl", &text, &["default"], &[], &[]).unwrap();
            let TargetKind::Build(build) = &imported.targets[0].kind else {
                panic!("no build");
            };
            let own = build
                .context
                .as_ref()
                .filter(|_| build.directory().is_none());
            let named = build.contexts.iter().find_map(|(_, node)| match node {
                ContextNode::Git(address) => Some(address),
                _ => None,
            });
            let found = own.or(named).map(|address| address.value.as_str());
            assert_eq!(found, address, "{text}");
        }
    }
}

#[test]
fn files_of_an_image_are_exports() {
    let target = "target \"default\" { output = [\"out/bin\", \"type=tar,dest=f.tar\", { type = \"local\", dest = \"./x\" }] }";
    let imported = attempt("b.hcl", target, &["default"], &[], &[]).unwrap();
    let TargetKind::Build(build) = &imported.targets[0].kind else {
        panic!("no build");
    };
    let exports = build.exports.iter();
    let exports: Vec<(&str, ExportForm)> = exports
        .map(|export| (export.path.value.as_str(), export.form))
        .collect();
    let (directory, tar) = (ExportForm::Directory, ExportForm::Tar);
    let expected = [("out/bin", directory), ("f.tar", tar), ("./x", directory)];
    assert_eq!(exports, expected);
    // `bake --push` publishes no files.
    assert!(imported.published.is_empty());
}

#[test]
fn files_of_two_targets_go_to_two_places() {
    let two = |one: &str, other: &str| {
        format!(
            "group \"default\" {{ targets = [\"a\", \"b\"] }}\ntarget \"a\" {{ output = [\"{one}\"] }}\n\
             target \"b\" {{ output = [\"{other}\"] }}"
        )
    };
    for (one, other) in [("bin", "./bin"), ("bin", "bin/b"), ("bin/a", "bin/")] {
        assert!(
            refused(&two(one, other)).contains("those of `a`"),
            "{one} {other}"
        );
    }
    assert_eq!(all(&two("bin/a", "bin/b"), &["default"]), ["a", "b"]);
}

#[test]
fn annotations_have_levels_and_platforms() {
    let target = "target \"default\" {\n platforms = [\"linux/arm64\"]\n annotations = [\"a=1\", \"index,manifest:b=2\", \
        \"manifest[linux/arm64]:c=3\", \"manifest-descriptor:d=4\"]\n \
        output = [\"type=image,annotation-index.e=5,annotation-manifest[linux/arm64].f=6,annotation[linux/arm64].g=7\"]\n}";
    let imported = attempt("b.hcl", target, &["default"], &[], &[]).unwrap();
    let TargetKind::Build(build) = &imported.targets[0].kind else {
        panic!("no build");
    };
    let keys: Vec<&str> = build.annotations.keys().map(String::as_str).collect();
    let expected = [
        "a",
        "b",
        "index:b",
        "index:e",
        "manifest-descriptor:d",
        "manifest[linux/arm64]:c",
        "manifest[linux/arm64]:f",
        "manifest[linux/arm64]:g",
    ];
    assert_eq!(keys, expected);
    for level in ["index[linux/arm64]", "index-descriptor", "manifst"] {
        let text = format!("target \"default\" {{ annotations = [\"{level}:a=b\"] }}");
        assert!(refused(&text).contains("are not supported"), "{level}");
    }
}
