//! `scan` targets: the gate's request, and what of its verdict is remembered.

mod policy;
mod request;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::failure::failure;
use super::runner::TargetRunner;
use super::task::{Runnable, ScanTask, Task};
use super::{archives, images, outputs};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::files::ReadAs;
use imgmake_core::fingerprint::{self, GateFiles, Inputs, LengthPrefixedHasher};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{ScanFrom, ScanTarget, ScannerNode, Spanned, TargetKind};
use imgmake_core::state::{FileKind, Output};
use imgmake_guard::{printable, program};
use imgmake_oci::image::Digest;
use imgmake_oci::store::Store;
use imgmake_scan::{
    FINDINGS_VERSION, GateName, GateOutcome, Policy, ScanError, TextFile, Verdict, advisory_home,
};
use policy::{policy, read, read_list, script};

impl Runnable for ScanTask<'_> {
    fn inputs(&self, _: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
        add_inputs(self, inputs)
    }

    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure> {
        Ok(match output {
            Output::Passed { .. } => must_ask_again(self.target),
            Output::ValidUntil { seconds } => too_old(*seconds),
            Output::File {
                path, signature, ..
            } => outputs::verify_file(self.runner, path, signature),
            Output::Image { .. }
            | Output::Tree { .. }
            | Output::Pushed { .. }
            | Output::Loaded { .. } => outputs::foreign(),
        })
    }

    fn run(&self, inputs: &Inputs, upstream: &Upstream<'_>) -> Result<Artifacts, Failure> {
        let tools = self.runner.tools;
        let (request, _held) = request::request(self, inputs, upstream)?;
        let policy = digest_of(self, &request.policy)?;
        if self.target.scanner != ScannerNode::Builtin {
            self.runner.watchdog();
        }
        let program = match self.target.scanner {
            ScannerNode::Trivy => Some("trivy"),
            ScannerNode::Grype => Some("grype"),
            ScannerNode::Builtin | ScannerNode::Command(_) => None,
        };
        if let Some(name) = program
            && program::find(name, &request.environment).is_none()
        {
            // Before anything is scanned.
            return Err(Failure::new(
                FailureKind::Usage,
                format!(
                    "`{name}` not found: it is not in PATH: install it, or use `scanner builtin`"
                ),
            ));
        }
        let outcome =
            imgmake_scan::scan(&request, self.runner.store()?, &tools.events, &tools.cancel)
                .map_err(failure)?;
        let statements = statements(self, &outcome, &policy);
        let GateOutcome {
            verdict,
            passed,
            valid_until,
        } = outcome;
        for warning in &verdict.warnings {
            self.runner.warn(self.name, warning.clone());
        }
        if !verdict.passed {
            return Err(refusal(&verdict));
        }
        for line in verdict.table.lines() {
            self.runner.note(self.name, line.to_string());
        }
        let mut digest = LengthPrefixedHasher::new();
        let mut outputs = Vec::new();
        for passed in &passed {
            digest.bytes(passed.digest().as_str().as_bytes());
            outputs.push(Output::Passed {
                digest: passed.digest().clone(),
            });
        }
        outputs.extend(valid_until.map(|until| Output::ValidUntil {
            seconds: until.as_second(),
        }));
        for path in self.target.reports.values() {
            outputs.push(outputs::written(
                self.runner,
                FileKind::Report,
                &path.value,
            )?);
        }
        self.runner.verdicts.record(self.id, passed, statements);
        Ok(Artifacts {
            digest: digest.finish(),
            outputs,
        })
    }
}

/// What the gate says of each manifest, as it can be signed.
pub type Statements = BTreeMap<Digest, Value>;

fn statements(task: &ScanTask<'_>, outcome: &GateOutcome, policy: &str) -> Statements {
    let name = GateName {
        gate: task.name,
        scanner: request::scanner(task).word(),
        policy,
    };
    imgmake_scan::predicates(outcome, name)
}

/// What a gate says that has passed: what it said in this run, else it judges again, since a verdict that was
/// given before is remembered as passed and no more.
///
/// # Errors
/// The gate refuses by now, or cannot be asked.
pub fn verdict(
    runner: &TargetRunner<'_>,
    gate: TargetId,
    upstream: &Upstream<'_>,
) -> Result<Statements, Failure> {
    if let Some(known) = runner.verdicts.statements(gate) {
        return Ok(known);
    }
    let TargetKind::Scan(target) = &runner.target(gate).kind else {
        return Err(Failure::failed(format!(
            "`{}` is not a gate",
            runner.name(gate)
        )));
    };
    let task = Task::new(runner, gate, target);
    let inputs = runner.inputs_of(gate, upstream)?;
    let (mut request, _held) = request::request(&task, &inputs, upstream)?;
    let policy = digest_of(&task, &request.policy)?;
    // They are there.
    request.reports.clear();
    let (store, tools) = (runner.store()?, runner.tools);
    let outcome = imgmake_scan::scan(&request, store, &tools.events, &tools.cancel);
    let outcome = outcome.map_err(failure)?;
    match outcome.verdict.passed {
        true => Ok(statements(&task, &outcome, &policy)),
        false => Err(refusal(&outcome.verdict)),
    }
}

/// The digest of what the gate finds acceptable.
///
/// # Errors
/// A file of the policy cannot be read.
pub fn policy_digest(task: &ScanTask<'_>) -> Result<String, Failure> {
    digest_of(task, &policy(task)?)
}

/// The same of what was read already, so that it is what judges.
fn digest_of(task: &ScanTask<'_>, policy: &Policy) -> Result<String, Failure> {
    let texts = |files: &'_ [TextFile]| -> Vec<Vec<u8>> {
        files
            .iter()
            .map(|file| file.text.clone().into_bytes())
            .collect()
    };
    let (ignore_files, vex_files) = (texts(&policy.ignore_files), texts(&policy.vex));
    let script = script(task)?;
    let is_builtin = task.target.scanner == ScannerNode::Builtin;
    let files = GateFiles {
        ignore_files: ignore_files.iter().map(Vec::as_slice).collect(),
        vex_files: vex_files.iter().map(Vec::as_slice).collect(),
        epss: policy.epss.as_ref().map(|list| list.bytes.as_slice()),
        kev: policy.kev.as_ref().map(|list| list.bytes.as_slice()),
        script: script.as_deref(),
        findings: is_builtin.then_some(FINDINGS_VERSION),
    };
    let digest = fingerprint::gate_policy(task.target, &files);
    Ok(format!("blake3:{}", hex::encode(digest)))
}

/// The digest of the advisories that the gate would use now.
///
/// # Errors
/// They cannot be had; or the scanner is another program, which has none that anybody could name.
pub fn database_digest(task: &ScanTask<'_>) -> Result<String, Failure> {
    if task.target.scanner != ScannerNode::Builtin {
        let text = format!(
            "the advisories of the gate `{}` have no digest: its scanner is not `builtin`",
            task.name
        );
        return Err(Failure::failed(text));
    }
    let inputs = {
        let mut inputs = Inputs::new();
        add_inputs(task, &mut inputs)?;
        inputs
    };
    let (paths, _held) = request::advisories(task, &inputs)?;
    let (store, cancel) = (task.runner.store()?, &task.runner.tools.cancel);
    let paths = match paths.is_empty() {
        true => vec![advisory_home(store).map_err(failure)?],
        false => paths,
    };
    let status = imgmake_scan::import_advisories(&paths, store, cancel).map_err(failure)?;
    Ok(format!("blake3:{}", status.digest))
}

fn refusal(verdict: &Verdict) -> Failure {
    let mut text = format!(
        "the gate refuses: {}",
        printable::sentences(&verdict.refusals, "; ")
    );
    if !verdict.table.is_empty() {
        text = format!("{text}\n\n{}", verdict.table.trim_end());
    }
    Failure::new(FailureKind::Gate, text)
}

/// What other programs know may have grown since they were asked.
fn must_ask_again(scan: &ScanTarget) -> Option<String> {
    let is_external = scan.scanner != ScannerNode::Builtin;
    is_external.then(|| "external scanners run every time".to_string())
}

/// Advisories grow old, and findings are tolerated for a time, while a verdict is up to date.
fn too_old(until: i64) -> Option<String> {
    let is_over = jiff::Timestamp::now().as_second() > until;
    is_over.then(|| {
        "the advisories are now older than `max-db-age`, or a finding is now older than `older`"
            .to_string()
    })
}

fn add_inputs(task: &ScanTask<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
    fingerprint::scan_settings(inputs, task.target);
    if task.runner.recording.is_some() {
        // It is no part of the key, and the scan needs it.
        script(task)?;
    }
    // Ignores expire: a verdict holds for the day on which it was given.
    inputs.value("date", "today", task.runner.today.as_bytes());
    // Each by what it is for: two files may change places.
    let ignore_files = task.target.ignore_files.iter().map(|f| ("ignore-file", f));
    let vex_files = task.target.vex_files.iter().map(|f| ("vex", f));
    for (kind, file) in ignore_files.chain(vex_files) {
        let text = read(task, file)?;
        inputs.value(kind, &file.value, text.text.as_bytes());
    }
    let epss = task.target.epss.iter().map(|f| ("epss", f));
    let kev = task.target.kev.iter().map(|f| ("kev", f));
    for (kind, file) in epss.chain(kev) {
        let list = read_list(task, file)?;
        inputs.hashed(kind, &file.value, *blake3::hash(&list.bytes).as_bytes());
    }
    if let Some(base) = &task.target.only_new {
        add_image(task, base, inputs)?;
    }
    for directory in &task.target.advisories {
        let path = task.runner.path(&directory.value);
        task.runner.record(&path, ReadAs::Tree);
        let signature = sign(task, &path).map_err(|error| unreadable(task, directory, error))?;
        inputs.hashed("advisories", &directory.value, signature);
    }
    if let Some(database) = &task.target.db {
        let digest = images::remote_digest(task.runner, task.name, database)?;
        inputs.value("advisories", &database.value, digest.as_bytes());
    }
    let is_kept = task.target.advisories.is_empty() && task.target.db.is_none();
    if is_kept && task.target.scanner == ScannerNode::Builtin {
        // What `imgmake db update` keeps.
        let kept = advisory_home(task.runner.store()?).map_err(failure)?;
        // Also of a scan that is up to date.
        Store::mark_used(&kept);
        let signature = match kept.exists() {
            true => sign(task, &kept).map_err(failure)?,
            // The scan says what is missing.
            false => [0; 32],
        };
        inputs.hashed("advisories", "database", signature);
    }
    match &task.target.from {
        ScanFrom::Images(_) => {}
        ScanFrom::Tar { path, pick } => {
            archives::add(task.runner, task.name, path, inputs)?;
            if let Some(image) = pick {
                fingerprint::archive_image(inputs, image);
            }
        }
        ScanFrom::Image(reference) => add_image(task, reference, inputs)?,
        ScanFrom::Index(index) => {
            for reference in &index.from {
                add_image(task, reference, inputs)?;
            }
        }
    }
    Ok(())
}

fn sign(task: &ScanTask<'_>, path: &Path) -> Result<[u8; 32], ScanError> {
    imgmake_scan::advisories_signature(path, &task.runner.tools.cancel)
}

/// Nobody knows what is known against the image: that is a refusal.
fn unreadable(task: &ScanTask<'_>, path: &Spanned<String>, error: ScanError) -> Failure {
    let failure = match error.root() {
        ScanError::Cancelled(_) => return failure(error),
        ScanError::Io(error) if !task.runner.path(&path.value).exists() => {
            task.unreadable(path, error)
        }
        // What of it.
        _ => task.problem(
            path,
            format!("cannot read `{}`", path.value),
            format!("{error:#}"),
        ),
    };
    Failure {
        kind: FailureKind::Gate,
        ..failure
    }
}

fn add_image(
    task: &ScanTask<'_>,
    reference: &Spanned<String>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let digest = images::remote_digest(task.runner, task.name, reference)?;
    inputs.value("image", &reference.value, digest.as_bytes());
    Ok(())
}
