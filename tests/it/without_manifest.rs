//! `imgmake build -t NAME DIR`: docker's command line, without a manifest.

use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

fn project(directory: &Path) {
    write(
        directory,
        "docker/app.Dockerfile",
        "FROM scratch AS release\nARG VERSION=0\nLABEL version=$VERSION\nCOPY app.txt /\nFROM scratch\n",
    );
    write(directory, "Dockerfile", "FROM scratch\nCOPY app.txt /\n");
    write(directory, "app.txt", "the application\n");
}

const FLAGS: [&str; 10] = [
    "build",
    "-t",
    "team/app:1",
    "-f",
    "docker/app.Dockerfile",
    "--target",
    "release",
    "--build-arg",
    "VERSION",
    "--label=by=me",
];

#[test]
fn a_directory_is_built_with_dockers_flags_and_nothing_is_left_in_it() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new().with("VERSION", "1.2");
    let flags = [&FLAGS[..], &["-o", "type=oci,dest=out.tar", "."]].concat();
    imgmake.ok(directory.path(), &flags);
    assert!(!directory.path().join("imgmake.kdl").exists());
    assert!(!directory.path().join(".imgmake").exists());
    let seen = imgmake
        .ok(directory.path(), &["inspect", "team/app:1"])
        .stdout;
    for line in ["label     version=1.2", "label     by=me", "/app.txt"] {
        assert!(seen.contains(line), "{line}: {seen}");
    }
    let archive = format!("oci-archive:{}/out.tar", directory.path().display());
    let labels = run("skopeo", &["inspect", "--format={{.Labels.by}}", &archive]);
    assert_eq!(labels.trim(), "me");
    // Steps are in the store.
    let again = imgmake.ok(directory.path(), &[&FLAGS[..], &["-v", "."]].concat());
    assert!(again.stderr.contains("(cached)"), "{}", again.stderr);
    let elsewhere = temporary();
    let path = directory.path().to_str().unwrap();
    imgmake.ok(elsewhere.path(), &["build", path]);
}

#[test]
fn the_manifest_that_is_written_says_the_same() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new().with("VERSION", "1.2");
    let flags = [&FLAGS[..], &["--write", "."]].concat();
    let digest = |stdout: &str| {
        let at = stdout.find("sha256:").unwrap_or_else(|| panic!("{stdout}"));
        stdout[at..at + 71].to_string()
    };
    let alone = imgmake.ok(directory.path(), &[&FLAGS[..], &["."]].concat());
    let written = imgmake.ok(directory.path(), &flags);
    assert!(
        written.stdout.contains("wrote ./imgmake.kdl"),
        "{written:?}"
    );
    assert_eq!(digest(&written.stdout), digest(&alone.stdout));
    // What the environment holds may be a secret: only its name is written.
    let manifest = std::fs::read_to_string(directory.path().join("imgmake.kdl")).unwrap();
    assert!(
        manifest.contains("var VERSION env=\"VERSION\""),
        "{manifest}"
    );
    assert!(!manifest.contains("1.2"), "{manifest}");
    let again = imgmake.ok(directory.path(), &[]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    imgmake.refused(directory.path(), &flags, 2, &["exists already"]);
    std::fs::remove_file(directory.path().join("imgmake.kdl")).unwrap();
    let without = Imgmake::new().ok(directory.path(), &flags);
    let note = "the environment has no `VERSION`";
    assert!(without.stderr.contains(note), "{}", without.stderr);
    let manifest = std::fs::read_to_string(directory.path().join("imgmake.kdl")).unwrap();
    assert!(!manifest.contains("VERSION"), "{manifest}");
}

/// Messages show no lines of a manifest that nobody wrote, and no name of one.
#[test]
fn mistakes_are_told_in_the_words_of_the_command_line() {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "docker/Dockerfile",
        "FROM scratch AS made\nCOPY . /\n",
    );
    let imgmake = Imgmake::new();
    for (arguments, code, says) in [
        (
            &["."][..],
            1,
            &[
                "cannot read the Dockerfile `Dockerfile`",
                "`docker/Dockerfile` exists: add `-f docker/Dockerfile`",
            ][..],
        ),
        (
            &["./dokcer"],
            1,
            &[
                "cannot read the context `./dokcer`: No such file",
                "did you mean `./docker`?",
            ],
        ),
        (&["./elsewhere"], 1, &["relative to the working directory"]),
        (
            &["-t", "Team/App", "docker"],
            2,
            &["repository names are lower-case", "write `team/app`"],
        ),
        (&["-t", "a:$TAG", "docker"], 2, &["invalid tag `$TAG`"]),
        (
            &["docker", "--target", "mad"],
            1,
            &["stage `mad` not found", "did you mean `made`?"],
        ),
        (
            &["docker"],
            2,
            &[
                "so `docker` is not a target",
                "`imgmake build ./docker` builds the directory",
            ],
        ),
        (
            &["nope"],
            2,
            &[
                "so `nope` is not a target, and it is not a directory",
                "`imgmake init` writes one",
            ],
        ),
        (
            &["file:///srv/app"],
            2,
            &["write the path of the directory: `/srv/app`"],
        ),
    ] {
        let arguments = [&["build"], arguments].concat();
        let ran = imgmake.refused(path, &arguments, code, says);
        for word in ["imgmake build:", "-->", "manifest's"] {
            assert!(!ran.stderr.contains(word), "{arguments:?} {word}: {ran:?}");
        }
    }
}

#[test]
fn a_push_goes_where_the_name_says() {
    let directory = temporary();
    project(directory.path());
    let registry = Registry::start();
    let name = format!("{}/team/app:1", registry.host);
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &["build", "-t", &name, "."]);
    assert!(registry.tags().is_empty());
    imgmake.ok(directory.path(), &["build", "-t", &name, "--push", "."]);
    assert_eq!(registry.tags(), ["team/app:1"]);
    for (tag, output) in [("2", "type=registry"), ("3", "type=image,push=true")] {
        let name = format!("{}/team/app:{tag}", registry.host);
        imgmake.ok(directory.path(), &["build", "-t", &name, "-o", output, "."]);
        assert!(
            registry.tags().contains(&format!("team/app:{tag}")),
            "{output}"
        );
        let says = format!("`-o {output}` needs a name");
        imgmake.refused(directory.path(), &["build", "-o", output, "."], 2, &[&says]);
    }
    let without = ["build", "--push", "."];
    imgmake.refused(directory.path(), &without, 2, &["`--push` needs a name"]);
    let says = ["invalid image name", "repository names are lower-case"];
    imgmake.refused(
        directory.path(),
        &["build", "-t", "Team/App", "."],
        2,
        &says,
    );
}
