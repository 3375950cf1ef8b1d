//! What a step builds: context and Dockerfile, arguments, labels, secrets, and what shapes the image.

use std::collections::BTreeMap;

use super::family::{EntryPoint, Family};
use super::reader::Reader;
use super::workspace::Workspace;
use super::{Refusal, ignored};
use crate::error::{Fact, invalid, malformed};
use crate::nodes::{all_plain, plain_values};
use crate::step::{Step, dockerfile_build};
use imgmake_core::manifest::{BuildTarget, SecretFrom};

/// The target, not yet among those of the step; what belongs to it besides goes into the step.
pub(super) fn build(
    entry: EntryPoint,
    reader: &Reader,
    workspace: &Workspace,
    step: &mut Step,
) -> Result<BuildTarget, Refusal> {
    let context = reader.text("PLUGIN_CONTEXT");
    let context = context.strip_prefix("dir://").unwrap_or(&context);
    if let Some((scheme, _)) = context.split_once("://") {
        return Err(Refusal::new(
            Fact::Unsupported(format!(
                "PLUGIN_CONTEXT={context:?}: a context at `{scheme}://`"
            )),
            "check the sources out in an earlier step and name their directory",
        ));
    }
    let (context, whole) = match reader.some("PLUGIN_CONTEXT_SUB_PATH") {
        Some(sub) => (
            format!("{}/{sub}", context.trim_end_matches('/')),
            Some(context.to_string()),
        ),
        None => (context.to_string(), None),
    };
    step.options.whole = whole;
    step.options.pull = reader.flag("PLUGIN_PULL_IMAGE");
    let dockerfile = dockerfile(entry, reader, &context, workspace)?;
    let also_stages = reader.some("PLUGIN_SKIP_UNUSED_STAGES");
    step.preparations.name_unused_stages = entry.family == Family::Kaniko && also_stages.is_none();
    let mut build = dockerfile_build(&context, &dockerfile, reader.some("PLUGIN_TARGET"));
    if also_stages.is_some() && !reader.flag("PLUGIN_SKIP_UNUSED_STAGES") {
        build.also_stages = all_plain(["*"]);
    }
    build.args = plain_values(build_args(reader, workspace.environment)?);
    build.labels = plain_values(labels(reader, workspace.now)?);
    let platforms = reader.text("PLUGIN_PLATFORM");
    let platforms = platforms.split(',').map(str::trim);
    build.platforms = all_plain(platforms.filter(|p| !p.is_empty()));
    build.no_cache = reader.flag("PLUGIN_NO_CACHE");
    build.epoch = reader.flag("PLUGIN_REPRODUCIBLE").then_some(0);
    build.squash = reader.flag("PLUGIN_SINGLE_SNAPSHOT") || reader.flag("PLUGIN_SQUASH");
    build.ignore_paths = all_plain(ignored_paths(reader, &mut step.notes)?);
    for (id, source) in secrets(reader)? {
        step.add_secret(&mut build, &id, source);
    }
    let key = reader.variable("PLUGIN_SSH_AGENT_KEY");
    step.preparations.ssh_key = key.map(|name| SecretFrom::Env(name.to_string()));
    build.dns = all_plain(name_servers(reader)?);
    build.dns_search = all_plain(reader.list("PLUGIN_CUSTOM_DNS_SEARCH"));
    let hosts = reader.list("PLUGIN_ADD_HOST");
    let hosts = hosts.iter().map(|host| add_host("PLUGIN_ADD_HOST", host));
    build.add_hosts = plain_values(hosts.collect::<Result<_, _>>()?);
    Ok(build)
}

fn name_servers(reader: &Reader) -> Result<Vec<String>, Refusal> {
    let servers = reader.list("PLUGIN_CUSTOM_DNS");
    let wrong = servers
        .iter()
        .find(|server| server.parse::<std::net::IpAddr>().is_err());
    match wrong {
        None => Ok(servers),
        Some(server) => Err(Refusal::new(
            invalid("address", format!("{server:?} in PLUGIN_CUSTOM_DNS")),
            "write addresses, separated by commas",
        )),
    }
}

fn ignored_paths(reader: &Reader, notes: &mut Vec<String>) -> Result<Vec<String>, Refusal> {
    let one = [reader.text("PLUGIN_IGNORE_PATH")];
    let mut paths = ignored::paths("PLUGIN_IGNORE_PATH", &one, notes)?;
    let many = reader.list("PLUGIN_IGNORE_PATHS");
    paths.extend(ignored::paths("PLUGIN_IGNORE_PATHS", &many, notes)?);
    if reader.flag("PLUGIN_IGNORE_VAR_RUN") {
        paths.push(ignored::VAR_RUN.into());
    }
    Ok(paths)
}

/// Relative to the working directory; kaniko also looks in the context.
fn dockerfile(
    entry: EntryPoint,
    reader: &Reader,
    context: &str,
    workspace: &Workspace,
) -> Result<String, Refusal> {
    let written = reader.text("PLUGIN_DOCKERFILE");
    let beside = format!("{}/{written}", context.trim_end_matches('/'));
    let mut candidates = vec![written.clone()];
    if entry.family == Family::Kaniko && !written.starts_with('/') {
        candidates.push(beside);
    }
    let found = candidates.iter().find(|path| !matches!((workspace.read)(path), Err(e) if e.kind() == std::io::ErrorKind::NotFound));
    found.cloned().ok_or_else(|| {
        Refusal::new(
            Fact::NotFound {
                setting: "PLUGIN_DOCKERFILE".into(),
                place: format!("`{}`", candidates.join("` and `")),
            },
            "give its path from the working directory",
        )
    })
}

/// A comma list; with `MULTIPLE_BUILD_ARGS` only the semicolon list.
fn build_args(
    reader: &Reader,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let (name, pairs) = match reader.flag("PLUGIN_MULTIPLE_BUILD_ARGS") {
        true => (
            "PLUGIN_BUILD_ARGS_NEW",
            reader.list("PLUGIN_BUILD_ARGS_NEW"),
        ),
        false => ("PLUGIN_BUILD_ARGS", reader.list("PLUGIN_BUILD_ARGS")),
    };
    let mut args = BTreeMap::new();
    for pair in &pairs {
        match pair.split_once('=') {
            Some((key, value)) => args.insert(key.to_string(), value.to_string()),
            // As `docker build --build-arg NAME`: the value comes from the environment.
            None => environment
                .get(pair)
                .and_then(|value| args.insert(pair.clone(), value.clone())),
        };
        if pair.starts_with('=') {
            return Err(Refusal::new(
                invalid("build argument", format!("{pair:?} in {name}")),
                "write NAME=VALUE",
            ));
        }
    }
    for name in reader.list("PLUGIN_BUILD_ARGS_FROM_ENV") {
        if let Some(value) = environment.get(&name) {
            args.insert(name, value.clone());
        }
    }
    add_proxies(&mut args, environment);
    Ok(args)
}

/// Each proxy that is set becomes two build arguments, unless one is given.
fn add_proxies(args: &mut BTreeMap<String, String>, environment: &BTreeMap<String, String>) {
    for name in ["http_proxy", "https_proxy", "no_proxy"] {
        let upper = name.to_uppercase();
        let sources = [name.to_string(), upper.clone(), format!("HARNESS_{upper}")];
        let Some(value) = sources
            .iter()
            .find_map(|s| environment.get(s).filter(|v| !v.is_empty()))
        else {
            continue;
        };
        for key in [name, &upper] {
            args.entry(key.to_string()).or_insert_with(|| value.clone());
        }
    }
}

fn labels(reader: &Reader, now: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let mut labels = BTreeMap::new();
    if reader.flag("PLUGIN_AUTO_LABEL") {
        let facts = [
            ("created", Some(now.to_string())),
            ("revision", reader.some("DRONE_COMMIT_SHA")),
            ("source", reader.some("DRONE_REMOTE_URL")),
            ("url", reader.some("PLUGIN_REPO_LINK")),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                labels.insert(format!("org.opencontainers.image.{name}"), value);
            }
        }
    }
    for (name, prefix) in [
        ("PLUGIN_LABEL_SCHEMA", "org.label-schema."),
        ("PLUGIN_CUSTOM_LABELS", ""),
    ] {
        for label in reader.list(name) {
            let Some((key, value)) = label.split_once('=') else {
                return Err(Refusal::new(
                    invalid("label", format!("{label:?} in {name}")),
                    "write NAME=VALUE",
                ));
            };
            labels.insert(format!("{prefix}{key}"), value.to_string());
        }
    }
    Ok(labels)
}

fn secrets(reader: &Reader) -> Result<Vec<(String, SecretFrom)>, Refusal> {
    let mut secrets = Vec::new();
    if let Some(one) = reader.some("PLUGIN_SECRET") {
        secrets.push(secret_option("PLUGIN_SECRET", &one)?);
    }
    for name in ["PLUGIN_SECRETS_FROM_ENV", "PLUGIN_SECRETS_FROM_FILE"] {
        let from = if name.ends_with("_ENV") {
            SecretFrom::Env
        } else {
            SecretFrom::File
        };
        for pair in reader.list(name) {
            match pair.split_once('=') {
                Some((id, value)) if !id.is_empty() && !value.is_empty() => {
                    secrets.push((id.to_string(), from(value.to_string())))
                }
                _ => {
                    return Err(Refusal::new(
                        malformed(name, "an element is not `id=name`"),
                        "write `id=name`, separated by commas",
                    ));
                }
            }
        }
    }
    Ok(secrets)
}

/// Docker's `id=ID,src=FILE` or `id=ID,env=NAME`.
pub(super) fn secret_option(name: &str, text: &str) -> Result<(String, SecretFrom), Refusal> {
    let wrong = || {
        Refusal::new(
            malformed(name, "a secret is not `id=ID,src=FILE` or `id=ID,env=NAME`"),
            "write it so",
        )
    };
    let (mut id, mut from) = (None, None);
    for part in text.split(',') {
        match part.trim().split_once('=').ok_or_else(wrong)? {
            ("id", value) => id = Some(value.to_string()),
            ("src" | "source", value) => from = Some(SecretFrom::File(value.to_string())),
            ("env", value) => from = Some(SecretFrom::Env(value.to_string())),
            ("type", "file" | "env") => {}
            _ => return Err(wrong()),
        }
    }
    let id = id.ok_or_else(wrong)?;
    Ok((id.clone(), from.unwrap_or(SecretFrom::Env(id))))
}

/// `name:address`, `name=address`; `host-gateway` is this machine, whose network RUN has.
///
/// # Errors
/// It is neither.
pub(super) fn add_host(name: &str, text: &str) -> Result<(String, String), Refusal> {
    let wrong = || {
        Refusal::new(
            invalid("host", format!("{text:?} in {name}")),
            "write `name:address`, such as `db.internal:10.0.0.5`",
        )
    };
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let (host, address) = pair.ok_or_else(wrong)?;
    let address = match address.trim().trim_matches(['[', ']']) {
        "host-gateway" => "127.0.0.1",
        address => address,
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if host.is_empty() || !host.chars().all(legal) || address.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong());
    }
    Ok((host.to_string(), address.to_string()))
}
