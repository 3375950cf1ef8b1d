//! Pushes [`Cleared`] images to registries. Nothing else may write the tags of a push target.

use std::collections::BTreeSet;

use super::cleared::Cleared;
use super::runner::TargetRunner;
use super::tools::ImmutableTags;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::manifest::Publish;
use imgmake_event::{Event, Events, Product};
use imgmake_guard::printable;
use imgmake_oci::image::Reference;
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext, PushJob, PushPhase, Pushed, RegistryError};

/// Where one image goes.
pub struct Destination {
    /// Index into the images that are published.
    pub image: usize,
    pub to: Reference,
    pub tags: Vec<String>,
}

/// What is put beside images in their registry, when they are there and their tags are not yet set.
pub trait Beside {
    /// # Errors
    /// It cannot be put there; no tag is set then.
    fn put(&self, destination: &Destination) -> Result<(), Failure>;
}

/// Publishes images for a target under the tags of their destinations.
///
/// # Errors
/// A registry refuses, or cannot be reached.
pub fn publish(
    runner: &TargetRunner<'_>,
    name: &str,
    images: &[Cleared],
    destinations: &[Destination],
    publish: Publish,
    beside: Option<&dyn Beside>,
) -> Result<Vec<Pushed>, Failure> {
    let push = |phase| push_to_all(runner, name, images, destinations, phase);
    match (publish, beside) {
        (Publish::Each, None) => push(PushPhase::All),
        // Tags move only when every registry holds everything, and nobody who sees a tag misses its signature.
        (Publish::Together, _) | (Publish::Each, Some(_)) => {
            push(PushPhase::ContentOnly)?;
            for destination in destinations {
                let put = beside.map_or(Ok(()), |beside| beside.put(destination));
                put.map_err(no_tag_moved)?;
            }
            push(PushPhase::TagsOnly)
        }
    }
}

fn no_tag_moved(failure: Failure) -> Failure {
    Failure {
        message: format!("{}\nno tag was moved", failure.message),
        ..failure
    }
}

/// Pushes to all destinations at the same time. A registry that fails stops no
/// other; all failures are reported.
fn push_to_all(
    runner: &TargetRunner<'_>,
    name: &str,
    images: &[Cleared],
    destinations: &[Destination],
    phase: PushPhase,
) -> Result<Vec<Pushed>, Failure> {
    let store = runner.store()?;
    let client = runner.client()?;
    let results: Vec<Result<Vec<Pushed>, RegistryError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = destinations
            .iter()
            .map(|destination| {
                let image = &images[destination.image];
                let job = PushJob {
                    to: destination.to.clone(),
                    root: image.root().clone(),
                    tags: destination.tags.clone(),
                    sources: image.sources().to_vec(),
                    phase,
                };
                scope.spawn(
                    move || match client.push(&job, store, &unannounced(runner, name)) {
                        Err(error) if is_acceptable(runner, &error) => {
                            push_each_tag(runner, name, &job, store, client)
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
    if phase != PushPhase::ContentOnly {
        for one in &pushed {
            let what = Product::Pushed {
                reference: one.reference.to_string(),
                digest: one.digest.to_string(),
            };
            runner.produced(name, what);
        }
    }
    if errors.is_empty() {
        return Ok(pushed);
    }
    Err(failed(&errors, &pushed, destinations.len(), phase))
}

/// Pushes of several registries end in any order, and are announced in the manifest's.
fn unannounced(runner: &TargetRunner<'_>, name: &str) -> OperationContext {
    let work = runner.tools.operation(name);
    let events = work.events.clone();
    let is_push = |event: &Event| {
        let produced = match event {
            Event::Produced { what, .. } => what,
            _ => return false,
        };
        matches!(produced, Product::Pushed { .. })
    };
    let filtered = move |event: Event| {
        if !is_push(&event) {
            events.send(event);
        }
    };
    OperationContext {
        events: Events::to(filtered),
        ..work
    }
}

/// Whether a tag that cannot be moved is as good as pushed.
fn is_acceptable(runner: &TargetRunner<'_>, error: &RegistryError) -> bool {
    runner.tools.immutable_tags == ImmutableTags::Accept && error.is_immutable_tag()
}

/// The content is there: tags are tried one by one, so that one that cannot be moved
/// keeps no other from being set.
fn push_each_tag(
    runner: &TargetRunner<'_>,
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
        match client.push(&one, store, &unannounced(runner, name)) {
            Ok(done) => pushed.extend(done),
            Err(error) if is_acceptable(runner, &error) => {
                let repository = job.to.name();
                let message = format!("{repository}:{tag} is immutable and was not changed");
                runner.warn(name, message);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(pushed)
}

fn failed(
    errors: &[RegistryError],
    pushed: &[Pushed],
    destinations: usize,
    phase: PushPhase,
) -> Failure {
    if errors.iter().any(RegistryError::is_cancelled) {
        return Failure::new(FailureKind::Cancelled, "stopped");
    }
    let mut text = match (errors.len(), destinations) {
        (1, 1) => String::new(),
        (failed, all) => format!("{failed} of {all} pushes failed\n"),
    };
    text.push_str(&printable::sentences(errors, "\n"));
    let done: BTreeSet<String> = pushed.iter().map(|one| one.reference.name()).collect();
    if !done.is_empty() && phase != PushPhase::ContentOnly {
        text.push_str(&format!("\nalready published: {}", printable::list(&done)));
    }
    if phase == PushPhase::ContentOnly {
        text.push_str("\nno tag was moved: tags are set when every registry holds everything");
    }
    Failure::new(FailureKind::Registry, text)
}
