//! From the variables of one step to a [`Step`]: modes, tags, names, credentials. What is built: `building`.

use std::collections::BTreeMap;

use super::building::build;
use super::buildx_options::{self, More};
use super::family::{Cloud, EntryPoint, Family};
use super::reader::Reader;
use super::results;
use super::tags::{AutoTags, auto_tags, check_tag, expand_tag, written_tag};
use super::workspace::{Outcome, Workspace};
use super::{Refusal, cache, registries, repositories};
use crate::credentials::Credentials;
use crate::error::{conflict, invalid, malformed, missing, unreadable};
use crate::nodes::{into_docker, plain};
use crate::step::{BUILD, NamedImage, PUSH, Preparations, Step, Warmed, Words};
use imgmake_core::manifest::{
    ArchiveImage, PasswordFrom, PushFrom, SecretNode, TarFormat, TarOutput,
};

/// Reads one step's variables.
///
/// # Errors
/// A variable that is malformed, contradicts another, or is missing; in words
/// that name it. No secret is ever part of them.
pub fn interpret(entry: EntryPoint, workspace: &Workspace) -> Result<Outcome, Refusal> {
    interpret_with(
        &Reader::new(entry, workspace.environment)?,
        entry,
        workspace,
    )
}

/// Where the registry of an ECR step that names none comes from. It belongs into PLUGIN_REGISTRY.
#[derive(Clone, Debug, PartialEq)]
pub enum UnnamedRegistry {
    /// The repository's name begins with it.
    OfTheName(String),
    /// AWS returns that of the keys' account, for these options of `aws-ecr`.
    OfTheKeys {
        options: BTreeMap<String, PasswordFrom>,
        /// Those that the options name.
        secrets: Vec<SecretNode>,
    },
}

/// `None` where the step names its registry, or needs none.
///
/// # Errors
/// As [`interpret`].
pub fn unnamed_registry(
    entry: EntryPoint,
    environment: &BTreeMap<String, String>,
) -> Result<Option<UnnamedRegistry>, Refusal> {
    let reader = Reader::new(entry, environment)?;
    let mode = Mode::read(entry, &reader)?;
    let listed = reader.first_set(&["PLUGIN_DESTINATIONS"]).is_some();
    let repository = reader.text("PLUGIN_REPO");
    if !repositories::registry_is_unnamed(entry, &reader) || listed || repository.is_empty() {
        return Ok(None);
    }
    Ok(match repositories::own_host(&repository) {
        Some(host) => Some(UnnamedRegistry::OfTheName(host.to_string())),
        // The cache is prefixed with it, too.
        None if mode.push || mode.push_only || reader.flag("PLUGIN_ENABLE_CACHE") => {
            let mut options = registries::ecr(entry, &reader);
            let mut credentials = Credentials::default();
            credentials.options("ECR", &mut options);
            let secrets = credentials.secrets;
            Some(UnnamedRegistry::OfTheKeys { options, secrets })
        }
        None => None,
    })
}

fn interpret_with(
    reader: &Reader,
    entry: EntryPoint,
    workspace: &Workspace,
) -> Result<Outcome, Refusal> {
    let mut outcome = outcome(reader, entry, workspace)?;
    if let Outcome::Run(step) = &mut outcome {
        super::signing::sign(reader, step)?;
        step.notes.extend(reader.unknown());
        step.options.words = match entry.family {
            Family::Kaniko => Words::KanikoPlugin,
            Family::Buildx | Family::Buildah => Words::DockerPlugin,
        };
    }
    Ok(outcome)
}

/// A name that registries would refuse is told of with the variable that it comes from.
fn check_repository(variable: &str, name: &str) -> Result<(), Refusal> {
    let path = match repositories::own_host(name) {
        Some(host) => &name[host.len()..],
        None => name,
    };
    if path.contains(',') {
        return Err(Refusal::new(
            malformed(format!("{variable}={name}"), "has a comma"),
            "it is one repository: push to another one in a further step",
        ));
    }
    if !path.chars().any(char::is_uppercase) {
        return Ok(());
    }
    let lower = path.to_lowercase();
    let host = &name[..name.len() - path.len()];
    Err(Refusal::new(
        malformed(format!("{variable}={name}"), "has upper-case letters"),
        format!("repositories are in lower case: write `{host}{lower}`"),
    ))
}

fn outcome(reader: &Reader, entry: EntryPoint, workspace: &Workspace) -> Result<Outcome, Refusal> {
    let mode = Mode::read(entry, reader)?;
    if let Some(file) = reader.some("PLUGIN_BAKE_FILE") {
        let push = mode.push;
        let step = super::bake::step(entry, reader, workspace, &file, push)?;
        return Ok(Outcome::Run(Box::new(step)));
    }
    let Some(tags) = step_tags(entry, reader, workspace)? else {
        return Ok(Outcome::NothingToDo(
            "the ref is neither a tag nor the default branch".into(),
        ));
    };
    let publishes = mode.push || mode.push_only;
    let named = repositories::complete(entry, reader, publishes)?;
    let listed = reader.first_set(&["PLUGIN_DESTINATIONS"]).is_some();
    let mut repositories = Vec::new();
    let mut destinations: Vec<String> = Vec::new();
    for name in named {
        // A name in the list may bring a tag of its own.
        let own = listed.then(|| written_tag(&name)).flatten();
        let repository = own.map_or(name.as_str(), |tag| &name[..name.len() - tag.len() - 1]);
        check_repository(
            if listed {
                "PLUGIN_DESTINATIONS"
            } else {
                "PLUGIN_REPO"
            },
            repository,
        )?;
        match own {
            Some(tag) => {
                check_tag("PLUGIN_DESTINATIONS", tag)?;
                destinations.push(name.clone());
            }
            None => destinations.extend(tags.iter().map(|tag| format!("{repository}:{tag}"))),
        }
        repositories.push(repository.to_string());
    }
    if destinations.is_empty() && publishes {
        return Err(Refusal::new(
            missing("PLUGIN_REPO", "no repository to push to"),
            "set it, or PLUGIN_NO_PUSH=true to build only",
        ));
    }
    let mut step = Step {
        names: destinations,
        notes: reader.notes(),
        ..Step::default()
    };
    if reader.some("PLUGIN_BAKE_OPTIONS").is_some() {
        let note = "PLUGIN_BAKE_OPTIONS has no effect without PLUGIN_BAKE_FILE";
        step.notes.push(note.into());
    }
    if mode.push_only {
        let from = push_source(entry, reader, &step.names, &mut step.preparations);
        let names = step.names.clone();
        let registries = registries::registries(entry, reader, &names, &[], &mut step.notes)?;
        step.add_push(PUSH, from, &names);
        step.add_registries(registries);
        step.results = results::files(entry, reader, workspace.environment);
    } else {
        add_build(entry, reader, workspace, &mode, &repositories, &mut step)?;
    }
    step.options.log = results::log(reader, &mut step.notes);
    step.options.warmed = warmed(reader)?;
    step.preparations.base_transport = registries::base_transport(reader);
    step.preparations.check_permission =
        mode.push && !reader.flag("PLUGIN_SKIP_PUSH_PERMISSION_CHECK");
    if let Some(attempts) = attempts(reader) {
        step.manifest.settings.retry.attempts = attempts;
    }
    Ok(Outcome::Run(Box::new(step)))
}

/// A build, with its archive, its caches and its push.
fn add_build(
    entry: EntryPoint,
    reader: &Reader,
    workspace: &Workspace,
    mode: &Mode,
    repositories: &[String],
    step: &mut Step,
) -> Result<(), Refusal> {
    let mut target = build(entry, reader, workspace, step)?;
    let mut more = More::default();
    if entry.family == Family::Buildah && target.squash {
        step.notes.push(
            "PLUGIN_SQUASH: what the build adds becomes one layer; the base keeps its own, so that registries share them"
                .into(),
        );
    }
    if entry.family == Family::Buildx {
        more = buildx_options::apply(reader, workspace.environment, &mut target, step)?;
        let load = reader.flag("PLUGIN_BUILDX_LOAD") || more.load;
        if load && !mode.push {
            target.load = vec![into_docker()];
        }
    }
    step.names.append(&mut more.tags);
    let mut cache = cache::cache(entry, reader, repositories, &mut step.notes)?;
    cache.registries.append(&mut more.cache.registries);
    let caches = cache::names(&cache);
    step.manifest.settings.cache = cache;
    let names = step.names.clone();
    let registries = registries::registries(entry, reader, &names, &caches, &mut step.notes)?;
    target.tar = tar(entry, reader)?.or(more.tar);
    target.layout = reader.some("PLUGIN_OCI_LAYOUT_PATH").map(plain);
    step.results = results::files(entry, reader, workspace.environment);
    step.results.image_tar = target.tar.as_ref().map(|tar| tar.path.value.clone());
    step.results.metadata = step.results.metadata.take().or(more.metadata);
    step.add_build(target);
    if mode.push {
        step.add_push(PUSH, PushFrom::Images(vec![plain(BUILD)]), &names);
    }
    step.add_registries(registries);
    Ok(())
}

/// One number serves both directions: the larger.
fn attempts(reader: &Reader) -> Option<u32> {
    let numbers = ["PLUGIN_PUSH_RETRY", "PLUGIN_IMAGE_DOWNLOAD_RETRY"];
    let most = numbers
        .into_iter()
        .filter_map(|name| reader.number(name))
        .max()?;
    u32::try_from(most).ok()?.checked_add(1)
}

/// As kaniko's `--cache-dir`.
fn warmed(reader: &Reader) -> Result<Option<Warmed>, Refusal> {
    let Some(directory) = reader.some("PLUGIN_CACHE_DIR") else {
        return Ok(None);
    };
    let ttl = Some(cache::ttl(reader)?);
    Ok(Some(Warmed { directory, ttl }))
}

struct Mode {
    push: bool,
    push_only: bool,
}

impl Mode {
    fn read(entry: EntryPoint, reader: &Reader) -> Result<Mode, Refusal> {
        // The row of each family has its own names; buildah documents `dry_run`
        // and its users write `no_push` and `push_only` as for the others.
        let flag = |name: &str| {
            Ok::<bool, Refusal>(reader.flag(name) || undeclared_flag(entry, reader, name)?)
        };
        let no_push = flag("PLUGIN_NO_PUSH")? || flag("PLUGIN_DRY_RUN")?;
        let push_only = flag("PLUGIN_PUSH_ONLY")?;
        if no_push && push_only {
            return Err(Refusal::new(
                conflict("PLUGIN_NO_PUSH", "PLUGIN_PUSH_ONLY"),
                "set one of them",
            ));
        }
        if push_only && reader.some("PLUGIN_BAKE_FILE").is_some() {
            return Err(Refusal::new(
                conflict("PLUGIN_BAKE_FILE", "PLUGIN_PUSH_ONLY"),
                "set one of them",
            ));
        }
        Ok(Mode {
            push: !no_push,
            push_only,
        })
    }
}

/// Flags that a family's table lacks and its users set all the same.
fn undeclared_flag(entry: EntryPoint, reader: &Reader, name: &str) -> Result<bool, Refusal> {
    if entry.family == Family::Kaniko && name != "PLUGIN_PUSH_ONLY" {
        return Ok(false);
    }
    reader
        .first_set(&[name])
        .map_or(Ok(false), |text| super::value::boolean(name, &text))
}

/// The tags, or `None` when this ref is not to be published.
fn step_tags(
    entry: EntryPoint,
    reader: &Reader,
    workspace: &Workspace,
) -> Result<Option<Vec<String>>, Refusal> {
    let (auto_name, tags_name, suffix_name) = match entry.family {
        Family::Kaniko => ("PLUGIN_AUTO_TAG", "PLUGIN_TAGS", "PLUGIN_AUTO_TAG_SUFFIX"),
        Family::Buildx | Family::Buildah => {
            ("PLUGIN_DEFAULT_TAGS", "PLUGIN_TAG", "PLUGIN_DEFAULT_SUFFIX")
        }
    };
    let (auto, expand) = (reader.flag(auto_name), reader.flag("PLUGIN_EXPAND_TAG"));
    if auto && expand {
        return Err(Refusal::new(
            conflict(auto_name, "PLUGIN_EXPAND_TAG"),
            "set one of them",
        ));
    }
    let written = if reader.is_present(tags_name) {
        reader.list(tags_name)
    } else {
        tags_file(workspace)
    };
    if auto {
        let tags = automatic(entry, reader, auto_name, tags_name, suffix_name, &written)?;
        for tag in tags.iter().flatten() {
            check_tag(suffix_name, tag)?;
        }
        return Ok(tags);
    }
    let setting = reader.variable(tags_name).unwrap_or(".tags");
    for tag in &written {
        let expanded = if expand {
            expand_tag(tag)
        } else {
            vec![tag.clone()]
        };
        for tag in &expanded {
            check_tag(setting, tag)?;
        }
    }
    let written = if written.is_empty() {
        vec!["latest".to_string()]
    } else {
        written
    };
    if !expand {
        return Ok(Some(written));
    }
    let mut expanded: Vec<String> = Vec::new();
    for tag in written.iter().flat_map(|tag| expand_tag(tag)) {
        if !expanded.contains(&tag) {
            expanded.push(tag);
        }
    }
    Ok(Some(expanded))
}

fn automatic(
    entry: EntryPoint,
    reader: &Reader,
    auto_name: &str,
    tags_name: &str,
    suffix_name: &str,
    written: &[String],
) -> Result<Option<Vec<String>>, Refusal> {
    if written.iter().any(|tag| tag != "latest") {
        // As they are written: each has two names.
        let auto_name = reader.variable(auto_name).unwrap_or(auto_name);
        let tags_name = reader.variable(tags_name).unwrap_or(".tags");
        return Err(Refusal::new(
            conflict(auto_name, tags_name).because("the tags come from the ref or from the list"),
            format!("remove {tags_name}, or switch {auto_name} off"),
        ));
    }
    let git_ref = reader.text("DRONE_COMMIT_REF");
    let branch = reader.text("DRONE_REPO_BRANCH");
    match auto_tags(&git_ref, &branch, &reader.text(suffix_name)) {
        AutoTags::Tags(tags) => Ok(Some(tags)),
        AutoTags::NotForThisRef if entry.family == Family::Kaniko => Err(Refusal::new(
            malformed(
                auto_name,
                format!(
                    "DRONE_COMMIT_REF={git_ref:?} is neither a tag nor the default branch {branch:?}"
                ),
            ),
            "run the step for tags and that branch only, or give PLUGIN_TAGS",
        )),
        AutoTags::NotForThisRef => Ok(None),
    }
}

/// `.tags` of the working directory, read only when no tag variable is present.
fn tags_file(workspace: &Workspace) -> Vec<String> {
    let text = (workspace.read)(".tags").unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .map(String::from)
        .collect()
}

/// Where the image to push is: what has to be there is prepared for.
fn push_source(
    entry: EntryPoint,
    reader: &Reader,
    names: &[String],
    preparations: &mut Preparations,
) -> PushFrom {
    let tar = reader
        .some("PLUGIN_SOURCE_TAR_PATH")
        .or_else(|| reader.first_set(&["PLUGIN_SOURCE_TAR_PATH"]));
    if let Some(path) = tar {
        preparations.archive = Some(path.clone());
        return PushFrom::Tar {
            path: plain(path),
            pick: reader
                .first_set(&["PLUGIN_SOURCE_IMAGE"])
                .map(ArchiveImage::Named),
        };
    }
    let name = reader.some("PLUGIN_SOURCE_IMAGE");
    let name = name.unwrap_or_else(|| names[0].clone());
    preparations.image = Some(NamedImage {
        name: name.clone(),
        remote: entry.family == Family::Buildx,
    });
    PushFrom::Image(plain(name))
}

fn tar(entry: EntryPoint, reader: &Reader) -> Result<Option<TarOutput>, Refusal> {
    let undeclared = || reader.first_set(&["PLUGIN_TAR_PATH", "PLUGIN_DESTINATION_TAR_PATH"]);
    let Some(path) = reader.some("PLUGIN_TAR_PATH").or_else(undeclared) else {
        return Ok(None);
    };
    let written = reader.text("PLUGIN_BUILDX_OUTPUT_FORMAT");
    let format = match (entry.family, written.as_str()) {
        (_, "" | "docker") => TarFormat::Docker,
        (Family::Buildx, "oci") => TarFormat::Oci,
        (_, other) => {
            return Err(Refusal::new(
                invalid(
                    "archive format",
                    format!("PLUGIN_BUILDX_OUTPUT_FORMAT={other:?}"),
                ),
                "write `docker` or `oci`",
            ));
        }
    };
    Ok(Some(TarOutput {
        path: plain(path),
        format,
    }))
}

/// The environment with a dotenv file's lines beneath it: what is set stays.
///
/// # Errors
/// The file cannot be read, where the plugin takes that for fatal.
pub fn with_env_file(
    entry: EntryPoint,
    environment: &BTreeMap<String, String>,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut merged = environment.clone();
    let unread = entry.family == Family::Kaniko && entry.cloud == Cloud::Acr;
    let Some(path) = environment
        .get("PLUGIN_ENV_FILE")
        .filter(|p| !p.is_empty() && !unread)
    else {
        return Ok(merged);
    };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if entry.family == Family::Kaniko => {
            return Err(Refusal::new(
                unreadable("PLUGIN_ENV_FILE", path, error),
                "give a file of NAME=VALUE lines",
            ));
        }
        Err(_) => return Ok(merged),
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(Refusal::new(
                malformed(format!("{path}:{}", number + 1), "invalid line"),
                "write NAME=VALUE",
            ));
        };
        let name = name.trim();
        if leads_elsewhere(name) && !merged.contains_key(name) {
            return Err(Refusal::new(
                malformed(
                    format!("{path}:{}", number + 1),
                    format!(
                        "an env file cannot set {name}, which chooses programs or their settings"
                    ),
                ),
                "set it in the environment of the step: the file may come with the checkout",
            ));
        }
        let value = value.trim();
        let quoted = ['"', '\'']
            .iter()
            .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        merged
            .entry(name.to_string())
            .or_insert_with(|| quoted.unwrap_or(value).to_string());
    }
    Ok(merged)
}

/// Whether a variable says which programs are started, or where they and we find
/// settings and credentials. Files of a checkout must not.
fn leads_elsewhere(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "PATH",
        "HOME",
        "TMPDIR",
        "ENV",
        "BASH_ENV",
        "NETRC",
        "DOCKER_CONFIG",
        "DOCKER_HOST",
        "REGISTRY_AUTH_FILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_PROFILE",
        "CLOUDSDK_CONFIG",
        "GNUPGHOME",
        "PASSWORD_STORE_DIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    const STARTS: [&str; 10] = [
        "GIT_SSH",
        "GIT_CONFIG",
        "GIT_DIR",
        "GIT_ASKPASS",
        "GIT_EXEC",
        "GIT_SSL",
        "LD_",
        "XDG_",
        "IMGMAKE_",
        "SSH_",
    ];
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// The rows that reading a step asks for.
#[cfg(test)]
pub(super) fn asked(
    entry: EntryPoint,
    environment: &BTreeMap<String, String>,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> std::collections::BTreeSet<&'static str> {
    let reader = Reader::new(entry, environment).unwrap();
    let workspace = Workspace {
        environment,
        read,
        now: "",
    };
    drop(interpret_with(&reader, entry, &workspace));
    reader.asked()
}
