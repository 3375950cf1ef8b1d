//! The manifest page as a specification.
use std::collections::BTreeMap;

use super::*;

fn read_nothing(_: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn load_text(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    let mut facts = Facts::default();
    facts.git.insert("short".to_string(), "abc1234".to_string());
    load("imgmake.kdl", text, &facts, &read_nothing).map(|(manifest, _)| manifest)
}

#[test]
fn a_first_manifest_loads() {
    let manifest = load_text("build app { context \".\" }").unwrap();
    assert_eq!(manifest.targets[0].name.value, "app");
}

const COMPLETE: &str = include_str!("../../tests/data/manifest/complete.kdl");

#[test]
fn the_complete_example_loads() {
    let manifest = load_text(COMPLETE)
        .unwrap_or_else(|found| panic!("{}", render(&found, "imgmake.kdl", COMPLETE, false, 100)));
    assert_eq!(manifest.targets.len(), 10);
    assert_eq!(manifest.disabled[0].value, "release");
    assert_eq!(manifest.registries.len(), 5);
}

fn with(facts: Facts, text: &str) -> Result<Manifest, Vec<String>> {
    let read = |path: &str| match path {
        ".env" => Ok("TAG=file\nONLY_FILE=file".to_string()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    load("imgmake.kdl", text, &facts, &read)
        .map(|(manifest, _)| manifest)
        .map_err(|found| found.into_iter().map(|one| one.message).collect())
}

fn facts(vars: &[(&str, &str)], environment: &[(&str, &str)]) -> Facts {
    let owned = |pair: &(&str, &str)| (pair.0.to_string(), pair.1.to_string());
    Facts {
        vars: vars.iter().map(owned).collect(),
        environment: environment.iter().map(owned).collect(),
        ..Facts::default()
    }
}

fn build_of<'m>(manifest: &'m Manifest, name: &str) -> &'m BuildTarget {
    let target = manifest
        .targets
        .iter()
        .find(|target| target.name.value == name);
    match &target.unwrap_or_else(|| panic!("no target {name}")).kind {
        TargetKind::Build(build) => build,
        other => panic!("{other:?}"),
    }
}

fn arg<'m>(manifest: &'m Manifest, target: &str, name: &str) -> &'m str {
    &build_of(manifest, target).args[name].value
}

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
fn templates_merge_maps_per_key_and_replace_lists() {
    let text = r#"
var V "1"
template base { args { A "base-${V}"; B "base"; C "base" }; tags "base"; platforms "linux/amd64"; desc "hidden" }
template more { inherits base; args { B "more" }; secrets s; needs x }
secret s env="S"
build x { from scratch; workdir "/" }
build app { inherits more; args { C #null; D "own" }; tags "own1" "own2"; secrets #null }
template steps { from alpine; run "one"; run "two"; env A="b" }
build kept { inherits steps; labels { a "b" } }
build replaced { inherits base steps; run "three" }
"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let app = build_of(&manifest, "app");
    let args: Vec<(&str, &str)> = app
        .args
        .iter()
        .map(|(k, v)| (k.as_str(), v.value.as_str()))
        .collect();
    assert_eq!(args, [("A", "base-1"), ("B", "more"), ("D", "own")]);
    assert_eq!(app.tags.len(), 2);
    assert_eq!(app.platforms.len(), 1);
    assert!(app.secrets.is_empty());
    let target = manifest
        .targets
        .iter()
        .find(|target| target.name.value == "app")
        .unwrap();
    assert_eq!((target.needs.len(), &target.description), (1, &None));
    let steps = |name: &str| match &build_of(&manifest, name).recipe {
        RecipeNode::Steps { steps, .. } => steps.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((steps("kept"), steps("replaced")), (3, 1));
}

#[test]
fn a_matrix_makes_a_target_of_each_combination() {
    let text = r#"
build w { matrix { py "3.12" "3.13"; os slim full; exclude py="3.12" os=full }; args { P "${py}-${os}" } }
build n { matrix { v a b }; name "n-${upper(v)}"; context "${v}" }
build s { matrix { v s }; name "s" }
"#;
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let names: Vec<&str> = manifest
        .targets
        .iter()
        .map(|target| target.name.value.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "w-3-12-slim",
            "w-3-13-slim",
            "w-3-13-full",
            "n-A",
            "n-B",
            "s"
        ]
    );
    assert_eq!(arg(&manifest, "w-3-13-full", "P"), "3.13-full");
    let groups: Vec<(&str, usize)> = manifest
        .groups
        .iter()
        .map(|group| (group.name.value.as_str(), group.members.len()))
        .collect();
    assert_eq!(groups, [("w", 3), ("n", 2)]);
}

#[test]
fn an_if_switches_a_target_off_without_asking_for_its_variables() {
    let text = r#"
var RELEASE #false
var TOKEN
build app { context "." }
build rel { if "${RELEASE}"; context "${TOKEN}" }
group all app rel
"#;
    let manifest = load_text(text).unwrap();
    assert_eq!(manifest.targets.len(), 1);
    crate::graph::Graph::new(manifest).unwrap();
    let found = with(facts(&[("RELEASE", "true")], &[]), text).unwrap_err();
    assert_eq!(found, ["target `rel`: the variable `TOKEN` is not set"]);
    let found = load_text(&format!("{text}build b {{ needs rel }}")).unwrap();
    let found = crate::graph::Graph::new(found).unwrap_err();
    assert_eq!(
        found[0].message,
        "target `b`: `rel` is switched off by its `if`"
    );
}

#[test]
fn set_overrides_attributes_of_every_matching_target() {
    let text = "build app { context \".\"; args { A \"1\"; B \"2\" }; tar \"x.tar\" }
build web { context \".\"; platforms \"linux/amd64\" }
scan s { images app; fail-on severity=low }";
    let set = |sets: &[&str]| {
        let facts = Facts {
            sets: sets.iter().map(|set| set.to_string()).collect(),
            ..Facts::default()
        };
        with(facts, text)
    };
    let manifest = set(&[
        "*.no-cache=true",
        "app.args.A=x=${y}",
        "app.args.C=new",
        "{app,web}.platforms=linux/arm64,linux/amd64",
        "app.tar.format=oci",
        "s.fail-on.severity=high",
        "web.epoch=5",
        "s.no-cache=x",
    ]);
    assert_eq!(
        manifest.unwrap_err(),
        ["target `s`: `scan` has no attribute `no-cache`"]
    );
    let manifest = set(&[
        "{app,web}.no-cache=true",
        "app.args.A=x=${y}",
        "app.args.C=new",
        "{app,web}.platforms=linux/arm64,linux/amd64",
        "app.tar.format=oci",
        "s.fail-on.severity=high",
        "web.epoch=5",
    ])
    .unwrap();
    assert_eq!(
        (
            arg(&manifest, "app", "A"),
            arg(&manifest, "app", "B"),
            arg(&manifest, "app", "C")
        ),
        ("x=${y}", "2", "new")
    );
    let web = build_of(&manifest, "web");
    assert_eq!(
        (web.no_cache, web.platforms.len(), web.epoch),
        (true, 2, Some(5))
    );
    assert_eq!(
        set(&["ap.tags=x"]).unwrap_err(),
        ["`--set ap.tags=x`: no target matches `ap`"]
    );
    assert_eq!(
        set(&["app.tagz=x"]).unwrap_err(),
        ["target `app`: `build` has no attribute `tagz`"]
    );
    assert_eq!(set(&["app"]).unwrap_err(), ["`--set app`: `=` expected"]);
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

/// Whatever comes in, an answer goes out: never a panic, never an overflow.
fn answer(bytes: &[u8]) -> Vec<Diagnostic> {
    let text = match decode(bytes.to_vec()) {
        Ok(text) => text,
        Err(diagnostic) => return vec![*diagnostic],
    };
    match load("x.kdl", &text, &Facts::default(), &read_nothing) {
        Ok((manifest, warnings)) => match crate::graph::Graph::new(manifest) {
            Ok(_) => warnings,
            Err(errors) => errors,
        },
        Err(errors) => {
            render(&errors, "x.kdl", &text, true, 80);
            errors
        }
    }
}

#[test]
fn hostile_rows_of_anything_are_refused_quickly() {
    for unit in [
        "{",
        "}",
        "a{",
        "a {",
        "a{}",
        "a{}\n",
        "(",
        ")",
        "(a)",
        "(a",
        "=",
        "a=",
        "a=1 ",
        "\"",
        "\"\"\"",
        "\"\"\"\n",
        "#",
        "#\"",
        "##\"",
        "/",
        "/-",
        "/-a ",
        "/-a{",
        "a /-{} ",
        "a /-b ",
        "/*",
        "*/",
        "/**/",
        "//\n",
        ";",
        "a;",
        "\\",
        "\\\n",
        "a \\\n",
        "[",
        "]",
        "-",
        "+",
        "0x",
        "1e",
        "1 ",
        "\u{feff}",
        "\u{0}",
        "\u{2028}",
        "é",
        "a ",
        "a\n",
        "\"\\",
        "\"a\"",
        "\"\\u{1}\" ",
        "${",
        "\"${",
        "a \"${a}\"\n",
        "#true ",
        "#true",
        "true",
        ",",
        ", ",
        "build ",
        "build a {",
        "\"${slug(",
        "\r",
        "a (b)c=(d)e ",
        "/-/-",
        "/- ",
        "\t",
        "'",
        "~",
        "<",
        "|",
    ] {
        // A smaller row where the parser itself (half a millisecond per kilobyte) has to read all of it.
        let begun = std::time::Instant::now();
        for length in [100, 20_000] {
            answer(unit.repeat(length / unit.len() + 1).as_bytes());
        }
        if std::env::var_os("TIMES").is_some() && begun.elapsed().as_millis() > 300 {
            eprintln!("{unit:?}: {:?}", begun.elapsed());
        }
    }
    for unit in [
        "{", "}", ")", "(", "=", "a{", "/-", "/*", ";", "\\\n", "[", "\"", "a{}", "\u{1}",
    ] {
        assert_eq!(
            answer(unit.repeat((1 << 20) / unit.len()).as_bytes()).len(),
            1,
            "{unit:?}"
        );
    }
    let huge = answer("{".repeat(10 << 20).as_bytes());
    assert!(huge[0].message.contains("too large"), "{huge:?}");
}

#[test]
fn nesting_to_the_limit_is_parsed_and_beyond_is_refused() {
    let nested = |depth: usize| format!("{}{}", "a {\n".repeat(depth), "}\n".repeat(depth));
    assert!(
        answer(nested(64).as_bytes())[0]
            .message
            .contains("unknown node `a`")
    );
    assert!(
        answer(nested(65).as_bytes())[0]
            .message
            .contains("deeper than 64")
    );
    let removed = format!("{}{}", "/- a {\n".repeat(64), "}\n".repeat(64));
    answer(removed.as_bytes());
    let broken = format!("{} b=c=d {}", "a {\n".repeat(60), "}\n".repeat(60));
    answer(broken.as_bytes());
    let broken = format!(
        "{}\n b \"\"\"\nx\n \"\"\"\n {}",
        "a {\n".repeat(60),
        "}\n".repeat(60)
    );
    answer(broken.as_bytes());
}

#[test]
fn bytes_that_are_no_text_get_one_message() {
    for bytes in [
        &b"\x7fELF\x02\x01\x01\0\0"[..],
        b"\xff\xfe",
        b"\x1f\x8b\x08",
        b"build \xc3(",
    ] {
        assert_eq!(answer(bytes).len(), 1, "{bytes:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        answer(&bytes);
    }

    #[test]
    fn anything_like_kdl_gets_an_answer(text in r#"([ab]|build|var|[{}();=\\/*#"\n .$-]|true|#true|1|"""|/-|[$]\{){0,60}"#) {
        answer(text.as_bytes());
    }

    #[test]
    fn a_damaged_manifest_gets_an_answer(at in 0usize..3000, length in 0usize..40, with in r#"[{}();=\\/*#"\n a$é-]{0,6}"#) {
        let mut text = COMPLETE.as_bytes().to_vec();
        let from = at.min(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, with.bytes());
        answer(&text);
    }
}

#[test]
fn other_line_ends_a_mark_of_byte_order_and_a_version_are_kdl() {
    for text in [
        COMPLETE.replace('\n', "\r\n"),
        format!("\u{feff}{COMPLETE}"),
        format!("/- kdl-version 2\n{COMPLETE}"),
    ] {
        let found = load_text(&text).map(|manifest| manifest.targets.len());
        assert_eq!(
            found.unwrap_or_else(|found| panic!("{}", render(&found, "x", &text, false, 100))),
            10
        );
    }
}

#[test]
fn what_is_left_out_or_continued_is_read_as_kdl_says() {
    let manifest = load_text(
        "build app {\n  /- context \"nowhere\"\n  context \\ // here\n    \"here\"\n  tags \"a\" /- \"b\" \"c\" /* d */\n  args { A #\"a\"b${\"#; B \"\"\"\n    one\n     two\n    \"\"\"; }\n}".replace("${", "").as_str(),
    )
    .unwrap_or_else(|found| panic!("{found:?}"));
    let build = build_of(&manifest, "app");
    assert_eq!(build.context.as_ref().unwrap().value, "here");
    assert_eq!(build.tags.len(), 2);
    assert_eq!(
        (arg(&manifest, "app", "A"), arg(&manifest, "app", "B")),
        ("a\"b", "one\n two")
    );
}

#[test]
fn a_manifest_survives_its_cache() {
    let manifest = load_text(COMPLETE).unwrap();
    let bytes = postcard::to_stdvec(&manifest).unwrap();
    assert_eq!(postcard::from_bytes::<Manifest>(&bytes).unwrap(), manifest);
}

#[test]
fn clouds_have_the_options_that_their_registries_need() {
    let text = r#"
registry ecr "1.dkr.ecr.eu-west-1.amazonaws.com" {
    auth aws-ecr role=r external-id=e session-name=s web-identity-token=(secret)t scan-on-push=#true lifecycle-policy="ecr/l.json" repository-policy="{}" sts-endpoint="https://sts" region=x
}
registry acr "a.azurecr.io" { auth azure tenant=t client-id=c certificate="acr.pem" }
registry gar "x.pkg.dev" { auth gcp access-token=(secret)t }
secret t env="T"
build a { context x }
"#;
    let loaded = load_text(text).unwrap();
    let Some(AuthNode::AwsEcr(options)) = loaded.registries.first().map(|r| r.auth.clone()) else {
        panic!("{:?}", loaded.registries)
    };
    assert_eq!(options.len(), 9);
    assert_eq!(
        options["scan-on-push"],
        PasswordFrom::Literal("true".into())
    );
    let wrong = "registry ecr \"a.io\" { auth aws-ecr scan-on-push=yes }\nbuild a { context x }";
    let refused = load_text(wrong).unwrap_err();
    assert!(refused[0].message.contains("boolean"), "{refused:?}");
}

#[test]
fn a_written_password_is_a_warning_and_never_shown() {
    let text = "registry hub \"docker.io/acme\" { auth basic user=x password=\"hunter2\" }\nbuild a { context x }";
    let (manifest, warnings) = load("x.kdl", text, &Facts::default(), &read_nothing).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert!(!format!("{manifest:?}").contains("hunter2"));
    let facts = facts(&[("A", "hunter2")], &[("B", "hunter2")]);
    assert!(!format!("{facts:?}").contains("hunter2"));
}

/// A directory in memory.
struct Directory(BTreeMap<&'static str, &'static str>);

impl Files for Directory {
    fn read(&self, path: &str) -> std::io::Result<String> {
        let found = self.0.get(path).map(|text| text.to_string());
        found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
    fn matching(&self, pattern: &Glob) -> std::io::Result<Vec<String>> {
        let paths = self.0.keys().filter(|path| pattern.matches(path));
        Ok(paths.map(|path| path.to_string()).collect())
    }
}

fn project(files: &[(&'static str, &'static str)], facts: &Facts) -> (Loaded, Sources) {
    let directory = Directory(files.iter().copied().collect());
    load_project("imgmake.kdl", directory.0["imgmake.kdl"], facts, &directory)
}

const MAIN: &str = r#"
var TAG "main"
registry hub "docker.io/acme"
template common { args { TAG "${TAG}" } }
build base { context "base" }
include "services/*/imgmake.kdl"
group all "services/*:*"
scan gate { images "services/api:app" }
"#;
const API: &str = r#"
imgmake version=1 { jobs 2; env-file ".env" }
var OWN "api-${TAG}" 
registry hub "docker.io/acme"
secret key file="key.pem"
run gen { command "make"; inputs "src/**"; outputs "gen" }
build app {
    inherits common
    contexts { base (target)base; lib (path)"../lib" }
    args { OWN "${OWN}"; FROM_FILE "${env.X}" }
    tar "out/app.tar"
}
build steps { from (target)app; copy "gen" to="/" }
push p { images app; to hub { tags "1" } }
"#;

#[test]
fn included_files_keep_their_paths_and_get_names_of_their_own() {
    let files = [
        ("imgmake.kdl", MAIN),
        ("services/api/imgmake.kdl", API),
        (
            "services/web/imgmake.kdl",
            "build app { context \".\" }\ngroup all app",
        ),
        ("services/api/.env", "X=from-file"),
    ];
    let (loaded, sources) = project(&files, &Facts::default());
    let (manifest, _) =
        loaded.unwrap_or_else(|found| panic!("{}", sources.render(&found, false, 100)));
    let names: Vec<&str> = manifest
        .targets
        .iter()
        .map(|target| target.name.value.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "base",
            "gate",
            "services/api:gen",
            "services/api:app",
            "services/api:steps",
            "services/api:p",
            "services/web:app",
        ]
    );
    let app = build_of(&manifest, "services/api:app");
    assert_eq!(app.context.as_ref().unwrap().value, "services/api");
    assert_eq!(
        app.tar.as_ref().unwrap().path.value,
        "services/api/out/app.tar"
    );
    assert!(
        matches!(&app.recipe, RecipeNode::Dockerfile { path, .. } if path.value == "services/api/Dockerfile")
    );
    assert!(matches!(&app.contexts[0].1, ContextNode::Target(name) if name.value == "base"));
    assert!(matches!(&app.contexts[1].1, ContextNode::Path(path) if path.value == "services/lib"));
    let args: Vec<&str> = app
        .args
        .values()
        .map(|value| value.value.as_str())
        .collect();
    assert_eq!(args, ["from-file", "api-main", "main"]);
    assert_eq!(manifest.registries.len(), 1);
    assert_eq!(
        manifest.secrets[0].source,
        SecretFrom::File("services/api/key.pem".to_string())
    );
    assert_eq!(manifest.settings.jobs, None);
    assert_eq!(
        manifest.included,
        ["services/web/imgmake.kdl", "services/api/imgmake.kdl"]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );

    let graph = crate::graph::Graph::new(manifest)
        .unwrap_or_else(|found| panic!("{}", sources.render(&found, false, 100)));
    let steps = graph.find("services/api:steps").unwrap();
    let uses: Vec<&str> = graph
        .dependencies(steps)
        .iter()
        .map(|(id, _)| graph.name(*id))
        .collect();
    assert_eq!(uses, ["services/api:gen", "services/api:app"]);
    let plan = crate::plan::select(&graph, &["all".to_string()]).unwrap();
    assert_eq!(plan.requested.len(), 5);
    assert_eq!(
        graph
            .target(graph.find("services/api:app").unwrap())
            .default_repository(),
        "services/api/app"
    );
}

#[test]
fn a_mistake_in_an_included_file_is_shown_there() {
    let files = [
        (
            "imgmake.kdl",
            "build base { context \"base\" }\ninclude \"api/imgmake.kdl\" \"imgmake.kdl\" \"gone.kdl\"",
        ),
        (
            "api/imgmake.kdl",
            "build app { contxt \".\" }\nbuild base { context \".\"; needs base }\ninclude \"../imgmake.kdl\"",
        ),
    ];
    let (loaded, sources) = project(&files, &Facts::default());
    let shown = sources.render(&loaded.unwrap_err(), false, 100);
    assert!(shown.contains("--> api/imgmake.kdl:1:13"), "{shown}");
    assert!(shown.contains("cannot read `gone.kdl`"), "{shown}");
    assert!(shown.ends_with("2 errors in imgmake.kdl\n"), "{shown}");

    let files = [
        (
            "imgmake.kdl",
            "build base { context \"base\" }\ninclude \"api/imgmake.kdl\"",
        ),
        (
            "api/imgmake.kdl",
            "build base { context \".\"; needs base }",
        ),
    ];
    let (loaded, sources) = project(&files, &Facts::default());
    let found = crate::graph::Graph::new(loaded.unwrap().0).unwrap_err();
    let shown = sources.render(&found, false, 100);
    assert!(
        shown.contains("target `api:base` depends on itself"),
        "{shown}"
    );
    assert!(shown.contains("--> api/imgmake.kdl:1:33"), "{shown}");
}

#[test]
fn of_a_line_that_nobody_can_read_only_the_surroundings_are_shown() {
    let mut text = String::from("build app { context \".\" }\nbuild base { tags");
    for number in 0..20_000 {
        text.push_str(&format!(" \"é:{number}\""));
    }
    text.push_str("; contxt \".\" }");
    let found = load_text(&text).unwrap_err();
    let shown = render(&found, "imgmake.kdl", &text, false, 100);
    assert!(shown.contains("--> imgmake.kdl:2:"), "{}", shown.len());
    assert!(shown.contains("contxt"), "{}", shown.len());
    assert!(shown.len() < 10_000, "{}", shown.len());
}

#[test]
fn places_in_two_files_are_shown_apart() {
    let files = [
        (
            "imgmake.kdl",
            "secret s env=\"A\"\nbuild base { context \"base\" }\ninclude \"x.kdl\"",
        ),
        ("x.kdl", "secret s env=\"B\"\nbuild base { context \"y\" }"),
    ];
    let (loaded, sources) = project(&files, &Facts::default());
    let shown = sources.render(&loaded.unwrap_err(), false, 100);
    assert!(
        shown.contains("--> x.kdl:1:8") && shown.contains("::: imgmake.kdl:1:8"),
        "{shown}"
    );
    assert!(shown.contains("the target name `base` is taken"), "{shown}");
    assert_eq!(sources.place(0), Some(("imgmake.kdl", 1)));
}

#[test]
fn the_form_of_added_layers_is_read_and_paths_are_absolute() {
    let text = "build app { context \".\"; squash; ignore-paths \"/var/run\" \"/tmp/\"; also-stages \"test\" }";
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let build = build_of(&manifest, "app");
    assert!(build.squash);
    assert_eq!((build.ignore_paths.len(), build.also_stages.len()), (2, 1));
    for (wrong, says) in [
        ("ignore-paths \"var/run\"", "cannot be ignored"),
        ("ignore-paths \"/\"", "cannot be ignored"),
        ("ignore-paths \"/a/../b\"", "cannot be ignored"),
        ("ignore-path \"/a\"", "did you mean `ignore-paths`"),
        ("squash \"yes\"", "squash"),
        ("dns \"ns.example\"", "invalid address"),
        ("dns-search \"a b\"", "invalid domain"),
        (
            "from scratch; workdir \"/\"; also-stages \"x\"",
            "not from both",
        ),
    ] {
        let text = format!("build app {{ {wrong} }}");
        let failed = load_text(&text)
            .err()
            .unwrap_or_else(|| panic!("{wrong} was taken"));
        let told = render(&failed, "x", &text, false, 100);
        assert!(told.contains(says), "{wrong}:\n{told}");
    }
}
