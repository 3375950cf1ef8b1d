//! What makes a build stale: everything that the manifest says of it, and nothing else.

use crate::ground::imgmake::Imgmake;
use crate::ground::{temporary, write};

const DOCKERFILE: &str = "FROM scratch AS one\nENV A=1\nFROM scratch AS two\nENV A=2\nFROM scratch AS three\nCOPY --from=files . /\n";

/// The target with this in its block, built after it was built with that.
fn again(before: &str, after: &str) -> (String, String) {
    let directory = temporary();
    let imgmake = Imgmake::new();
    write(directory.path(), "Dockerfile", DOCKERFILE);
    write(directory.path(), "here/f", "f");
    write(directory.path(), "there/f", "g");
    let digest = || {
        imgmake
            .ok(directory.path(), &["inspect", "x:1", "--format", "json"])
            .stdout
    };
    let build = |body: &str| {
        let manifest = format!("build a {{\n    tags \"x:1\"\n    {body}\n}}\n");
        write(directory.path(), "imgmake.kdl", manifest);
        let ran = imgmake.ok(directory.path(), &[]);
        (format!("{}{}", ran.stdout, ran.stderr), digest())
    };
    let (_, first) = build(before);
    let (said, second) = build(after);
    assert_eq!(
        said.contains("nothing to do"),
        first == second,
        "`{before}` became `{after}`:\n{said}"
    );
    (said, second)
}

#[test]
fn every_setting_that_changes_the_image_makes_it_again_and_is_named() {
    let plain = "context \".\"; stage one";
    let steps = "from scratch; file \"/f\" \"1\"; env A=\"1\"";
    for (before, after, named) in [
        (plain, "context \".\"; stage two", "stage"),
        (
            "context \".\"; stage three; contexts { files (path)\"here\" }",
            "context \".\"; stage three; contexts { files (path)\"there\" }",
            "context files",
        ),
        (
            plain,
            "context \".\"; stage one; labels { a \"1\" }",
            "label a",
        ),
        (
            plain,
            "context \".\"; stage one; annotations { a \"1\" }",
            "annotation a",
        ),
        (plain, "context \".\"; stage one; format docker", "format"),
        (
            plain,
            "context \".\"; stage one; platforms \"linux/s390x\"",
            "platforms",
        ),
        (
            steps,
            "from scratch; file \"/f\" \"2\"; env A=\"1\"",
            "step 1 file",
        ),
        (
            steps,
            "from scratch; file \"/f\" \"1\" mode=\"0600\"; env A=\"1\"",
            "step 1 file",
        ),
        (
            steps,
            "from scratch; file \"/f\" \"1\"; env A=\"2\"",
            "step 2 env",
        ),
        (
            steps,
            "from scratch; file \"/f\" \"1\"; env A=\"1\"; user \"7\"",
            "step 3 user",
        ),
        (
            steps,
            "from scratch; file \"/f\" \"1\"; env A=\"1\"; cmd \"/f\"",
            "step 3 cmd",
        ),
        (steps, "from scratch; file \"/f\" \"1\"", "step 2 env"),
        (steps, &format!("{steps}; compression none"), "compression"),
        (steps, &format!("{steps}; epoch 7"), "epoch"),
        (
            steps,
            &format!("{steps}; ignore-paths \"/f\""),
            "ignore-paths",
        ),
        (
            &format!("{steps}; file \"/g\" \"1\""),
            &format!("{steps}; file \"/g\" \"1\"; squash"),
            "squash",
        ),
    ] {
        let (said, _) = again(before, after);
        assert!(
            said.contains(named),
            "`{after}`: `{named}` is not in\n{said}"
        );
    }
}

#[test]
fn what_is_written_otherwise_and_means_the_same_is_not_made_again() {
    let (said, _) = again(
        "from scratch; file \"/f\" \"1\"; env A=\"1\"",
        "desc \"other words\"\n    from \"scratch\" // a comment\n    file \"/f\" \"1\"\n    env A=\"1\"",
    );
    assert!(said.contains("nothing to do"), "{said}");
}
