//! From the command line to the step.

use std::collections::BTreeMap;
use std::time::Duration;

use super::command_line::CommandLine;
use super::context::{Context, context, redacted};
use super::registries::{docker_config, registries};
use super::secrets::secrets;
use crate::error::{self, Fact, conflict, invalid, malformed, missing};
use crate::hidden::Hidden;
use crate::nodes::{all_plain, parts, plain, plain_values};
use crate::plugin::tags::{check_tag, written_tag};
use crate::plugin::{Refusal, Workspace, ignored, log};
use crate::result_files::ResultFiles;
use crate::step::{BUILD, ImmutableTags, Log, PUSH, Step, StepOptions, Warmed, dockerfile_build};
use imgmake_core::manifest::{
    BuildTarget, CacheAccess, CacheNode, CacheSteps, ImageFormat, PushFrom, TarFormat, TarOutput,
    cache_ttl, suggest,
};

/// What the command line asks for.
pub enum Invocation {
    Build(Box<Request>),
    Help,
    Version,
}

/// A build whose context is still to be fetched.
pub struct Request {
    pub context: Context,
    /// As written: a path, or an address that the caller fetches and replaces by a path.
    pub dockerfile: String,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    sub_path: Option<String>,
    line: CommandLine,
}

/// Reads kaniko's arguments, those after the program's name.
///
/// # Errors
/// A flag that is unknown, malformed, or contradicts another, in words that name it.
pub fn interpret(arguments: &[String], workspace: &Workspace) -> Result<Invocation, Refusal> {
    let line = CommandLine::parse(arguments)?;
    if line.flag("help") {
        return Ok(Invocation::Help);
    }
    match line.positional.first().map(String::as_str) {
        None => {}
        Some("version") if line.positional.len() == 1 => return Ok(Invocation::Version),
        Some(word) => return Err(stray(word)),
    }
    check_outputs(&line, workspace)?;
    Ok(Invocation::Build(Box::new(Request {
        context: context(&line, workspace.environment)?,
        dockerfile: line.text("dockerfile").ok_or_else(|| {
            Refusal::new(
                missing("--dockerfile", "nothing to build"),
                "give a path, or leave the flag out",
            )
        })?,
        dry_run: line.flag("dryrun"),
        sub_path: line
            .text("context-sub-path")
            .map(|path| inside(&path))
            .transpose()?,
        line,
    })))
}

impl Request {
    /// The Dockerfile's address, when it is on a server.
    pub fn dockerfile_address(&self) -> Option<&str> {
        let remote = ["https://", "http://"]
            .iter()
            .any(|scheme| self.dockerfile.starts_with(scheme));
        remote.then_some(self.dockerfile.as_str())
    }

    /// The part of a fetched context that is the context: `""` is all of it.
    pub fn within(&self) -> Result<String, Refusal> {
        let of_git = match &self.context {
            Context::Git(git) => git.directory.as_deref().map(inside).transpose()?,
            _ => None,
        };
        let parts: Vec<String> = of_git.into_iter().chain(self.sub_path.clone()).collect();
        Ok(parts.join("/"))
    }

    /// The arguments of the build, values from the environment filled in.
    ///
    /// # Errors
    /// One without a name.
    pub fn build_args(&self, workspace: &Workspace) -> Result<BTreeMap<String, String>, Refusal> {
        build_args(&self.line, workspace.environment)
    }

    /// The Dockerfile as kaniko finds it: the path as given, else in the context.
    ///
    /// # Errors
    /// It is in neither place.
    pub fn find_dockerfile(&self, context: &str, workspace: &Workspace) -> Result<String, Refusal> {
        let written = &self.dockerfile;
        let beside = format!(
            "{}/{}",
            context.trim_end_matches('/'),
            written.trim_start_matches('/')
        );
        let is_there = |path: &&String| !matches!((workspace.read)(path), Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory));
        let found = [written, &beside].into_iter().find(is_there);
        found.cloned().ok_or_else(|| {
            Refusal::new(
                Fact::NotFound {
                    setting: format!("--dockerfile={written}"),
                    place: format!(
                        "`{written}`, here and in the context {},",
                        self.context.name()
                    ),
                },
                "give its path, from the working directory or from the context",
            )
        })
    }

    /// The step, now that the context is a directory and the base images' names are known.
    ///
    /// # Errors
    /// As [`interpret`].
    pub fn step(
        &self,
        context: &str,
        dockerfile: &str,
        bases: &[String],
        workspace: &Workspace,
    ) -> Result<Step, Refusal> {
        let line = &self.line;
        let environment = workspace.environment;
        let mut step = Step {
            names: line.all("destination"),
            notes: line.notes(),
            ..Step::default()
        };
        let build = build(line, context, dockerfile, environment, &mut step)?;
        step.add_build(build);
        step.notes.extend(unknown_helpers(line));
        let cache = cache(line, &step.names, &mut step.notes)?;
        let mut written = step.names.clone();
        written.extend(crate::plugin::cache::names(&cache));
        step.manifest.settings.cache = cache;
        let push = !no_push(line, environment)? && !step.names.is_empty();
        if push {
            let names = step.names.clone();
            step.add_push(PUSH, PushFrom::Images(vec![plain(BUILD)]), &names);
        }
        step.add_registries(registries(line, workspace, &written, bases)?);
        if let Some(attempts) = attempts(line) {
            step.manifest.settings.retry.attempts = attempts;
        }
        step.preparations.name_unused_stages = line.given("skip-unused-stages").is_none();
        step.preparations.check_permission = push && !line.flag("skip-push-permission-check");
        let config = docker_config(workspace);
        let directory = config.as_ref().and_then(|path| path.rsplit_once('/'));
        if let Some((directory, _)) = directory {
            let directory = Hidden(directory.to_string());
            step.options
                .variables
                .insert("DOCKER_CONFIG".into(), directory);
        }
        step.options = StepOptions {
            log: log(line),
            // kaniko has no memory of what a tag was: it asks each time.
            pull: true,
            warmed: warmed(line)?,
            immutable_tags: match line.flag("push-ignore-immutable-tag-errors") {
                true => ImmutableTags::Accept,
                false => ImmutableTags::Refuse,
            },
            ..step.options
        };
        step.results = files(line, environment);
        Ok(step)
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> std::collections::BTreeSet<&'static str> {
        self.line.asked()
    }
}

/// The target; what belongs to it besides goes into the step.
fn build(
    line: &CommandLine,
    context: &str,
    dockerfile: &str,
    environment: &BTreeMap<String, String>,
    step: &mut Step,
) -> Result<BuildTarget, Refusal> {
    let (stage, also_stages) = stages(line)?;
    let mut build = dockerfile_build(context, dockerfile, stage);
    build.also_stages = all_plain(also_stages);
    build.args = plain_values(build_args(line, environment)?);
    build.labels = plain_values(line.pairs("label").into_iter().collect());
    build.annotations = plain_values(line.pairs("annotation").into_iter().collect());
    build.platforms = all_plain(platform(line)?);
    build.no_cache = line.given("cache").is_some() && !line.flag("cache");
    for (id, source) in secrets(line, environment)? {
        step.add_secret(&mut build, &id, source);
    }
    if let Some((name, level)) = compression(line)? {
        build.compression = Some(plain(name));
        build.compression_level = level;
    }
    build.format = match line.given("image-format") {
        Some("docker") => ImageFormat::Docker,
        _ => ImageFormat::Oci,
    };
    build.epoch = epoch(line, environment)?;
    build.squash = line.flag("single-snapshot");
    build.ignore_paths = all_plain(ignored(line, &mut step.notes)?);
    build.tar = line.text("tar-path").map(|path| TarOutput {
        path: plain(path),
        format: TarFormat::Docker,
    });
    build.layout = line.text("oci-layout-path").map(plain);
    Ok(build)
}

fn stray(word: &str) -> Refusal {
    match word {
        "login" => Refusal::new(
            Fact::Unsupported("`login` as kaniko has it".into()),
            "run `imgmake login`, or write the docker config before this step",
        ),
        "push" => Refusal::new(
            Fact::Unsupported("`push` as kaniko has it".into()),
            "write a `push` target with `from` an archive, and run that",
        ),
        _ => {
            let looks_like = suggest::nearest(word, super::flags::FLAGS.iter().map(|f| f.name));
            Refusal::new(
                error::unknown("argument", format!("{word:?}")),
                match looks_like {
                    Some(name) => format!("did you mean `--{name}`?"),
                    None => "a boolean takes its value after `=`: `--no-push=false`".to_string(),
                },
            )
        }
    }
}

/// A destination, or another place for the image, as kaniko wants it.
fn check_outputs(line: &CommandLine, workspace: &Workspace) -> Result<(), Refusal> {
    let destinations = line.all("destination");
    for destination in &destinations {
        check_destination(destination)?;
    }
    let written = line
        .text("tar-path")
        .or_else(|| line.text("oci-layout-path"));
    if destinations.is_empty() && written.is_none() && !no_push(line, workspace.environment)? {
        return Err(Refusal::new(
            missing("--destination", "no place for the image"),
            "give one, or `--no-push` to build only, `--tar-path` or `--oci-layout-path` for a file",
        ));
    }
    for name in [
        "image-name-with-digest-file",
        "image-name-tag-with-digest-file",
    ] {
        if destinations.is_empty() && line.text(name).is_some() {
            return Err(Refusal::new(
                missing("--destination", format!("--{name} needs a name")),
                "give one; with `--no-push` it is not pushed",
            ));
        }
    }
    Ok(())
}

fn check_destination(name: &str) -> Result<(), Refusal> {
    let refused = |why: &str, help: &str| {
        Err(Refusal::new(
            malformed(format!("--destination={}", redacted(name)), why),
            help,
        ))
    };
    let tag = written_tag(name);
    let (_, repository, _) = parts(tag.map_or(name, |tag| &name[..name.len() - tag.len() - 1]));
    if name.contains("://") {
        return refused("has a scheme", "leave it out: `registry/repository:tag`");
    }
    if name.contains('@') {
        return refused(
            "has a digest",
            "a push gives the digest: write `registry/repository:tag`",
        );
    }
    if name.contains(',') {
        return refused("has a comma", "repeat the flag for each name");
    }
    if repository.chars().any(char::is_uppercase) {
        return refused("has upper-case letters", "repositories are in lower case");
    }
    if let Some(tag) = tag {
        check_tag(&format!("--destination={}", redacted(name)), tag)?;
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let parts_are_legal = repository
        .split('/')
        .all(|part| !part.is_empty() && part.chars().all(legal));
    if !parts_are_legal {
        return refused("not an image name", "write `registry/repository:tag`");
    }
    Ok(())
}

/// `KANIKO_NO_PUSH` goes before the flag, as in kaniko.
fn no_push(line: &CommandLine, environment: &BTreeMap<String, String>) -> Result<bool, Refusal> {
    let flag = line.flag("no-push");
    match environment.get("KANIKO_NO_PUSH") {
        Some(text) => crate::plugin::value::boolean("KANIKO_NO_PUSH", text),
        None => Ok(flag),
    }
}

fn log(line: &CommandLine) -> Log {
    let text = |name: &str| line.text(name).unwrap_or_default();
    Log {
        verbosity: log::verbosity(&text("log-format"), &text("verbosity")),
        timestamps: line.flag("log-timestamp"),
    }
}

/// A relative path that stays inside, cleaned: `./a//b` is `a/b`.
fn inside(path: &str) -> Result<String, Refusal> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => {
                return Err(Refusal::new(
                    malformed(
                        format!("--context-sub-path={path}"),
                        "leads out of the context",
                    ),
                    "give a directory inside it",
                ));
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The stage whose image is wanted, and those that are built besides: kaniko's fork takes several targets.
fn stages(line: &CommandLine) -> Result<(Option<String>, Vec<String>), Refusal> {
    let given = line.all("target");
    let mut named: Vec<String> = given
        .iter()
        .filter(|text| !text.is_empty())
        .flat_map(|text| text.split(',').map(|stage| stage.trim().to_string()))
        .collect();
    if named.iter().any(|stage| stage.is_empty() || stage == "*") {
        return Err(Refusal::new(
            invalid("stage", format!("--target={}", given.join(","))),
            "give the names of stages, the one whose image is wanted first",
        ));
    }
    named.dedup();
    let mut named = named.into_iter();
    let wanted = named.next();
    let mut also: Vec<String> = named.collect();
    // kaniko's default is false, that of its forks true: only who says so means it.
    if line.given("skip-unused-stages").is_some() && !line.flag("skip-unused-stages") {
        also.push("*".into());
    }
    Ok((wanted, also))
}

fn platform(line: &CommandLine) -> Result<Option<String>, Refusal> {
    let Some(platform) = line.text("custom-platform") else {
        return Ok(None);
    };
    let parts: Vec<&str> = platform.split('/').collect();
    let legal = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(legal) {
        return Err(Refusal::new(
            invalid("platform", format!("--custom-platform={platform:?}")),
            "write one as `linux/arm64` or `linux/arm/v7`",
        ));
    }
    Ok(Some(platform))
}

/// An argument without a value takes the environment's, and is empty without one.
fn build_args(
    line: &CommandLine,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut args = BTreeMap::new();
    for pair in line.all("build-arg") {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => (
                pair.as_str(),
                environment.get(&pair).cloned().unwrap_or_default(),
            ),
        };
        if name.is_empty() {
            return Err(Refusal::new(
                malformed("--build-arg", "a value without a name"),
                "write `--build-arg NAME=VALUE`",
            ));
        }
        args.insert(name.to_string(), value);
    }
    Ok(args)
}

fn compression(line: &CommandLine) -> Result<Option<(String, Option<i32>)>, Refusal> {
    let name = line.given("compression").map(String::from);
    let level = line
        .number("compression-level")
        .filter(|level| *level != -1);
    let zstd = name.as_deref() == Some("zstd");
    let most = if zstd { 22 } else { 9 };
    let level = match level {
        None => None,
        Some(level) => match i32::try_from(level) {
            Ok(level) if (0..=most).contains(&level) => Some(level),
            _ => {
                return Err(Refusal::new(
                    invalid(
                        format!("level of {}", name.as_deref().unwrap_or("gzip")),
                        format!("--compression-level={level}"),
                    ),
                    format!("write -1 for the default, or 0 to {most}"),
                ));
            }
        },
    };
    // Docker's own formats have no name for such layers.
    for (other, is_given) in [
        (
            "--image-format=docker",
            line.given("image-format") == Some("docker"),
        ),
        ("--tar-path", line.text("tar-path").is_some()),
    ] {
        if zstd && is_given {
            return Err(Refusal::new(
                conflict("--compression=zstd", other).because("Docker's format has no zstd layers"),
                "leave one out; `--oci-layout-path` writes zstd layers",
            ));
        }
    }
    Ok(match (name, level) {
        (None, None) => None,
        (name, level) => Some((name.unwrap_or_else(|| "gzip".into()), level)),
    })
}

/// Read only where it is named: nobody asked for what lies at kaniko's default place.
fn warmed(line: &CommandLine) -> Result<Option<Warmed>, Refusal> {
    let Some(directory) = line.text("cache-dir") else {
        return Ok(None);
    };
    let ttl = Some(ttl(line)?);
    Ok(Some(Warmed { directory, ttl }))
}

fn ttl(line: &CommandLine) -> Result<Duration, Refusal> {
    let text = line.text("cache-ttl").unwrap_or_default();
    cache_ttl(&text).ok_or_else(|| {
        Refusal::new(
            invalid("duration", format!("--cache-ttl={text}")),
            "write a whole number and a unit, such as `6h` or `336h`",
        )
    })
}

/// The repository of `--cache`; without a name for it, `cache` below the first destination.
fn cache(
    line: &CommandLine,
    destinations: &[String],
    notes: &mut Vec<String>,
) -> Result<CacheNode, Refusal> {
    let steps = CacheSteps {
        run: line.flag("cache-run-layers"),
        copy: line.flag("cache-copy-layers"),
    };
    let access = match line.flag("no-push-cache") {
        true => CacheAccess::Read,
        false => CacheAccess::ReadWrite,
    };
    let ttl = ttl(line)?;
    let named = line.text("cache-repo");
    if !line.flag("cache") {
        return Ok(CacheNode::default());
    }
    let repository = match (named, destinations.first()) {
        (Some(name), _) if name.starts_with("oci:") => {
            notes.push(format!("--cache-repo={name}: steps are kept in the store; keep that between jobs instead of a layout"));
            return Ok(CacheNode::default());
        }
        (Some(name), _) => name,
        (None, Some(destination)) => {
            let (_, _, tag) = parts(destination);
            let name = destination.strip_suffix(&format!(":{tag}"));
            format!("{}/cache", name.unwrap_or(destination))
        }
        (None, None) => {
            notes.push(
                "--cache: without --cache-repo and --destination steps are kept only in the store"
                    .into(),
            );
            return Ok(CacheNode::default());
        }
    };
    Ok(CacheNode {
        registries: vec![crate::plugin::cache::repository_of(&repository, access)],
        ttl: Some(ttl),
        steps,
    })
}

/// kaniko leaves /var/run out by default, and with it what builds write there; here only when asked.
fn ignored(line: &CommandLine, notes: &mut Vec<String>) -> Result<Vec<String>, Refusal> {
    let mut paths = ignored::paths("--ignore-path", &line.all("ignore-path"), notes)?;
    if line.flag("ignore-var-run") {
        paths.push(ignored::VAR_RUN.into());
    }
    Ok(paths)
}

/// `--reproducible`: one time for everything.
fn epoch(
    line: &CommandLine,
    environment: &BTreeMap<String, String>,
) -> Result<Option<i64>, Refusal> {
    if !line.flag("reproducible") {
        return Ok(None);
    }
    match environment
        .get("SOURCE_DATE_EPOCH")
        .filter(|text| !text.is_empty())
    {
        None => Ok(Some(0)),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Refusal::new(
                invalid("number of seconds", format!("SOURCE_DATE_EPOCH={text:?}")),
                "write seconds since 1970, as `git log -1 --format=%ct` prints them",
            )
        }),
    }
}

/// One number serves both directions: the larger.
fn attempts(line: &CommandLine) -> Option<u32> {
    let numbers = [
        line.number("push-retry"),
        line.number("image-download-retry"),
    ];
    let most = numbers.into_iter().flatten().max()?;
    u32::try_from(most).ok().map(|retries| retries + 1)
}

fn unknown_helpers(line: &CommandLine) -> Option<String> {
    let helpers = ["", "env", "google", "ecr", "acr", "gitlab"];
    let unknown: Vec<String> = line
        .all("credential-helpers")
        .into_iter()
        .filter(|helper| !helpers.contains(&helper.as_str()))
        .collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "--credential-helpers: unknown {}; expected env, google, ecr, acr or gitlab",
            imgmake_guard::printable::list(&unknown)
        )
    })
}

fn files(line: &CommandLine, environment: &BTreeMap<String, String>) -> ResultFiles {
    let one = |name: &str| line.text(name).into_iter().collect();
    ResultFiles {
        digest: one("digest-file"),
        name_with_digest: one("image-name-with-digest-file"),
        name_tag_with_digest: one("image-name-tag-with-digest-file"),
        images: environment
            .get("BUILDER_OUTPUT")
            .filter(|directory| !directory.is_empty())
            .map(|directory| format!("{}/images", directory.trim_end_matches('/'))),
        ..ResultFiles::default()
    }
}
