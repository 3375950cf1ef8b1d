//! Where the image goes.

use super::*;

#[test]
fn the_usual_command_line_builds_and_pushes() {
    let request = request(
        &[
            "--dockerfile=Dockerfile",
            "--context=dir:///workspace",
            "-d",
            "reg.io/team/app:1",
            "--destination",
            "reg.io/team/app:2",
            "--cache=true",
        ],
        &[],
    );
    assert_eq!(request.context, Context::Directory("/workspace".into()));
    let step = step(&["-c", "/workspace", "-d", "reg.io/team/app:1", "-d", "app"]);
    assert!(step.pushes());
    assert_eq!(step.names, ["reg.io/team/app:1", "app"]);
}

#[test]
fn a_place_for_the_image_is_needed() {
    assert!(refused(&[]).contains("--destination"));
    assert!(refused(&["--no-push=false"]).contains("--destination"));
    assert!(!step(&["--no-push", "-d", "a/b"]).pushes());
    for output in [
        "--tar-path=a.tar",
        "--tarPath=a.tar",
        "--oci-layout-path=oci",
    ] {
        assert!(!step(&[output]).pushes(), "{output}");
    }
    for output in ["--tar-path=", "--digest-file=d"] {
        assert!(refused(&[output]).contains("--destination"), "{output}");
    }
    for file in [
        "--image-name-with-digest-file=f",
        "--image-name-tag-with-digest-file=f",
    ] {
        assert!(refused(&["--no-push", file]).contains("name-"), "{file}");
    }
    let by_environment = attempt(&["-d", "a/b"], &[("KANIKO_NO_PUSH", "true")]).unwrap();
    assert!(!by_environment.pushes());
    assert!(attempt(&["-d", "a/b"], &[("KANIKO_NO_PUSH", "yes")]).is_err());
}

#[test]
fn destinations_that_are_no_names_are_refused() {
    for name in [
        "",
        "https://reg.io/a:1",
        "reg.io/a@sha256:00",
        "reg.io/App",
        "a/b,c/d",
        "reg.io/a:",
        "a b",
        "reg.io//a",
    ] {
        let message = refused(&["--destination", name]);
        assert!(message.contains("--destination"), "{name}: {message}");
    }
}

#[test]
fn outputs_go_where_they_are_told() {
    let step = step(&[
        "--no-push",
        "-d",
        "reg.io/a:1",
        "--tar-path=out/a.tar",
        "--oci-layout-path=oci",
        "--digest-file=d",
        "--image-name-with-digest-file=n",
        "--image-name-tag-with-digest-file=t",
    ]);
    let build = step.build().unwrap();
    let tar = build.tar.as_ref().unwrap();
    assert_eq!(
        (tar.path.value.as_str(), tar.format),
        ("out/a.tar", TarFormat::Docker)
    );
    assert_eq!(build.layout.as_ref().unwrap().value, "oci");
    assert_eq!(step.results.digest, ["d"]);
    assert_eq!(step.results.name_with_digest, ["n"]);
    assert_eq!(step.results.name_tag_with_digest, ["t"]);
}
