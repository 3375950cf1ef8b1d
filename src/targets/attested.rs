//! Images whose verdicts were given elsewhere and lie, signed, beside them in a registry. Nothing else makes an
//! [`Attested`]: it says that the verdicts that a push demands were found, of every image behind one digest.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::certificate::{Certificate, trusted};
use super::failure::failure;
use super::images::{self, Image};
use super::scan;
use super::task::{PushTask, Task};
use super::{public_key, runner::TargetRunner};
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::files::ReadAs;
use imgmake_core::manifest::{
    NeedsAttestation, ScanTarget, ScannerNode, SignerNode, Spanned, TargetKind,
};
use imgmake_guard::printable;
use imgmake_oci::image::{
    Descriptor, Digest, ImageConfig, ImageManifest, Platform, Reference, from_json,
};
use imgmake_oci::signature::certificate::Refusal;
use imgmake_oci::signature::{Mark, PublicKey, Unsealed, bundle, predicate};
use imgmake_registry::{Listing, Signed, Wanted};
use imgmake_scan::{Demand, Objection, VERDICT, accept, is_decisive};

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
    signer: Signer,
    policy: String,
    limits_database_age: bool,
    database: Option<String>,
}

/// Who must have signed a verdict.
enum Signer {
    /// With the file's name.
    Key(PublicKey, String),
    Certificate(Box<Certificate>),
}

impl Signer {
    fn keys(&self) -> Vec<&PublicKey> {
        match self {
            Signer::Key(key, _) => vec![key],
            Signer::Certificate(_) => Vec::new(),
        }
    }

    /// As messages name it.
    fn name(&self) -> String {
        match self {
            Signer::Key(_, file) => format!("with the key `{file}`"),
            Signer::Certificate(certificate) => format!("by {}", certificate.name()),
        }
    }

    /// What decides about whether a signature is its own.
    fn decides(&self) -> String {
        match self {
            Signer::Key(key, _) => key.hint(),
            Signer::Certificate(of) => {
                let files = hex::encode(of.trusted.hash);
                format!("{} {} {files}", of.identity, of.issuer)
            }
        }
    }

    /// Whether it signed the image as a whole.
    fn signed_image(&self, signed: &Signed, image: &Digest) -> bool {
        match self {
            Signer::Key(key, _) => signed.signs(image, key),
            Signer::Certificate(certificate) => signed
                .signed_by(&certificate.demanded(), image, predicate::SIGNATURE)
                .is_ok(),
        }
    }

    /// Adds why a certificate does not count.
    fn unseal(&self, bundle: &[u8], image: &Digest, why: &mut BTreeSet<String>) -> Unsealed {
        match self {
            Signer::Key(key, _) => bundle::unseal(bundle, &[key], &[image]),
            Signer::Certificate(certificate) => {
                match certificate.demanded().unseal(bundle, &[image]) {
                    Ok(statement) => Unsealed::Good(statement),
                    Err(Refusal::OtherImage) => Unsealed::OtherImage,
                    Err(refusal) => {
                        if why.len() < MOST_REFUSALS {
                            why.insert(refusal.to_string());
                        }
                        Unsealed::OtherKey
                    }
                }
            }
        }
    }
}

/// Sentences of one message.
const MOST_REFUSALS: usize = 3;

/// An image behind the root.
struct Child<'a> {
    /// By whoever names it first.
    named: &'a Descriptor,
    /// What its config, and everybody who names it, says.
    platforms: Vec<Platform>,
}

/// What the config of an image says, which may not have been pulled yet.
fn config_platform(
    task: &PushTask<'_>,
    manifest: &ImageManifest,
    places: &Places,
) -> Result<Platform, Failure> {
    if let Ok((config, _)) = images::config(task.runner.store()?, manifest) {
        return Ok(config.platform());
    }
    let (client, work) = (
        task.runner.client()?,
        task.runner.tools.operation(task.name),
    );
    let mut error = None;
    for place in places {
        match client.small_blob(place, &manifest.config, LARGEST_CONFIG, &work) {
            Ok(bytes) => {
                let config: ImageConfig = from_json(&bytes).map_err(failure)?;
                return Ok(config.platform());
            }
            Err(why) => error = error.or(Some(why)),
        }
    }
    Err(match error {
        Some(error) => failure(error),
        None => Failure::failed(format!("config {} not found", manifest.config.digest)),
    })
}

/// Bytes.
const LARGEST_CONFIG: u64 = 4 << 20;

/// Looks up the verdicts on every image behind the root.
///
/// # Errors
/// One image has none that counts; a registry cannot be asked.
pub fn attested(task: &PushTask<'_>, image: &Image, places: &Places) -> Result<Attested, Failure> {
    let runner = task.runner;
    let tree = images::tree(runner.store()?, &image.root).map_err(failure)?;
    let mut children: BTreeMap<&Digest, Child<'_>> = BTreeMap::new();
    for (named, manifest) in tree.images() {
        let child = match children.entry(&named.digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let platforms = match manifest.is_image() {
                    true => vec![config_platform(task, manifest, places)?],
                    false => Vec::new(),
                };
                new.insert(Child { named, platforms })
            }
        };
        child.platforms.extend(named.platform.clone());
    }
    if children.is_empty() {
        let text = format!(
            "{} contains no image; nothing is published",
            image.root.digest
        );
        return Err(Failure::new(FailureKind::Gate, text));
    }
    for node in &task.target.needs_attestations {
        let demanded = demanded(task, node)?;
        if let Some((beside, of)) = tree.attestations().next()
            && !demanded.is_signed(task, &image.root.digest, places)?
        {
            let text = format!(
                "the index {} has an attestation by another builder ({}, of {of}): no verdict covers it, and the index is not signed {}; nothing is published\n  help: sign the index where it is published (`sign`), build the image without attestations (`--provenance=false --sbom=false`), or publish the image of one platform by its digest",
                image.root.digest,
                beside.digest,
                demanded.signer.name()
            );
            return Err(Failure::new(FailureKind::Gate, text));
        }
        for child in children.values() {
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
        let decides = format!("{} {}", demanded.policy, demanded.signer.decides());
        Ok((node.gate.value.clone(), decides.into_bytes()))
    });
    each.collect()
}

fn demanded<'a>(task: &PushTask<'_>, node: &'a NeedsAttestation) -> Result<Demanded<'a>, Failure> {
    let runner = task.runner;
    let gate = gate(runner, node)?;
    let signer = signer(task, &node.signer)?;
    Ok(Demanded {
        node,
        signer,
        policy: scan::policy_digest(&gate)?,
        limits_database_age: gate.target.max_db_age.is_some(),
        database: match node.same_db || has_own_advisories(&gate) {
            true => Some(scan::database_digest(&gate)?),
            false => None,
        },
    })
}

fn signer(task: &PushTask<'_>, node: &SignerNode) -> Result<Signer, Failure> {
    let runner = task.runner;
    for file in node.files() {
        runner.record(runner.path(&file.value), ReadAs::Text);
    }
    match node {
        SignerNode::Key(file) => {
            let key = public_key::read(&runner.path(&file.value)).map_err(|why| {
                let message = format!("cannot use the key `{}` of `needs-attestation`", file.value);
                task.problem(file, message, format!("{why}: {}", public_key::EXPECTED))
            })?;
            Ok(Signer::Key(key, file.value.clone()))
        }
        SignerNode::Certificate(of) => {
            let log_key = of.log_key.as_ref().map(|file| Path::new(&file.value));
            let directory = &runner.project.directory;
            let trusted =
                trusted(directory, Path::new(&of.root.value), log_key).map_err(|why| {
                    let message = "cannot use the certificates of `needs-attestation`";
                    task.problem(&of.root, message, why)
                })?;
            Ok(Signer::Certificate(Box::new(Certificate {
                trusted,
                identity: of.identity.value.clone(),
                issuer: of.issuer.value.clone(),
                without_entry: false,
            })))
        }
    }
}

/// Advisories that lie in the project are part of what it says, as its policy is.
fn has_own_advisories(gate: &Task<'_, ScanTarget>) -> bool {
    let runner = gate.runner;
    let mut paths = gate.target.advisories.iter();
    let is_own = |path: &Spanned<String>| {
        let path = runner.path(&path.value);
        path.starts_with(&runner.project.directory)
    };
    gate.target.scanner == ScannerNode::Builtin && paths.any(is_own)
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
    fn of(&self, task: &PushTask<'_>, child: &Child<'_>, places: &Places) -> Result<(), Failure> {
        let platforms = &child.platforms;
        let child = child.named;
        let demand = Demand {
            manifest: &child.digest,
            platforms,
            gate: &self.node.gate.value,
            policy: &self.policy,
            max_age: self.max_age(),
            limits_database_age: self.limits_database_age,
            database: self.database.as_deref(),
            now: Timestamp::now(),
        };
        let mut seen = Seen::default();
        for place in places {
            self.look(task, place, &demand, &mut seen)?;
        }
        let decided = accept(&seen.verdicts, &demand).and_then(|judged| match seen.lost {
            Some(lost) if nanoseconds(judged) <= lost => Err(Objection::Lost),
            _ => Ok(()),
        });
        decided.map_err(|objection| self.refusal(child, places, &objection, &seen))
    }

    /// Whether the key signed what has this digest as a whole.
    fn is_signed(
        &self,
        task: &PushTask<'_>,
        root: &Digest,
        places: &Places,
    ) -> Result<bool, Failure> {
        let (client, keys) = (task.runner.client()?, self.signer.keys());
        let work = task.runner.tools.operation(task.name);
        let wanted = Wanted {
            kind: predicate::SIGNATURE,
            keys: &keys,
        };
        for place in places {
            let found = client.signatures(place, &[root], wanted, &work, |signed| {
                match self.signer.signed_image(&signed, root) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            if found.map_err(failure)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn max_age(&self) -> Duration {
        const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
        self.node.max_age.unwrap_or(WEEK)
    }

    fn look(
        &self,
        task: &PushTask<'_>,
        place: &Reference,
        demand: &Demand<'_>,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let work = task.runner.tools.operation(task.name);
        let (image, keys) = (demand.manifest, self.signer.keys());
        let judge = |found: Option<Vec<u8>>, mark: Option<&Mark>| {
            if let (None, Some(mark)) = (&found, mark) {
                seen.lost = seen.lost.max(Some(mark.time));
            }
            let why = &mut seen.certificates;
            let unsealed = found.map(|text| self.signer.unseal(&text, image, why));
            match unsealed {
                Some(Unsealed::Good(statement)) if statement.predicate_type == VERDICT => {
                    let decides = is_decisive(&statement.predicate, demand);
                    seen.verdicts.push(statement.predicate);
                    // Newer ones have come before it.
                    if decides && mark.is_some() {
                        return ControlFlow::Break(());
                    }
                }
                Some(Unsealed::Good(_)) => {}
                Some(Unsealed::OtherImage) => seen.of_others += 1,
                _ => seen.foreign += 1,
            }
            ControlFlow::Continue(())
        };
        let wanted = Wanted {
            kind: VERDICT,
            keys: &keys,
        };
        let client = task.runner.client()?;
        let listing = client.statements(place, image, wanted, &work, judge);
        seen.is_cut |= listing.map_err(failure)? == Listing::Cut;
        Ok(())
    }

    /// What is wrong, and what to do about it.
    fn refusal(
        &self,
        child: &Descriptor,
        places: &Places,
        objection: &Objection,
        seen: &Seen,
    ) -> Failure {
        let (gate, signer) = (&self.node.gate.value, self.signer.name());
        let why = match (objection, seen.foreign, seen.of_others) {
            (Objection::None, 0, others) if others > 0 => {
                format!("none was found, only {others} that were signed for other images")
            }
            (Objection::None, foreign, _) if foreign > 0 => {
                match (&self.signer, seen.certificates.is_empty()) {
                    (Signer::Key(..), _) => {
                        format!("{foreign} found, but none is signed with this key")
                    }
                    (Signer::Certificate(_), true) => format!("{foreign} found, but none is valid"),
                    (Signer::Certificate(_), false) => {
                        let why: Vec<&str> = seen.certificates.iter().map(String::as_str).collect();
                        format!("{foreign} found, but none is valid: {}", why.join("; "))
                    }
                }
            }
            (objection, _, _) => objection.to_string(),
        };
        let rest = match seen.is_cut {
            true => ", and there are too many attestations beside it to read all of them",
            false => "",
        };
        let platform = child.platform.as_ref();
        let platform = platform.map(|p| format!(" ({p})")).unwrap_or_default();
        let names: Vec<String> = places.iter().map(Reference::name).collect();
        let text = format!(
            "the image {}{platform} has no valid verdict of the gate `{gate}`, signed {signer}, in {}: {why}{rest}; nothing is published\n  help: let the gate judge the image where it was built, and publish it there with `needs {gate}`, `sign` and `attest \"verdict\"`",
            child.digest,
            printable::list(&names)
        );
        Failure::new(FailureKind::Gate, text)
    }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
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
    /// Why certificates do not count.
    certificates: BTreeSet<String>,
    /// The time of the newest that the key marked and that cannot be had.
    lost: Option<u64>,
    /// There were others.
    is_cut: bool,
}
