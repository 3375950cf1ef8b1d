//! Images that may be published. Nothing else makes a [`Cleared`], and nothing is published
//! without one: it comes from what a gate let pass, here or before by a signed verdict, or from a plan that
//! demands no gate.
//! `tests/it/tidy` holds that.

use std::collections::BTreeSet;

use super::attested::{Attested, attested};
use super::images::{self, Image, short_name};
use super::joined::{self, Member};
use super::task::PushTask;
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::TargetKind;
use imgmake_core::state::Output;
use imgmake_guard::printable;
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::store::Store;
use imgmake_scan::Passed;

/// An image that may be published.
pub struct Cleared {
    root: Descriptor,
    sources: Vec<Reference>,
}

impl Cleared {
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// Where blobs that the store lacks can be had.
    pub fn sources(&self) -> &[Reference] {
        &self.sources
    }

    fn by_gate(image: Image, passed: &[Passed]) -> Option<Cleared> {
        let is_cleared = passed.iter().any(|p| *p.digest() == image.root.digest);
        is_cleared.then(|| Cleared::new(image))
    }

    fn by_attestation(image: Image, attested: &Attested) -> Option<Cleared> {
        let is_cleared = *attested.root() == image.root.digest;
        is_cleared.then(|| Cleared::new(image))
    }

    fn by_both(image: Image, passed: &[Passed], attested: &Attested) -> Option<Cleared> {
        let is_cleared = *attested.root() == image.root.digest;
        Cleared::by_gate(image, passed).filter(|_| is_cleared)
    }

    fn new(Image { root, sources }: Image) -> Cleared {
        Cleared { root, sources }
    }
}

/// One image over several that are cleared, all of whose manifests are theirs.
///
/// # Errors
/// Two of them are of one platform, or one is no image.
pub fn joined(store: &Store, names: &[String], images: &[Cleared]) -> anyhow::Result<Cleared> {
    let members = names.iter().zip(images).map(|(name, image)| Member {
        name,
        root: &image.root,
    });
    let root = joined::index(store, &members.collect::<Vec<_>>())?;
    let sources: BTreeSet<Reference> = images.iter().flat_map(|i| i.sources.clone()).collect();
    Ok(Cleared {
        root,
        sources: sources.into_iter().collect(),
    })
}

/// The same image with statements about it in its index: what a runtime could be brought to run is as before.
///
/// # Errors
/// The store has not all manifests.
pub fn with_attestations(
    store: &Store,
    image: Cleared,
    beside: &[(Descriptor, Digest)],
) -> anyhow::Result<Cleared> {
    let root = joined::with_attestations(store, &image.root, beside)?;
    let images = |root: &Descriptor| -> anyhow::Result<Vec<Digest>> {
        let tree = images::tree(store, root)?;
        Ok(tree.images().map(|(one, _)| one.digest.clone()).collect())
    };
    let (before, after) = (images(&image.root)?, images(&root)?);
    anyhow::ensure!(
        before == after,
        "the index {} with attestations has other images than {}",
        root.digest,
        image.root.digest
    );
    Ok(Cleared { root, ..image })
}

/// What is to be published.
pub struct Offered {
    pub image: Image,
    /// Where verdicts on it are looked up, if the push demands some: where it comes from and where it goes to.
    pub places: Vec<Reference>,
}

/// A push publishes exactly what the gates that it needs let pass, here or before, or nothing.
///
/// # Errors
/// A gate has not passed, or not this image; a verdict that must be beside it is not.
pub fn clear(
    task: &PushTask<'_>,
    offered: Vec<Offered>,
    upstream: &Upstream<'_>,
) -> Result<Vec<Cleared>, Failure> {
    let gates = gates_of(task);
    let demands = &task.target.needs_attestations;
    let settings = &task.runner.project.graph.manifest().settings;
    if gates.is_empty() && demands.is_empty() {
        if settings.every_push_needs_gate.is_some() || task.runner.project.demands_gate {
            // The graph refuses it with its place; whatever made this plan is refused here.
            let text = "every push needs a gate in this project (`every-push needs-gate` in its `imgmake.kdl`), and this one has none; nothing is published\n  help: write it as a `push` target of `imgmake.kdl` that `needs` a `scan` target";
            return Err(Failure::new(FailureKind::Gate, text));
        }
        let images = offered.into_iter().map(|one| one.image);
        return Ok(images.map(Cleared::new).collect());
    }
    let mut passed = Vec::new();
    for gate in &gates {
        passed.extend(passed_by(task, *gate, upstream)?);
    }
    let clear = |Offered { image, places }: Offered| {
        let image_name = short_name(&image.root);
        let attested = match demands.is_empty() {
            true => None,
            false => Some(attested(task, &image, &places)?),
        };
        let cleared = match (gates.is_empty(), &attested) {
            (false, None) => Cleared::by_gate(image, &passed),
            (true, Some(attested)) => Cleared::by_attestation(image, attested),
            (false, Some(attested)) => Cleared::by_both(image, &passed, attested),
            (true, None) => None,
        };
        cleared.ok_or_else(|| {
            let names: Vec<&str> = gates.iter().map(|gate| task.runner.name(*gate)).collect();
            let gates = printable::list(&names);
            let text = format!("{image_name} did not pass the gate {gates}; nothing is published");
            Failure::new(FailureKind::Gate, text)
        })
    };
    offered.into_iter().map(clear).collect()
}

/// The gates that the plan demands of a push.
fn gates_of(task: &PushTask<'_>) -> Vec<TargetId> {
    let graph = &task.runner.project.graph;
    let needs = graph.dependencies(task.id).iter().map(|(need, _)| *need);
    needs
        .filter(|need| matches!(graph.target(*need).kind, TargetKind::Scan(_)))
        .collect()
}

/// What a gate let pass: in this run, or in an earlier one if it is still up to date.
fn passed_by(
    task: &PushTask<'_>,
    gate: TargetId,
    upstream: &Upstream<'_>,
) -> Result<Vec<Passed>, Failure> {
    let name = task.runner.name(gate);
    let Some(artifacts) = upstream.made(name) else {
        let text = format!("the gate `{name}` has not passed");
        return Err(Failure::new(FailureKind::Gate, text));
    };
    match task.runner.verdicts.of(gate) {
        Some(passed) => Ok(passed),
        None => Ok(passed_in_an_earlier_run(artifacts)),
    }
}

/// The recorded outcome of a gate, which execute has found up to date. The state counts only with a
/// MAC under the user's key, so nobody else has written it.
fn passed_in_an_earlier_run(gate: &Artifacts) -> Vec<Passed> {
    let digests = gate.outputs.iter().filter_map(|output| match output {
        Output::Passed { digest } => Some(digest.clone()),
        _ => None,
    });
    digests.map(Passed::from_recorded_outcome).collect()
}
