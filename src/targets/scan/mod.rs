//! `scan` targets: the gate's request, and what of its verdict is remembered.

mod policy;
mod request;

use std::path::Path;

use super::failure::failure;
use super::task::{Runnable, ScanTask};
use super::{archives, images, outputs};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{self, Inputs, LengthPrefixedHasher};
use imgmake_core::manifest::{ScanFrom, ScanTarget, ScannerNode, Spanned};
use imgmake_core::state::{FileKind, Output};
use imgmake_guard::{printable, program};
use imgmake_oci::store::Store;
use imgmake_scan::{GateOutcome, ScanError, Verdict, advisory_home};
use policy::{read, read_list};

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
        let GateOutcome {
            verdict,
            passed,
            valid_until,
        } = imgmake_scan::scan(&request, self.runner.store()?, &tools.events, &tools.cancel)
            .map_err(failure)?;
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
        self.runner.verdicts.record(self.id, passed);
        Ok(Artifacts {
            digest: digest.finish(),
            outputs,
        })
    }
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
    is_external.then(|| "external scanners are asked in every run".to_string())
}

/// Advisories grow old, and findings are tolerated for a time, while a verdict is up to date.
fn too_old(until: i64) -> Option<String> {
    let is_over = jiff::Timestamp::now().as_second() > until;
    is_over.then(|| {
        "the advisories are older than `max-db-age` by now, or a finding than `older`".to_string()
    })
}

fn add_inputs(task: &ScanTask<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
    fingerprint::scan_settings(inputs, task.target);
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

fn unreadable(task: &ScanTask<'_>, path: &Spanned<String>, error: ScanError) -> Failure {
    match error.root() {
        ScanError::Cancelled(_) => failure(error),
        ScanError::Io(error) if !task.runner.path(&path.value).exists() => {
            task.unreadable(path, error)
        }
        // What of it.
        _ => task.problem(
            path,
            format!("cannot read `{}`", path.value),
            format!("{error:#}"),
        ),
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
