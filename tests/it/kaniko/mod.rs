//! Pipelines that call kaniko's executor keep their arguments.
//!
//! | module | what it claims |
//! |---|---|
//! | `contexts` | directories, archives, standard input, repositories, servers |
//! | `pushes` | permission is asked for before the build; tags that cannot be moved |
//! | `layers` | one snapshot, and paths that are left out |
//! | `refusals` | what is wrong is named by its flag; what changes nothing is said |
//! | `interrupted` | signals leave nothing behind |

mod contexts;
mod interrupted;
mod layers;
mod pushes;
mod refusals;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, Ran, User};
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

/// A context that needs no base image.
fn project() -> tempfile::TempDir {
    let directory = temporary();
    write(
        directory.path(),
        "context/Dockerfile",
        "FROM scratch\nARG WORD=none\nLABEL word=$WORD\nCOPY src /src\n",
    );
    write(directory.path(), "context/src/a", "a\n");
    write(directory.path(), "context/src/b", "b\n");
    directory
}

fn kaniko(imgmake: &Imgmake, directory: &Path, arguments: &[&str]) -> Ran {
    imgmake.ok(directory, &[&["kaniko"], arguments].concat())
}

fn refused(directory: &Path, arguments: &[&str], says: &[&str]) -> Ran {
    Imgmake::new().refused(directory, &[&["kaniko"], arguments].concat(), 1, says)
}

/// The digest of the image that a context makes.
fn digest(directory: &Path, imgmake: &Imgmake, arguments: &[&str]) -> String {
    kaniko(
        imgmake,
        directory,
        &[&["--no-push", "--digest-file=digest"], arguments].concat(),
    );
    let digest = std::fs::read_to_string(directory.join("digest")).unwrap();
    std::fs::remove_file(directory.join("digest")).unwrap();
    digest
}

/// The program under kaniko's name.
fn as_executor(imgmake: &Imgmake, directory: &Path) -> std::process::Command {
    let template = imgmake.command(directory);
    let link = directory.join("executor");
    drop(std::fs::remove_file(&link));
    std::os::unix::fs::symlink(template.get_program(), &link).unwrap();
    let mut command = std::process::Command::new(link);
    command
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null());
    for (name, value) in template.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

#[test]
fn the_usual_arguments_build_and_push_to_every_destination() {
    let project = project();
    let (one, two) = (Registry::start(), Registry::start());
    let destinations = [
        format!("{}/team/app:1", one.host),
        format!("{}/team/app:latest", one.host),
        format!("{}/copy:1", two.host),
    ];
    let mut arguments = vec![
        "--dockerfile=Dockerfile",
        "--context=dir://context",
        "--cache=true",
        "--insecure",
        "--build-arg",
        "WORD=x",
    ];
    for destination in &destinations {
        arguments.extend(["--destination", destination]);
    }
    arguments.extend([
        "--digest-file=out/digest",
        "--image-name-with-digest-file=out/names",
        "--image-name-tag-with-digest-file=out/tags",
    ]);

    kaniko(&Imgmake::new(), project.path(), &arguments);

    let digest = one.digest("team/app", "1").unwrap();
    assert_eq!(one.tags(), ["team/app:1", "team/app:latest"]);
    assert_eq!(two.digest("copy", "1").as_ref(), Some(&digest));
    let read = |name: &str| std::fs::read_to_string(project.path().join("out").join(name)).unwrap();
    assert_eq!(read("digest"), digest);
    assert_eq!(
        read("names"),
        format!(
            "{}/team/app@{digest}\n{}/copy@{digest}\n",
            one.host, two.host
        )
    );
    let lines: Vec<String> = destinations
        .iter()
        .map(|name| format!("{name}@{digest}\n"))
        .collect();
    assert_eq!(read("tags"), lines.concat());
}

#[test]
fn the_program_called_executor_is_kaniko() {
    let project = project();
    let registry = Registry::start();
    let imgmake = Imgmake::new();
    let destination = format!("-d={}/app:1", registry.host);
    let output = as_executor(&imgmake, project.path())
        .args(["-c", "context", &destination])
        .env("BUILDER_OUTPUT", project.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let digest = registry.digest("app", "1").unwrap();
    let images = std::fs::read_to_string(project.path().join("images")).unwrap();
    assert_eq!(
        images,
        format!(
            "{{\"name\":\"{}/app:1\",\"digest\":\"{digest}\"}}\n",
            registry.host
        )
    );

    let help = as_executor(&imgmake, project.path())
        .arg("--help")
        .output()
        .unwrap();
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--destination")
    );
    let version = as_executor(&imgmake, project.path())
        .arg("version")
        .output()
        .unwrap();
    assert!(version.status.success());
}

#[test]
fn archives_are_written_instead_of_a_push() {
    let project = project();
    let directory = project.path();
    kaniko(
        &Imgmake::new(),
        directory,
        &[
            "-c",
            "context",
            "--no-push",
            "-d",
            "reg.example/app:1",
            "-d",
            "reg.example/app:2",
            "--tarPath=out/a.tar",
            "--oci-layout-path=oci",
            "--digest-file=digest",
        ],
    );
    let digest = std::fs::read_to_string(directory.join("digest")).unwrap();
    let archive = format!("docker-archive:{}", directory.join("out/a.tar").display());
    let tags = run("skopeo", &["list-tags", &archive]);
    assert!(
        tags.contains("reg.example/app:1") && tags.contains("reg.example/app:2"),
        "{tags}"
    );
    let index = std::fs::read_to_string(directory.join("oci/index.json")).unwrap();
    assert!(index.contains(&digest), "{index}");
}

#[test]
fn base_images_come_from_the_mirror() {
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=secret,id=word cat /run/secrets/word > /length\nARG SET\nRUN test \"$SET\" = yes\n",
    );
    let mirror = format!("--registry-mirror={}", bases().host);
    let arguments = [
        "-c",
        ".",
        &mirror,
        "--skip-default-registry-fallback",
        "--insecure-pull",
        "--reproducible",
        "--secret=id=word,env=WORD",
        "--build-arg=SET",
    ];
    let made = || {
        let imgmake = Imgmake::new()
            .with("WORD", "secret-word")
            .with("SET", "yes");
        digest(directory.path(), &imgmake, &arguments)
    };
    let first = made();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(made(), first, "--reproducible");
    // Nobody else is asked.
    write(directory.path(), "Dockerfile", "FROM nowhere\n");
    refused(
        directory.path(),
        &[
            "-c",
            ".",
            "--no-push",
            &mirror,
            "--skip-default-registry-fallback",
        ],
        &["nowhere"],
    );
}

#[test]
fn an_ordinary_user_needs_nothing_more() {
    let directory = temporary();
    let imgmake = Imgmake::run_by(User::Plain);
    write(
        directory.path(),
        "Dockerfile",
        "FROM busybox\nRUN echo made > /made\n",
    );
    run(
        "tar",
        &[
            "-C",
            directory.path().to_str().unwrap(),
            "-czf",
            &directory.path().join("c.tgz").display().to_string(),
            "Dockerfile",
        ],
    );
    imgmake.give(directory.path());
    let mirror = format!("--registry-mirror={}", bases().host);
    kaniko(
        &imgmake,
        directory.path(),
        &[
            "--context=tar://c.tgz",
            &mirror,
            "--insecure-pull",
            "--no-push",
            "--tar-path=a.tar",
        ],
    );
    assert!(directory.path().join("a.tar").exists());
}
