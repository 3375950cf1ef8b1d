//! Contexts that are images of an OCI layout, by whatever says so.

use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::project::Project;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

/// A layout at `base` with two images, of which one is called `latest`.
fn layout(directory: &Path) {
    let manifest = |word: &str, tag: &str| {
        format!(
            "build base {{\n from scratch\n file \"/word\" \"{word}\"\n label word=\"{word}\"\n \
             layout \"base\"\n tags \"base:{tag}\"\n}}\n"
        )
    };
    let made = temporary();
    let parts: Vec<String> = ["latest", "old"]
        .into_iter()
        .map(|tag| {
            let part = made.path().join(tag);
            write(&part, "imgmake.kdl", manifest(tag, tag));
            Imgmake::new().ok(&part, &["base"]);
            part.join("base").display().to_string()
        })
        .collect();
    let to = directory.join("base").display().to_string();
    for (from, tag) in parts.iter().zip(["latest", "old"]) {
        let (from, to) = (format!("oci:{from}"), format!("oci:{to}:{tag}"));
        run("skopeo", &["copy", "-q", &from, &to]);
    }
}

fn project() -> tempfile::TempDir {
    let directory = temporary();
    layout(directory.path());
    let dockerfile = "FROM base\nCOPY --from=other /word /other\nCOPY app /\n";
    write(directory.path(), "Dockerfile", dockerfile);
    write(directory.path(), "app", "the application\n");
    write(directory.path(), ".dockerignore", "base\nout\n");
    directory
}

/// What `word` of the base and of the other layout became.
fn words(directory: &Path, files: &str) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(directory.join(files).join(name)).unwrap();
    (read("word"), read("other"))
}

#[test]
fn a_layout_is_a_context_of_a_manifest_a_flag_a_bake_file_and_a_step() {
    let project = project();
    let here = project.path();
    let expected = ("latest".to_string(), "old".to_string());
    let manifest = "build app {\n context \".\"\n contexts { base (layout)\"base\"; \
         other (layout)\"base\" image=\"old\" }\n export \"out/kdl\"\n}\n";
    write(here, "imgmake.kdl", manifest);
    Imgmake::new().ok(here, &["app"]);
    assert_eq!(words(here, "out/kdl"), expected);

    let flags = [
        "--build-context=base=oci-layout://base:latest",
        "--build-context=other=oci-layout://base:old",
    ];
    let arguments = ["build", flags[0], flags[1], "-o", "out/flags", "."];
    Imgmake::new().ok(here, &arguments);
    assert_eq!(words(here, "out/flags"), expected);

    let bake = "target \"default\" {\n  contexts = { base = \"oci-layout://base\", \
         other = \"oci-layout://base:old\" }\n  output = [\"out/bake\"]\n}\n";
    write(here, "docker-bake.hcl", bake);
    Imgmake::new().ok(here, &["-f", "docker-bake.hcl", "default"]);
    assert_eq!(words(here, "out/bake"), expected);
    std::fs::remove_file(here.join("imgmake.kdl")).unwrap();
    Imgmake::new().ok(here, &["import", "docker-bake.hcl"]);
    let imported = std::fs::read_to_string(here.join("imgmake.kdl")).unwrap();
    assert!(imported.contains("base (layout)\"base\""), "{imported}");
    assert!(
        imported.contains("other (layout)\"base\" image=\"old\""),
        "{imported}"
    );

    let registry = Registry::start();
    let repository = format!("{}/team/app", registry.host);
    Imgmake::new()
        .with("PLUGIN_REPO", &repository)
        .with("PLUGIN_BUILDX_OPTIONS", &flags.join(","))
        .ok(here, &["plugin", "--as", "drone-docker"]);
    assert_eq!(registry.tags(), ["team/app:latest"]);
}

#[test]
fn what_is_in_a_layout_decides_and_what_is_not_is_told() {
    let project = project();
    let here = project.path();
    let manifest = |base: &str| {
        format!(
            "build app {{\n context \".\"\n contexts {{ base {base}; \
             other (layout)\"base\" image=\"old\" }}\n}}\n"
        )
    };
    write(here, "imgmake.kdl", manifest("(layout)\"base\" index=2"));
    let imgmake = Imgmake::new();
    imgmake.ok(here, &["app"]);
    imgmake.ok(here, &["check", "app"]);
    // The same path, another image.
    let to = format!("oci:{}:old", here.join("base").display());
    let made = temporary();
    write(
        made.path(),
        "imgmake.kdl",
        "build new {\n from scratch\n file \"/word\" \"new\"\n layout \"new\"\n}\n",
    );
    Imgmake::new().ok(made.path(), &["new"]);
    let from = format!("oci:{}", made.path().join("new").display());
    run("skopeo", &["copy", "-q", &from, &to]);
    imgmake.refused(here, &["check", "app"], 5, &[]);

    for (base, says) in [
        ("(layout)\"base\" image=\"none\"", "image `none` not found"),
        (
            "(layout)\"nowhere\"",
            "context `base`: cannot read an image from",
        ),
        ("(layout)\"app\"", "this is a text file"),
    ] {
        write(here, "imgmake.kdl", manifest(base));
        imgmake.refused(here, &["app"], 1, &[says]);
    }
}

#[test]
fn whoever_makes_the_layout_is_built_before() {
    let project = Project::new(
        "build base { from scratch; file \"/word\" \"1\"; layout \"out/base\" }\n\
         build app { context \"src\"; contexts { base (layout)\"out/base\" } }\n",
    )
    .with("src/Dockerfile", "FROM base\nLABEL a=b\n");
    project.run(&["app"]).ran(["app", "base"]);
    project.run(&["app"]).reused(["app", "base"]);
    let other = project.read("imgmake.kdl").replace("\"1\"", "\"2\"");
    project.write("imgmake.kdl", &other);
    project.run(&["app"]).ran(["app", "base"]);
}
