//! Runs a pipeline file of `tests/data/pipelines` as its platform would: each step
//! is a plugin called under its own name, with the step's `spec` as environment, a
//! home of its own, and only the workspace shared with the other steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::ecr::{self, Ecr};
use super::registry::{Access, Registry};

pub const USER: &str = "robot";
pub const PASSWORD: &str = "hunter2-of-the-registry";
/// `<+pipeline.sequenceId>`.
pub const SEQUENCE: &str = "7";

/// A workspace, the registries that its connectors name, and AWS.
pub struct Platform {
    pub workspace: tempfile::TempDir,
    registries: BTreeMap<String, Registry>,
    ecr: Ecr,
    /// Added to every plugin's environment.
    extra: BTreeMap<String, String>,
    /// The application uses 1.3.0.
    pub left_pad_is_fixed_in: String,
}

/// One step that was run.
#[derive(Debug)]
pub struct Ran {
    pub step: String,
    pub code: i32,
    pub output: String,
}

impl Platform {
    pub fn with_registries(names: &[&str]) -> Platform {
        let start = |name: &&str| {
            let basic = match *name {
                "ecr" => (ecr::USER, ecr::TOKEN),
                _ => (USER, PASSWORD),
            };
            let registry = Registry::with(&Access {
                basic: Some(basic),
                ..Access::default()
            });
            (name.to_string(), registry)
        };
        let registries: BTreeMap<String, Registry> = names.iter().map(start).collect();
        let ecr = registries.get("ecr").map_or("127.0.0.1", |ecr| &ecr.host);
        let ecr = Ecr::of(ecr);
        let workspace = super::temporary();
        for (path, content) in [
            ("Dockerfile", "FROM scratch\nCOPY . /app\n"),
            ("docker/Dockerfile", "FROM scratch\nCOPY app.txt /app/\n"),
            ("app.txt", "the application\n"),
            ("package-lock.json", LOCK),
        ] {
            super::write(workspace.path(), path, content);
        }
        Platform {
            workspace,
            registries,
            ecr,
            extra: BTreeMap::new(),
            left_pad_is_fixed_in: "1.2.0".into(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Platform {
        self.extra.insert(name.into(), value.into());
        self
    }

    pub fn registry(&self, name: &str) -> &Registry {
        &self.registries[name]
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.workspace.path().join(path)
    }

    /// Runs the steps in their order; those of a `parallel` at the same time. Stops
    /// after the first that fails, as the platform does.
    pub fn run(&self, pipeline: &str) -> Vec<Ran> {
        let path = format!(
            "{}/tests/data/pipelines/{pipeline}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        self.run_text(&std::fs::read_to_string(path).unwrap())
    }

    /// The same for a whole pipeline, of which the first stage is run.
    pub fn run_text(&self, text: &str) -> Vec<Ran> {
        let document: Value = serde_norway::from_str(&self.expressions(text)).unwrap();
        let stage = document.pointer("/pipeline/stages/0/stage/spec");
        let pipeline = stage.unwrap_or(&document);
        let mut ran = Vec::new();
        for entry in pipeline["execution"]["steps"].as_array().unwrap() {
            let together = match entry["parallel"].as_array() {
                Some(steps) => steps.clone(),
                None => vec![entry.clone()],
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = together
                    .iter()
                    .map(|entry| scope.spawn(|| self.step(pipeline, &entry["step"])))
                    .collect();
                ran.extend(threads.into_iter().filter_map(|t| t.join().unwrap()));
            });
            if ran.iter().any(|one: &Ran| one.code != 0) {
                break;
            }
        }
        for one in &ran {
            for secret in [PASSWORD, ecr::SECRET_KEY, ecr::TOKEN, "never-shown"] {
                assert!(!one.output.contains(secret), "a secret is shown: {one:?}");
            }
            assert!(!one.output.contains("panicked"), "{one:?}");
        }
        ran
    }

    /// Runs a pipeline whose every step must succeed.
    #[track_caller]
    pub fn ok(&self, pipeline: &str) -> Vec<Ran> {
        let ran = self.run(pipeline);
        let failed: Vec<&Ran> = ran.iter().filter(|one| one.code != 0).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        ran
    }

    fn expressions(&self, text: &str) -> String {
        let mut text = text
            .replace("<+pipeline.sequenceId>", SEQUENCE)
            .replace("<+secrets.getValue(\"docker\")>", PASSWORD)
            .replace("/harness", self.workspace.path().to_str().unwrap());
        for (name, registry) in &self.registries {
            text = text.replace(&format!("<+pipeline.variables.{name}>"), &registry.host);
        }
        assert!(!text.contains("<+"), "an expression is left in:\n{text}");
        text
    }

    /// What Harness's documentation lists of the environment of a step, as a build that somebody started by hand has it.
    fn of_harness(&self) -> BTreeMap<String, String> {
        let recorded = include_str!("../../data/environments/harness.env").lines();
        let variable = |line: &str| {
            let (name, value) = line.split_once('=').unwrap();
            let value = value.replace("\\n", "\n");
            let value = match value.as_str() {
                "/harness" => text(&self.workspace.path().to_str().unwrap().into()),
                _ => value,
            };
            (name.to_string(), value)
        };
        recorded.map(variable).collect()
    }

    fn step(&self, pipeline: &Value, step: &Value) -> Option<Ran> {
        let spec = &step["spec"];
        let home = super::temporary();
        let mut command = match step["type"].as_str().unwrap() {
            // Daemons that other builders need beside them.
            "Background" => return None,
            "Run" => {
                let program = home.path().join("imgmake");
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_imgmake"), program).unwrap();
                let mut command = Command::new("sh");
                command.args(["-c", spec["command"].as_str().unwrap()]);
                command
            }
            "AquaTrivy" => self.scan(spec, home.path()),
            kind => {
                let (plugin, variables) = match kind {
                    "BuildAndPushDockerRegistry" => {
                        (builder(pipeline, spec, "docker"), self.docker(spec))
                    }
                    "BuildAndPushECR" => (builder(pipeline, spec, "ecr"), self.ecr(spec)),
                    "Plugin" => (plugin_of(&spec["image"]), settings(&spec["settings"])),
                    other => panic!("no step of this kind is known: {other}"),
                };
                let program = home.path().join(plugin);
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_imgmake"), &program).unwrap();
                let mut command = Command::new(program);
                command.env_clear().envs(self.of_harness());
                command.envs(variables).envs(&self.extra);
                command
            }
        };
        let output = command
            .env(
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", home.path().display()),
            )
            .env("HOME", home.path())
            .current_dir(self.workspace.path())
            .output()
            .unwrap();
        Some(Ran {
            step: text(&step["identifier"]),
            code: output.status.code().unwrap_or(-1),
            output: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        })
    }

    /// A scan step: the archive through a gate, with an advisory of the step's own.
    fn scan(&self, spec: &Value, home: &Path) -> Command {
        let archive = self.file(&text(&spec["target"]["workspace"]));
        let advisory = ADVISORY.replace("FIXED", &self.left_pad_is_fixed_in);
        super::write(home, "advisories/EXAMPLE-1.json", advisory);
        let manifest = format!(
            "scan gate {{\n    from tar=\"{}\"\n    advisories \"advisories\"\n    fail-on severity=high\n}}\n",
            archive.display()
        );
        super::write(home, "imgmake.kdl", manifest);
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgmake"));
        command.env_clear().arg("-C").arg(home).arg("gate");
        command.env("IMGMAKE_STORE", home.join("store"));
        command
    }

    fn docker(&self, spec: &Value) -> BTreeMap<String, String> {
        let registry = &self.registries[spec["connectorRef"].as_str().unwrap()];
        let mut variables = common(spec, &spec["repo"]);
        variables.extend(pairs([
            ("PLUGIN_REGISTRY", format!("http://{}", registry.host)),
            ("PLUGIN_USERNAME", USER.to_string()),
            ("PLUGIN_PASSWORD", PASSWORD.to_string()),
        ]));
        variables
    }

    fn ecr(&self, spec: &Value) -> BTreeMap<String, String> {
        let mut variables = common(spec, &spec["imageName"]);
        variables.extend(pairs([
            ("PLUGIN_REGISTRY", self.registries["ecr"].host.clone()),
            ("PLUGIN_REGION", text(&spec["region"])),
            ("PLUGIN_ACCESS_KEY", ecr::ACCESS_KEY.to_string()),
            ("PLUGIN_SECRET_KEY", ecr::SECRET_KEY.to_string()),
            ("AWS_ENDPOINT_URL_ECR", self.ecr.url.clone()),
        ]));
        variables
    }
}

const LOCK: &str = r#"{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{
"":{"name":"app","version":"1.0.0","dependencies":{"left-pad":"1.3.0"}},
"node_modules/left-pad":{"version":"1.3.0","license":"WTFPL"}}}"#;

/// Kubernetes means kaniko, unless layers are cached or a flag asks for buildx.
fn builder(pipeline: &Value, spec: &Value, cloud: &str) -> String {
    let kubernetes = pipeline["infrastructure"]["type"] == "KubernetesDirect";
    let flag = pipeline["featureFlags"]
        .as_array()
        .is_some_and(|flags| flags.iter().any(|flag| flag == "CI_USE_BUILDX_ON_K8"));
    let buildx = !kubernetes || flag || spec["caching"] == true;
    let family = if buildx { "drone" } else { "kaniko" };
    format!("{family}-{cloud}")
}

/// `plugins/buildah-docker:1.2.2` is `buildah-docker`.
fn plugin_of(image: &Value) -> String {
    let image = text(image);
    let name = image.rsplit('/').next().unwrap();
    name.split(':').next().unwrap().to_string()
}

fn common(spec: &Value, repository: &Value) -> BTreeMap<String, String> {
    let tags: Vec<String> = spec["tags"].as_array().unwrap().iter().map(text).collect();
    let mut variables = pairs([
        ("PLUGIN_REPO", text(repository)),
        ("PLUGIN_TAGS", tags.join(",")),
    ]);
    if let Some(dockerfile) = spec["dockerfile"].as_str() {
        variables.insert("PLUGIN_DOCKERFILE".into(), dockerfile.into());
    }
    let given = spec["envVariables"].as_object().into_iter().flatten();
    variables.extend(given.map(|(name, value)| (name.clone(), text(value))));
    variables
}

fn settings(settings: &Value) -> BTreeMap<String, String> {
    let settings = settings.as_object().unwrap().iter();
    settings
        .map(|(name, value)| (format!("PLUGIN_{}", name.to_uppercase()), text(value)))
        .collect()
}

const ADVISORY: &str = r#"{"schema_version":"1.6.0","id":"EXAMPLE-1","modified":"2026-01-01T00:00:00Z",
"summary":"pads on the wrong side","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
"affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"FIXED"}]}]}]}"#;

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_string(), value)).into()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
