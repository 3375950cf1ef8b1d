//! One target's values as a build.

use std::collections::BTreeMap;

use hcl::Value;

use super::resolve::{Given, Values, list};
use super::values::said;
use super::{Imported, Problem};
use crate::manifest::{
    BuildTarget, ContextNode, ImageFormat, RecipeNode, SecretFrom, SecretNode, Spanned, TarFormat,
    TarOutput, Target, TargetKind,
};

/// What a target may say.
pub(super) const KEYS: [&str; 32] = [
    "annotations",
    "args",
    "attest",
    "cache-from",
    "cache-to",
    "call",
    "context",
    "contexts",
    "description",
    "dockerfile",
    "dockerfile-inline",
    "entitlements",
    "extra-hosts",
    "inherits",
    "labels",
    "matrix",
    "name",
    "network",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "policy",
    "pull",
    "push",
    "load",
    "secret",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Said, and without a meaning here.
const WITHOUT_EFFECT: [(&str, &str); 7] = [
    ("attest", "no attestations are made"),
    ("cache-from", "steps are cached in the workspace's store"),
    ("cache-to", "steps are cached in the workspace's store"),
    (
        "load",
        "the image is kept in the workspace's store, where later steps find it",
    ),
    (
        "pull",
        "base tags are looked up again in every step of a pipeline",
    ),
    ("entitlements", "there is no builder to ask for them"),
    ("policy", "there is no builder that would ask for one"),
];

/// Refused, since leaving them out would quietly make another image.
const REFUSED: [(&str, &str); 6] = [
    (
        "dockerfile-inline",
        "write it into a file, and name that in `dockerfile`",
    ),
    ("call", "`imgmake lint` checks a Dockerfile"),
    ("extra-hosts", "the resolver of the host is used"),
    ("no-cache-filter", "`no-cache` builds every stage anew"),
    ("shm-size", "a RUN that needs it can mount a tmpfs"),
    ("ulimits", "the limits of the container hold"),
];

pub(super) fn add(name: &str, values: &Values, imported: &mut Imported) -> Result<(), Problem> {
    for (key, instead) in REFUSED {
        if let Some(given) = values.get(key).filter(|given| !is_empty(&given.value)) {
            let message = format!("target `{name}`: `{key}` is not supported");
            return Err(Problem::at(given.line, message).with_help(instead));
        }
    }
    for (key, why) in WITHOUT_EFFECT {
        if values.get(key).is_some_and(|given| !is_empty(&given.value)) {
            imported.notes.push(format!("`{key}` of `{name}`: {why}"));
        }
    }
    let tags = texts(values, "tags")?;
    let mut build = BuildTarget {
        context: None,
        recipe: recipe(name, values)?,
        contexts: contexts(values)?,
        args: pairs(values, "args")?,
        labels: pairs(values, "labels")?,
        annotations: annotations(values)?,
        platforms: texts(values, "platforms")?.iter().map(plain).collect(),
        secrets: Vec::new(),
        ssh: ssh(values)?,
        tags: tags.iter().map(plain).collect(),
        tar: None,
        layout: None,
        load: Vec::new(),
        format: ImageFormat::default(),
        compression: None,
        compression_level: None,
        network: text(values, "network")?.map(|network| plain(&network)),
        add_hosts: BTreeMap::new(),
        epoch: None,
        squash: false,
        ignore_paths: Vec::new(),
        no_cache: flag(values, "no-cache")?,
    };
    build.context = Some(plain(&context(values)?));
    secrets(values, &mut build, imported)?;
    let pushed = outputs(values, &mut build)? || flag(values, "push")?;
    if pushed && tags.is_empty() {
        let message = format!("target `{name}` is to be pushed and has no `tags`");
        return Err(Problem::at(None, message));
    }
    imported.published.push((name.to_string(), tags));
    imported.targets.push(Target {
        name: plain(name),
        description: text(values, "description")?,
        needs: Vec::new(),
        kind: TargetKind::Build(Box::new(build)),
        used_variables: Vec::new(),
    });
    Ok(())
}

fn context(values: &Values) -> Result<String, Problem> {
    let context = text(values, "context")?.unwrap_or_else(|| ".".into());
    let context = context.strip_prefix("cwd://").unwrap_or(&context);
    if context.contains("://") || context.starts_with("git@") {
        let line = values.get("context").and_then(|given| given.line);
        let message = format!("the context {context:?} is not a directory");
        return Err(Problem::at(line, message)
            .with_help("check the sources out in an earlier step and name their directory"));
    }
    Ok(if context.is_empty() {
        ".".into()
    } else {
        context.to_string()
    })
}

/// The Dockerfile lies in the context, unless `cwd://` says that it does not.
fn recipe(name: &str, values: &Values) -> Result<RecipeNode, Problem> {
    let written = text(values, "dockerfile")?.unwrap_or_else(|| "Dockerfile".into());
    let path = match written.strip_prefix("cwd://") {
        Some(here) => here.to_string(),
        None if written.starts_with('/') => written,
        None => format!("{}/{written}", context(values)?.trim_end_matches('/')),
    };
    if path.contains("://") {
        let line = values.get("dockerfile").and_then(|given| given.line);
        return Err(Problem::at(
            line,
            format!("target `{name}`: the Dockerfile {path:?} is no file"),
        ));
    }
    let stage = text(values, "target")?.map(|stage| plain(&stage));
    Ok(RecipeNode::Dockerfile {
        path: plain(&path),
        stage,
    })
}

fn contexts(values: &Values) -> Result<Vec<(Spanned<String>, ContextNode)>, Problem> {
    let line = values.get("contexts").and_then(|given| given.line);
    let mut contexts = Vec::new();
    for (name, place) in pairs(values, "contexts")? {
        let place = place.value;
        let node = if let Some(target) = place.strip_prefix("target:") {
            ContextNode::Target(plain(target))
        } else if let Some(image) = place.strip_prefix("docker-image://") {
            ContextNode::Image(plain(image))
        } else if place.contains("://") {
            let message = format!("the context `{name}` at {place:?} is not supported");
            return Err(Problem::at(line, message)
                .with_help("write a directory, `target:NAME` or `docker-image://NAME`"));
        } else {
            ContextNode::Path(plain(&place))
        };
        contexts.push((plain(&name), node));
    }
    Ok(contexts)
}

/// `type=docker,dest=…`, `type=oci,dest=…`, `type=registry`, `type=image,push=true`;
/// whether it is pushed.
fn outputs(values: &Values, build: &mut BuildTarget) -> Result<bool, Problem> {
    let Some(given) = values.get("output") else {
        return Ok(false);
    };
    let mut pushed = false;
    for output in fields(given, "output")? {
        let field = |key: &str| {
            output
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
        };
        let refused = |why: &str| {
            let message = format!("this `output` {why}");
            Problem::at(given.line, message).with_help(
                "write `type=docker,dest=FILE`, `type=oci,dest=FILE`, `type=registry` or `type=image,push=true`",
            )
        };
        match (field("type").unwrap_or("local"), field("dest")) {
            ("registry", None) => pushed = true,
            ("image", None) => pushed |= matches!(field("push"), Some("true" | "1")),
            ("cacheonly", None) | ("docker", None) => {}
            (kind @ ("docker" | "oci"), Some(path)) => {
                if build.tar.is_some() {
                    return Err(refused("is a second archive"));
                }
                let format = if kind == "oci" {
                    TarFormat::Oci
                } else {
                    TarFormat::Docker
                };
                build.tar = Some(TarOutput {
                    path: plain(path),
                    format,
                });
            }
            (kind, _) => return Err(refused(&format!("of the type `{kind}` is not supported"))),
        }
        match field("compression") {
            None => {}
            Some(name @ ("gzip" | "zstd")) => build.compression = Some(plain(name)),
            Some("uncompressed") => build.compression = Some(plain("none")),
            Some(_) => {
                return Err(refused(
                    "has a compression that is none of gzip, zstd, uncompressed",
                ));
            }
        }
        if field("oci-mediatypes") == Some("false") {
            build.format = ImageFormat::Docker;
        }
    }
    Ok(pushed)
}

fn secrets(
    values: &Values,
    build: &mut BuildTarget,
    imported: &mut Imported,
) -> Result<(), Problem> {
    let Some(given) = values.get("secret") else {
        return Ok(());
    };
    for secret in fields(given, "secret")? {
        let field = |keys: &[&str]| {
            let found = secret.iter().find(|(key, _)| keys.contains(&key.as_str()));
            found.map(|(_, value)| value.clone())
        };
        let id = field(&["id"]).ok_or_else(|| Problem::at(given.line, "a `secret` has no `id`"))?;
        let source = match (field(&["env"]), field(&["src", "source"])) {
            (Some(name), _) => SecretFrom::Env(name),
            (None, Some(path)) => SecretFrom::File(path),
            (None, None) => SecretFrom::Env(id.clone()),
        };
        build.secrets.push(plain(&id));
        let known = imported.secrets.iter().find(|known| known.name.value == id);
        match known {
            None => imported.secrets.push(SecretNode {
                name: plain(&id),
                source,
                optional: false,
            }),
            Some(known) if known.source == source => {}
            Some(_) => {
                let message = format!("the secret `{id}` has two sources; give them two ids");
                return Err(Problem::at(given.line, message));
            }
        }
    }
    Ok(())
}

/// An id, and the socket of its agent where that is not the environment's.
type Agent = (Spanned<String>, Option<String>);

fn ssh(values: &Values) -> Result<Vec<Agent>, Problem> {
    let split = |text: String| match text.split_once('=') {
        Some((id, socket)) => (plain(id), Some(socket.to_string())),
        None => (plain(&text), None),
    };
    Ok(texts(values, "ssh")?.into_iter().map(split).collect())
}

/// `["key=value"]`, some with a level of the image before the key.
fn annotations(values: &Values) -> Result<BTreeMap<String, Spanned<String>>, Problem> {
    let line = values.get("annotations").and_then(|given| given.line);
    let mut map = BTreeMap::new();
    for text in texts(values, "annotations")? {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Problem::at(line, format!("{text:?} is no `key=value`")))?;
        if let Some((level, key)) = key.split_once(':') {
            if level != "manifest" {
                let message = format!("annotations of the level `{level}` are not supported");
                return Err(Problem::at(line, message).with_help("write `manifest:key=value`"));
            }
            map.insert(key.to_string(), plain(value));
        } else {
            map.insert(key.to_string(), plain(value));
        }
    }
    Ok(map)
}

/// Each element as `key=value` fields: written so with commas, or as an object.
fn fields(given: &Given, key: &str) -> Result<Vec<Vec<(String, String)>>, Problem> {
    let wrong = || {
        Problem::at(
            given.line,
            format!("`{key}` is a list of `key=value,…` texts"),
        )
    };
    let Value::Array(elements) = &given.value else {
        return Err(wrong());
    };
    let one = |element: &Value| match element {
        Value::String(text) => text
            .split(',')
            .map(|part| {
                let (key, value) = part.split_once('=').ok_or_else(wrong)?;
                Ok((key.trim().to_string(), value.trim().to_string()))
            })
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), said(value).map_err(|_| wrong())?)))
            .collect(),
        _ => Err(wrong()),
    };
    elements
        .iter()
        .filter(|element| !element.is_null())
        .map(one)
        .collect()
}

fn text(values: &Values, key: &str) -> Result<Option<String>, Problem> {
    let Some(given) = values.get(key).filter(|given| !given.value.is_null()) else {
        return Ok(None);
    };
    let text =
        said(&given.value).map_err(|why| Problem::at(given.line, format!("`{key}`: {why}")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn texts(values: &Values, key: &str) -> Result<Vec<String>, Problem> {
    let Some(given) = values.get(key) else {
        return Ok(Vec::new());
    };
    let mut texts = list(key, &given.value, given.line)?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

fn flag(values: &Values, key: &str) -> Result<bool, Problem> {
    match values.get(key).map(|given| (&given.value, given.line)) {
        None | Some((Value::Null, _)) => Ok(false),
        Some((Value::Bool(flag), _)) => Ok(*flag),
        Some((_, line)) => Err(Problem::at(line, format!("`{key}` is `true` or `false`"))),
    }
}

/// A map of texts; what is null is left out.
fn pairs(values: &Values, key: &str) -> Result<BTreeMap<String, Spanned<String>>, Problem> {
    let Some(given) = values.get(key).filter(|given| !given.value.is_null()) else {
        return Ok(BTreeMap::new());
    };
    let Value::Object(map) = &given.value else {
        return Err(Problem::at(
            given.line,
            format!("`{key}` is an object of texts"),
        ));
    };
    let named = map.iter().filter(|(_, value)| !value.is_null());
    named
        .map(|(name, value)| {
            let text = said(value)
                .map_err(|why| Problem::at(given.line, format!("`{key}.{name}`: {why}")))?;
            Ok((name.clone(), plain(&text)))
        })
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A value that stands nowhere in a manifest.
fn plain(text: impl AsRef<str>) -> Spanned<String> {
    Spanned {
        value: text.as_ref().to_string(),
        ..Spanned::default()
    }
}
