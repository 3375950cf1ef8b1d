//! Workflows of GitHub, run by `act`: GitHub's own language of expressions, conditions, needs and
//! secrets, read by a program that others wrote. Jobs run on this machine, each in a directory of its own.
//!
//! What stands in for something else:
//!
//! | of GitHub | here |
//! |---|---|
//! | `actions/checkout` | `act` copies the clone |
//! | `actions/cache`, `actions/…-artifact` | `tests/data/actions`: they look at what they are given |
//! | `docker create`, `docker cp` of our image | a script that hands out the program |
//! | `ghcr.io` | a registry on loopback that wants a login |
//! | the runner's image | this machine |

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::exported::exported;
use super::platforms::{DOCKER, STATE_KEY, with_hosts, yaml};
use super::schemas::tool;
use super::site::{Findings, PASSWORD, Site, USER};
use super::template;
use crate::ground::images::path;
use crate::ground::{run, temporary, write};

const STAND_INS: [&str; 4] = ["cache", "checkout", "download-artifact", "upload-artifact"];

pub struct Acted {
    pub succeeded: bool,
    pub log: String,
}

/// One run of a workflow.
pub struct Acting<'a> {
    pub event: &'a str,
    /// What GitHub tells of the event.
    pub payload: &'a str,
    /// The checkout.
    pub clone: &'a Path,
    pub workflow: &'a str,
    /// Programs that stand in for those of the runner, as scripts.
    pub programs: &'a [(&'a str, &'a str)],
    pub secrets: &'a [(&'a str, &'a str)],
    pub variables: &'a [(&'a str, &'a str)],
    /// `owner/name@reference=folder`: actions that are not among the stand-ins.
    pub actions: &'a [String],
}

impl Acting<'_> {
    pub fn run(&self) -> Acted {
        let runner = temporary();
        let at = |name: &str| runner.path().join(name);
        for (name, script) in self.programs {
            let program = format!("bin/{name}");
            write(runner.path(), &program, script);
            run("chmod", &["755", path(&at(&program))]);
        }
        write(runner.path(), "home/.keep", "");
        write(runner.path(), "event.json", self.payload);
        write(self.clone, ".github/workflows/image.yml", self.workflow);
        let stand_ins = STAND_INS.iter().map(|name| {
            let own = format!("{}/tests/data/actions/{name}", env!("CARGO_MANIFEST_DIR"));
            format!("actions/{name}@v4={own}")
        });
        let mut command = Command::new(tool("act"));
        command
            .args([self.event, "-W", ".github/workflows/image.yml"])
            .args(["--no-cache-server", "--actor", USER])
            .args(["--action-cache-path", path(&at("cache"))])
            .args(["-e", path(&at("event.json"))]);
        for machine in ["ubuntu-latest", "ubuntu-24.04", "ubuntu-24.04-arm"] {
            command.args(["-P", &format!("{machine}=-self-hosted")]);
        }
        for (name, value) in self.secrets {
            command.args(["-s", &format!("{name}={value}")]);
        }
        for (name, value) in self.variables {
            command.args(["--env", &format!("{name}={value}")]);
        }
        for action in stand_ins.chain(self.actions.iter().cloned()) {
            command.args(["--local-repository", &action]);
        }
        let output = command
            .args([
                "--env",
                &format!("PROGRAM={}", env!("CARGO_BIN_EXE_imgmake")),
            ])
            .current_dir(self.clone)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", at("bin").display()))
            .env("HOME", at("home"))
            .output()
            .unwrap();
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8_lossy(&log).into_owned();
        for (name, secret) in self.secrets {
            assert!(!log.contains(secret), "{name} is shown: {log}");
        }
        Acted {
            succeeded: output.status.success(),
            log,
        }
    }
}

/// The project of a site, and the commit that was built.
fn act(event: &str, workflow: &str, site: &Site) -> (Acted, String) {
    let clone = site.checkout(&format!("act-{event}"));
    let git = |words: &[&str]| run("git", &[&["-C", path(&clone)], words].concat());
    git(&[
        "remote",
        "set-url",
        "origin",
        "https://github.com/team/app.git",
    ]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_string();
    let acting = Acting {
        event,
        payload: r#"{"repository":{"default_branch":"main"},"pull_request":{"head":{"ref":"change"},"base":{"ref":"main"}}}"#,
        clone: &clone,
        workflow: &with_hosts(workflow, site),
        programs: &[("docker", DOCKER)],
        secrets: &[("GITHUB_TOKEN", PASSWORD), ("IMGMAKE_STATE_KEY", STATE_KEY)],
        variables: &[],
        actions: &[],
    };
    (acting.run(), commit)
}

/// Images, without the entries of the cache.
fn images(site: &Site) -> Vec<String> {
    let published = site.published().into_keys();
    published
        .filter(|name| !name.contains("imgmake-cache"))
        .collect()
}

fn of_job<'l>(acted: &'l Acted, job: &str) -> Vec<&'l str> {
    let start = format!("/{job}");
    let is_its = |line: &&str| {
        line.split(']')
            .next()
            .is_some_and(|head| head.trim_end().ends_with(&start))
    };
    acted.log.lines().filter(is_its).collect()
}

fn export(site: &Site) -> String {
    let variables = [
        "--env",
        "TAG=${{ github.sha }}",
        "--env",
        "EAST=ghcr.io/${{ github.repository }}",
    ];
    exported(site, "github", &variables)
}

#[test]
fn the_template_builds_scans_and_publishes() {
    let site = Site::new(Findings::None);
    let (acted, commit) = act("push", &template("github-actions.yml"), &site);
    assert!(acted.succeeded, "{}", acted.log);
    assert_eq!(images(&site), [format!("east/team/app/app:{}", commit)]);
}

#[test]
fn what_is_exported_builds_once_and_publishes_what_passed() {
    let site = Site::new(Findings::None);
    let (acted, commit) = act("push", &export(&site), &site);
    assert!(acted.succeeded, "{}", acted.log);
    assert_eq!(images(&site), [format!("east/team/app/app:{}", commit)]);
    let copied = |job: &str| {
        let lines = of_job(&acted, job);
        assert!(!lines.is_empty(), "{job}: {}", acted.log);
        let copies = lines.into_iter().filter(|line| line.contains("COPY src/"));
        copies.filter(|line| !line.contains("(cached)")).count()
    };
    assert!(copied("app") > 0, "{}", acted.log);
    assert_eq!(
        (copied("gate"), copied("release-east")),
        (0, 0),
        "{}",
        acted.log
    );
}

#[test]
fn a_pull_request_publishes_nothing_and_a_finding_ends_the_jobs_after_it() {
    let site = Site::new(Findings::None);
    let (acted, _) = act("pull_request", &export(&site), &site);
    assert!(acted.succeeded, "{}", acted.log);
    assert!(!of_job(&acted, "gate").is_empty(), "{}", acted.log);
    assert_eq!(images(&site), Vec::<String>::new(), "{}", acted.log);

    let site = Site::new(Findings::One);
    let (acted, _) = act("push", &export(&site), &site);
    assert!(
        !acted.succeeded && acted.log.contains("EXAMPLE-2026-0001"),
        "{}",
        acted.log
    );
    assert!(of_job(&acted, "release-east").is_empty(), "{}", acted.log);
    assert_eq!(images(&site), Vec::<String>::new());
}

fn used(workflow: &Value, found: &mut BTreeSet<String>) {
    match workflow {
        Value::Object(map) => {
            found.extend(map.get("uses").and_then(Value::as_str).map(str::to_string));
            map.values().for_each(|value| used(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| used(item, found)),
        _ => {}
    }
}

#[test]
fn every_action_has_its_stand_in_and_no_other_is_there() {
    let site = Site::new(Findings::None);
    let mut found = BTreeSet::new();
    let files = ["github-actions.yml", "release.yml"].map(template);
    for workflow in files.into_iter().chain([export(&site)]) {
        used(&yaml(&workflow), &mut found);
    }
    let named: Vec<String> = STAND_INS
        .iter()
        .map(|name| format!("actions/{name}@v4"))
        .collect();
    assert!(found.iter().eq(&named), "{found:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/actions");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut there: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, STAND_INS);
}
