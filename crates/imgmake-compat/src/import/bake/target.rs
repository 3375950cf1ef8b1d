//! One target's values as a build.

use std::collections::BTreeMap;

use super::display::{as_text, display};
use super::fields::{annotation, fields, flag, is_empty, named, pairs, text, texts};
use super::given::{Given, Values};
use super::imported::{Imported, Inline, Place};
use super::outputs::outputs;
use super::problem::Problem;
use super::value::Value;
use crate::nodes::plain;
use crate::oci_layout;
use imgmake_core::error::CacheOptionProblem;
use imgmake_core::manifest::{
    Absence, Attempts, BuildTarget, CacheAccess, CacheOption, ContextNode, DockerfilePlace,
    RecipeNode, RemoteKind, SecretFrom, SecretNode, Spanned, Target, TargetKind, cache_option,
    remote_kind,
};

/// Without a meaning here: none of them changes the image.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    (
        "attest",
        "the `push` of a manifest attaches them (`attest \"spdx\" \"provenance\" as=\"index\"`)",
    ),
    (
        "entitlements",
        "they are a builder's; `imgmake doctor` says what RUN may do",
    ),
    ("resources", "RUN has what the step's container has"),
    (
        "shm-size",
        "/dev/shm of RUN has 64 MB; `RUN --mount=type=tmpfs,target=/dev/shm` has as much as there is",
    ),
    ("ulimits", "RUN has the limits of the step's container"),
];

/// Refused, since leaving them out would quietly do something else.
const REFUSED: [(&str, &str); 2] = [
    (
        "no-cache-filter",
        "`no-cache` builds every stage again; leave it out to use the cache for unchanged stages",
    ),
    (
        "policy",
        "nothing would check it here; a `scan` target is a gate",
    ),
];

pub(super) fn add(name: &str, values: &Values, imported: &mut Imported) -> Result<(), Problem> {
    refuse(name, values)?;
    for (key, why) in WITHOUT_EFFECT {
        if values.get(key).is_some_and(|given| !is_empty(&given.value)) {
            let note = format!("`{key}` of `{name}` has no effect: {why}");
            imported.notes.push(note);
        }
    }
    let context = plain(context(values)?);
    let recipe = recipe(name, values, imported)?;
    let mut build = BuildTarget {
        contexts: contexts(values)?,
        args: pairs(values, "args")?,
        labels: pairs(values, "labels")?,
        annotations: annotations(values)?,
        platforms: platforms(values)?,
        ssh: ssh(values)?,
        network: network(name, values)?,
        add_hosts: add_hosts(values)?,
        no_cache: flag(values, "no-cache")?,
        ..BuildTarget::new(Some(context), recipe)
    };
    secrets(values, &mut build, imported)?;
    caches(name, values, imported)?;
    let outputs = outputs(name, values, &mut build, &mut imported.notes)?;
    exports_apart(name, values, &build, imported)?;
    let mut tags = texts(values, "tags")?;
    tags.extend(outputs.names);
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    if outputs.pushed && tags.is_empty() {
        let line = values.get("output").and_then(|given| given.line);
        let message = format!("target `{name}` is to be pushed and has no `tags`");
        return Err(Problem::at(line, message));
    }
    build.tags = tags.iter().map(plain).collect();
    let place = Place {
        line: values.get("tags").and_then(|given| given.line),
        place: String::new(),
    };
    imported.tag_lines.insert(name.to_string(), place);
    if flag(values, "pull")? {
        imported.pulled.push(name.to_string());
    }
    if outputs.pushed {
        imported.pushed.push(name.to_string());
    }
    if outputs.publishable {
        imported.published.push((name.to_string(), tags));
    }
    imported.targets.push(Target {
        name: plain(name),
        description: text(values, "description")?,
        needs: Vec::new(),
        kind: TargetKind::Build(Box::new(build)),
        attempts: Attempts::default(),
        pool: None,
        used_variables: Vec::new(),
    });
    Ok(())
}

fn refuse(name: &str, values: &Values) -> Result<(), Problem> {
    for (key, instead) in REFUSED {
        if let Some(given) = values.get(key).filter(|given| !is_empty(&given.value)) {
            let message = format!(
                "target `{name}`: `{key}` is not supported: {}",
                display(&given.value)
            );
            return Err(Problem::at(given.line, message).with_help(instead));
        }
    }
    let call = text(values, "call")?.filter(|call| call != "build");
    if let (Some(call), Some(given)) = (call, values.get("call")) {
        let message = format!("target `{name}`: `call = {call:?}` builds nothing");
        return Err(Problem::at(given.line, message)
            .with_help("`imgmake lint` checks a Dockerfile, `imgmake list` lists targets"));
    }
    Ok(())
}

fn network(name: &str, values: &Values) -> Result<Option<Spanned<String>>, Problem> {
    let Some(network) = text(values, "network")? else {
        return Ok(None);
    };
    if !["default", "host", "none"].contains(&network.as_str()) {
        let line = values.get("network").and_then(|given| given.line);
        let message = format!("target `{name}`: `network = {network:?}` is unknown");
        return Err(Problem::at(line, message).with_help("write default, host or none"));
    }
    Ok(Some(plain(network)))
}

/// One or several with commas between them; `local` is this machine's.
fn platforms(values: &Values) -> Result<Vec<Spanned<String>>, Problem> {
    let texts = texts(values, "platforms")?;
    let all = texts.iter().flat_map(|text| text.split(','));
    let mut all: Vec<&str> = all.map(str::trim).filter(|one| !one.is_empty()).collect();
    if all == ["local"] {
        all.clear();
    }
    if all.contains(&"local") {
        let line = values.get("platforms").and_then(|given| given.line);
        return Err(Problem::at(line, "the platform `local` excludes others")
            .with_help("write `${BAKE_LOCAL_PLATFORM}`"));
    }
    Ok(all.into_iter().map(plain).collect())
}

/// Files of two targets in one place: each would change what the other has made.
fn exports_apart(
    name: &str,
    values: &Values,
    build: &BuildTarget,
    imported: &Imported,
) -> Result<(), Problem> {
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/');
        let parts = parts.filter(|part| !["", "."].contains(part));
        parts.map(str::to_string).collect()
    };
    for export in &build.exports {
        let own = parts(&export.path.value);
        for other in &imported.targets {
            let TargetKind::Build(of_other) = &other.kind else {
                continue;
            };
            let taken = of_other.exports.iter().find(|taken| {
                let taken = parts(&taken.path.value);
                own.starts_with(&taken) || taken.starts_with(&own)
            });
            if let Some(taken) = taken {
                let line = values.get("output").and_then(|given| given.line);
                let message = format!(
                    "target `{name}`: its files go to `{}`, and those of `{}` to `{}`",
                    export.path.value, other.name.value, taken.path.value
                );
                return Err(Problem::at(line, message)
                    .with_help("use a separate directory for each target: `type=local,dest=…`"));
            }
        }
    }
    Ok(())
}

/// `extra-hosts = { name = "address" }`
fn add_hosts(values: &Values) -> Result<BTreeMap<String, Spanned<String>>, Problem> {
    let line = values.get("extra-hosts").and_then(|given| given.line);
    let mut hosts = pairs(values, "extra-hosts")?;
    for (name, address) in &mut hosts {
        let written = address.value.trim_matches(['[', ']']).to_string();
        address.value = match written.as_str() {
            // This machine, whose network RUN has.
            "host-gateway" => "127.0.0.1".into(),
            _ => written,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let named = !name.is_empty() && name.chars().all(legal);
        if !named || address.value.parse::<std::net::IpAddr>().is_err() {
            let message = format!(
                "`extra-hosts`: invalid host and address {name} = {:?}",
                address.value
            );
            return Err(Problem::at(line, message)
                .with_help("write one address, such as `db = \"10.0.0.5\"`"));
        }
    }
    Ok(hosts)
}

/// `cache-from` and `cache-to`: registries; other kinds save work elsewhere and change no image.
fn caches(name: &str, values: &Values, imported: &mut Imported) -> Result<(), Problem> {
    for (key, access) in [
        ("cache-from", CacheAccess::Read),
        ("cache-to", CacheAccess::Write),
    ] {
        let Some(given) = values.get(key) else {
            continue;
        };
        for text in cache_texts(given, key)? {
            let wrong = |why: CacheOptionProblem| {
                Problem::at(given.line, format!("target `{name}`: `{key}`: {why}"))
                    .with_help("write `type=registry,ref=host/repository`")
            };
            match cache_option(&text, access).map_err(wrong)? {
                CacheOption::Registry(registry) if imported.caches.contains(&registry) => {}
                CacheOption::Registry(registry) => imported.caches.push(registry),
                CacheOption::Other(kind) => {
                    let note = format!(
                        "`{key}` of `{name}`: type={kind} has no effect: steps are kept in the store; `type=registry,ref=…` shares them"
                    );
                    imported.notes.push(note);
                }
            }
        }
    }
    Ok(())
}

fn cache_texts(given: &Given, key: &str) -> Result<Vec<String>, Problem> {
    let Value::Array(list) = &given.value else {
        return Err(Problem::at(given.line, format!("`{key}` is a list")));
    };
    let one = |value: &Value| match value {
        Value::Object(map) => {
            let field = |(key, value): (&String, &Value)| Ok(format!("{key}={}", as_text(value)?));
            let fields: Result<Vec<String>, String> = map.iter().map(field).collect();
            fields.map(|fields| fields.join(","))
        }
        other => as_text(other),
    };
    let texts = list.iter().filter(|value| !is_empty(value)).map(one);
    let texts: Result<Vec<String>, String> = texts.collect();
    texts.map_err(|why| Problem::at(given.line, format!("`{key}`: {why}")))
}

fn context(values: &Values) -> Result<String, Problem> {
    let context = text(values, "context")?.unwrap_or_else(|| ".".into());
    let context = on_github(context);
    let context = context.strip_prefix("cwd://").unwrap_or(&context);
    if context == "-" || context.contains("://") && remote_kind(context).is_none() {
        let line = values.get("context").and_then(|given| given.line);
        let message = format!(
            "the context {:?} is neither a directory nor a repository nor the URL of an archive",
            without_login(context)
        );
        let help = match context.strip_prefix("file://") {
            Some(path) => format!("write the path of the directory: `{path}`"),
            None => "check the sources out in an earlier step and name their directory".to_string(),
        };
        return Err(Problem::at(line, message).with_help(help));
    }
    Ok(if context.is_empty() {
        ".".into()
    } else {
        context.to_string()
    })
}

/// An address for people: a login in it is nobody's business.
fn without_login(address: &str) -> String {
    let parts = address.split_once("://");
    let login = parts.and_then(|(scheme, rest)| {
        let (_, host) = rest.split_once('@')?;
        Some(format!("{scheme}://…@{host}"))
    });
    login.unwrap_or_else(|| address.to_string())
}

/// `github.com/owner/name` is a repository there, as Docker has it.
fn on_github(context: String) -> String {
    let Some(rest) = context.strip_prefix("github.com/") else {
        return context;
    };
    let (name, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let name = name.trim_end_matches('/');
    let name = name.strip_suffix(".git").unwrap_or(name);
    format!("https://github.com/{name}.git{fragment}")
}

fn is_elsewhere(place: &str) -> bool {
    place.contains("://") || place == "-"
}

/// The Dockerfile lies in the context, unless `cwd://` says that it does not; one that
/// is written in the bake file comes before it.
fn recipe(name: &str, values: &Values, imported: &mut Imported) -> Result<RecipeNode, Problem> {
    let stage = text(values, "target")?.map(plain);
    if let Some(text) = text(values, "dockerfile-inline")? {
        let path = format!(".imgmake/bake/{name}.Dockerfile");
        imported.inline.push(Inline {
            path: path.clone(),
            text,
        });
        let path = plain(path);
        let place = DockerfilePlace::Project;
        return Ok(RecipeNode::Dockerfile { path, place, stage });
    }
    let written = text(values, "dockerfile")?.unwrap_or_else(|| "Dockerfile".into());
    let here = written.strip_prefix("cwd://");
    if here.unwrap_or(&written).contains("://") {
        let line = values.get("dockerfile").and_then(|given| given.line);
        let message = format!("target `{name}`: invalid Dockerfile path {written:?}");
        return Err(Problem::at(line, message).with_help("name a file of the context"));
    }
    let context = context(values)?;
    let (path, place) = match here {
        Some(here) => (here.to_string(), DockerfilePlace::Project),
        None if written.starts_with('/') => (written, DockerfilePlace::Project),
        None if remote_kind(&context).is_some() => (written, DockerfilePlace::Context),
        None => {
            let path = format!("{}/{written}", context.trim_end_matches('/'));
            (path, DockerfilePlace::Project)
        }
    };
    Ok(RecipeNode::Dockerfile {
        path: plain(&path),
        place,
        stage,
    })
}

fn contexts(values: &Values) -> Result<Vec<(Spanned<String>, ContextNode)>, Problem> {
    let line = values.get("contexts").and_then(|given| given.line);
    let mut contexts = Vec::new();
    for (name, place) in pairs(values, "contexts")? {
        let place = on_github(place.value);
        if place.is_empty() {
            continue;
        }
        let node = if let Some(target) = place.strip_prefix("target:") {
            ContextNode::Target(plain(target))
        } else if let Some(image) = place.strip_prefix("docker-image://") {
            ContextNode::Image(plain(image))
        } else if let Some(layout) = oci_layout::context(&place) {
            layout
        } else if remote_kind(&place) == Some(RemoteKind::Git) {
            ContextNode::Git(plain(&place))
        } else if is_elsewhere(place.strip_prefix("cwd://").unwrap_or(&place)) {
            let message = format!(
                "the context `{name}` at {:?} is not supported",
                without_login(&place)
            );
            return Err(Problem::at(line, message).with_help(
                "write a directory, a repository in Git, `target:NAME`, `docker-image://NAME` or `oci-layout://DIR`; ADD in the Dockerfile fetches a file",
            ));
        } else {
            ContextNode::Path(plain(place.strip_prefix("cwd://").unwrap_or(&place)))
        };
        contexts.push((plain(&name), node));
    }
    Ok(contexts)
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
        let keys = ["id", "type", "env", "src", "source"];
        if let Some((key, _)) = secret.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            let message = format!("a `secret` has `{key}`, which is unknown");
            return Err(Problem::at(given.line, message).with_help(named(key, keys)));
        }
        let id = field(&["id"]).ok_or_else(|| Problem::at(given.line, "a `secret` has no `id`"))?;
        let kind = field(&["type"]);
        let source = match (kind.as_deref(), field(&["env"]), field(&["src", "source"])) {
            (Some("env"), None, Some(name)) => SecretFrom::Env(name),
            (None | Some("env"), Some(name), _) => SecretFrom::Env(name),
            (None | Some("file"), None, Some(path)) => SecretFrom::File(path),
            (Some("file"), None, None) => SecretFrom::File(id.clone()),
            (None | Some("env"), None, None) => SecretFrom::Env(id.clone()),
            (kind, ..) => {
                let kind = kind.unwrap_or_default();
                let message = format!("the secret `{id}` has `type={kind}` and no source for it");
                return Err(Problem::at(given.line, message)
                    .with_help("write `type=env,env=NAME` or `type=file,src=PATH`"));
            }
        };
        // Said again, in a target that inherits it: the later one holds.
        if build.secrets.iter().all(|other| other.value != id) {
            build.secrets.push(plain(&id));
        } else {
            imported.secrets.retain(|other| other.name.value != id);
        }
        let declared = imported.secrets.iter().find(|other| other.name.value == id);
        match declared {
            None => imported.secrets.push(SecretNode {
                name: plain(&id),
                source,
                absence: Absence::Empty,
            }),
            Some(declared) if declared.source == source => {}
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
    let Some(given) = values.get("ssh") else {
        return Ok(Vec::new());
    };
    let wrong = |what: &str| {
        Problem::at(given.line, format!("`ssh`: {what}"))
            .with_help("write `default`, or `id=SOCKET` of one agent")
    };
    let Value::Array(list) = &given.value else {
        return Err(wrong("it is a list"));
    };
    let one = |value: &Value| match value {
        Value::Object(map) => {
            let id = map.get("id").map_or(Ok("default".into()), as_text);
            let paths = match map.get("paths") {
                Some(Value::Array(paths)) => paths.iter().map(as_text).collect(),
                Some(Value::Null) | None => Ok(Vec::new()),
                Some(other) => as_text(other).map(|path| vec![path]),
            };
            let paths: Vec<String> = paths.map_err(|why: String| wrong(&why))?;
            match &paths[..] {
                [] => Ok((plain(id.map_err(|why| wrong(&why))?), None)),
                [path] => Ok((plain(id.map_err(|why| wrong(&why))?), Some(path.clone()))),
                _ => Err(wrong(&format!(
                    "{} has more than one path",
                    paths.join(",")
                ))),
            }
        }
        other => {
            let text = as_text(other).map_err(|why| wrong(&why))?;
            match text.split_once('=') {
                Some((_, paths)) if paths.contains(',') => {
                    Err(wrong(&format!("{text} has more than one path")))
                }
                Some((id, socket)) => Ok((plain(id), Some(socket.to_string()))),
                None => Ok((plain(&text), None)),
            }
        }
    };
    let mut agents: Vec<Agent> = Vec::new();
    for value in list.iter().filter(|value| !is_empty(value)) {
        let agent = one(value)?;
        agents.retain(|(id, _)| id.value != agent.0.value);
        agents.push(agent);
    }
    Ok(agents)
}

/// `["key=value"]`, some with a level of the image before the key.
fn annotations(values: &Values) -> Result<BTreeMap<String, Spanned<String>>, Problem> {
    let line = values.get("annotations").and_then(|given| given.line);
    let mut map = BTreeMap::new();
    for text in texts(values, "annotations")? {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Problem::at(line, format!("invalid `key=value` {text:?}")))?;
        let Some((levels, key)) = key.split_once(':') else {
            map.insert(key.to_string(), plain(value));
            continue;
        };
        for level in levels.split(',') {
            let Some(key) = annotation(level, key) else {
                let message = format!("annotations of the level `{level}` are not supported");
                return Err(Problem::at(line, format!("{message}: {text:?}")).with_help(
                    "write `manifest:key=value`, `manifest[linux/arm64]:key=value`, `manifest-descriptor:key=value` \
                     or `index:key=value`",
                ));
            };
            map.insert(key, plain(value));
        }
    }
    Ok(map)
}
