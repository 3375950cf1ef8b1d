//! `docker build`'s command line as a manifest: each flag is what it is for bake.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bake::{self, File, Mistake, Request, Unsayable};
use super::kdl::{self, Written};

/// What is built, and what becomes of it; each list as its flag was repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerBuild {
    pub context: String,
    /// Relative to the working directory, as docker has it.
    pub dockerfile: Option<String>,
    pub tags: Vec<String>,
    /// `NAME=VALUE`.
    pub args: Vec<String>,
    pub target: Option<String>,
    /// Each with commas, or repeated.
    pub platforms: Vec<String>,
    pub labels: Vec<String>,
    pub annotations: Vec<String>,
    pub secrets: Vec<String>,
    pub ssh: Vec<String>,
    /// `NAME:ADDRESS`.
    pub add_hosts: Vec<String>,
    /// `NAME=PLACE`.
    pub contexts: Vec<String>,
    pub outputs: Vec<String>,
    pub push: bool,
    pub load: bool,
}

/// The manifest, with one build and, where it is to be pushed, one push.
///
/// # Errors
/// A flag says what no manifest can.
pub fn manifest(build: &DockerBuild) -> Result<Written, Mistake> {
    let text = json!({ "target": { name(build): target(build)? } }).to_string();
    let file = File {
        name: "docker-build.json",
        text: &text,
    };
    let environment = BTreeMap::new();
    let wanted = [name(build)];
    let request = Request {
        files: &[file],
        environment: &environment,
        wanted: &wanted,
        overrides: &[],
        now: "1970-01-01T00:00:00Z",
        unsayable: Unsayable::Refused,
    };
    let mut imported = bake::read(&request).map_err(|mistake| Mistake {
        line: None,
        file: "imgmake build".to_string(),
        ..mistake
    })?;
    if let Some(repository) = imported.repositories.first() {
        return Err(mistake(
            &format!(
                "the context `{}` is a repository, and a manifest's is a directory",
                repository.address
            ),
            "check it out, and name its directory",
        ));
    }
    if !build.push {
        imported.published.clear();
    }
    Ok(kdl::manifest(&imported, &[], None, &[], "imgmake build"))
}

fn mistake(message: &str, help: &str) -> Mistake {
    Mistake {
        file: "imgmake build".to_string(),
        line: None,
        message: message.to_string(),
        help: Some(help.to_string()),
    }
}

/// The last word of the first tag, else of the context.
fn name(build: &DockerBuild) -> String {
    let word = |text: &str| {
        let text = text.trim_end_matches(['/', '.']);
        let last = text.rsplit('/').next().unwrap_or_default();
        let first = last.split([':', '@']).next().unwrap_or_default();
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = first.chars().map(legal).collect();
        name.trim_matches('-').to_string()
    };
    let tag = build.tags.first().map(|tag| word(tag));
    let named = tag.filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| word(&build.context));
    match name.is_empty() {
        true => "image".to_string(),
        false => name,
    }
}

fn target(build: &DockerBuild) -> Result<Value, Mistake> {
    let mut target = Map::new();
    target.insert("context".into(), text(&build.context));
    if let Some(path) = &build.dockerfile {
        target.insert("dockerfile".into(), text(&format!("cwd://{path}")));
    }
    if let Some(stage) = &build.target {
        target.insert("target".into(), text(stage));
    }
    for (key, list) in [
        ("tags", &build.tags),
        ("platforms", &build.platforms),
        ("annotations", &build.annotations),
        ("secret", &build.secrets),
        ("ssh", &build.ssh),
    ] {
        if !list.is_empty() {
            target.insert(key.into(), list.iter().map(|one| text(one)).collect());
        }
    }
    for (key, flag, list, between) in [
        ("args", "--build-arg", &build.args, '='),
        ("labels", "--label", &build.labels, '='),
        ("contexts", "--build-context", &build.contexts, '='),
        ("extra-hosts", "--add-host", &build.add_hosts, ':'),
    ] {
        let mut map = Map::new();
        for pair in list {
            let Some((name, value)) = pair.split_once(between).or_else(|| pair.split_once('='))
            else {
                return Err(mistake(
                    &format!("invalid `{flag} {pair}`"),
                    &format!("write `{flag} NAME{between}VALUE`"),
                ));
            };
            map.insert(escaped(name), text(value));
        }
        if !map.is_empty() {
            target.insert(key.into(), Value::Object(map));
        }
    }
    let mut outputs: Vec<Value> = build.outputs.iter().map(|one| text(one)).collect();
    if build.load {
        outputs.push(text("type=docker"));
    }
    if build.push {
        if build.tags.is_empty() {
            return Err(mistake(
                "`--push` needs a name",
                "write `-t HOST/REPOSITORY:TAG`",
            ));
        }
        outputs.push(text("type=registry"));
    }
    if !outputs.is_empty() {
        target.insert("output".into(), outputs.into());
    }
    Ok(Value::Object(target))
}

/// A text that is no template.
fn text(written: &str) -> Value {
    Value::String(escaped(written))
}

fn escaped(written: &str) -> String {
    written.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build() -> DockerBuild {
        DockerBuild {
            context: ".".into(),
            tags: vec!["registry.example.com/team/shop-app:1.0".into()],
            ..DockerBuild::default()
        }
    }

    #[test]
    fn flags_are_attributes() {
        let written = manifest(&DockerBuild {
            dockerfile: Some("docker/app.Dockerfile".into()),
            args: vec!["VERSION=1=2".into(), "WORD=${HOME}".into()],
            platforms: vec!["linux/amd64,linux/arm64".into()],
            secrets: vec!["id=npm,env=NPM_TOKEN".into()],
            add_hosts: vec!["db:10.0.0.5".into()],
            target: Some("release".into()),
            outputs: vec!["type=oci,dest=out.tar".into()],
            ..build()
        })
        .unwrap();
        for line in [
            "build shop-app {",
            "dockerfile \"docker/app.Dockerfile\"",
            "VERSION \"1=2\"",
            "WORD \"$${HOME}\"",
            "platforms \"linux/amd64\" \"linux/arm64\"",
            "secret npm env=\"NPM_TOKEN\"",
            "tags \"registry.example.com/team/shop-app:1.0\"",
            "tar \"out.tar\" format=oci",
        ] {
            assert!(written.text.contains(line), "{line}: {}", written.text);
        }
        assert!(!written.text.contains("push"), "{}", written.text);
    }

    #[test]
    fn a_push_goes_to_the_registry_of_the_name() {
        let pushed = DockerBuild {
            push: true,
            ..build()
        };
        let written = manifest(&pushed).unwrap().text;
        assert!(
            written.contains("repository \"team/shop-app\"; tags \"1.0\""),
            "{written}"
        );
        let nameless = DockerBuild {
            tags: Vec::new(),
            ..pushed
        };
        assert!(
            manifest(&nameless)
                .unwrap_err()
                .to_string()
                .contains("`--push` needs a name")
        );
    }

    #[test]
    fn what_no_manifest_says_is_refused() {
        for context in ["https://example.com/app.git", "-"] {
            let build = DockerBuild {
                context: context.into(),
                ..build()
            };
            assert!(manifest(&build).is_err(), "{context}");
        }
        let build = DockerBuild {
            args: vec!["ALONE".into()],
            ..build()
        };
        assert!(
            manifest(&build)
                .unwrap_err()
                .to_string()
                .contains("--build-arg ALONE")
        );
    }
}
