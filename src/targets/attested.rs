//! Images whose verdicts were given elsewhere and lie, signed, beside them in a registry. Nothing else makes an
//! [`Attested`]: it says that the verdicts that a push demands were found, of every image behind one digest.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::failure::failure;
use super::images::{self, Image};
use super::scan;
use super::task::{PushTask, Task};
use super::{public_key, runner::TargetRunner};
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::manifest::{NeedsAttestation, ScanTarget, TargetKind};
use imgmake_guard::printable;
use imgmake_oci::image::{Descriptor, Digest, Reference};
use imgmake_oci::signature::{PublicKey, Unsealed, bundle};
use imgmake_registry::Listing;
use imgmake_scan::{Demand, Objection, VERDICT, accept};

/// A digest of which every image has the verdicts that the push demands.
pub struct Attested {
    root: Digest,
}

impl Attested {
    pub fn root(&self) -> &Digest {
        &self.root
    }
}

/// Where the verdicts on an image are looked up: where it comes from and where it goes to.
type Places = [Reference];

/// What one `needs-attestation` of the manifest comes down to.
struct Demanded<'a> {
    node: &'a NeedsAttestation,
    key: PublicKey,
    policy: String,
    limits_database_age: bool,
    database: Option<String>,
}

/// Looks up the verdicts on every image behind the root.
///
/// # Errors
/// One image has none that counts; a registry cannot be asked.
pub fn attested(task: &PushTask<'_>, image: &Image, places: &Places) -> Result<Attested, Failure> {
    let runner = task.runner;
    let tree = images::tree(runner.store()?, &image.root).map_err(failure)?;
    let mut children: Vec<&Descriptor> = tree.images().map(|(child, _)| child).collect();
    children.sort_by_key(|child| &child.digest);
    children.dedup_by_key(|child| &child.digest);
    if children.is_empty() {
        let text = format!("{} holds no image; nothing is published", image.root.digest);
        return Err(Failure::new(FailureKind::Gate, text));
    }
    for node in &task.target.needs_attestations {
        let demanded = demanded(task, node)?;
        for child in &children {
            demanded.of(task, child, places)?;
        }
    }
    Ok(Attested {
        root: image.root.digest.clone(),
    })
}

/// What decides about a push that demands attestations: per demand the gate's policy, and the key.
///
/// # Errors
/// A file of the gate, or the key, cannot be read.
pub fn bases(task: &PushTask<'_>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let nodes = task.target.needs_attestations.iter();
    let each = nodes.map(|node| {
        let demanded = demanded(task, node)?;
        let decides = format!("{} {}", demanded.policy, demanded.key.hint());
        Ok((node.gate.value.clone(), decides.into_bytes()))
    });
    each.collect()
}

fn demanded<'a>(task: &PushTask<'_>, node: &'a NeedsAttestation) -> Result<Demanded<'a>, Failure> {
    let runner = task.runner;
    let gate = gate(runner, node)?;
    let key = public_key::read(&runner.path(&node.key.value)).map_err(|why| {
        let message = format!(
            "cannot use the key `{}` of `needs-attestation`",
            node.key.value
        );
        task.problem(
            &node.key,
            message,
            format!("{why}: {}", public_key::EXPECTED),
        )
    })?;
    Ok(Demanded {
        node,
        key,
        policy: scan::policy_digest(&gate)?,
        limits_database_age: gate.target.max_db_age.is_some(),
        database: match node.same_db {
            true => Some(scan::database_digest(&gate)?),
            false => None,
        },
    })
}

/// The gate as this project has it: it is not run.
fn gate<'a>(
    runner: &'a TargetRunner<'_>,
    node: &NeedsAttestation,
) -> Result<Task<'a, ScanTarget>, Failure> {
    let graph = &runner.project.graph;
    let found = graph.find(&node.gate.value);
    let found = found.map(|id| (id, &graph.target(id).kind));
    match found {
        Some((id, TargetKind::Scan(scan))) => Ok(Task::new(runner, id, scan)),
        // The graph says so with the place.
        _ => Err(Failure::failed(format!(
            "`{}` is not a gate",
            node.gate.value
        ))),
    }
}

impl Demanded<'_> {
    /// Whether one image has a verdict that counts.
    fn of(&self, task: &PushTask<'_>, child: &Descriptor, places: &Places) -> Result<(), Failure> {
        let mut seen = Seen::default();
        for place in places {
            self.look(task, place, &child.digest, &mut seen)?;
        }
        let demand = Demand {
            manifest: &child.digest,
            policy: &self.policy,
            max_age: self.max_age(),
            limits_database_age: self.limits_database_age,
            database: self.database.as_deref(),
            now: Timestamp::now(),
        };
        accept(&seen.verdicts, &demand)
            .map_err(|objection| self.refusal(child, places, &objection, &seen))
    }

    fn max_age(&self) -> Duration {
        const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
        self.node.max_age.unwrap_or(WEEK)
    }

    fn look(
        &self,
        task: &PushTask<'_>,
        place: &Reference,
        image: &Digest,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let work = task.runner.tools.operation(task.name);
        let judge = |found: Option<Vec<u8>>| {
            let unsealed = found.map(|text| bundle::unseal(&text, &[&self.key], &[image]));
            match unsealed {
                Some(Unsealed::Good(statement)) if statement.predicate_type == VERDICT => {
                    seen.verdicts.push(statement.predicate);
                }
                Some(Unsealed::Good(_)) => {}
                Some(Unsealed::OtherImage) => seen.of_others += 1,
                _ => seen.foreign += 1,
            }
        };
        let client = task.runner.client()?;
        let listing = client.statements(place, image, VERDICT, &work, judge);
        match listing.map_err(failure)? {
            Listing::Whole => Ok(()),
            Listing::Cut => {
                let text = format!(
                    "there are too many attestations beside {}@{image} to look for a verdict among them; nothing is published\n  help: remove those that are not needed",
                    place.name()
                );
                Err(Failure::new(FailureKind::Gate, text))
            }
        }
    }

    /// What is wrong, and what to do about it.
    fn refusal(
        &self,
        child: &Descriptor,
        places: &Places,
        objection: &Objection,
        seen: &Seen,
    ) -> Failure {
        let (gate, key) = (&self.node.gate.value, &self.node.key.value);
        let why = match (objection, seen.foreign, seen.of_others) {
            (Objection::None, 0, 0) => "none is there".to_string(),
            (Objection::None, 0, others) => {
                format!("none is there; the key signed {others} of other images")
            }
            (Objection::None, foreign, _) => {
                format!("of {foreign} found, the key signed none")
            }
            (objection, _, _) => objection.to_string(),
        };
        let platform = child.platform.as_ref();
        let platform = platform.map(|p| format!(" ({p})")).unwrap_or_default();
        let names: Vec<String> = places.iter().map(Reference::name).collect();
        let text = format!(
            "{}{platform} has no verdict of the gate `{gate}` by the key `{key}` in {} that counts: {why}; nothing is published\n  help: let the gate judge the image where it was built, and publish it there with `needs {gate}`, `sign` and `attest \"verdict\"`",
            child.digest,
            printable::list(&names)
        );
        Failure::new(FailureKind::Gate, text)
    }
}

/// What lies beside an image.
#[derive(Default)]
struct Seen {
    /// Signed by the key, about the image.
    verdicts: Vec<Value>,
    /// By others, or damaged.
    foreign: usize,
    /// Signed by the key, about something else.
    of_others: usize,
}
