//! What a push says of each image that it publishes: made before anything is pushed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::build;
use super::super::cleared::Cleared;
use super::super::failure::failure;
use super::super::images;
use super::super::runner::TargetRunner;
use super::super::scan;
use super::super::task::{PushTask, Task};
use imgmake_core::execute::{Failure, FailureKind, Upstream};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Attestation, PushFrom, TargetKind};
use imgmake_oci::image::{Descriptor, Digest};
use imgmake_oci::signature::{Statement, predicate};
use imgmake_scan::{SbomFormat, VERDICT};

/// A statement about one manifest.
pub(super) struct About {
    pub image: Descriptor,
    pub statement: Statement,
}

impl About {
    fn new(image: &Descriptor, predicate_type: &str, predicate: Value) -> About {
        About {
            image: image.clone(),
            statement: Statement::of(&image.digest, "", predicate_type, predicate),
        }
    }

    /// Nanoseconds since 1970: of a verdict when it was given, for the newest one counts.
    pub fn time(&self) -> u64 {
        let judged = match self.statement.predicate_type == VERDICT {
            true => imgmake_scan::time_judged(&self.statement.predicate),
            false => None,
        };
        let time = judged.unwrap_or_else(Timestamp::now);
        u64::try_from(time.as_nanosecond()).unwrap_or_default()
    }

    /// Whether it need not be said again.
    pub fn is_said_by(&self, found: &Statement) -> bool {
        let own = &self.statement;
        match own.predicate_type == VERDICT && found.predicate_type == VERDICT {
            true => {
                found.subject == own.subject
                    && imgmake_scan::is_repeated(&found.predicate, &own.predicate)
            }
            false => found == own,
        }
    }
}

/// For each image everything that is said of it. Signed ones get a signature of the whole, too.
///
/// # Errors
/// An image cannot be read; what it was built of is no longer as it was.
pub(super) fn statements(
    task: &PushTask<'_>,
    images: &[Cleared],
    signed: bool,
    upstream: &Upstream<'_>,
) -> Result<Vec<Vec<About>>, Failure> {
    let kinds = &task.target.attest.documents;
    let mut all = documents(task, images, kinds, upstream)?;
    for (image, about) in images.iter().zip(&mut all) {
        if signed {
            about.insert(0, About::new(image.root(), predicate::SIGNATURE, json!({})));
        }
        if kinds.contains(&Attestation::Verdict) {
            about.extend(verdicts(task, image, upstream)?);
        }
    }
    Ok(all)
}

/// The same of what is in the images and how they were built.
///
/// # Errors
/// As for [`statements`].
pub(super) fn documents(
    task: &PushTask<'_>,
    images: &[Cleared],
    kinds: &[Attestation],
    upstream: &Upstream<'_>,
) -> Result<Vec<Vec<About>>, Failure> {
    let wants = |kind| kinds.contains(&kind);
    let provenances = match wants(Attestation::Provenance) {
        true => provenances(task, images.len(), upstream)?,
        false => Vec::new(),
    };
    let mut all = Vec::new();
    for (at, image) in images.iter().enumerate() {
        let mut about = Vec::new();
        let formats = [
            (Attestation::CycloneDx, SbomFormat::CycloneDx),
            (Attestation::Spdx, SbomFormat::Spdx),
        ];
        let formats = formats.into_iter().filter(|(kind, _)| wants(*kind));
        let formats: Vec<SbomFormat> = formats.map(|(_, format)| format).collect();
        if !formats.is_empty() {
            about.extend(sboms(task, image, &formats)?);
        }
        if let Some(known) = provenances.get(at) {
            about.extend(of_children(task, image, predicate::PROVENANCE, known)?);
        }
        all.push(about);
    }
    Ok(all)
}

/// What each gate says of the image of each platform; one that judged other images says nothing.
fn verdicts(
    task: &PushTask<'_>,
    image: &Cleared,
    upstream: &Upstream<'_>,
) -> Result<Vec<About>, Failure> {
    let runner = task.runner;
    let graph = &runner.project.graph;
    let needs = graph.dependencies(task.id).iter().map(|(need, _)| *need);
    let gates: BTreeSet<TargetId> = needs
        .filter(|need| matches!(graph.target(*need).kind, TargetKind::Scan(_)))
        .collect();
    let tree = images::tree(runner.store()?, image.root()).map_err(failure)?;
    let mut about = Vec::new();
    for gate in gates {
        let known = scan::verdict(runner, gate, upstream)?;
        let covers = |child: &Digest| known.contains_key(child);
        if tree.images().all(|(child, _)| covers(&child.digest)) {
            about.extend(of_children(task, image, VERDICT, &known)?);
        }
    }
    match about.is_empty() {
        true => {
            let text = format!(
                "`attest \"verdict\"`: no gate of this push judged the image {}",
                image.root().digest
            );
            Err(Failure::new(FailureKind::Gate, text))
        }
        false => Ok(about),
    }
}

fn sboms(
    task: &PushTask<'_>,
    image: &Cleared,
    formats: &[SbomFormat],
) -> Result<Vec<About>, Failure> {
    let runner = task.runner;
    fetch_layers(runner, task.name, image).map_err(failure)?;
    let store = runner.store()?;
    let cancel = &runner.tools.cancel;
    let sboms = imgmake_scan::sboms(task.name, image.root(), formats, store, cancel);
    let about = sboms.map_err(failure)?.into_iter().map(|sbom| {
        let kind = match sbom.format {
            SbomFormat::CycloneDx => predicate::CYCLONEDX,
            SbomFormat::Spdx => predicate::SPDX,
        };
        About::new(&sbom.image, kind, sbom.document)
    });
    Ok(about.collect())
}

/// What is known of each platform's manifest, which must be known of all of them.
fn of_children(
    task: &PushTask<'_>,
    image: &Cleared,
    kind: &str,
    known: &BTreeMap<Digest, Value>,
) -> Result<Vec<About>, Failure> {
    let tree = images::tree(task.runner.store()?, image.root()).map_err(failure)?;
    let mut about = Vec::new();
    for (child, _) in tree.images() {
        // One that an index names twice is spoken of once.
        if about
            .iter()
            .any(|one: &About| one.image.digest == child.digest)
        {
            continue;
        }
        let Some(predicate) = known.get(&child.digest) else {
            let text = format!(
                "there is no statement `{kind}` for the image {}",
                child.digest
            );
            return Err(Failure::failed(text));
        };
        about.push(About::new(child, kind, predicate.clone()));
    }
    Ok(about)
}

/// By manifest, for each image that is pushed; one that is put together of several has all of theirs.
fn provenances(
    task: &PushTask<'_>,
    images: usize,
    upstream: &Upstream<'_>,
) -> Result<Vec<BTreeMap<Digest, Value>>, Failure> {
    let built = task.runner.project.graph.images(task.id).into_iter();
    let each = built.map(|id| provenance(task, id, upstream));
    let each: Vec<BTreeMap<Digest, Value>> = each.collect::<Result<_, _>>()?;
    match task.target.from {
        PushFrom::Index(_) => Ok(vec![each.into_iter().flatten().collect()]),
        _ if each.len() == images => Ok(each),
        _ => Err(Failure::failed(
            "`attest \"provenance\"` needs images that this project built",
        )),
    }
}

fn provenance(
    task: &PushTask<'_>,
    id: TargetId,
    upstream: &Upstream<'_>,
) -> Result<BTreeMap<Digest, Value>, Failure> {
    // What was pulled in this run is what was built; it is not asked for again.
    let runner = &task.runner.without_pulling();
    let name = runner.name(id);
    let TargetKind::Build(target) = &runner.target(id).kind else {
        return Err(Failure::failed(format!("`{name}` builds no image")));
    };
    let key = runner.inputs_of(id, upstream)?.key();
    let build = Task::new(runner, id, &**target);
    let builder = task.target.attest.builder.as_ref();
    let builder = builder.map(|builder| builder.value.as_str());
    let found = build::provenances(&build, upstream, builder)?;
    let is_as_built = runner.state.recorded_key(name).map(|(key, _)| key) == Some(key);
    if !is_as_built {
        let text = format!(
            "inputs of `{name}` changed since it was built, so its provenance is unknown; build it again"
        );
        return Err(Failure::failed(text));
    }
    let store = runner.store()?;
    let root = images::of_target(runner, upstream, id);
    let tree = images::tree(store, &root).map_err(failure)?;
    let mut by_manifest = BTreeMap::new();
    for (child, manifest) in tree.images() {
        let platform = match &child.platform {
            Some(platform) => platform.clone(),
            None => images::config(store, manifest)
                .map_err(failure)?
                .0
                .platform(),
        };
        let predicate = found.of(&platform).ok_or_else(|| {
            Failure::failed(format!(
                "`{name}` has an image for {platform}, which the target does not name"
            ))
        })?;
        by_manifest.insert(child.digest.clone(), predicate.clone());
    }
    Ok(by_manifest)
}

/// A push needs no layers that a registry holds already; a bill of materials needs all.
fn fetch_layers(runner: &TargetRunner<'_>, name: &str, image: &Cleared) -> anyhow::Result<()> {
    let (store, client) = (runner.tools.store()?, runner.tools.client()?);
    let work = runner.tools.operation(name);
    for blob in images::blobs(store, image.root())? {
        let mut last = None;
        for source in image.sources() {
            if store.holds(&blob) {
                break;
            }
            last = client.pull_blob(source, &blob, store, &work).err();
        }
        if !store.holds(&blob) {
            let missing = || {
                anyhow!(
                    "{} is no longer in the store; build again with `--force`",
                    blob.digest
                )
            };
            return Err(last.map_or_else(missing, anyhow::Error::from));
        }
    }
    Ok(())
}
