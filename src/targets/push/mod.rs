//! `push` targets: what goes where, and the record of it.

mod attachments;
mod destinations;
mod in_index;
mod signer;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

use super::cleared::{self, Cleared, Offered};
use super::failure::failure;
use super::images::{self, Image};
use super::publish::Destination;
use super::task::{PushTask, Runnable};
use super::{archives, attested, outputs, publish};
use crate::output_file::write_whole;
use attachments::Attachments;
use destinations::destinations;
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{self, Inputs, LengthPrefixedHasher};
use imgmake_core::manifest::{IndexNode, PushFrom};
use imgmake_core::state::{FileKind, Output};
use imgmake_event::Product;
use imgmake_oci::image::{Digest, Reference};
use imgmake_registry::Pushed;

impl Runnable for PushTask<'_> {
    fn inputs(&self, _: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
        add_inputs(self, inputs)
    }

    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure> {
        match output {
            Output::Pushed { reference, digest } => verify_tag(self, reference, digest),
            Output::File {
                path, signature, ..
            } => Ok(outputs::verify_file(self.runner, path, signature)),
            Output::Image { .. }
            | Output::Tree { .. }
            | Output::Passed { .. }
            | Output::Loaded { .. }
            | Output::ValidUntil { .. } => Ok(outputs::foreign()),
        }
    }

    fn run(&self, _: &Inputs, upstream: &Upstream<'_>) -> Result<Artifacts, Failure> {
        let destinations = destinations(self)?;
        let offered = offered(self, images(self, upstream)?, &destinations);
        let mut images = cleared::clear(self, offered, upstream)?;
        if let PushFrom::Index(index) = &self.target.from {
            images = vec![join(self, index, &images)?];
        }
        let images = in_index::complete(self, images, upstream)?;
        let attachments = Attachments::prepare(self, &images, upstream)?;
        let attachments = attachments.as_ref();
        let attachments = attachments.map(|all| all as &dyn publish::PutAttachments);
        let pushed = publish::publish(
            self.runner,
            self.name,
            &images,
            &destinations,
            self.target.publish,
            attachments,
        )?;
        // The registry has reported each tag when it was set.
        let mut outputs: Vec<Output> = pushed
            .iter()
            .map(|one| Output::Pushed {
                reference: one.reference.clone(),
                digest: one.digest.clone(),
            })
            .collect();
        if let Some(path) = &self.target.write_digests {
            let path = &path.value;
            write_digests(self, path, &pushed)?;
            self.runner
                .produced(self.name, Product::File { path: path.clone() });
            outputs.push(outputs::written(self.runner, FileKind::Digests, path)?);
        }
        Ok(Artifacts {
            digest: digest(self, &images, &destinations),
            outputs,
        })
    }
}

/// What was published, where and with what beside it: another tag is not the same as before.
fn digest(task: &PushTask<'_>, images: &[Cleared], destinations: &[Destination]) -> [u8; 32] {
    let mut settings = Inputs::default();
    add_settings(task, destinations, &mut settings);
    let mut digest = LengthPrefixedHasher::new();
    digest.bytes(&settings.key().0);
    for image in images {
        digest.bytes(image.root().digest.as_str().as_bytes());
    }
    digest.finish()
}

fn add_inputs(task: &PushTask<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
    add_settings(task, &destinations(task)?, inputs);
    let attest = &task.target.attest;
    let mut documents = attest.documents.iter().chain(&attest.in_index);
    if documents.any(|document| document.is_inventory()) {
        inputs.value(
            "setting",
            "findings",
            imgmake_scan::FINDINGS_VERSION.as_bytes(),
        );
    }
    for (gate, decides) in attested::bases(task)? {
        inputs.value("attestation", gate, &decides);
    }
    match &task.target.from {
        PushFrom::Images(_) => {}
        PushFrom::Tar { path, pick: _ } => archives::add(task.runner, task.name, path, inputs)?,
        PushFrom::Image(reference) => {
            let digest = images::remote_digest(task.runner, task.name, reference)?;
            inputs.value("image", &reference.value, digest.as_bytes());
        }
        PushFrom::Index(index) => {
            for reference in &index.from {
                let digest = images::remote_digest(task.runner, task.name, reference)?;
                inputs.value("image", &reference.value, digest.as_bytes());
            }
        }
        PushFrom::Stored(name) => inputs.value(
            "image",
            &name.value,
            images::stored(task.runner, name)?
                .digest
                .as_str()
                .as_bytes(),
        ),
    }
    Ok(())
}

fn add_settings(task: &PushTask<'_>, destinations: &[Destination], inputs: &mut Inputs) {
    let mut destinations: Vec<&Destination> = destinations.iter().collect();
    destinations.sort_by_key(|one| (one.to.name(), one.image));
    for destination in destinations {
        inputs.list("destination", destination.to.name(), &destination.tags);
    }
    fingerprint::push_settings(inputs, task.target);
}

/// Each image with the repositories where verdicts on it may lie.
fn offered(task: &PushTask<'_>, images: Vec<Image>, destinations: &[Destination]) -> Vec<Offered> {
    let built = task.runner.project.graph.images(task.id).len();
    let is_joined = matches!(task.target.from, PushFrom::Index(_));
    let offer = |(at, image): (usize, Image)| {
        let comes_from = match &task.target.from {
            PushFrom::Image(_) => image.sources.clone(),
            PushFrom::Index(_) if at >= built => image.sources.clone(),
            // Those are of its base's layers.
            _ => Vec::new(),
        };
        let its = destinations
            .iter()
            .filter(|one| is_joined || one.image == at);
        let goes_to = its.map(|one| one.to.clone());
        let mut places: Vec<Reference> = comes_from.into_iter().chain(goes_to).collect();
        let mut known = BTreeSet::new();
        places.retain(|place| known.insert(place.name()));
        Offered { image, places }
    };
    images.into_iter().enumerate().map(offer).collect()
}

/// The images to push: what they are published from.
fn images(task: &PushTask<'_>, upstream: &Upstream<'_>) -> Result<Vec<Image>, Failure> {
    let runner = task.runner;
    match &task.target.from {
        PushFrom::Images(_) => built(task, upstream),
        PushFrom::Index(index) => {
            let mut images = built(task, upstream)?;
            for reference in &index.from {
                images.push(images::fetch_platforms(runner, task.name, reference)?);
            }
            Ok(images)
        }
        PushFrom::Tar { path, pick } => {
            let imported = archives::read(runner, &path.value, pick.as_ref())?;
            Ok(vec![Image {
                root: imported.root,
                sources: Vec::new(),
            }])
        }
        PushFrom::Image(reference) => {
            let from = images::parse(runner, task.name, reference)?;
            let root = images::fetch_manifests(runner, &from)?;
            Ok(vec![Image {
                root,
                sources: vec![from],
            }])
        }
        PushFrom::Stored(name) => {
            let root = images::stored(runner, name)?;
            Ok(vec![Image::in_store(runner, root)?])
        }
    }
}

fn built(task: &PushTask<'_>, upstream: &Upstream<'_>) -> Result<Vec<Image>, Failure> {
    let runner = task.runner;
    let images = runner.project.graph.images(task.id).into_iter();
    let image = |id| Image::in_store(runner, images::of_target(runner, upstream, id));
    images.map(image).collect()
}

/// The image of all platforms, when each of its images is cleared.
fn join(task: &PushTask<'_>, index: &IndexNode, images: &[Cleared]) -> Result<Cleared, Failure> {
    let runner = task.runner;
    let built = runner.project.graph.images(task.id).into_iter();
    let built = built.map(|id| runner.name(id).to_string());
    let names: Vec<String> = built
        .chain(index.from.iter().map(|image| image.value.clone()))
        .collect();
    cleared::joined(runner.store()?, &names, images).map_err(failure)
}

fn write_digests(task: &PushTask<'_>, path: &str, pushed: &[Pushed]) -> Result<(), Failure> {
    let map: BTreeMap<String, String> = pushed
        .iter()
        .map(|one| (one.reference.to_string(), one.digest.to_string()))
        .collect();
    let mut text = serde_json::to_string_pretty(&map).expect("strings are JSON");
    text.push('\n');
    write_whole(&task.runner.path(path), text.as_bytes()).map_err(failure)?;
    Ok(())
}

/// Why a tag is no longer what was published.
fn verify_tag(
    task: &PushTask<'_>,
    reference: &Reference,
    digest: &Digest,
) -> Result<Option<String>, Failure> {
    // By tag, even where the record names both.
    let tag = Reference {
        digest: None,
        ..reference.clone()
    };
    task.runner
        .tools
        .cancel
        .check()
        .map_err(|_| Failure::new(FailureKind::Cancelled, "stopped"))?;
    match task.runner.client()?.head(&tag) {
        Ok(Some(found)) if found.digest == *digest => Ok(None),
        Ok(Some(_)) => Ok(Some(format!("{reference} now points to another digest"))),
        Ok(None) => Ok(Some(format!("{reference} is no longer there"))),
        Err(error) if error.is_missing() => Ok(Some(format!("{reference} is no longer there"))),
        // Trying to publish tells more than refusing to look.
        Err(_) => Ok(Some(format!("{reference} cannot be looked up"))),
    }
}
