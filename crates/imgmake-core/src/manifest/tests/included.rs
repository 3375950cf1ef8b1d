//! Manifests of several files.

use super::*;

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
    let mut text = String::from("build app { context \".\" }\nbuild base { ignore-paths");
    for number in 0..20_000 {
        text.push_str(&format!(" \"/é{number}\""));
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
