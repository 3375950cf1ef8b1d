//! `push` targets: what goes where, whether a gate lets it, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use super::{Work, failure, scan};
use imgmake_build as build;
use imgmake_compat::plugin::job::ImmutableTags;
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{Inputs, LengthPrefixedHasher};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Diagnostic, Publish, PushFrom, PushTarget, Spanned, TargetKind};
use imgmake_core::state::{FileKind, Output};
use imgmake_event::{Event, Product};
use imgmake_guard::printable;
use imgmake_oci::archive;
use imgmake_oci::image::{Descriptor, ManifestOrIndex, Reference};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, Fetched, PushJob, PushPhase, Pushed, RegistryError};

pub(super) fn inputs(
    work: &Work<'_>,
    id: TargetId,
    push: &PushTarget,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    for destination in destinations(work, id, push)? {
        inputs.list("destination", destination.to.name(), &destination.tags);
    }
    inputs.value(
        "setting",
        "publish",
        format!("{:?}", push.publish).as_bytes(),
    );
    if let Some(path) = &push.write_digests {
        inputs.value("setting", "write-digests", path.value.as_bytes());
    }
    match &push.from {
        PushFrom::Images(_) => {}
        PushFrom::Tar { path, pick } => {
            scan::tar_input(work, path, inputs)?;
            inputs.value("setting", "pick", pick.as_deref().unwrap_or("").as_bytes());
        }
        PushFrom::Image(reference) => {
            let digest = remote_digest(work, work.project.graph.name(id), reference)?;
            inputs.value("image", &reference.value, digest.as_bytes());
        }
        PushFrom::Stored(name) => inputs.value(
            "image",
            &name.value,
            stored(work, name)?.digest.as_str().as_bytes(),
        ),
    }
    Ok(())
}

/// An index in an index in an index is a trap.
const DEEPEST: u32 = 4;

/// Where one image goes.
struct Destination {
    /// Index into the images that are pushed.
    image: usize,
    to: Reference,
    tags: Vec<String>,
}

fn destinations(
    work: &Work<'_>,
    id: TargetId,
    push: &PushTarget,
) -> Result<Vec<Destination>, Failure> {
    let graph = &work.project.graph;
    let names: Vec<String> = match &push.from {
        PushFrom::Images(_) => graph
            .images(id)
            .into_iter()
            .map(|image| graph.target(image).default_repository())
            .collect(),
        PushFrom::Tar { .. } | PushFrom::Image(_) | PushFrom::Stored(_) => vec![String::new()],
    };
    let mut found: BTreeMap<(String, usize), Destination> = BTreeMap::new();
    for destination in &push.to {
        for registry in &destination.registries {
            let node = graph
                .manifest()
                .registries
                .iter()
                .find(|node| node.name.value == registry.value);
            let node = node.expect("the graph checks registries");
            for (image, name) in names.iter().enumerate() {
                let repository = match &destination.repository {
                    Some(_) if names.len() > 1 => {
                        let label = "several images cannot share one repository";
                        return Err(problem(
                            work,
                            registry,
                            format!(
                                "`repository` stands for one image, and {} are pushed",
                                names.len()
                            ),
                            label,
                        ));
                    }
                    Some(repository) => repository.value.clone(),
                    None if name.is_empty() => {
                        return Err(problem(
                            work,
                            registry,
                            "this push needs a repository",
                            "write `repository \"…\"` for it",
                        ));
                    }
                    None => name.clone(),
                };
                let text = format!("{}/{repository}", node.prefix.value);
                let to: Reference =
                    text.parse()
                        .map_err(|error: imgmake_oci::image::ReferenceError| {
                            problem(work, registry, error.to_string(), "goes there")
                        })?;
                let tags = destination.tags.iter().map(|tag| tag.value.clone());
                let place = found
                    .entry((to.name(), image))
                    .or_insert_with(|| Destination {
                        image,
                        to,
                        tags: Vec::new(),
                    });
                place.tags.extend(
                    tags.filter(|tag| !place.tags.contains(tag))
                        .collect::<Vec<_>>(),
                );
            }
        }
    }
    Ok(found.into_values().collect())
}

fn problem(
    work: &Work<'_>,
    place: &Spanned<String>,
    message: impl Into<String>,
    label: impl Into<String>,
) -> Failure {
    Failure::failed(
        work.project
            .problem(Diagnostic::at(place.span, message, label)),
    )
}

/// An image to push, and where blobs that the store lacks can be had.
struct Image {
    root: Descriptor,
    sources: Vec<Reference>,
}

pub(super) fn run(
    work: &Work<'_>,
    id: TargetId,
    push: &PushTarget,
    upstream: &Upstream<'_>,
) -> Result<Artifacts, Failure> {
    let name = work.project.graph.name(id);
    let images = images(work, id, push, upstream)?;
    check_gates(work, id, &images, upstream)?;
    let destinations = destinations(work, id, push)?;
    let phases: &[PushPhase] = match push.publish {
        Publish::Each => &[PushPhase::All],
        // Tags move only when every registry holds everything.
        Publish::Together => &[PushPhase::ContentOnly, PushPhase::TagsOnly],
    };
    let mut pushed: Vec<Pushed> = Vec::new();
    for phase in phases {
        pushed = everywhere(work, name, &images, &destinations, *phase)?;
    }
    // The registry has told of each tag when it was set.
    let mut outputs: Vec<Output> = pushed
        .iter()
        .map(|one| Output::Pushed {
            reference: one.reference.to_string(),
            digest: one.digest.to_string(),
        })
        .collect();
    if let Some(path) = &push.write_digests {
        write_digests(work, &path.value, &pushed)?;
        work.tools.events.send(Event::Produced {
            target: name.to_string(),
            what: Product::File {
                path: path.value.clone(),
            },
        });
        outputs.push(work.file_output(FileKind::Digests, &path.value)?);
    }
    let mut digest = LengthPrefixedHasher::new();
    for image in &images {
        digest.bytes(image.root.digest.as_str().as_bytes());
    }
    Ok(Artifacts {
        digest: digest.finish(),
        outputs,
    })
}

/// Whether a tag that cannot be moved is as good as pushed.
fn stands(work: &Work<'_>, error: &RegistryError) -> bool {
    work.tools.immutable_tags == ImmutableTags::Accept && error.is_immutable_tag()
}

/// The content is there: tags are tried one by one, so that one that stands keeps
/// no other from being set.
fn each_tag(
    work: &Work<'_>,
    name: &str,
    job: &PushJob,
    store: &Store,
    client: &Client,
) -> Result<Vec<Pushed>, RegistryError> {
    let mut pushed = Vec::new();
    for tag in &job.tags {
        let one = PushJob {
            tags: vec![tag.clone()],
            phase: PushPhase::TagsOnly,
            ..job.clone()
        };
        match client.push(&one, store, &work.tools.work(name)) {
            Ok(done) => pushed.extend(done),
            Err(error) if stands(work, &error) => work.tools.events.send(Event::Warning {
                target: Some(name.to_string()),
                message: format!(
                    "{}:{tag} cannot be moved and stays what it is",
                    job.to.name()
                ),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(pushed)
}

/// Pushes to all destinations at the same time. A registry that fails stops no
/// other; all failures are told.
fn everywhere(
    work: &Work<'_>,
    name: &str,
    images: &[Image],
    destinations: &[Destination],
    phase: PushPhase,
) -> Result<Vec<Pushed>, Failure> {
    let store = work.tools.store()?;
    let client = work.tools.client()?;
    let results: Vec<Result<Vec<Pushed>, RegistryError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = destinations
            .iter()
            .map(|destination| {
                let image = &images[destination.image];
                let job = PushJob {
                    to: destination.to.clone(),
                    root: image.root.clone(),
                    tags: destination.tags.clone(),
                    sources: image.sources.clone(),
                    phase,
                };
                scope.spawn(
                    move || match client.push(&job, store, &work.tools.work(name)) {
                        Err(error) if stands(work, &error) => {
                            each_tag(work, name, &job, store, client)
                        }
                        result => result,
                    },
                )
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a push does not panic"))
            .collect()
    });
    let mut pushed = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(done) => pushed.extend(done),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(pushed);
    }
    if errors.iter().any(RegistryError::is_cancelled) {
        return Err(Failure::new(FailureKind::Cancelled, "stopped"));
    }
    let mut text = match (errors.len(), destinations.len()) {
        (1, 1) => String::new(),
        (failed, all) => format!("{failed} of {all} pushes failed\n"),
    };
    text.push_str(&printable::sentences(&errors, "\n"));
    let done: BTreeSet<String> = pushed.iter().map(|one| one.reference.name()).collect();
    if !done.is_empty() && phase != PushPhase::ContentOnly {
        text.push_str(&format!(
            "\npublished all the same: {}",
            printable::list(&done)
        ));
    }
    if phase == PushPhase::ContentOnly {
        text.push_str(
            "\nno tag was moved: `publish together` waits until every registry holds everything",
        );
    }
    Err(Failure::new(FailureKind::Registry, text))
}

fn images(
    work: &Work<'_>,
    id: TargetId,
    push: &PushTarget,
    upstream: &Upstream<'_>,
) -> Result<Vec<Image>, Failure> {
    let name = work.project.graph.name(id);
    match &push.from {
        PushFrom::Images(_) => {
            let images = work.project.graph.images(id).into_iter().map(|image| {
                let root = work.image(upstream, image)?;
                let sources: BTreeSet<Reference> =
                    build::sources_of(&work.tools.engine(&work.state)?, &root.digest)
                        .into_values()
                        .collect();
                Ok(Image {
                    root,
                    sources: sources.into_iter().collect(),
                })
            });
            images.collect()
        }
        PushFrom::Tar { path, pick } => {
            let imported = archive::read(
                work.tools.store()?,
                &work.path(&path.value),
                pick.as_deref(),
            )
            .map_err(failure)?;
            Ok(vec![Image {
                root: imported.root,
                sources: Vec::new(),
            }])
        }
        PushFrom::Image(reference) => {
            let from = parse(work, reference)?;
            let root = fetch_manifests(work, &from)?;
            tracing::debug!(target = name, from = %from, "copies from a registry");
            Ok(vec![Image {
                root,
                sources: vec![from],
            }])
        }
        PushFrom::Stored(reference) => {
            let root = stored(work, reference)?;
            let sources: BTreeSet<Reference> =
                build::sources_of(&work.tools.engine(&work.state)?, &root.digest)
                    .into_values()
                    .collect();
            Ok(vec![Image {
                root,
                sources: sources.into_iter().collect(),
            }])
        }
    }
}

/// A push publishes exactly what the gates that it needs let pass, or nothing.
fn check_gates(
    work: &Work<'_>,
    id: TargetId,
    images: &[Image],
    upstream: &Upstream<'_>,
) -> Result<(), Failure> {
    let graph = &work.project.graph;
    let gates: Vec<&str> = graph
        .dependencies(id)
        .iter()
        .filter(|(need, _)| matches!(graph.target(*need).kind, TargetKind::Scan(_)))
        .map(|(need, _)| graph.name(*need))
        .collect();
    if gates.is_empty() {
        return Ok(());
    }
    let mut passed = BTreeSet::new();
    for gate in &gates {
        let made = upstream.made(gate).ok_or_else(|| {
            Failure::new(
                FailureKind::Gate,
                format!("the gate `{gate}` has not passed"),
            )
        })?;
        passed.extend(made.outputs.iter().filter_map(|output| match output {
            Output::Passed { digest } => Some(digest.as_str()),
            _ => None,
        }));
    }
    for image in images {
        if !passed.contains(image.root.digest.as_str()) {
            let text = format!(
                "{} did not pass the gate {}; nothing is published",
                scan::describe(&image.root),
                printable::list(&gates)
            );
            return Err(Failure::new(FailureKind::Gate, text));
        }
    }
    Ok(())
}

fn write_digests(work: &Work<'_>, path: &str, pushed: &[Pushed]) -> Result<(), Failure> {
    let map: BTreeMap<String, String> = pushed
        .iter()
        .map(|one| (one.reference.to_string(), one.digest.to_string()))
        .collect();
    let mut text = serde_json::to_string_pretty(&map).expect("strings are JSON");
    text.push('\n');
    super::super::output::write_whole(&work.path(path), text.as_bytes())?;
    Ok(())
}

/// An image of the store, by its name.
fn stored(work: &Work<'_>, name: &Spanned<String>) -> Result<Descriptor, Failure> {
    let found = work.tools.store()?.tagged(&name.value);
    found.ok_or_else(|| Failure::failed(format!("the store holds no image `{}`", name.value)))
}

/// Why a tag is no longer what was published.
pub(super) fn damage(
    work: &Work<'_>,
    name: &str,
    reference: &str,
    digest: &str,
) -> Result<Option<String>, Failure> {
    let parsed: Reference = reference
        .parse()
        .map_err(|_| Failure::failed("the project's state is damaged; remove `.imgmake/`"))?;
    // By tag, even where the record names both.
    let parsed = Reference {
        digest: None,
        ..parsed
    };
    work.tools
        .cancel
        .check()
        .map_err(|_| Failure::new(FailureKind::Cancelled, "stopped"))?;
    tracing::debug!(target = name, reference, "looks whether it is still there");
    match work.tools.client()?.head(&parsed) {
        Ok(Some(found)) if found.digest.as_str() == digest => Ok(None),
        Ok(Some(_)) => Ok(Some(format!("{reference} is another image now"))),
        Ok(None) => Ok(Some(format!("{reference} is no longer there"))),
        Err(error) if error.is_missing() => Ok(Some(format!("{reference} is no longer there"))),
        // Trying to publish tells more than refusing to look.
        Err(_) => Ok(Some(format!("{reference} cannot be looked up"))),
    }
}

fn parse(work: &Work<'_>, reference: &Spanned<String>) -> Result<Reference, Failure> {
    reference
        .value
        .parse()
        .map_err(|error: imgmake_oci::image::ReferenceError| {
            problem(work, reference, error.to_string(), "this name")
        })
}

/// What a remote name stands for now.
pub(super) fn remote_digest(
    work: &Work<'_>,
    name: &str,
    reference: &Spanned<String>,
) -> Result<String, Failure> {
    let parsed = parse(work, reference)?;
    if let Some(digest) = &parsed.digest {
        return Ok(digest.to_string());
    }
    let found = work
        .tools
        .client()?
        .head(&parsed)
        .map_err(|error| failure(error.into()))?;
    tracing::debug!(target = name, %parsed, "was looked up");
    match found {
        Some(descriptor) => Ok(descriptor.digest.to_string()),
        None => Err(Failure::new(
            FailureKind::Registry,
            work.project.problem(Diagnostic::at(
                reference.span,
                format!("there is no image `{}`", reference.value),
                "its registry does not have it",
            )),
        )),
    }
}

/// A remote image with all of its layers, for scanning.
pub(super) fn fetch_remote(
    work: &Work<'_>,
    name: &str,
    reference: &Spanned<String>,
) -> Result<Descriptor, Failure> {
    let from = parse(work, reference)?;
    let root = fetch_manifests(work, &from)?;
    let store = work.tools.store()?;
    let blobs = blobs_of(store, &root).map_err(failure)?;
    let missing: Vec<Descriptor> = blobs
        .into_iter()
        .filter(|blob| !store.holds(blob))
        .collect();
    work.tools
        .client()?
        .pull_blobs(&from, &missing, store, &work.tools.work(name))
        .map_err(|error| failure(error.into()))?;
    Ok(root)
}

/// The manifest or index that a name stands for, its children and their configs: byte for byte.
fn fetch_manifests(work: &Work<'_>, from: &Reference) -> Result<Descriptor, Failure> {
    let client = work.tools.client()?;
    let store = work.tools.store()?;
    let fetched = client
        .manifest(from)
        .map_err(|error| failure(error.into()))?;
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
                .map_err(|error| failure(error.into()))?;
            fetch_children(client, store, from, &child, depth + 1)?;
        }
    }
    store.put_bytes(&parent.bytes)?;
    Ok(())
}

/// Everything that an image is made of: manifests, configs and layers, foreign ones left out.
pub(super) fn blobs_of(store: &Store, root: &Descriptor) -> anyhow::Result<Vec<Descriptor>> {
    const LARGEST: u64 = 4 << 20;
    let mut blobs = vec![root.clone()];
    let parsed = ManifestOrIndex::parse(
        &store.read_blob(&root.digest, LARGEST)?,
        Some(&root.media_type),
    )?;
    match parsed {
        ManifestOrIndex::Index(index) => {
            for child in &index.manifests {
                blobs.extend(blobs_of(store, child)?);
            }
        }
        ManifestOrIndex::Manifest(manifest) => {
            blobs.push(manifest.config);
            blobs.extend(
                manifest
                    .layers
                    .into_iter()
                    .filter(|layer| !layer.is_foreign()),
            );
        }
    }
    Ok(blobs)
}
