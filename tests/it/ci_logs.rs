//! What CI systems and terminals see of a run.

use std::path::Path;

use serde_json::Value;

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::terminal::at_a_terminal;
use crate::ground::{run, temporary, write};

const MANIFEST: &str = r#"
build a { from "scratch"; file "/a" "a"; tags "team/a:1" }
build b { context "."; contexts { base (target)a } }
run fails { needs a; command "echo output; exit 3" }
"#;

fn project() -> tempfile::TempDir {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", MANIFEST);
    write(
        directory.path(),
        "Dockerfile",
        "FROM base AS One\nCOPY x /x\n",
    );
    write(directory.path(), "x", "x");
    directory
}

#[test]
fn github_gets_places_groups_and_a_summary() {
    let directory = project();
    let path = directory.path();
    let summary = path.join("summary.md");
    let imgmake = Imgmake::new()
        .with("GITHUB_ACTIONS", "true")
        .with("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    let ran = imgmake.run(path, &["-k", "-j1", "a", "b", "fails"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("::group::a\n"), "{}", ran.stderr);
    let opened = ran.stderr.matches("::group::").count();
    assert_eq!(
        opened,
        ran.stderr.matches("::endgroup::").count(),
        "{}",
        ran.stderr
    );
    let stage = "::warning file=Dockerfile,line=1,title=b::Dockerfile:1: StageNameCasing";
    assert!(ran.stdout.contains(stage), "{}", ran.stdout);
    let page = std::fs::read_to_string(&summary).unwrap();
    for line in [
        "| a | done |",
        "| fails | failed |",
        "image `sha256:",
        "3 targets: 2 done, 1 failed",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    // A larger image: the change since the one of the last run is said.
    write(path, "Dockerfile", "FROM base\nCOPY x imgmake.kdl /more/\n");
    std::fs::write(&summary, "").unwrap();
    imgmake.ok(path, &["b"]);
    let page = std::fs::read_to_string(&summary).unwrap();
    let row = page.lines().find(|line| line.starts_with("| b | done |"));
    let grown = row.and_then(|row| row.split(" (+").nth(1)?.split(')').next());
    let (number, unit) = grown
        .and_then(|size| size.split_once(' '))
        .unwrap_or_else(|| panic!("{page}"));
    assert!(
        number.parse::<f64>().unwrap() > 100.0 && unit == "B",
        "{page}"
    );
    write(path, "imgmake.kdl", "build a { contxt \".\" }\n");
    let wrong = imgmake.run(path, &[]);
    let place = "::error file=imgmake.kdl,line=1,col=";
    assert!(wrong.stdout.contains(place), "{}", wrong.stdout);
}

#[test]
fn the_summary_of_a_job_has_what_scans_found() {
    let directory = temporary();
    let path = directory.path();
    let manifest = "build app { from \"scratch\"; file \"/app/node_modules/left-pad/package.json\" \"{\\\"name\\\": \\\"left-pad\\\", \\\"version\\\": \\\"1.0.0\\\"}\" }\n\
         scan gate { images app; advisories \"advisories\"; fail-on severity=critical }\n";
    write(path, "imgmake.kdl", manifest);
    let advisory = r#"{ "id": "EXAMPLE-1", "modified": "2026-01-01T00:00:00Z",
        "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:L/A:N" }],
        "affected": [{ "package": { "ecosystem": "npm", "name": "left-pad" },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "1.2.0" }] }] }] }"#;
    write(path, "advisories/a.json", advisory);
    let summary = path.join("summary.md");
    let imgmake = Imgmake::new()
        .with("GITHUB_ACTIONS", "true")
        .with("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    imgmake.ok(path, &["gate"]);
    let page = std::fs::read_to_string(&summary).unwrap();
    for says in [
        "| gate | done |",
        "**gate**",
        "EXAMPLE-1",
        "passed: 1 image",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
}

#[test]
fn a_run_is_junit_and_code_quality() {
    let directory = project();
    let path = directory.path();
    let arguments = [
        "-k",
        "-j1",
        "--junit",
        "out/junit.xml",
        "--code-quality=out/quality.json",
    ];
    let arguments = [&arguments[..], &["a", "b", "fails"]].concat();
    let ran = Imgmake::new().run(path, &arguments);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let junit = std::fs::read_to_string(path.join("out/junit.xml")).unwrap();
    for says in [
        "<testsuite name=\"imgmake\" tests=\"3\" failures=\"1\"",
        "classname=\"imgmake\" name=\"a\" time=",
        "name=\"fails\"",
        "<failure message=\"",
    ] {
        assert!(junit.contains(says), "{says}: {junit}");
    }
    // Any reader of XML takes it.
    let well_formed = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    let file = path.join("out/junit.xml");
    run("python3", &["-c", well_formed, file.to_str().unwrap()]);
    let quality = std::fs::read(path.join("out/quality.json")).unwrap();
    let quality: serde_json::Value = serde_json::from_slice(&quality).unwrap();
    let issues = quality.as_array().unwrap();
    let of = |name: &str| {
        let check = format!("imgmake/{name}");
        let found = issues
            .iter()
            .find(|issue| issue["check_name"] == check.as_str());
        found.unwrap_or_else(|| panic!("{name}: {quality}"))
    };
    assert_eq!(of("b")["severity"], "minor");
    assert_eq!(of("b")["location"]["path"], "Dockerfile");
    assert_eq!(of("fails")["severity"], "major");
    let hash = |issue: &serde_json::Value| issue["fingerprint"].as_str().unwrap().len();
    assert!(issues.iter().all(|issue| hash(issue) == 32));
}

#[test]
fn files_about_a_run_are_where_it_works_and_behind_no_link() {
    let directory = temporary();
    let (x, y) = (directory.path().join("x"), directory.path().join("y"));
    write(&x, "imgmake.kdl", MANIFEST);
    std::fs::create_dir(&y).unwrap();
    std::os::unix::fs::symlink(&y, x.join("link")).unwrap();
    let imgmake = Imgmake::new();
    imgmake.ok(
        &y,
        &[
            "-C",
            "../x",
            "a",
            "--timing",
            "out/t.json",
            "--junit",
            "out/j.xml",
        ],
    );
    assert!(x.join("out/t.json").exists() && x.join("out/j.xml").exists());
    for option in ["--timing", "--junit", "--code-quality"] {
        let says = ["is a symbolic link"];
        imgmake.refused(&y, &["-C", "../x", "a", option, "link/t.json"], 2, &says);
        let says = ["cannot be used with"];
        imgmake.refused(&x, &["-n", "a", option, "out/n.json"], 2, &says);
    }
    assert_eq!(std::fs::read_dir(&y).unwrap().count(), 0);
}

/// What a platform masks in its own log would be in a file that its caches share.
#[test]
fn logs_are_outside_of_the_store_and_not_kept_in_ci() {
    let directory = temporary();
    let path = directory.path();
    let secret = "run s { command \"seq 30; echo hunter2; exit 1\" }\n";
    write(path, "imgmake.kdl", secret);
    write(
        path,
        "other.kdl",
        "run s { command \"echo of another manifest\" }\n",
    );
    let holds = |place: &Path| {
        let place = place.to_str().unwrap();
        let found = std::process::Command::new("grep")
            .args(["-rqa", "\"hunter2\"", place])
            .status();
        found.unwrap().code() == Some(0)
    };
    let imgmake = Imgmake::new();
    imgmake.refused(path, &["s"], 1, &[]);
    imgmake.ok(path, &["-f", "other.kdl", "s"]);
    assert!(holds(&imgmake.home().join(".local/state/imgmake")));
    assert!(!holds(&imgmake.store()) && !imgmake.store().join("logs").exists());
    let log = imgmake.ok(path, &["logs", "s", "--json"]).stdout;
    assert!(
        log.contains("hunter2") && !log.contains("of another"),
        "{log}"
    );
    let log = imgmake.ok(path, &["-f", "other.kdl", "logs", "s"]).stdout;
    assert!(
        log.contains("of another") && !log.contains("hunter2"),
        "{log}"
    );

    let imgmake = Imgmake::new().with("CI", "true");
    imgmake.refused(path, &["s"], 1, &[]);
    assert!(!imgmake.home().join(".local").exists());
    let says = [
        "no run of the target `s` is stored",
        "if IMGMAKE_LOGS names a directory",
    ];
    imgmake.refused(path, &["logs", "s"], 1, &says);
    let logs = temporary();
    let imgmake = imgmake.with("IMGMAKE_LOGS", logs.path().to_str().unwrap());
    imgmake.refused(path, &["s"], 1, &[]);
    assert!(holds(logs.path()));
    imgmake.ok(path, &["gc", "--all"]);
    assert!(!holds(logs.path()));
}

#[test]
fn gitlab_gets_sections() {
    let directory = project();
    let imgmake = Imgmake::new().with("GITLAB_CI", "true");
    let ran = imgmake.ok(directory.path(), &["a", "b"]);
    let (opened, closed) = ("section_start:", "section_end:");
    assert_eq!(ran.stderr.matches(opened).count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(closed).count(), 2, "{}", ran.stderr);
}

#[test]
fn every_json_event_has_a_time() {
    let directory = project();
    let ran = Imgmake::new().ok(directory.path(), &["--progress", "json", "a"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.len() > 3, "{ran:?}");
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        let time = event["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
    }
}

#[test]
fn pushes_are_listed_in_the_manifests_order() {
    let directory = temporary();
    let (one, other) = (Registry::start(), Registry::start());
    let manifest = format!(
        "registry one \"{}\"\nregistry other \"{}\"\n\
         build a {{ from \"scratch\"; file \"/a\" \"a\" }}\n\
         push p {{ images a; to other {{ tags \"z\" \"b\" }}; to one {{ tags \"y\" \"c\" }} }}\n",
        one.host, other.host
    );
    write(directory.path(), "imgmake.kdl", manifest);
    let ran = Imgmake::new().ok(directory.path(), &["p"]);
    let lines = ran.stdout.lines().filter(|line| line.contains("pushed"));
    let tags: Vec<String> = lines
        .map(|line| {
            line.split(":")
                .nth(2)
                .unwrap_or_default()
                .split('@')
                .next()
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(tags, ["z", "b", "y", "c"], "{}", ran.stdout);
}

#[test]
fn without_a_manifest_what_could_become_one_is_named() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    let says = ["`imgmake init` writes an example"];
    imgmake.refused(directory.path(), &[], 2, &says);
    write(directory.path(), "api/Dockerfile", "FROM scratch\n");
    write(directory.path(), "Dockerfile", "FROM scratch\n");
    write(directory.path(), "compose.yaml", "services: {}\n");
    let says = [
        "`imgmake init` writes one for `Dockerfile` and 1 more",
        "`imgmake import` writes one for `compose.yaml`",
        "`imgmake build -t NAME .` needs no manifest",
    ];
    imgmake.refused(directory.path(), &["plan"], 2, &says);
}

#[test]
fn a_terminal_shows_the_last_lines_of_what_runs_and_short_digests() {
    let directory = temporary();
    let manifest = "build a { from \"scratch\"; file \"/a\" \"a\" }\n\
        run slow { command \"for i in 1 2 3; do echo line-$i; sleep 0.4; done\" }\n";
    write(directory.path(), "imgmake.kdl", manifest);
    let imgmake = Imgmake::new().with("TERM", "xterm");
    let command = imgmake.command(directory.path());
    let shown = at_a_terminal(&command, &["a", "slow"], "", "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for line in ["line-1", "line-3"] {
        assert!(shown.contains(line), "{line}: {shown:?}");
    }
    let digest = shown.split("sha256:").nth(1).unwrap();
    let digits = digest.bytes().take_while(u8::is_ascii_hexdigit).count();
    assert_eq!(digits, 12, "{shown:?}");
    // Of images that are looked at, too: no line is longer than the terminal.
    let shown = at_a_terminal(&command, &["inspect", "--layers", "a"], "", "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("digest    sha256:"), "{shown:?}");
    assert!(shown.lines().all(|line| line.len() <= 80), "{shown:?}");
    let whole = Imgmake::run(&imgmake, directory.path(), &["inspect", "a"]).stdout;
    assert!(whole.lines().next().unwrap().len() == 81, "{whole}");
}

/// The same instruction printed something else for other files: a cached step shows what its own result printed.
#[test]
fn the_log_of_a_cached_step_is_that_of_its_result() {
    let directory = temporary();
    let path = directory.path();
    let base = format!("{}/library/busybox:latest", bases().host);
    write(
        path,
        "Dockerfile",
        format!("FROM {base}\nCOPY said /\nRUN cat /said; test \"$(cat /said)\" != wrong\n"),
    );
    write(
        path,
        "imgmake.kdl",
        "build app { context \".\"; network \"none\" }\n",
    );
    let imgmake = Imgmake::new();
    let build = |said: &str| {
        write(path, "said", format!("{said}\n"));
        imgmake.run(path, &["app"]).code
    };
    for (said, code) in [("first", 0), ("second", 0), ("wrong", 1), ("first", 0)] {
        assert_eq!(build(said), code, "{said}");
    }
    let log = imgmake.ok(path, &["logs", "app", "RUN"]).stdout;
    assert!(log.contains("(cached)"), "{log}");
    assert!(log.contains("  first\n"), "{log}");
    assert!(
        !log.contains("  second\n") && !log.contains("  wrong\n"),
        "{log}"
    );
    // Runs that failed are marked.
    let log = imgmake.ok(path, &["logs", "app", "--run", "2"]).stdout;
    assert!(log.starts_with("app: failed in "), "{log}");
    assert!(log.contains("(failed, "), "{log}");
}
