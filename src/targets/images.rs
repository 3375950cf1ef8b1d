//! Images as targets see them: made by another target, named in the store, in an archive or in a
//! registry; their manifests, children and blobs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use super::failure::failure;
use super::runner::TargetRunner;
use imgmake_build as build;
use imgmake_core::execute::{Failure, FailureKind, Upstream};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Diagnostic, Spanned};
use imgmake_core::state::{Output, State};
use imgmake_oci::image::{
    DEEPEST, Descriptor, ImageConfig, ImageManifest, ImageTree, ManifestOrIndex, Reference,
    ReferenceError, TreeError, from_json,
};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, Fetched, OperationContext};

/// An image, and where blobs that the store lacks can be had.
pub struct Image {
    pub root: Descriptor,
    pub sources: Vec<Reference>,
}

impl Image {
    /// An image of the store, with the sources that the build knew.
    ///
    /// # Errors
    /// The tools of a build cannot be had.
    pub fn in_store(runner: &TargetRunner<'_>, root: Descriptor) -> Result<Image, Failure> {
        let engine = runner.engine()?;
        let sources: BTreeSet<Reference> = build::sources_of(&engine, &root.digest)
            .into_values()
            .collect();
        Ok(Image {
            root,
            sources: sources.into_iter().collect(),
        })
    }
}

/// For messages: what an image is called.
pub fn short_name(root: &Descriptor) -> String {
    format!("sha256:{}", root.digest.short())
}

/// The image that a build made, among the outcomes upstream.
pub fn of_target(runner: &TargetRunner<'_>, upstream: &Upstream<'_>, id: TargetId) -> Descriptor {
    let made = upstream
        .made(runner.name(id))
        .expect("an image is made before what uses it");
    of_outputs(&made.outputs).expect("a build's outcome holds its image")
}

/// The image among the outputs of a target.
pub fn of_outputs(outputs: &[Output]) -> Option<Descriptor> {
    outputs.iter().find_map(|output| match output {
        Output::Image {
            media_type,
            digest,
            size,
            ..
        } => Some(Descriptor::new(media_type.clone(), digest.clone(), *size)),
        _ => None,
    })
}

/// The image of a target as the state has it: what its last outcome made.
pub fn of_state(state: &State, target: &str) -> Option<Descriptor> {
    of_outputs(&state.recorded(target)?.1)
}

/// Base layers that no step needed are pulled now that somebody wants the bytes.
pub fn fetch_missing(
    runner: &TargetRunner<'_>,
    name: &str,
    root: &Descriptor,
) -> anyhow::Result<()> {
    pull_missing(runner.store()?, &runner.engine()?, name, root)
}

/// The same without a run.
///
/// # Errors
/// A layer has no known source, or cannot be pulled.
pub fn pull_missing(
    store: &Store,
    engine: &build::Engine,
    name: &str,
    root: &Descriptor,
) -> anyhow::Result<()> {
    let missing: Vec<Descriptor> = blobs(store, root)?
        .into_iter()
        .filter(|blob| !store.holds(blob))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let sources = build::sources_of(engine, &root.digest);
    let mut by_source: BTreeMap<&Reference, Vec<Descriptor>> = BTreeMap::new();
    for blob in missing {
        let source = sources.get(blob.digest.as_str());
        let source = source.ok_or_else(|| {
            anyhow!(
                "{} is no longer in the store; build again with `--force`",
                blob.digest
            )
        })?;
        by_source.entry(source).or_default().push(blob);
    }
    for (source, blobs) in by_source {
        build::pull_blobs(engine, name, source, &blobs)?;
    }
    Ok(())
}

/// Bytes of a manifest, an index or a config.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// An image of the store, by its name.
pub fn stored(runner: &TargetRunner<'_>, name: &Spanned<String>) -> Result<Descriptor, Failure> {
    let found = runner.store()?.tagged(&name.value);
    found.ok_or_else(|| Failure::failed(format!("the store contains no image `{}`", name.value)))
}

pub fn parse(
    runner: &TargetRunner<'_>,
    target: &str,
    reference: &Spanned<String>,
) -> Result<Reference, Failure> {
    reference.value.parse().map_err(|error: ReferenceError| {
        runner
            .project
            .failure(target, reference.span, error.to_string(), "this name")
    })
}

/// What a remote name stands for in this run.
pub fn remote_digest(
    runner: &TargetRunner<'_>,
    target: &str,
    reference: &Spanned<String>,
) -> Result<String, Failure> {
    let parsed = parse(runner, target, reference)?;
    if let Some(digest) = &parsed.digest {
        return Ok(digest.to_string());
    }
    let names = &runner.tools.remote_names;
    if let Some(digest) = names.digest(&parsed) {
        return Ok(digest.to_string());
    }
    let found = runner.client()?.head(&parsed).map_err(failure)?;
    match found {
        Some(descriptor) => Ok(names.set(&parsed, descriptor.digest).to_string()),
        None => {
            let message = format!("image `{}` not found", reference.value);
            let label = "its registry does not have it";
            let diagnostic = Diagnostic::at(reference.span, message, label);
            let kind = FailureKind::Registry;
            Err(runner.project.failed_at(target, kind, diagnostic))
        }
    }
}

/// A remote image with all of its layers, for scanning.
pub fn fetch_remote(
    runner: &TargetRunner<'_>,
    name: &str,
    reference: &Spanned<String>,
) -> Result<Descriptor, Failure> {
    let from = parse(runner, name, reference)?;
    let from = runner.tools.remote_names.pinned(&from);
    let work = runner.tools.operation(name);
    pull_whole(runner.client()?, runner.store()?, &from, &work)
}

/// Everything that a name of a registry stands for, into the store.
///
/// # Errors
/// It cannot be had.
pub fn pull_whole(
    client: &Client,
    store: &Store,
    from: &Reference,
    work: &OperationContext,
) -> Result<Descriptor, Failure> {
    let fetched = client.manifest(from).map_err(failure)?;
    fetch_children(client, store, from, &fetched, 0)?;
    let root = fetched.descriptor;
    let missing: Vec<Descriptor> = blobs(store, &root)
        .map_err(failure)?
        .into_iter()
        .filter(|blob| !store.holds(blob))
        .collect();
    client
        .pull_blobs(from, &missing, store, work)
        .map_err(failure)?;
    Ok(root)
}

/// A remote image with the configurations that tell its platforms, where no index does.
pub fn fetch_platforms(
    runner: &TargetRunner<'_>,
    name: &str,
    reference: &Spanned<String>,
) -> Result<Image, Failure> {
    let from = parse(runner, name, reference)?;
    let root = fetch_manifests(runner, &from)?;
    let store = runner.store()?;
    let tree = tree(store, &root).map_err(failure)?;
    let unknown = tree
        .manifests()
        .filter(|(named, _)| named.platform.is_none());
    let missing: Vec<Descriptor> = unknown
        .filter(|(_, manifest)| manifest.is_image() && !store.holds(&manifest.config))
        .map(|(_, manifest)| manifest.config.clone())
        .collect();
    runner
        .client()?
        .pull_blobs(&from, &missing, store, &runner.tools.operation(name))
        .map_err(failure)?;
    Ok(Image {
        root,
        sources: vec![from],
    })
}

/// The manifest or index that a name stands for, and its children: byte for byte.
pub fn fetch_manifests(runner: &TargetRunner<'_>, from: &Reference) -> Result<Descriptor, Failure> {
    let client = runner.client()?;
    let store = runner.store()?;
    let pinned = runner.tools.remote_names.pinned(from);
    let fetched = client.manifest(&pinned).map_err(failure)?;
    fetch_children(client, store, from, &fetched, 0)?;
    Ok(fetched.descriptor)
}

/// Children before their parent: what the store holds is whole.
fn fetch_children(
    client: &Client,
    store: &Store,
    from: &Reference,
    parent: &Fetched,
    depth: u32,
) -> Result<(), Failure> {
    let parsed = ManifestOrIndex::parse(&parent.bytes, Some(&parent.descriptor.media_type));
    if let Ok(ManifestOrIndex::Index(index)) = parsed {
        if depth == DEEPEST {
            return Err(Failure::new(
                FailureKind::Registry,
                format!("{from}: its indexes are nested more than {DEEPEST} deep"),
            ));
        }
        for child in index.manifests {
            let child = client
                .manifest(&from.with_digest(&child.digest))
                .map_err(failure)?;
            fetch_children(client, store, from, &child, depth + 1)?;
        }
    }
    store.put_bytes(&parent.bytes).map_err(failure)?;
    Ok(())
}

/// The manifests and indexes of an image in the store.
///
/// # Errors
/// One of them is not there, or is none.
pub fn tree(store: &Store, root: &Descriptor) -> anyhow::Result<ImageTree> {
    let read = |at: &Descriptor| store.read_blob(&at.digest, LARGEST_DOCUMENT);
    ImageTree::read(root, DEEPEST, read).map_err(|error| match error {
        TreeError::Read { error, .. } => error.into(),
        TreeError::Invalid { error, .. } => error.into(),
        TreeError::TooDeep { .. } => anyhow!("indexes are nested more than {DEEPEST} deep"),
    })
}

/// The config of an image, also as it was written: fields that no type of ours has are there, too.
///
/// # Errors
/// It is not in the store, is none, or is about another number of layers.
pub fn config(store: &Store, manifest: &ImageManifest) -> anyhow::Result<(ImageConfig, Vec<u8>)> {
    let bytes = store.read_blob(&manifest.config.digest, LARGEST_DOCUMENT)?;
    let config: ImageConfig = from_json(&bytes)?;
    let (described, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    anyhow::ensure!(
        described == layers,
        "the image's config has {described} layers, and its manifest {layers}"
    );
    Ok((config, bytes))
}

/// Everything that an image is made of: manifests, configs and layers, foreign ones left out.
///
/// # Errors
/// As for [`tree`].
pub fn blobs(store: &Store, root: &Descriptor) -> anyhow::Result<Vec<Descriptor>> {
    let tree = tree(store, root)?;
    let mut found = Vec::new();
    for (descriptor, document) in tree.walk() {
        found.push(descriptor.clone());
        if let ManifestOrIndex::Manifest(manifest) = &document.content {
            found.push(manifest.config.clone());
            let own = manifest.layers.iter().filter(|layer| !layer.is_foreign());
            found.extend(own.cloned());
        }
    }
    Ok(found)
}
