//! Bad input gives one clear message with its place and the next step, the right
//! exit code, and leaves store, state and outputs usable.

use std::path::Path;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{run, temporary, write};

fn project(manifest: &str) -> tempfile::TempDir {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", manifest);
    directory
}

const APP: &str = "build app { context \".\" }\n";

#[test]
fn a_missing_dockerfile_is_named_with_its_place() {
    let directory =
        project("build app {\n    context \".\"\n    dockerfile \"docker/Dockerfile\"\n}\n");
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["app", "docker/Dockerfile", "imgmake.kdl:3", "No such file"],
    );
}

#[test]
fn a_missing_dockerfile_that_has_a_sibling_is_told_of_it() {
    let directory = project(APP);
    write(directory.path(), "Containerfile", "FROM scratch\n");
    Imgmake::new().refused(directory.path(), &[], 1, &["Dockerfile", "Containerfile"]);
}

#[test]
fn a_dockerfile_in_a_usual_directory_is_named() {
    let directory = project(APP);
    write(directory.path(), "docker/Dockerfile", "FROM scratch\n");
    let says = ["target `app`:", "`docker/Dockerfile` exists"];
    Imgmake::new().refused(directory.path(), &[], 1, &says);
}

#[test]
fn a_source_above_the_context_names_the_way_to_have_it() {
    let directory = project(APP);
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY ../x /\n",
    );
    let says = ["Dockerfile:2", "a larger `context`"];
    Imgmake::new().refused(directory.path(), &[], 1, &says);
}

#[test]
fn a_url_is_shown_without_its_query() {
    let directory = project(APP);
    let text = "FROM scratch\nADD http://127.0.0.1:1/x?token=SECRET /\n";
    write(directory.path(), "Dockerfile", text);
    let imgmake = Imgmake::new();
    let said = imgmake.refused(directory.path(), &[], 1, &["http://127.0.0.1:1/x?…"]);
    assert!(!said.stderr.contains("SECRET"), "{said:?}");
}

#[test]
fn no_job_is_no_number_of_jobs() {
    let directory = project(APP);
    let says = ["write a number from 1"];
    Imgmake::new().refused(directory.path(), &["-j", "0"], 2, &says);
}

#[test]
fn an_unreadable_dockerfile_says_that_it_may_not_be_read() {
    let directory = project(APP);
    write(directory.path(), "Dockerfile", "FROM scratch\n");
    let imgmake = Imgmake::run_by(User::Plain);
    imgmake.give(directory.path());
    run(
        "chmod",
        &["000", directory.path().join("Dockerfile").to_str().unwrap()],
    );
    imgmake.refused(
        directory.path(),
        &[],
        1,
        &["Dockerfile", "ermission denied"],
    );
}

#[test]
fn an_unknown_instruction_is_named_with_line_and_the_nearest_legal_one() {
    let directory = project(APP);
    write(directory.path(), "Dockerfile", "FROM scratch\nCOPPY a /b\n");
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["Dockerfile", "2", "COPPY", "COPY"],
    );
}

#[test]
fn an_unknown_flag_is_never_skipped() {
    let directory = project(APP);
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY --chwon=1 Dockerfile /b\n",
    );
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["Dockerfile", "2", "chwon", "chown"],
    );
}

#[test]
fn a_copy_source_that_an_ignore_rule_hides_names_the_rule() {
    let directory = project(APP);
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY dist/app /app\n",
    );
    write(directory.path(), "dist/app", "x");
    write(directory.path(), ".dockerignore", "# comment\ndist\n");
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["dist/app", ".dockerignore", "Dockerfile", "2"],
    );
}

#[test]
fn a_context_outside_the_disks_reach_is_named() {
    let directory = project("build app {\n    context \"../../nowhere/at/all\"\n}\n");
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["nowhere/at/all", "imgmake.kdl:2"],
    );
}

#[test]
fn an_image_that_does_not_exist_is_told_apart_from_a_registry_that_is_down() {
    let host = &bases().host;
    let missing = project(&format!(
        "registry base \"{host}\" {{ insecure #true }}\n{APP}"
    ));
    write(
        missing.path(),
        "Dockerfile",
        format!("FROM {host}/library/nothing:1\nRUN true\n"),
    );
    Imgmake::new().refused(
        missing.path(),
        &[],
        4,
        &["library/nothing", host, "Dockerfile", "1"],
    );

    let port = crate::ground::registry::free_port();
    let down = project(&format!("imgmake version=1 {{ retry attempts=1 }}\n{APP}"));
    write(
        down.path(),
        "Dockerfile",
        format!("FROM 127.0.0.1:{port}/a:1\nRUN true\n"),
    );
    Imgmake::new().refused(
        down.path(),
        &[],
        4,
        &[&format!("127.0.0.1:{port}"), "refused"],
    );
}

#[test]
fn a_tarball_that_is_truncated_or_no_image_is_told_so() {
    let directory = project("build app { context \".\"; tar \"whole.tar\" }\n");
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    write(directory.path(), ".dockerignore", "*.tar\n*.kdl\n");
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &[]);
    let whole = std::fs::read(directory.path().join("whole.tar")).unwrap();
    write(directory.path(), "cut.tar", &whole[..whole.len() / 2]);
    write(directory.path(), "text.tar", "this is no archive at all\n");
    for file in ["cut.tar", "text.tar", "absent.tar"] {
        write(
            directory.path(),
            "imgmake.kdl",
            format!(
                "registry r \"127.0.0.1:1\" {{ insecure #true }}\npush p {{ from tar=\"{file}\"; to r {{ repository \"x\"; tags \"1\" }} }}\n"
            ),
        );
        imgmake.refused(directory.path(), &["p"], 1, &[file]);
    }
}

#[test]
fn a_manifest_that_is_empty_binary_or_deeply_nested_is_refused_in_a_sentence() {
    for (what, content) in [
        ("empty", Vec::new()),
        ("binary", (0..=255u8).cycle().take(5000).collect()),
        ("nested", b"a { ".repeat(2_500_000)),
    ] {
        let directory = temporary();
        write(directory.path(), "imgmake.kdl", content);
        let ran = Imgmake::new().refused(directory.path(), &[], 2, &["imgmake.kdl"]);
        assert!(ran.stderr.lines().count() < 30, "{what}: {}", ran.stderr);
    }
}

#[test]
fn no_manifest_at_all_says_how_to_begin() {
    let directory = temporary();
    Imgmake::new().refused(directory.path(), &[], 2, &["imgmake.kdl", "init"]);
}

#[test]
fn an_unknown_target_gets_a_suggestion() {
    let directory = project(APP);
    write(directory.path(), "Dockerfile", "FROM scratch\n");
    Imgmake::new().refused(directory.path(), &["apq"], 2, &["apq", "app"]);
}

#[test]
fn a_failing_run_shows_exit_code_place_and_last_output() {
    let host = &bases().host;
    let directory = project(&format!(
        "registry base \"{host}\" {{ insecure #true }}\n{APP}"
    ));
    write(
        directory.path(),
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest\nRUN true\nRUN echo the reason is here; exit 42\n"
        ),
    );
    Imgmake::new().refused(
        directory.path(),
        &[],
        1,
        &["42", "Dockerfile", "3", "the reason is here"],
    );
}

#[test]
fn a_full_disk_is_said_plainly_and_the_next_run_with_room_succeeds() {
    let directory = project("build app { context \".\"; tar \"out.tar\" }\n");
    write(directory.path(), "Dockerfile", "FROM scratch\nCOPY big /\n");
    write(directory.path(), "big", random_bytes(8 << 20));
    write(
        directory.path(),
        ".dockerignore",
        "out.tar\n*.kdl\n.imgmake\n",
    );
    let small = temporary();
    let _mount = Tmpfs::of(small.path(), "4m");
    let store = format!("--store={}", small.path().join("store").display());
    let imgmake = Imgmake::new();
    imgmake.refused(directory.path(), &[&store], 1, &["No space left", "store"]);
    assert!(!directory.path().join("out.tar").exists());
    run(
        "mount",
        &["-o", "remount,size=64m", small.path().to_str().unwrap()],
    );
    imgmake.ok(directory.path(), &[&store]);
}

fn random_bytes(count: usize) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = vec![0; count];
    std::fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    bytes
}

struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn of<'a>(path: &'a Path, size: &str) -> Tmpfs<'a> {
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "imgmake-it",
                path.to_str().unwrap(),
            ],
        );
        Tmpfs(path)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg(self.0).status());
    }
}

#[test]
fn a_stage_that_the_dockerfile_does_not_have_is_shown_where_the_manifest_names_it() {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "Dockerfile",
        "FROM scratch AS base\nFROM base AS final\nLABEL a=b\n",
    );
    let imgmake = Imgmake::new();
    for (written, line) in [
        (
            "stage \"fina\"",
            "     stage \"fina\"\n  |           ^^^^^^ not a stage of it",
        ),
        ("also-stages \"final\" \"fina\"", "^^^^^^ not a stage of it"),
    ] {
        let manifest = format!("build app {{\n    context \".\"\n    {written}\n}}\n");
        write(path, "imgmake.kdl", manifest);
        let says = [
            "error: target `app`: stage `fina` not found in the Dockerfile\n --> imgmake.kdl:3:",
            line,
            "help: did you mean `final`? the stages are: base, final",
        ];
        imgmake.refused(path, &[], 2, &says);
    }
}
