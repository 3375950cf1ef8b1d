//! `build` targets: the request, the image, and the archives made of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::authorities;
use super::super::project::plain;
use super::super::tools::secret_value;
use super::{Work, failure};
use imgmake_build::worker::Resolver;
use imgmake_build::{
    self as build, AddedLayers, AlsoStages, BuildRequest, Command, DefaultNetwork, FileStat,
    IgnoredPaths, Insecure, LayerCount, NamedContext, Recipe, SecretSource, Step,
};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{Inputs, LengthPrefixedHasher};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{
    BaseKind, BuildTarget, CommandNode, ContextNode, Diagnostic, HealthcheckTest, ImageFormat,
    LimitsNode, LoadInto, RecipeNode, Spanned, StepNode, TarFormat, TargetKind,
};
use imgmake_core::state::{FileKind, Output, Signature};
use imgmake_event::{Event, Product};
use imgmake_guard::checkout::Checkout;
use imgmake_oci::archive;
use imgmake_oci::image::{Descriptor, ManifestFormat, Reference};
use imgmake_oci::layer::Compression;
use imgmake_sandbox::{Exceeded, Limit, Limits};

pub(super) fn inputs(
    work: &Work<'_>,
    id: TargetId,
    target: &BuildTarget,
    upstream: &Upstream<'_>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let request = request(work, id, target, Some(upstream))?;
    let engine = work.tools.engine(&work.state)?;
    let hash = |stat: &FileStat, open: &dyn Fn() -> std::io::Result<std::fs::File>| {
        let signature = Signature {
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        };
        let cancel = &work.tools.cancel;
        work.state.stats.hash_opened(&signature, open, cancel)
    };
    let read = build::inputs(&request, &engine, &hash).map_err(failure)?;
    for input in read.entries {
        inputs.hashed(input.kind, input.name, input.hash);
    }
    inputs.list("setting", "tags", target.tags.iter().map(|t| &t.value));
    if let Some(tar) = &target.tar {
        inputs.list(
            "setting",
            "tar",
            [
                tar.path.value.as_str(),
                if tar.format == TarFormat::Oci {
                    "oci"
                } else {
                    "docker"
                },
            ],
        );
    }
    let daemons = target.load.iter().map(|node| match node.into {
        LoadInto::Docker => "docker",
        LoadInto::Podman => "podman",
    });
    if !target.load.is_empty() {
        inputs.list("setting", "load", daemons);
    }
    for (name, address) in &target.add_hosts {
        inputs.value("host", name, address.value.as_bytes());
    }
    if let Some(network) = &target.network {
        inputs.value("setting", "network", network.value.as_bytes());
    }
    if !target.allow.is_empty() {
        let allowed = target.allow.iter().map(|text| text.value.as_str());
        inputs.list("setting", "allow", allowed);
    }
    if let Some(layout) = &target.layout {
        inputs.value("setting", "layout", layout.value.as_bytes());
    }
    Ok(())
}

pub(super) fn run(
    work: &Work<'_>,
    id: TargetId,
    target: &BuildTarget,
    upstream: &Upstream<'_>,
) -> Result<Artifacts, Failure> {
    let name = work.project.graph.name(id);
    let request = request(work, id, target, Some(upstream))?;
    let engine = work.tools.engine(&work.state)?;
    let (built, mut outputs) = loop {
        let built = build::build(&request, &engine).map_err(|error| {
            beyond_limit(work, target, &error).unwrap_or_else(|| failure(error))
        })?;
        match write(work, name, target, &built.root) {
            Ok(outputs) => break (built, outputs),
            // A layer that was to come from a cache cannot be had: made again, it is here.
            Err(_) if lost_a_cached_layer(&engine, name) => {}
            Err(error) => return Err(failure(error)),
        }
    };
    for tag in &target.tags {
        engine.store.tag(&tag.value, &built.root)?;
    }
    let blobs = archive_blobs(work, &built.root)?;
    let size = blobs.iter().map(|(_, size)| size).sum();
    let held = blobs
        .iter()
        .filter(|(digest, _)| digest.parse().is_ok_and(|d| engine.store.has(&d)));
    outputs.insert(
        0,
        Output::Image {
            media_type: built.root.media_type.clone(),
            digest: built.root.digest.to_string(),
            size: built.root.size,
            blobs: held.cloned().collect(),
            sources: built.sources.iter().map(ToString::to_string).collect(),
            tags: target.tags.iter().map(|t| t.value.clone()).collect(),
        },
    );
    produced(
        work,
        name,
        Product::Image {
            digest: built.root.digest.to_string(),
            size,
        },
    );
    for output in &outputs {
        match output {
            Output::File {
                what: FileKind::Tar,
                path,
                ..
            } => {
                let bytes = std::fs::metadata(work.path(path)).map_or(0, |meta| meta.len());
                produced(
                    work,
                    name,
                    Product::Tar {
                        path: path.clone(),
                        bytes,
                    },
                );
            }
            Output::File {
                what: FileKind::Layout,
                path,
                ..
            } => produced(work, name, Product::Layout { path: path.clone() }),
            _ => {}
        }
    }
    Ok(Artifacts {
        digest: LengthPrefixedHasher::new()
            .bytes(built.root.digest.as_str().as_bytes())
            .finish(),
        outputs,
    })
}

/// A RUN that was killed for a limit is told at the limit.
fn beyond_limit(work: &Work<'_>, target: &BuildTarget, error: &anyhow::Error) -> Option<Failure> {
    let Exceeded(limit) = error.chain().find_map(|cause| cause.downcast_ref())?;
    let LimitsNode {
        memory,
        processes,
        disk,
        time,
    } = &target.limits;
    let span = match limit {
        Limit::Memory(_) => memory.as_ref().map(|limit| limit.span),
        Limit::Processes(_) => processes.as_ref().map(|limit| limit.span),
        Limit::Disk(_) => disk.as_ref().map(|limit| limit.span),
        Limit::Time(_) => time.as_ref().map(|limit| limit.span),
    };
    let kind = match limit {
        Limit::Time(_) => FailureKind::Timeout,
        _ => FailureKind::Failed,
    };
    let diagnostic = Diagnostic::at(span?, format!("{error:#}"), "the limit");
    Some(Failure::new(kind, work.project.problem(diagnostic)))
}

fn limits(node: &LimitsNode) -> Limits {
    Limits {
        memory: node.memory.as_ref().map(|limit| limit.value),
        processes: node.processes.as_ref().map(|limit| limit.value),
        disk: node.disk.as_ref().map(|limit| limit.value),
        time: node.time.as_ref().map(|limit| limit.value),
    }
}

fn lost_a_cached_layer(engine: &build::Engine, name: &str) -> bool {
    let cache = engine.cache.as_ref();
    cache.is_some_and(|cache| cache.was_disappointed(name))
}

fn produced(work: &Work<'_>, name: &str, what: Product) {
    work.tools.events.send(Event::Produced {
        target: name.to_string(),
        what,
    });
}

/// Every blob of the image with its size, the manifest's own included.
fn archive_blobs(work: &Work<'_>, root: &Descriptor) -> Result<Vec<(String, u64)>, Failure> {
    let blobs = super::push::blobs_of(work.tools.store()?, root).map_err(failure)?;
    Ok(blobs
        .iter()
        .map(|blob| (blob.digest.to_string(), blob.size))
        .collect())
}

/// The archives and layouts that the target declares.
fn write(
    work: &Work<'_>,
    name: &str,
    target: &BuildTarget,
    root: &Descriptor,
) -> anyhow::Result<Vec<Output>> {
    let mut outputs = Vec::new();
    if target.tar.is_none() && target.layout.is_none() && target.load.is_empty() {
        return Ok(outputs);
    }
    let store = work.tools.store()?;
    if target.tar.is_some() || target.layout.is_some() {
        fetch_missing(work, name, root)?;
    }
    let tags: Vec<String> = target.tags.iter().map(|tag| tag.value.clone()).collect();
    if let Some(tar) = &target.tar {
        let path = work.path(&tar.path.value);
        match tar.format {
            TarFormat::Docker => {
                archive::write_docker(store, &[(root.clone(), tags.clone())], &path)?
            }
            TarFormat::Oci => archive::write_oci_archive(store, root, &tags, &path)?,
        }
        outputs.push(work.file_output(FileKind::Tar, &tar.path.value)?);
    }
    if let Some(layout) = &target.layout {
        archive::write_layout(store, root, &tags, &work.path(&layout.value))?;
        outputs.push(work.file_output(FileKind::Layout, &layout.value)?);
    }
    for node in &target.load {
        outputs.extend(super::load::load(work, name, target, node, root)?);
    }
    Ok(outputs)
}

/// Base layers that no step needed are pulled now that somebody wants the bytes.
pub(super) fn fetch_missing(work: &Work<'_>, name: &str, root: &Descriptor) -> anyhow::Result<()> {
    let store = work.tools.store()?;
    let missing: Vec<Descriptor> = super::push::blobs_of(store, root)?
        .into_iter()
        .filter(|blob| !store.holds(blob))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let engine = work.tools.engine(&work.state)?;
    let sources = build::sources_of(&engine, &root.digest);
    let mut by_source: BTreeMap<&Reference, Vec<Descriptor>> = BTreeMap::new();
    for blob in missing {
        let source = sources.get(blob.digest.as_str());
        let source = source.ok_or_else(|| {
            anyhow::anyhow!(
                "the store has lost {}; build again with `--force`",
                blob.digest
            )
        })?;
        by_source.entry(source).or_default().push(blob);
    }
    for (source, blobs) in by_source {
        build::pull_blobs(&engine, name, source, &blobs)?;
    }
    Ok(())
}

/// The target's values as the build room wants them. Without `upstream`, images
/// of other targets are left out: enough to look at, not to build.
pub(super) fn request(
    work: &Work<'_>,
    id: TargetId,
    target: &BuildTarget,
    upstream: Option<&Upstream<'_>>,
) -> Result<BuildRequest, Failure> {
    let settings = &work.project.graph.manifest().settings;
    let name = work.project.graph.name(id);
    let epoch = target
        .epoch
        .or(settings.epoch)
        .or_else(|| work.environment.get("SOURCE_DATE_EPOCH")?.parse().ok());
    let context = context(work, id, target)?;
    Ok(BuildRequest {
        target: name.to_string(),
        recipe: recipe(work, id, target)?,
        excluded: excluded(work, &context),
        checkout: work
            .project
            .checkout(&context)
            .stopped_by(&work.tools.cancel),
        context,
        contexts: contexts(work, target, upstream)?,
        args: values(&target.args),
        labels: values(&target.labels),
        annotations: values(&target.annotations),
        platforms: parsed(work, &target.platforms)?,
        secrets: secrets(work, target)?,
        ssh: ssh(work, target)?,
        add_hosts: values(&target.add_hosts),
        authorities: authorities(work, target)?,
        resolver: Resolver {
            servers: target.dns.iter().map(|s| s.value.clone()).collect(),
            search: target.dns_search.iter().map(|s| s.value.clone()).collect(),
        },
        insecure: match target.allow.is_empty() {
            true => Insecure::Refused,
            false => Insecure::Allowed,
        },
        network: match target.network.as_ref().map(|n| n.value.as_str()) {
            Some("none") => DefaultNetwork::None,
            Some("isolated") => DefaultNetwork::Isolated,
            _ => DefaultNetwork::Host,
        },
        limits: limits(&target.limits),
        epoch,
        compression: compression(work, target)?,
        format: if target.format == ImageFormat::Docker {
            ManifestFormat::Docker
        } else {
            ManifestFormat::Oci
        },
        also: match target.also_stages.as_slice() {
            [] => AlsoStages::None,
            stages if stages.iter().any(|s| s.value == "*") => AlsoStages::Earlier,
            stages => AlsoStages::Named(stages.iter().map(|s| s.value.clone()).collect()),
        },
        added: AddedLayers {
            count: match target.squash {
                true => LayerCount::One,
                false => LayerCount::OnePerStep,
            },
            without: IgnoredPaths::new(target.ignore_paths.iter().map(|p| p.value.as_str())),
        },
        no_cache: target.no_cache || work.wishes.no_cache,
        pull: work.wishes.pull,
        jobs: work.wishes.jobs,
    })
}

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    map.iter()
        .map(|(name, value)| (name.clone(), value.value.clone()))
        .collect()
}

fn problem(
    work: &Work<'_>,
    value: &Spanned<String>,
    message: impl Into<String>,
    label: impl Into<String>,
) -> Failure {
    Failure::failed(
        work.project
            .problem(Diagnostic::at(value.span, message, label)),
    )
}

fn parsed<T: std::str::FromStr>(
    work: &Work<'_>,
    texts: &[Spanned<String>],
) -> Result<Vec<T>, Failure>
where
    T::Err: std::fmt::Display,
{
    texts
        .iter()
        .map(|text| {
            text.value
                .parse()
                .map_err(|error: T::Err| problem(work, text, error.to_string(), "this one"))
        })
        .collect()
}

fn context(work: &Work<'_>, id: TargetId, target: &BuildTarget) -> Result<PathBuf, Failure> {
    let Some(context) = &target.context else {
        return Ok(work.project.directory.clone());
    };
    let path = work.path(&context.value);
    let inside = Checkout::new([work.project.directory.as_path()]).directory(&path);
    match inside.and_then(std::fs::metadata) {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err(problem(
            work,
            context,
            format!(
                "the context `{}` of `{}` is not a directory",
                context.value,
                work.project.graph.name(id)
            ),
            "a directory is expected",
        )),
        Err(error) => {
            let message = format!(
                "target `{}`: cannot read the context `{}`",
                work.project.graph.name(id),
                context.value
            );
            Err(problem(work, context, message, plain(&error)))
        }
    }
}

fn recipe(work: &Work<'_>, id: TargetId, target: &BuildTarget) -> Result<Recipe, Failure> {
    match &target.recipe {
        RecipeNode::Dockerfile { path, stage } => {
            readable(work, id, path)?;
            Ok(Recipe::Dockerfile {
                path: work.path(&path.value),
                stage: stage.as_ref().map(|s| s.value.clone()),
            })
        }
        RecipeNode::Steps { from, base, steps } => {
            let base = match base {
                BaseKind::Image => from.value.clone(),
                // The contexts hold the target's image under its name.
                BaseKind::Target => from.value.clone(),
            };
            Ok(Recipe::Steps {
                base,
                steps: steps
                    .iter()
                    .map(|step| step_of(&step.value))
                    .collect::<Result<_, _>>()?,
            })
        }
    }
}

/// A Dockerfile that cannot be read is an error with the manifest's place.
fn readable(work: &Work<'_>, id: TargetId, path: &Spanned<String>) -> Result<(), Failure> {
    let full = work.path(&path.value);
    let TargetKind::Build(target) = &work.target(id).kind else {
        unreachable!("only builds have a Dockerfile");
    };
    let checkout = work.project.checkout(&context(work, id, target)?);
    let error = match checkout.open(&full).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_dir() => std::io::Error::from(std::io::ErrorKind::IsADirectory),
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let message = format!(
        "target `{}`: cannot read the Dockerfile `{}`",
        work.project.graph.name(id),
        path.value
    );
    let span = if path.span == imgmake_core::manifest::Span::default() {
        work.target(id).name.span
    } else {
        path.span
    };
    let mut diagnostic = Diagnostic::at(span, message, plain(&error));
    if error.kind() == std::io::ErrorKind::NotFound
        && let Some(sibling) = sibling(&full)
    {
        let shown = Path::new(&path.value).with_file_name(sibling);
        diagnostic = diagnostic.with_help(format!(
            "`{}` exists; name it with `dockerfile`",
            shown.display()
        ));
    }
    Err(Failure::failed(work.project.problem(diagnostic)))
}

/// Another file in the same directory that looks like what was meant.
fn sibling(path: &Path) -> Option<String> {
    let mut names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let lower = |name: &str| name.to_ascii_lowercase();
    names.into_iter().find(|name| {
        lower(name).contains("dockerfile") && !lower(name).ends_with(".dockerignore")
            || lower(name) == "containerfile"
    })
}

/// Outputs of this manifest, and the state: in no context unless copied by name.
/// The store and the project's state may lie in the context where the working directory is
/// another: they change with every run, and are nobody's sources.
fn excluded(work: &Work<'_>, context: &Path) -> Vec<PathBuf> {
    let store = work.tools.store_path();
    let mut excluded = vec![
        work.path(imgmake_core::state::DIRECTORY),
        context.join(imgmake_core::state::DIRECTORY),
        std::path::absolute(store).unwrap_or_else(|_| store.to_path_buf()),
    ];
    for target in &work.project.graph.manifest().targets {
        match &target.kind {
            TargetKind::Build(build) => {
                excluded.extend(build.tar.iter().map(|tar| work.path(&tar.path.value)));
                excluded.extend(build.layout.iter().map(|layout| work.path(&layout.value)));
            }
            TargetKind::Scan(scan) => {
                excluded.extend(scan.reports.values().map(|path| work.path(&path.value)))
            }
            TargetKind::Push(push) => {
                excluded.extend(push.write_digests.iter().map(|path| work.path(&path.value)))
            }
            TargetKind::Run(_) => {}
        }
    }
    excluded
}

fn contexts(
    work: &Work<'_>,
    target: &BuildTarget,
    upstream: Option<&Upstream<'_>>,
) -> Result<BTreeMap<String, NamedContext>, Failure> {
    let mut contexts = BTreeMap::new();
    let image_of = |name: &str| {
        let id = work
            .project
            .graph
            .find(name)
            .expect("the graph checks names");
        upstream
            .map(|upstream| work.image(upstream, id))
            .transpose()
    };
    for (name, context) in &target.contexts {
        let context = match context {
            ContextNode::Target(other) => match image_of(&other.value)? {
                Some(image) => NamedContext::Target(image),
                None => continue,
            },
            ContextNode::Image(image) => NamedContext::Image(image.value.parse().map_err(
                |e: imgmake_oci::image::ReferenceError| {
                    problem(work, image, e.to_string(), "this name")
                },
            )?),
            ContextNode::Path(path) => {
                let full = work.path(&path.value);
                if !full.is_dir() {
                    return Err(problem(
                        work,
                        path,
                        format!("the context `{}` is not a directory", path.value),
                        "a directory is expected",
                    ));
                }
                let project = Checkout::new([work.project.directory.as_path()]);
                if let Err(error) = project.directory(&full) {
                    let message = format!("cannot read the context `{}`", path.value);
                    return Err(problem(work, path, message, plain(&error)));
                }
                NamedContext::Path(full)
            }
        };
        contexts.insert(name.value.clone(), context);
    }
    if let RecipeNode::Steps {
        from,
        base: BaseKind::Target,
        ..
    } = &target.recipe
        && let Some(image) = image_of(&from.value)?
    {
        contexts.insert(from.value.clone(), NamedContext::Target(image));
    }
    Ok(contexts)
}

fn secrets(
    work: &Work<'_>,
    target: &BuildTarget,
) -> Result<BTreeMap<String, SecretSource>, Failure> {
    let mut secrets = BTreeMap::new();
    for name in &target.secrets {
        let manifest = work.project.graph.manifest();
        let node = manifest
            .secrets
            .iter()
            .find(|secret| secret.name.value == name.value)
            .expect("the graph checks secrets");
        match secret_value(&node.source, &work.project.directory, work.environment)? {
            Some(value) => drop(secrets.insert(name.value.clone(), SecretSource::Value(value))),
            None if node.optional => {}
            None => {
                return Err(problem(
                    work,
                    &node.name,
                    format!("the secret `{}` is not there", name.value),
                    "set its source, or make it optional=#true",
                ));
            }
        }
    }
    Ok(secrets)
}

fn ssh(work: &Work<'_>, target: &BuildTarget) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut sockets = BTreeMap::new();
    for (id, socket) in &target.ssh {
        let agent = socket
            .clone()
            .or_else(|| work.environment.get("SSH_AUTH_SOCK").map(String::from));
        let agent = agent.ok_or_else(|| {
            problem(
                work,
                id,
                "there is no ssh agent: SSH_AUTH_SOCK is not set",
                "it is asked for here",
            )
        })?;
        sockets.insert(id.value.clone(), PathBuf::from(agent));
    }
    Ok(sockets)
}

/// The certificates of `trust-ca`.
fn authorities(work: &Work<'_>, target: &BuildTarget) -> Result<Vec<u8>, Failure> {
    let mut pem = Vec::new();
    for file in &target.trust_ca {
        let read = authorities::read(&work.path(&file.value)).map_err(|why| {
            let message = format!("cannot use the certificates `{}` of `trust-ca`", file.value);
            problem(work, file, message, why)
        })?;
        pem.extend(read);
    }
    Ok(pem)
}

fn compression(work: &Work<'_>, target: &BuildTarget) -> Result<Compression, Failure> {
    let level = target.compression_level;
    let Some(name) = &target.compression else {
        return Ok(Compression::Gzip {
            level: DEFAULT_LEVEL,
        });
    };
    let out_of_range = || {
        problem(
            work,
            name,
            "this level does not exist for this compression",
            "gzip has 0 to 12, zstd 1 to 22",
        )
    };
    match name.value.as_str() {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip {
            level: level.map_or(Ok(DEFAULT_LEVEL), |l| {
                u8::try_from(l)
                    .ok()
                    .filter(|l| *l <= 12)
                    .ok_or_else(out_of_range)
            })?,
        }),
        "zstd" => Ok(Compression::Zstd {
            level: level.map_or(Ok(3), |l| {
                i8::try_from(l)
                    .ok()
                    .filter(|l| (1..=22).contains(l))
                    .ok_or_else(out_of_range)
            })?,
        }),
        other => Err(problem(
            work,
            name,
            format!("`{other}` is no compression"),
            "expected gzip, zstd or none",
        )),
    }
}

/// zlib's own default; with libdeflate it is better and faster than the peers' level.
const DEFAULT_LEVEL: u8 = 6;

fn step_of(node: &StepNode) -> Result<Step, Failure> {
    Ok(match node.clone() {
        StepNode::Copy {
            sources,
            to,
            mode,
            owner,
        } => Step::Copy {
            sources: sources.into_iter().map(|s| s.value).collect(),
            to: to.value,
            mode,
            owner,
        },
        StepNode::Layer(steps) => Step::Layer(
            steps
                .iter()
                .map(|step| step_of(&step.value))
                .collect::<Result<_, _>>()?,
        ),
        StepNode::File {
            path,
            content,
            mode,
            owner,
        } => Step::File {
            path: path.value,
            content,
            mode,
            owner,
        },
        StepNode::Symlink { path, to } => Step::Symlink {
            path: path.value,
            to,
        },
        StepNode::Mkdir { path, mode, owner } => Step::Mkdir {
            path: path.value,
            mode,
            owner,
        },
        StepNode::Run(CommandNode::Shell(text)) => Step::Run {
            command: Command::Shell(text),
        },
        StepNode::Run(CommandNode::Argv(argv)) => Step::Run {
            command: Command::Argv(argv),
        },
        StepNode::Env(pairs) => Step::Env(pairs),
        StepNode::User(user) => Step::User(user),
        StepNode::Workdir(path) => Step::Workdir(path),
        StepNode::Expose(ports) => Step::Expose(ports),
        StepNode::Entrypoint(argv) => Step::Entrypoint(argv),
        StepNode::Cmd(argv) => Step::Cmd(argv),
        StepNode::Label(pairs) => Step::Label(pairs),
        StepNode::Volume(paths) => Step::Volume(paths),
        StepNode::StopSignal(signal) => Step::StopSignal(signal),
        StepNode::Healthcheck {
            test,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => {
            let nanos = |duration: Option<std::time::Duration>| {
                duration.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
            };
            let test = match test {
                HealthcheckTest::None => vec!["NONE".to_string()],
                HealthcheckTest::Shell(text) => vec!["CMD-SHELL".to_string(), text],
                HealthcheckTest::Argv(argv) => {
                    std::iter::once("CMD".to_string()).chain(argv).collect()
                }
            };
            Step::Healthcheck(imgmake_oci::image::Healthcheck {
                test,
                interval: nanos(interval),
                timeout: nanos(timeout),
                start_period: nanos(start_period),
                start_interval: nanos(start_interval),
                retries: retries.map_or(0, i64::from),
            })
        }
    })
}
