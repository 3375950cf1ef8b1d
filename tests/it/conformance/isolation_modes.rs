//! The cases with a RUN again, in every other kind of isolation: as a user with
//! subordinate ids, as one without, and by chroot alone. The image is the same; where
//! it cannot be, the case has a `isolation` line with the reason and a text of its own.
//!
//! The test lays everything out as root and starts itself again in each of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use imgmake_sandbox::IsolationMode;

use super::case::Case;
use super::workshop::{Place, Workshop};
use super::{compare, for_each};
use crate::ground::expected::is_update;
use crate::ground::images::{busybox, path};
use crate::ground::{run, temporary};

const ISOLATION: &str = "IMGMAKE_TEST_CONFORMANCE_TIER";
const GROUND: &str = "IMGMAKE_TEST_CONFORMANCE_GROUND";

/// With the user who has that kind of isolation.
const TIERS: [(&str, &str); 3] = [
    ("rootless", "imgmake-test"),
    ("single-id", "imgmake-plain"),
    ("chroot", "root"),
];

#[test]
fn every_kind_of_isolation_gives_the_image_of_the_case_or_the_one_it_says() {
    if let Ok(isolation_mode) = std::env::var(ISOLATION) {
        let ground = PathBuf::from(std::env::var_os(GROUND).unwrap());
        return in_isolation_mode(&isolation_mode, &ground);
    }
    let cases: Vec<Case> = Case::all("conformance")
        .into_iter()
        .filter(Case::runs)
        .collect();
    assert!(!cases.is_empty());
    let ground = temporary();
    let files = ground.path();
    fs::copy(std::env::current_exe().unwrap(), files.join("tests")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_imgmake"), files.join("imgmake")).unwrap();
    run(
        "cp",
        &["-R", path(&busybox()), path(&files.join("busybox"))],
    );
    run("chmod", &["-R", "a+rX", path(files)]);
    for case in &cases {
        let place = files.join("places").join(case.name());
        fs::create_dir_all(&place).unwrap();
        case.lay_out(&place);
    }
    let children: Vec<(&str, Child)> = TIERS
        .iter()
        .map(|(isolation_mode, user)| (*isolation_mode, start(isolation_mode, user, files, &cases)))
        .collect();
    let mut failures = String::new();
    for (isolation_mode, child) in children {
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            failures += &format!(
                "{isolation_mode}:\n{}\n",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        if is_update() {
            keep(isolation_mode, files, &cases);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Everything is the user's own, as a checkout would be.
fn start(isolation_mode: &str, user: &str, files: &Path, cases: &[Case]) -> Child {
    let ground = files.join(isolation_mode);
    fs::create_dir_all(ground.join("cases")).unwrap();
    run("cp", &["-a", path(&files.join("places")), path(&ground)]);
    for case in cases {
        run(
            "cp",
            &["-R", path(&case.directory), path(&ground.join("cases"))],
        );
    }
    run("chown", &["-Rh", &format!("{user}:"), path(&ground)]);
    let mut command = Command::new("setpriv");
    match isolation_mode {
        "chroot" => command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]),
        _ => command.args(["--reuid", user, "--regid", user, "--clear-groups"]),
    };
    command
        .arg(files.join("tests"))
        .args(["every_kind_of_isolation_gives", "--nocapture"])
        .env(ISOLATION, isolation_mode)
        .env(GROUND, &ground)
        .env("TMPDIR", "/tmp")
        .env("HOME", &ground)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What was seen goes beside the case, where its request says that it differs.
fn keep(isolation_mode: &str, files: &Path, cases: &[Case]) {
    for case in cases {
        let name = format!("expected.{isolation_mode}.txt");
        let seen = files
            .join(isolation_mode)
            .join("cases")
            .join(case.name())
            .join(&name);
        if seen.exists() {
            fs::copy(seen, case.directory.join(&name)).unwrap();
        }
    }
}

fn in_isolation_mode(isolation_mode: &str, ground: &Path) {
    let files = ground.parent().unwrap();
    let kind: IsolationMode = isolation_mode.parse().unwrap();
    let workshop = Workshop::at(&Place {
        program: files.join("imgmake"),
        busybox: files.join("busybox"),
        isolation_mode: Some(kind),
    });
    let mut directories: Vec<PathBuf> = fs::read_dir(ground.join("cases"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    directories.sort();
    let cases: Vec<Case> = directories
        .iter()
        .map(|d| Case::read(d))
        .filter(|case| !case.request.not_in.contains_key(isolation_mode))
        .collect();
    let failures = for_each(&cases, |case| {
        let place = ground.join("places").join(case.name());
        let seen = match workshop.build_at(case, &place) {
            Ok(image) => image.text(),
            Err(error) => format!("does not build: {error:#}\n"),
        };
        let seen = seen.replace(&format!("{}/", place.display()), "");
        let seen = workshop.without_places(case, &seen);
        judge(case, isolation_mode, &seen)
    });
    assert!(failures.is_empty(), "{failures}");
}

fn judge(case: &Case, isolation_mode: &str, seen: &str) -> Option<String> {
    let usual = fs::read_to_string(case.directory.join("expected.txt")).unwrap();
    match (
        case.request.isolation_modes.contains_key(isolation_mode),
        usual == seen,
    ) {
        (false, true) => None,
        (true, false) => compare(
            &case
                .directory
                .join(format!("expected.{isolation_mode}.txt")),
            seen,
        ),
        (true, true) => Some(format!(
            "says that {isolation_mode} differs, and it does not\n"
        )),
        (false, false) => super::difference(&usual, seen),
    }
}
