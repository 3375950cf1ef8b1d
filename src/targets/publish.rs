//! Pushes [`Cleared`] images to registries. Nothing else may write the tags of a push target:
//! `push` calls it, and `tests/it/tidy` holds that nobody else does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub trait PutAttachments {
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
    tags: Publish,
    attachments: Option<&dyn PutAttachments>,
) -> Result<Vec<Pushed>, Failure> {
    let push = |phase| push_to_all(runner, name, images, destinations, phase);
    match (tags, attachments) {
        (Publish::Each, None) => push(PushPhase::All),
        // Tags move only when every registry holds everything, and nobody who sees a tag misses its signature.
        (Publish::Together, _) | (Publish::Each, Some(_)) => {
            push(PushPhase::ContentOnly)?;
            for destination in destinations {
                let put = attachments.map_or(Ok(()), |attachments| attachments.put(destination));
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
    // The tags of each destination that are set, whatever became of the rest.
    let announced: Vec<Announced> = destinations.iter().map(|_| Announced::default()).collect();
    let results: Vec<Result<Vec<Pushed>, RegistryError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = destinations
            .iter()
            .zip(&announced)
            .map(|(destination, announced)| {
                let image = &images[destination.image];
                let job = PushJob {
                    to: destination.to.clone(),
                    root: image.root().clone(),
                    tags: destination.tags.clone(),
                    sources: image.sources().to_vec(),
                    phase,
                };
                scope.spawn(move || {
                    match client.push(&job, store, &collecting(runner, name, announced)) {
                        Err(error) if is_acceptable(runner, &error) => {
                            push_each_tag(runner, name, &job, store, client, announced)
                        }
                        result => result,
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a push does not panic"))
            .collect()
    });
    // What comes after it in this run is meant to see what was pushed.
    for destination in destinations {
        let names = destination
            .tags
            .iter()
            .map(|tag| destination.to.with_tag(tag));
        names.for_each(|name| runner.tools.remote_names.forget(&name));
    }
    let mut pushed = Vec::new();
    let mut errors = Vec::new();
    let mut public = BTreeSet::new();
    for (result, announced) in results.into_iter().zip(announced) {
        let products = std::mem::take(&mut *locked(&announced));
        match result {
            Ok(done) => {
                public.extend(done.iter().map(|one| one.reference.name()));
                pushed.extend(done);
            }
            Err(error) => {
                public.extend(products.iter().filter_map(reference));
                errors.push(error);
            }
        }
        for what in products {
            runner.produced(name, what);
        }
    }
    if errors.is_empty() {
        return Ok(pushed);
    }
    Err(failed(&errors, &public, destinations.len(), phase))
}

/// The tags that one destination has set, in the order in which it set them.
type Announced = Arc<Mutex<Vec<Product>>>;

fn locked(announced: &Announced) -> MutexGuard<'_, Vec<Product>> {
    announced.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reference(product: &Product) -> Option<String> {
    match product {
        Product::Pushed { reference, .. } => Some(reference.clone()),
        _ => None,
    }
}

/// Pushes of several registries end in any order, and are announced in the manifest's.
fn collecting(runner: &TargetRunner<'_>, name: &str, announced: &Announced) -> OperationContext {
    let work = runner.tools.operation(name);
    let events = work.events.clone();
    let announced = Arc::clone(announced);
    let collected = move |event: Event| match event {
        Event::Produced { what, .. } if reference(&what).is_some() => {
            let mut announced = locked(&announced);
            // Tags that are tried one by one after all of them failed.
            if !announced.contains(&what) {
                announced.push(what);
            }
        }
        event => events.send(event),
    };
    OperationContext {
        events: Events::to(collected),
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
    announced: &Announced,
) -> Result<Vec<Pushed>, RegistryError> {
    let mut pushed = Vec::new();
    for tag in &job.tags {
        let one = PushJob {
            tags: vec![tag.clone()],
            phase: PushPhase::TagsOnly,
            ..job.clone()
        };
        match client.push(&one, store, &collecting(runner, name, announced)) {
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
    public: &BTreeSet<String>,
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
    if !public.is_empty() && phase != PushPhase::ContentOnly {
        text.push_str(&format!("\nalready published: {}", printable::list(public)));
    }
    if phase == PushPhase::ContentOnly {
        text.push_str("\nno tag was moved: tags are set after every registry has all images");
    }
    Failure::new(FailureKind::Registry, text)
}
