//! Arguments of kaniko and settings of plugins as public pipelines have them, by a real
//! shell: what is built and pushed is what the former program would have pushed, and what it
//! would have refused is refused with what to write instead.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::ground::ecr::{self, Ecr};
use crate::ground::registry::{Access, Registry};
use crate::ground::{temporary, write};

const KEY: &str = r#"{"type":"service_account"}"#;
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

enum Ends {
    /// Exactly these tags are in the registry.
    Pushed(&'static [&'static str]),
    /// Nothing is pushed, and this file is there.
    Wrote(&'static str),
    Built,
    /// It ends with 1.
    Refused,
}

use Ends::{Built, Pushed, Refused, Wrote};

struct Row {
    /// What the others do not have.
    covers: &'static str,
    command: &'static str,
    environment: &'static [(&'static str, &'static str)],
    ends: Ends,
    /// What the log says; after `!`, what it does not.
    says: &'static [&'static str],
}

/// Who may push to the registry: `@HOST@` in the rows.
#[derive(Clone, Copy)]
enum Door {
    Open,
    Robot,
    Aws,
    Google,
}

impl Door {
    fn registry(self) -> Registry {
        let basic = match self {
            Door::Open => None,
            Door::Robot => Some(("robot", "hunter2-of-the-row")),
            Door::Aws => Some((ecr::USER, ecr::TOKEN)),
            Door::Google => Some(("_json_key", KEY)),
        };
        Registry::with(&Access {
            basic,
            ..Access::default()
        })
    }
}

fn workspace() -> tempfile::TempDir {
    let directory = temporary();
    let dockerfile = "FROM scratch\nARG VERSION=none\nARG GIT_COMMIT=none\n\
        LABEL version=$VERSION commit=$GIT_COMMIT\nCOPY app.txt /\n";
    for path in [
        "Dockerfile",
        "Dockerfile.harness",
        "ci/Dockerfile",
        "repo/Dockerfile",
    ] {
        write(directory.path(), path, dockerfile);
    }
    write(directory.path(), "app.txt", "the application\n");
    directory
}

/// Every name by which an image is exchanged, in a directory of the path.
fn programs() -> tempfile::TempDir {
    let directory = temporary();
    for name in [
        "executor",
        "drone-docker",
        "kaniko-docker",
        "kaniko-ecr",
        "kaniko-gcr",
    ] {
        let program = env!("CARGO_BIN_EXE_imgmake");
        symlink(program, directory.path().join(name)).unwrap();
    }
    directory
}

fn config(registry: &Registry, name: &str) -> serde_json::Value {
    let (repository, tag) = name.rsplit_once(':').unwrap();
    let manifest = registry.manifest(repository, tag);
    let one = match manifest["manifests"][0]["digest"].as_str() {
        Some(child) => registry.json(child),
        None => manifest,
    };
    registry.json(one["config"]["digest"].as_str().unwrap())
}

/// What one row did.
struct Done {
    registry: Registry,
    log: String,
}

fn done(row: &Row, door: Door, programs: &Path, aws: &Ecr) -> Done {
    let (registry, workspace, home) = (door.registry(), workspace(), temporary());
    let filled = |text: &str| {
        text.replace("@HOST@", &registry.host)
            .replace("@WORKSPACE@", workspace.path().to_str().unwrap())
            .replace("@COMMIT@", COMMIT)
            .replace("@KEY@", KEY)
            .replace("@AWS@", &aws.url)
    };
    let mut environment = BTreeMap::new();
    for (name, value) in row.environment {
        environment.insert((*name).to_string(), filled(value));
    }
    let output = Command::new("sh")
        .args(["-c", &filled(row.command)])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("HOME", home.path())
        .envs(environment)
        .current_dir(workspace.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log).into_owned();
    let what = row.covers;
    let code = output.status.code();
    let wanted = match row.ends {
        Refused => Some(1),
        _ => Some(0),
    };
    assert_eq!(code, wanted, "{what}: {log}");
    let mut tags = registry.tags();
    tags.sort();
    match row.ends {
        Pushed(expected) => assert_eq!(tags, expected, "{what}: {log}"),
        _ => assert!(tags.is_empty(), "{what}: {tags:?} {log}"),
    }
    if let Wrote(path) = row.ends {
        assert!(workspace.path().join(path).exists(), "{what}: {log}");
    }
    for piece in row.says {
        match piece.strip_prefix('!') {
            Some(absent) => assert!(!log.contains(absent), "{what}: `{absent}` is in {log}"),
            None => assert!(log.contains(piece), "{what}: `{piece}` is not in {log}"),
        }
    }
    for secret in ["hunter2-of-the-row", ecr::SECRET_KEY, ecr::TOKEN, KEY] {
        assert!(!log.contains(secret), "{what}: {log}");
    }
    Done { registry, log }
}

fn all(rows: &[(Door, Row)]) -> Vec<Done> {
    let (programs, aws) = (programs(), Ecr::start());
    // Each has its own registry, workspace and home.
    std::thread::scope(|scope| {
        let threads: Vec<_> = rows
            .iter()
            .map(|(door, row)| scope.spawn(|| done(row, *door, programs.path(), &aws)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn kanikos_arguments_as_shells_give_them() {
    let rows = [
        (
            "paths and a label from the platform's variables; flags that tune kaniko",
            r#"executor --context="dir://${CI_PROJECT_DIR}" --destination="${IMAGE_NAME}:${CI_COMMIT_SHA}-amd64" --dockerfile="${CI_PROJECT_DIR}/${DOCKERFILE}" --label=dev.source.pipeline.url="${CI_PIPELINE_URL}" --compressed-caching=false --cache=true --use-new-run --cleanup"#,
            &[
                ("CI_PROJECT_DIR", "@WORKSPACE@"),
                ("IMAGE_NAME", "@HOST@/photo"),
                ("CI_COMMIT_SHA", "0123abc"),
                ("DOCKERFILE", "Dockerfile"),
                ("CI_PIPELINE_URL", "https://ci.example/p/1"),
            ][..],
            Pushed(&["photo:0123abc-amd64"]),
            &["--cleanup: "][..],
        ),
        (
            "command substitution; two tags of one repository",
            "executor --dockerfile `pwd`/Dockerfile --context `pwd` --cache=true --destination=@HOST@/lib:7-0123 --destination=@HOST@/lib:latest",
            &[],
            Pushed(&["lib:7-0123", "lib:latest"]),
            &[],
        ),
        (
            "a directory of warmed images that is not there yet",
            "executor --context $CI_PROJECT_DIR --dockerfile $CI_PROJECT_DIR/ci/Dockerfile --no-push --cache-dir .docker-cache",
            &[("CI_PROJECT_DIR", "@WORKSPACE@")],
            Built,
            &["`.docker-cache`"],
        ),
        (
            "a Dockerfile below the context; --force",
            "executor --dockerfile ${WORKDIR}/repo/Dockerfile --context ${WORKDIR} --force --destination=@HOST@/crp/server:12 --destination=@HOST@/crp/server:latest",
            &[("WORKDIR", "@WORKSPACE@")],
            Pushed(&["crp/server:12", "crp/server:latest"]),
            &[],
        ),
        (
            "a flag that kaniko has not either",
            "executor -f `pwd`/Dockerfile -c `pwd` --insecure-skip-tls-verify --destination=@HOST@/app:latest",
            &[],
            Refused,
            &[
                "unknown flag `--insecure-skip-tls-verify`",
                "did you mean `--skip-tls-verify`?",
            ],
        ),
        (
            "plain HTTP and unchecked certificates",
            "executor --dockerfile ./Dockerfile -c `pwd` --insecure --skip-tls-verify --cache=true --destination=@HOST@/ptds:${VERSION}",
            &[("VERSION", "1.0")],
            Pushed(&["ptds:1.0"]),
            &[],
        ),
        (
            "a destination without a tag; a layout beside the push",
            "executor --context $WORKSPACE --dockerfile $WORKSPACE/Dockerfile --destination ${DOCKER_IMAGE} --oci-layout-path $WORKSPACE/oci && test -f oci/index.json",
            &[
                ("WORKSPACE", "@WORKSPACE@"),
                ("DOCKER_IMAGE", "@HOST@/seven"),
            ],
            Pushed(&["seven:latest"]),
            &[],
        ),
        (
            "an archive instead of a push, by the flag's old name",
            "executor --dockerfile ./Dockerfile --context . --verbosity debug --no-push --destination @HOST@/a:1 --destination @HOST@/b:1 --tarPath image.tar && tar -xOf image.tar manifest.json | grep -q 'a:1.*b:1'",
            &[],
            Wrote("image.tar"),
            &[],
        ),
        (
            "kaniko's default context, in a step that runs elsewhere",
            "executor --destination=@HOST@/nine --cache=true --compressed-caching=false",
            &[],
            Refused,
            &["--context=/workspace/", "kaniko's default", "--context=."],
        ),
        (
            "a switch without a value before another flag",
            "executor -c @WORKSPACE@ -d @HOST@/ten --cache --cache-ttl=1h",
            &[],
            Pushed(&["ten:latest"]),
            &[],
        ),
        (
            "a Dockerfile from the root is one of the context",
            r#"executor --dockerfile="/Dockerfile" --context `pwd` --destination @HOST@/eleven:1.0.0"#,
            &[],
            Pushed(&["eleven:1.0.0"]),
            &[],
        ),
        (
            "a command in single quotes",
            "executor --context 'pwd' --destination @HOST@/twelve:v1.0",
            &[],
            Refused,
            &["--context=pwd: directory not found", "write `--context=.`"],
        ),
    ];
    let rows = rows.map(|(covers, command, environment, ends, says)| {
        let row = Row {
            covers,
            command,
            environment,
            ends,
            says,
        };
        (Door::Open, row)
    });
    let done = all(&rows);
    let photo = config(&done[0].registry, "photo:0123abc-amd64");
    let label = &photo["config"]["Labels"]["dev.source.pipeline.url"];
    assert_eq!(label, "https://ci.example/p/1");
}

const USER: [(&str, &str); 2] = [
    ("PLUGIN_USERNAME", "robot"),
    ("PLUGIN_PASSWORD", "hunter2-of-the-row"),
];
const PUSHED: [(&str, &str); 4] = [
    ("DRONE_BUILD_EVENT", "push"),
    ("DRONE_COMMIT_REF", "refs/heads/main"),
    ("DRONE_REPO_BRANCH", "main"),
    ("DRONE_COMMIT_SHA", "@COMMIT@"),
];
const TAGGED: [(&str, &str); 4] = [
    ("DRONE_BUILD_EVENT", "tag"),
    ("DRONE_COMMIT_REF", "refs/tags/v1.2.3"),
    ("DRONE_REPO_BRANCH", "main"),
    ("DRONE_COMMIT_SHA", "@COMMIT@"),
];

#[test]
fn settings_of_plugins_as_drone_and_harness_give_them() {
    type Settings = &'static [(&'static str, &'static str)];
    type Of = (
        Door,
        &'static str,
        &'static str,
        [Settings; 3],
        Ends,
        &'static [&'static str],
    );
    let demo: Settings = &[
        ("PLUGIN_REPO", "@HOST@/team/demo"),
        ("PLUGIN_AUTO_TAG", "true"),
        ("PLUGIN_CACHE_FROM", "@HOST@/team/demo"),
        ("PLUGIN_DAEMON_OFF", "false"),
        ("PLUGIN_DOCKERFILE", "Dockerfile"),
    ];
    let without_host: Settings = &[
        ("PLUGIN_REPO", "owner/name"),
        ("PLUGIN_REGISTRY", "@HOST@"),
        ("PLUGIN_CACHE_FROM", "@HOST@/o/n:latest"),
        ("PLUGIN_TAGS", "0123456"),
    ];
    let harness: Settings = &[
        ("PLUGIN_REPO", "@HOST@/h/app"),
        ("PLUGIN_REGISTRY", "@HOST@"),
        ("PLUGIN_TAGS", "7,latest"),
        ("PLUGIN_DOCKERFILE", "Dockerfile.harness"),
        ("PLUGIN_CONTEXT", "."),
        ("PLUGIN_ENABLE_CACHE", "true"),
        ("PLUGIN_CACHE_REPO", "@HOST@/h/cache"),
        ("PLUGIN_SNAPSHOT_MODE", "redo"),
    ];
    let rows: Vec<Of> = vec![
        (
            Door::Robot,
            "a registry, its host in the repository, two tags",
            "drone-docker",
            [
                &PUSHED,
                &USER,
                &[
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_REPO", "@HOST@/user/share"),
                    ("PLUGIN_TAGS", "latest,01234567"),
                ],
            ],
            Pushed(&["user/share:01234567", "user/share:latest"]),
            &["!has no effect", "!gets none"],
        ),
        (
            Door::Robot,
            "a setting that another plugin has: `platforms`",
            "drone-docker",
            [
                &TAGGED,
                &USER,
                &[
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_REPO", "@HOST@/user/two"),
                    ("PLUGIN_TAGS", "v1.2.3,latest"),
                    ("PLUGIN_PLATFORMS", "linux/amd64,linux/arm64"),
                ],
            ],
            Pushed(&["user/two:latest", "user/two:v1.2.3"]),
            &[
                "PLUGIN_PLATFORMS has no effect",
                "did you mean PLUGIN_PLATFORM?",
            ],
        ),
        (
            Door::Robot,
            "automatic tags of a branch; no registry beside the repository's",
            "drone-docker",
            [&PUSHED, &USER, demo],
            Pushed(&["team/demo:latest"]),
            &[],
        ),
        (
            Door::Robot,
            "automatic tags of a tag: several, under one credential",
            "drone-docker",
            [&TAGGED, &USER, demo],
            Pushed(&["team/demo:1", "team/demo:1.2", "team/demo:1.2.3"]),
            &[],
        ),
        (
            Door::Robot,
            "credentials of Drone 0.8, without the prefix",
            "drone-docker",
            [
                &PUSHED,
                &[
                    ("DOCKER_USERNAME", "robot"),
                    ("DOCKER_PASSWORD", "hunter2-of-the-row"),
                ],
                &[
                    ("PLUGIN_REPO", "@HOST@/o/sixteen"),
                    ("PLUGIN_TAGS", "latest,v2"),
                    ("PLUGIN_DOCKERFILE", "Dockerfile"),
                ],
            ],
            Pushed(&["o/sixteen:latest", "o/sixteen:v2"]),
            &[],
        ),
        (
            Door::Robot,
            "a dry run of a pull request, without credentials",
            "drone-docker",
            [
                &PUSHED,
                &[],
                &[
                    ("PLUGIN_REPO", "owner/name"),
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_DRY_RUN", "true"),
                    ("PLUGIN_TAGS", "pr-12"),
                ],
            ],
            Built,
            &[],
        ),
        // In a network namespace: the name is that of Docker's registry.
        (
            Door::Robot,
            "a repository without the registry's host",
            "unshare --net drone-docker",
            [&PUSHED, &USER, without_host],
            Refused,
            &[
                "docker.io/owner/name",
                "`docker.io` gets none",
                "PLUGIN_REPO=127.0.0.1:",
            ],
        ),
        (
            Door::Aws,
            "a pull request's step without a repository",
            "kaniko-ecr",
            [&PUSHED, &[], &[("PLUGIN_NO_PUSH", "true")]],
            Built,
            &[],
        ),
        (
            Door::Aws,
            "build arguments by their names alone; a suffix of automatic tags",
            "kaniko-ecr",
            [
                &PUSHED,
                &[
                    ("VERSION", "1.2"),
                    ("GIT_COMMIT", "0123456"),
                    ("AWS_ENDPOINT_URL_ECR", "@AWS@"),
                    ("PLUGIN_ACCESS_KEY", ecr::ACCESS_KEY),
                    ("PLUGIN_SECRET_KEY", ecr::SECRET_KEY),
                ],
                &[
                    ("PLUGIN_REPO", "twenty"),
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_BUILD_ARGS", "VERSION,GIT_COMMIT"),
                    ("PLUGIN_AUTO_TAG", "true"),
                    ("PLUGIN_AUTO_TAG_SUFFIX", "amd64"),
                ],
            ],
            Pushed(&["twenty:amd64"]),
            &[],
        ),
        (
            Door::Google,
            "a project in the registry's name; a key file's text",
            "kaniko-gcr",
            [
                &PUSHED,
                &[("PLUGIN_JSON_KEY", "@KEY@")],
                &[
                    ("PLUGIN_REPO", "project/foo"),
                    ("PLUGIN_REGISTRY", "@HOST@/project-id"),
                    ("PLUGIN_TAGS", "latest"),
                ],
            ],
            Pushed(&["project-id/project/foo:latest"]),
            &[],
        ),
        (
            Door::Robot,
            "a repository without the registry's host, and the switch that adds it",
            "kaniko-docker",
            [
                &PUSHED,
                &USER,
                &[
                    ("PLUGIN_REPO", "my-org/my-app"),
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_EXPAND_REPO", "true"),
                    ("PLUGIN_TAGS", "latest,01234567"),
                ],
            ],
            Pushed(&["my-org/my-app:01234567", "my-org/my-app:latest"]),
            &[],
        ),
        (
            Door::Robot,
            "the same without that switch",
            "unshare --net kaniko-docker",
            [
                &PUSHED,
                &USER,
                &[
                    ("PLUGIN_REPO", "my-org/my-app"),
                    ("PLUGIN_REGISTRY", "@HOST@"),
                    ("PLUGIN_TAGS", "latest,01234567"),
                ],
            ],
            Refused,
            &["docker.io/my-org/my-app", "PLUGIN_EXPAND_REPO=true"],
        ),
        (
            Door::Robot,
            "a step of Harness on Kubernetes, with its cache",
            "kaniko-docker",
            [&[], &USER, harness],
            Pushed(&["h/app:7", "h/app:latest"]),
            &["PLUGIN_SNAPSHOT_MODE: "],
        ),
        (
            Door::Robot,
            "the same on a virtual machine: settings of kaniko's are said",
            "drone-docker",
            [&[], &USER, harness],
            Pushed(&["h/app:7", "h/app:latest"]),
            &["PLUGIN_SNAPSHOT_MODE has no effect", "(kaniko)"],
        ),
    ];
    let rows: Vec<(Door, Row)> = rows
        .into_iter()
        .map(|(door, covers, command, settings, ends, says)| {
            let environment = settings.concat().leak();
            let row = Row {
                covers,
                command,
                environment,
                ends,
                says,
            };
            (door, row)
        })
        .collect();
    let done = all(&rows);
    let at = |name: &str| {
        let found = rows.iter().position(|(_, row)| row.covers.contains(name));
        &done[found.unwrap()]
    };
    let arguments = at("by their names alone");
    let labels = config(&arguments.registry, "twenty:amd64");
    let labels = &labels["config"]["Labels"];
    assert_eq!(labels["version"], "1.2", "{}", arguments.log);
    assert_eq!(labels["commit"], "0123456");
}
