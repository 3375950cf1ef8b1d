//! The release of imgmake itself, run by `act`, and what installs a released imgmake: an action of GitHub,
//! and a component of GitLab.
//!
//! What stands in for something else, beside what `act` says:
//!
//! | of a release | here |
//! |---|---|
//! | the static program | the program under test |
//! | the arm64 machine | this one, with images that say arm64 |
//! | `sudo apt-get`, `cargo install` | nothing: what they install is not used |
//! | `gh release create` | a folder, `RELEASES`, with the files below the tag |

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::act::{Acted, Acting};
use super::platforms::{only, pairs, texts, yaml};
use super::schemas::{COMPONENT, jobs_of_a_component};
use super::site::{PASSWORD, USER};
use super::template;
use crate::ground::images::path;
use crate::ground::registry::{Access, Registry};
use crate::ground::{git, own_files, run, temporary, write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

const GH: &str = r#"#!/bin/sh
set -eu
[ "$1 $2 $4" = "release create --verify-tag" ]
to=$RELEASES/$3
mkdir -p "$to"
shift 5
cp "$@" "$to/"
"#;

/// As much of the repository as a release looks at.
fn repository() -> tempfile::TempDir {
    let directory = temporary();
    let files = [
        "Cargo.toml",
        "Cargo.lock",
        "src/main.rs",
        "crates/imgmake-oci/src/lib.rs",
        "examples/self/imgmake.kdl",
        "examples/self/gather",
        "examples/ci/action/action.yml",
    ];
    own_files(directory.path(), &files);
    // The stand-in of `actions/checkout` looks for it.
    write(directory.path(), "imgmake.kdl", "");
    let git = |words: &[&str]| git(directory.path(), words);
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A", "-f"]);
    git(&["commit", "-qm", "all"]);
    git(&[
        "remote",
        "add",
        "origin",
        "https://github.com/imgmake/imgmake.git",
    ]);
    git(&["tag", &format!("v{VERSION}")]);
    directory
}

struct Released {
    directory: tempfile::TempDir,
    registry: Registry,
    acted: Acted,
}

impl Released {
    fn new(tag: &str) -> Released {
        let (directory, repository) = (temporary(), repository());
        let registry = Registry::with(&Access {
            basic: Some((USER, PASSWORD)),
            ..Access::default()
        });
        let at = |name: &str| path(&directory.path().join(name)).to_string();
        let curve = [
            "genpkey",
            "-quiet",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ];
        let key = run("openssl", &curve);
        let nothing = "#!/bin/sh\n";
        let acted = Acting {
            event: "push",
            payload: &format!(r#"{{"ref":"refs/tags/{tag}"}}"#),
            clone: repository.path(),
            workflow: &template("release.yml").replace("ghcr.io", &registry.host),
            programs: &[("sudo", nothing), ("cargo", nothing), ("gh", GH)],
            secrets: &[("GITHUB_TOKEN", PASSWORD), ("SIGNING_KEY", key.trim())],
            variables: &[
                ("RELEASES", &at("releases")),
                ("ARTIFACTS", &at("artifacts")),
            ],
            actions: &[],
        }
        .run();
        Released {
            directory,
            registry,
            acted,
        }
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join(format!("releases/v{VERSION}"))
    }

    fn file(&self, name: &str) -> String {
        let file = self.folder().join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    fn address(&self) -> String {
        format!("file://{}", self.folder().parent().unwrap().display())
    }
}

/// One release for all tests: each of its jobs copies the program under test.
fn released() -> &'static Released {
    static RELEASED: std::sync::OnceLock<Released> = std::sync::OnceLock::new();
    RELEASED.get_or_init(|| {
        let released = Released::new(&format!("v{VERSION}"));
        assert!(released.acted.succeeded, "{}", released.acted.log);
        released
    })
}

#[test]
fn a_tag_publishes_programs_images_bills_of_materials_and_signed_checksums() {
    let released = released();
    let mut files: Vec<String> = std::fs::read_dir(released.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let of = |end: &str| format!("imgmake-{VERSION}-linux-{end}");
    assert_eq!(
        files,
        [
            "SHA256SUMS".to_string(),
            "SHA256SUMS.sig".into(),
            of("amd64"),
            of("amd64.cdx.json"),
            of("arm64"),
            of("arm64.cdx.json"),
            "imgmake.pub".into()
        ]
    );
    assert_eq!(released.file("SHA256SUMS").lines().count(), 4);
    let folder = path(&released.folder()).to_string();
    let check = "cd \"$0\" && sha256sum --quiet --strict -c SHA256SUMS && openssl dgst -sha256 -verify imgmake.pub -signature SHA256SUMS.sig SHA256SUMS";
    run("sh", &["-ec", check, &folder]);
    for kind in ["amd64", "arm64"] {
        let bill: Value =
            serde_json::from_str(&released.file(&of(&format!("{kind}.cdx.json")))).unwrap();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        assert!(
            bill.to_string().contains(&format!("linux/{kind}")),
            "{bill}"
        );
    }
    // Each image is there for both kinds of machines, under the tag of the release.
    for image in [
        "imgmake",
        "debug",
        "executor-debug",
        "kaniko-gcr",
        "drone-docker",
        "buildah-ecr",
    ] {
        let name = format!("imgmake/imgmake/{image}");
        let digest = released.registry.digest(&name, VERSION);
        assert!(digest.is_some(), "{image}: {:?}", released.registry.tags());
        for kind in ["amd64", "arm64"] {
            let one = released
                .registry
                .digest(&name, &format!("{VERSION}-{kind}"));
            assert!(one.is_some() && one != digest, "{image} {kind}");
        }
    }
}

#[test]
fn a_tag_that_is_not_the_programs_version_publishes_nothing() {
    let released = Released::new("v99.0.0");
    assert!(!released.acted.succeeded, "{}", released.acted.log);
    assert_eq!(released.registry.tags(), Vec::<String>::new());
    assert!(!released.directory.path().join("releases").exists());
}

/// A project whose job installs a release with the action, and runs a target.
fn acted_with_the_action(with: &str) -> Acted {
    let (project, action) = (temporary(), repository());
    write(
        project.path(),
        "imgmake.kdl",
        "build app { from \"scratch\"; copy \"imgmake.kdl\" to=\"/\"; tar \"app.tar\" }\n",
    );
    let git = |words: &[&str]| git(project.path(), words);
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "all"]);
    git(&["remote", "add", "origin", "https://github.com/team/app.git"]);
    let workflow = format!(
        "on: push\njobs:\n  image:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      \
         - id: imgmake\n        uses: imgmake/imgmake/examples/ci/action@v1\n        with:\n          version: {VERSION}\n{with}      \
         - run: imgmake app && test \"$(command -v imgmake)\" = \"${{{{ steps.imgmake.outputs.program }}}}\" && echo built-with-the-release\n"
    );
    Acting {
        event: "push",
        payload: r#"{"ref":"refs/heads/main"}"#,
        clone: project.path(),
        workflow: &workflow,
        programs: &[],
        secrets: &[],
        variables: &[],
        actions: &[format!("imgmake/imgmake@v1={}", path(action.path()))],
    }
    .run()
}

fn input(name: &str, value: &str) -> String {
    format!("          {name}: {}\n", serde_json::Value::from(value))
}

fn other_key() -> String {
    let made = "openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout";
    run("sh", &["-ec", made])
}

/// `releases` with another program under the same checksums.
fn changed(released: &Released) -> (tempfile::TempDir, String) {
    let directory = temporary();
    run(
        "cp",
        &["-r", path(&released.folder()), path(directory.path())],
    );
    let name = format!("v{VERSION}/imgmake-{VERSION}-linux-amd64");
    write(directory.path(), &name, "#!/bin/sh\necho another\n");
    let address = format!("file://{}", directory.path().display());
    (directory, address)
}

#[test]
fn the_action_installs_what_has_its_checksum_and_its_signature() {
    let released = released();
    let (_changed, address) = changed(released);
    let sum = released.file("SHA256SUMS");
    let sum = sum.lines().find(|line| line.ends_with("-amd64")).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let ours = input("releases", &released.address());
    for (with, passes) in [
        (ours.clone(), true),
        (
            ours.clone() + &input("key", &released.file("imgmake.pub")),
            true,
        ),
        (ours.clone() + &input("sha256", sum), true),
        (ours.clone() + &input("sha256", &"0".repeat(64)), false),
        (ours.clone() + &input("key", &other_key()), false),
        (ours + &input("sha256", sum) + &input("key", "k"), false),
        (input("releases", &address), false),
    ] {
        let acted = acted_with_the_action(&with);
        assert_eq!(acted.succeeded, passes, "{with}: {}", acted.log);
        assert_eq!(
            acted.log.contains("| built-with-the-release"),
            passes,
            "{}",
            acted.log
        );
    }
}

/// The component's job, with these inputs: how it ended, and what it said.
fn ran_by_the_component(inputs: &[(&str, &str)]) -> (bool, String) {
    let text = template(COMPONENT);
    let header = yaml(text.split("\n---\n").next().unwrap());
    let declared = header["spec"]["inputs"].as_object().unwrap();
    let mut jobs = yaml(&jobs_of_a_component(&text));
    replace(&mut jobs, &|text| {
        let mut text = text.to_string();
        for (name, input) in declared {
            let given = inputs.iter().find(|(given, _)| given == name);
            let value = given.map(|(_, value)| *value).or(input["default"].as_str());
            let value = value.unwrap_or_else(|| panic!("`{name}` is required"));
            text = text.replace(&format!("$[[ inputs.{name} ]]"), value);
        }
        assert!(!text.contains("$[["), "{text}");
        text
    });
    assert!(inputs.iter().all(|(name, _)| declared.contains_key(*name)));
    only(&jobs, &["imgmake"]);
    let job = &jobs["imgmake"];
    only(
        job,
        &[
            "stage",
            "image",
            "variables",
            "cache",
            "before_script",
            "script",
        ],
    );
    let project = temporary();
    write(
        project.path(),
        "imgmake.kdl",
        "build app { from \"scratch\"; copy \"imgmake.kdl\" to=\"/\"; tar \"app.tar\" }\n",
    );
    let lines = [texts(&job["before_script"]), texts(&job["script"])].concat();
    let variables = pairs(&job["variables"])
        .into_iter()
        .map(|(name, value)| (name, value.replace("$CI_PROJECT_DIR", path(project.path()))));
    let output = Command::new("sh")
        .args(["-euc", &lines.join("\n")])
        .current_dir(project.path())
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("HOME", path(project.path())),
            ("CI", "true"),
        ])
        .envs(variables)
        .output()
        .unwrap();
    let succeeded = output.status.success();
    assert_eq!(project.path().join("app.tar").exists(), succeeded);
    assert_eq!(project.path().join(".imgmake/store").exists(), succeeded);
    let said = [output.stdout, output.stderr].concat();
    (succeeded, String::from_utf8_lossy(&said).into_owned())
}

/// Every text of a document, also those of keys.
fn replace(value: &mut Value, with: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = with(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, with)),
        Value::Object(map) => {
            for (key, mut inner) in std::mem::take(map) {
                replace(&mut inner, with);
                map.insert(with(&key), inner);
            }
        }
        _ => {}
    }
}

#[test]
fn the_component_runs_what_has_its_checksum_and_its_signature() {
    let released = released();
    let (_changed, address) = changed(released);
    let always = [
        ("version", VERSION),
        ("targets", "app"),
        ("releases", &released.address()),
    ];
    let key = released.file("imgmake.pub");
    let (other, zeros) = (other_key(), "0".repeat(64));
    for (more, passes) in [
        (&[][..], true),
        (&[("key", key.as_str())], true),
        (&[("key", other.as_str())], false),
        (&[("sha256", zeros.as_str())], false),
    ] {
        let (succeeded, said) = ran_by_the_component(&[&always, more].concat());
        assert_eq!(succeeded, passes, "{more:?}: {said}");
    }
    let (succeeded, said) = ran_by_the_component(&[always[0], always[1], ("releases", &address)]);
    assert!(!succeeded && said.contains("FAILED"), "{said}");
}
