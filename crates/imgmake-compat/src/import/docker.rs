//! `docker build`'s command line as a manifest: each flag is what it is for bake.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bake::{self, File, Form, Imported, Mistake, Request, Unsayable, Variable};
use super::kdl::{self, Written};
use imgmake_core::manifest::{UNWRITTEN, remote_kind};

/// What is built, and what becomes of it; each list as its flag was repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerBuild {
    pub context: String,
    /// Relative to the working directory, as docker has it.
    pub dockerfile: Option<String>,
    pub tags: Vec<String>,
    /// `NAME=VALUE`, or `NAME` for a variable of the manifest that the environment gives.
    pub args: Vec<String>,
    pub target: Option<String>,
    /// Each with commas, or repeated.
    pub platforms: Vec<String>,
    pub labels: Vec<String>,
    pub annotations: Vec<String>,
    pub secrets: Vec<String>,
    pub ssh: Vec<String>,
    /// `NAME:ADDRESS` or `NAME=ADDRESS`.
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
    let variables = variables(build)?;
    let mut imported = imported(build, &[])?;
    if imported.pushed.is_empty() {
        imported.published.clear();
    }
    let marked = match variables.is_empty() {
        true => Vec::new(),
        false => vec![self::imported(build, &variables)?],
    };
    Ok(kdl::manifest(
        &imported, &marked, None, &variables, UNWRITTEN,
    ))
}

/// What bake reads, with the marks of these variables in the place of their values.
fn imported(build: &DockerBuild, marked: &[Variable]) -> Result<Imported, Mistake> {
    let text = json!({ "target": { name(build): target(build, marked)? } }).to_string();
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
        others: &bake::NO_OTHERS,
        valueless: bake::Valueless::Now,
    };
    bake::read(&request).map_err(|mistake| Mistake {
        line: None,
        file: UNWRITTEN.to_string(),
        ..mistake
    })
}

/// Build arguments whose values are the environment's, whenever the manifest is used.
fn variables(build: &DockerBuild) -> Result<Vec<Variable>, Mistake> {
    // Of an argument that is given twice, the last one counts.
    let name = |arg: &String| arg.split('=').next().unwrap_or_default().to_string();
    let last: BTreeMap<String, &String> = build.args.iter().map(|arg| (name(arg), arg)).collect();
    let names = last.into_values().filter(|arg| !arg.contains('='));
    let variable = |(at, name): (usize, &String)| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(legal) {
            return Err(mistake(
                &format!("`--build-arg {name}`: no variable of a manifest has this name"),
                &format!("write `--build-arg {name}=VALUE`"),
            ));
        }
        Ok(Variable {
            name: name.clone(),
            value: String::new(),
            description: None,
            mark: bake::mark(at),
            form: Form::Given,
        })
    };
    names.enumerate().map(variable).collect()
}

fn mistake(message: &str, help: &str) -> Mistake {
    Mistake {
        file: UNWRITTEN.to_string(),
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

fn target(build: &DockerBuild, marked: &[Variable]) -> Result<Value, Mistake> {
    let mut target = Map::new();
    target.insert("context".into(), text(&build.context));
    if let Some(path) = &build.dockerfile {
        // As Docker has it: in a context that is fetched.
        let place = match remote_kind(&build.context) {
            Some(_) => path.clone(),
            None => format!("cwd://{path}"),
        };
        target.insert("dockerfile".into(), text(&place));
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
        ("args", "--build-arg", &build.args, &['='][..]),
        ("labels", "--label", &build.labels, &['=']),
        ("contexts", "--build-context", &build.contexts, &['=']),
        // An address of IPv6 has colons of its own.
        ("extra-hosts", "--add-host", &build.add_hosts, &['=', ':']),
    ] {
        let mut map = Map::new();
        for pair in list {
            let mut split = between.iter().filter_map(|sign| pair.split_once(*sign));
            let (name, value) = match split.next() {
                Some((name, value)) if !name.is_empty() => (name, value),
                None if key == "args" => {
                    let variable = marked.iter().find(|one| one.name == *pair);
                    let mark = variable.map_or("", |variable| variable.mark.as_str());
                    (pair.as_str(), mark)
                }
                _ => {
                    return Err(mistake(
                        &format!("invalid `{flag} {pair}`"),
                        &format!("write `{flag} NAME{}VALUE`", between[0]),
                    ));
                }
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
        outputs.push(text("type=registry"));
    }
    let asked = || build.outputs.iter().map(|one| (one, bake::asked(one)));
    let is_named = |(_, asked): (_, Option<bake::Asked>)| asked.is_some_and(|one| one.is_named);
    if build.tags.is_empty() && !asked().any(is_named) {
        let mut pushes = asked().filter(|(_, asked)| asked.as_ref().is_some_and(|one| one.pushes));
        let flag = match pushes.next() {
            _ if build.push => Some("--push".to_string()),
            Some((output, _)) => Some(format!("-o {output}")),
            None => None,
        };
        if let Some(flag) = flag {
            return Err(mistake(
                &format!("`{flag}` needs a name"),
                "write `-t HOST/REPOSITORY:TAG`",
            ));
        }
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
        for context in ["ftp://example.com/app", "-"] {
            let build = DockerBuild {
                context: context.into(),
                ..build()
            };
            assert!(manifest(&build).is_err(), "{context}");
        }
        for (args, add_hosts, says) in [
            (vec!["a.b"], vec![], "`--build-arg a.b`"),
            (vec!["=x"], vec![], "`--build-arg =x`"),
            (vec![], vec!["alone"], "`--add-host alone`"),
            (vec![], vec!["db=nowhere"], "db = \"nowhere\""),
        ] {
            let texts = |list: Vec<&str>| list.into_iter().map(String::from).collect();
            let build = DockerBuild {
                args: texts(args),
                add_hosts: texts(add_hosts),
                ..build()
            };
            let refused = manifest(&build).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn each_output_is_what_docker_makes_of_it() {
        for (output, line, is_pushed) in [
            ("out", "export \"out\"", false),
            ("type=local,dest=out", "export \"out\"", false),
            (
                "type=tar,dest=out.tar",
                "export \"out.tar\" format=tar",
                false,
            ),
            ("type=docker", "load docker", false),
            ("type=docker,dest=a.tar", "tar \"a.tar\"", false),
            ("type=oci,dest=a.tar", "tar \"a.tar\" format=oci", false),
            ("type=oci,dest=a,tar=false", "layout \"a\"", false),
            ("type=cacheonly", "build ", false),
            ("type=image", "build ", false),
            ("type=image,push=false", "build ", false),
            ("type=registry,push=false", "build ", false),
            ("type=image,push=true", "repository \"team/shop-app\"", true),
            ("type=registry", "repository \"team/shop-app\"", true),
            (
                "type=registry,name=other.example.com/x:2",
                "repository x; tags \"2\"",
                true,
            ),
        ] {
            let asked = DockerBuild {
                outputs: vec![output.into()],
                ..build()
            };
            let written = manifest(&asked).unwrap().text;
            let said = written.replace("\"x\"", "x");
            assert!(said.contains(line), "{output}: {written}");
            assert_eq!(written.contains("\npush "), is_pushed, "{output}");
            let nameless = DockerBuild {
                tags: Vec::new(),
                ..asked
            };
            let refused = manifest(&nameless).map_err(|mistake| mistake.to_string());
            match is_pushed && !output.contains("name=") {
                true => {
                    let says = format!("`-o {output}` needs a name");
                    assert!(refused.unwrap_err().contains(&says), "{output}");
                }
                false => assert!(refused.is_ok(), "{output}"),
            }
        }
        for output in ["-", "type=tar", "type=oci", "type=nothing", "type=local"] {
            let build = DockerBuild {
                outputs: vec![output.into()],
                ..build()
            };
            assert!(manifest(&build).is_err(), "{output}");
        }
        let both = DockerBuild {
            outputs: vec!["type=oci,dest=a.tar".into(), "type=registry".into()],
            ..build()
        };
        let written = manifest(&both).unwrap().text;
        assert!(written.contains("tar \"a.tar\"") && written.contains("\npush "));
    }

    #[test]
    fn a_name_alone_is_a_variable_that_the_environment_gives() {
        let build = DockerBuild {
            args: vec![
                "TOKEN".into(),
                "A=1".into(),
                "OTHER".into(),
                "OTHER=2".into(),
            ],
            ..build()
        };
        let written = manifest(&build).unwrap().text;
        for line in [
            "var TOKEN env=\"TOKEN\"",
            "TOKEN \"${TOKEN}\"",
            "A \"1\"",
            "OTHER \"2\"",
        ] {
            assert!(written.contains(line), "{line}: {written}");
        }
        assert!(!written.contains("var OTHER"), "{written}");
    }

    #[test]
    fn addresses_of_hosts_have_colons() {
        for (host, address) in [
            ("db=2001:db8::1", "2001:db8::1"),
            ("db:2001:db8::1", "2001:db8::1"),
            ("db=[::1]", "::1"),
            ("db:10.0.0.5", "10.0.0.5"),
            ("db:host-gateway", "127.0.0.1"),
        ] {
            let build = DockerBuild {
                add_hosts: vec![host.into()],
                ..build()
            };
            let written = manifest(&build).unwrap().text;
            let line = format!("db \"{address}\"");
            assert!(written.contains(&line), "{host}: {written}");
        }
    }
}
