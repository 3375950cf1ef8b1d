//! What a build may read: its context, others by name, and what is in none of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::archives;
use super::super::failure::{failure, plain};
use super::super::images;
use super::super::task::BuildTask;
use imgmake_build::{FetchedContext, NamedContext, RemoteContext};
use imgmake_core::execute::{Failure, FailureKind, Upstream};
use imgmake_core::files::ReadAs;
use imgmake_core::manifest::{
    ArchiveImage, BaseKind, ContextNode, Diagnostic, DockerfilePlace, RecipeNode, RemoteKind,
    SignKey, Spanned, TargetKind, remote_kind, suggest,
};
use imgmake_core::state::DIRECTORY;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::ReferenceError;

/// BuildKit's argument for what becomes of the `.git` of a context.
const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// What is fetched in the place of the context's directory.
pub(super) fn fetched(task: &BuildTask<'_>) -> Option<FetchedContext> {
    let context = task.target.context.as_ref()?;
    let keep = task.target.args.get(KEEP_GIT);
    let keep = keep.map(|keep| keep.value.to_ascii_lowercase());
    Some(FetchedContext {
        context: RemoteContext {
            address: context.value.clone(),
            kind: remote_kind(&context.value)?,
            keep_git_directory: keep.is_some_and(|keep| ["1", "t", "true"].contains(&&*keep)),
        },
        holds_dockerfile: matches!(
            task.target.recipe,
            RecipeNode::Dockerfile {
                place: DockerfilePlace::Context,
                ..
            }
        ),
    })
}

/// The directory that COPY reads from; of a context that is fetched, the project's, in which paths are.
pub(super) fn main(task: &BuildTask<'_>) -> Result<PathBuf, Failure> {
    let Some(context) = task.target.context.as_ref() else {
        return Ok(task.runner.project.directory.clone());
    };
    if task.target.directory().is_none() {
        return Ok(task.runner.project.directory.clone());
    }
    let path = task.runner.path(&context.value);
    task.runner.record(&path, ReadAs::Followed);
    let inside = Checkout::new([task.runner.project.directory.as_path()]).directory(&path);
    match inside.and_then(std::fs::metadata) {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err(task.problem(
            context,
            format!("the context `{}` is not a directory", context.value),
            "a directory is expected",
        )),
        Err(error) => {
            let message = format!("cannot read the context `{}`", context.value);
            let mut diagnostic = Diagnostic::at(context.span, message, plain(&error));
            if error.kind() == std::io::ErrorKind::NotFound {
                diagnostic = diagnostic.with_help(directories(task, &path, &context.value));
            }
            let kind = FailureKind::Failed;
            Err(task.runner.project.failed_at(task.name, kind, diagnostic))
        }
    }
}

/// More names than this are not looked at.
const MOST_NAMES: usize = 10_000;

/// What to write instead of a directory that does not exist.
fn directories(task: &BuildTask<'_>, path: &Path, written: &str) -> String {
    let missing = path.file_name().and_then(|name| name.to_str());
    let siblings = path
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok());
    let siblings: Vec<String> = siblings
        .into_iter()
        .flatten()
        .take(MOST_NAMES)
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let names = siblings.iter().map(String::as_str);
    match missing.and_then(|missing| suggest::nearest(missing, names)) {
        Some(near) => format!(
            "did you mean `{}`?",
            Path::new(written).with_file_name(near).display()
        ),
        None if task.runner.project.is_written() => {
            "a context is relative to the manifest's directory".to_string()
        }
        None => "a directory is relative to the working directory".to_string(),
    }
}

/// Outputs of this manifest, its lock file, and the state: in no context unless copied by name.
/// The store and the project's state may lie in the context where the working directory is
/// another: they change with every run, and are nobody's sources.
pub(super) fn excluded(task: &BuildTask<'_>, context: &Path) -> Vec<PathBuf> {
    let store = task.runner.tools.store_path();
    let mut excluded = vec![
        task.runner.path(DIRECTORY),
        context.join(DIRECTORY),
        std::path::absolute(store).unwrap_or_else(|_| store.to_path_buf()),
    ];
    let manifest = task.runner.project.graph.manifest();
    // A run that pins a name writes it, and would change an input of its own.
    let lock = manifest.settings.lock.iter();
    excluded.extend(lock.map(|path| task.runner.path(&path.value)));
    for target in &manifest.targets {
        match &target.kind {
            TargetKind::Build(build) => {
                excluded.extend(
                    build
                        .tar
                        .iter()
                        .map(|tar| task.runner.path(&tar.path.value)),
                );
                excluded.extend(
                    build
                        .layout
                        .iter()
                        .map(|layout| task.runner.path(&layout.value)),
                );
                let exports = build.exports.iter();
                excluded.extend(exports.map(|export| task.runner.path(&export.path.value)));
            }
            TargetKind::Scan(scan) => excluded.extend(
                scan.reports
                    .values()
                    .map(|path| task.runner.path(&path.value)),
            ),
            TargetKind::Push(push) => {
                let written = push.write_digests.iter();
                // A private key beside the sources must not get into an image by `COPY . .`.
                let key = push.sign.as_ref().and_then(|sign| match &sign.key {
                    SignKey::File(path) => Some(path),
                    SignKey::Secret(_) => None,
                });
                let paths = written.chain(key);
                excluded.extend(paths.map(|path| task.runner.path(&path.value)));
            }
            TargetKind::Run(_) => {}
        }
    }
    let left_out = task.runner.project.graph.left_out(task.id).iter();
    excluded.extend(left_out.map(|path| task.runner.path(path)));
    excluded
}

/// The image of a layout or an archive, which is in the store from then on.
fn layout(
    task: &BuildTask<'_>,
    name: &Spanned<String>,
    path: &Spanned<String>,
    pick: Option<&ArchiveImage>,
) -> Result<NamedContext, Failure> {
    let runner = task.runner;
    let full = runner.path(&path.value);
    if !full.exists()
        && let Some(stand_in) = runner.stand_in()
    {
        // Another target makes it, and nothing in it names another image.
        return Ok(NamedContext::Path(stand_in));
    }
    runner.record(&full, ReadAs::Tree);
    if full.is_dir() {
        let project = Checkout::new([runner.project.directory.as_path()]);
        project.directory(&full).map_err(|error| {
            let message = format!("cannot read the context `{}`", name.value);
            task.problem(path, message, plain(&error))
        })?;
    }
    let (store, latest) = (runner.store()?, ArchiveImage::Named("latest".into()));
    let imported = match archives::pick(store, &full, pick) {
        // As Docker has it: of several images, the one with that tag.
        Err(error) if pick.is_none() && error.is_ambiguous() => {
            archives::pick(store, &full, Some(&latest)).map_err(|_| error)
        }
        other => other,
    };
    let imported = imported.map_err(|error| {
        let failed = failure(error);
        if failed.kind != FailureKind::Failed || failed.is_storage_full {
            return failed;
        }
        let message = format!("context `{}`: {}", name.value, failed.message);
        task.problem(path, message, "this layout")
    })?;
    Ok(NamedContext::Target(imported.root))
}

/// Directories and images with names of their own.
pub(super) fn named(
    task: &BuildTask<'_>,
    upstream: &Upstream<'_>,
) -> Result<BTreeMap<String, NamedContext>, Failure> {
    let mut contexts = BTreeMap::new();
    let image_of = |name: &str| {
        let graph = &task.runner.project.graph;
        let id = graph.find(name).expect("the graph checks names");
        if upstream.made(name).is_none()
            && let Some(stand_in) = task.runner.stand_in()
        {
            // No image, and nothing that names another.
            return NamedContext::Path(stand_in);
        }
        NamedContext::Target(images::of_target(task.runner, upstream, id))
    };
    for (name, context) in &task.target.contexts {
        let context = match context {
            ContextNode::Target(other) => image_of(&other.value),
            ContextNode::Image(image) => NamedContext::Image(
                image
                    .value
                    .parse()
                    .map_err(|e: ReferenceError| task.problem(image, e.to_string(), "this name"))?,
            ),
            ContextNode::Path(path) => {
                let full = task.runner.path(&path.value);
                task.runner.record(&full, ReadAs::Followed);
                if !full.is_dir() {
                    return Err(task.problem(
                        path,
                        format!("the context `{}` is not a directory", path.value),
                        "a directory is expected",
                    ));
                }
                let project = Checkout::new([task.runner.project.directory.as_path()]);
                if let Err(error) = project.directory(&full) {
                    let message = format!("cannot read the context `{}`", path.value);
                    return Err(task.problem(path, message, plain(&error)));
                }
                NamedContext::Path(full)
            }
            ContextNode::Git(address) => NamedContext::Remote(RemoteContext {
                address: address.value.clone(),
                kind: RemoteKind::Git,
                keep_git_directory: false,
            }),
            ContextNode::Layout { path, pick } => layout(task, name, path, pick.as_ref())?,
        };
        contexts.insert(name.value.clone(), context);
    }
    if let RecipeNode::Steps {
        from,
        base: BaseKind::Target,
        ..
    } = &task.target.recipe
    {
        let image = image_of(&from.value);
        contexts.insert(from.value.clone(), image);
    }
    Ok(contexts)
}
