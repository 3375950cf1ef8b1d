//! `scan` targets: the gate's request, and what of its verdict is remembered.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::super::project::plain;
use super::{Work, build, failure};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{Inputs, LengthPrefixedHasher};
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{
    Diagnostic, ScanFrom, ScanTarget, ScannerNode, SecretFrom, Spanned, Target, TargetKind,
};
use imgmake_core::state::{FileKind, Output, tree_signature};
use imgmake_event::Event;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::archive;
use imgmake_oci::image::Descriptor;
use imgmake_scan::{
    self as scan, FixableOnly, Gate, IgnoreRule, Policy, ReportFormat, ScanImage, ScanRequest,
    Scanner, TextFile,
};

pub(super) fn inputs(
    work: &Work<'_>,
    id: TargetId,
    scan: &ScanTarget,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    inputs.value(
        "setting",
        "policy",
        &postcard::to_stdvec(&settings(scan)).expect("settings are plain data"),
    );
    // Ignores expire: a verdict holds for the day on which it was given.
    inputs.value("date", "today", work.today.as_bytes());
    for file in scan.ignore_files.iter().chain(&scan.vex_files) {
        let text = read(work, file)?;
        inputs.value("file", &file.value, text.text.as_bytes());
    }
    for directory in &scan.advisories {
        let path = work.path(&directory.value);
        let signature =
            tree_signature(&path).map_err(|error| unreadable(work, directory, &error))?;
        inputs.hashed("advisories", &directory.value, signature);
    }
    if scan.advisories.is_empty() && scan.scanner == ScannerNode::Builtin {
        // What `imgmake db update` keeps.
        let kept = scan::advisory_home(work.tools.store()?)?;
        inputs.hashed(
            "advisories",
            "database",
            tree_signature(&kept).unwrap_or_default(),
        );
    }
    match &scan.from {
        ScanFrom::Images(_) => {}
        ScanFrom::Tar(path) => tar_input(work, path, inputs)?,
        ScanFrom::Image(reference) => {
            let digest = super::push::remote_digest(work, work.project.graph.name(id), reference)?;
            inputs.value("image", &reference.value, digest.as_bytes());
        }
    }
    Ok(())
}

pub(super) fn tar_input(
    work: &Work<'_>,
    path: &Spanned<String>,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    let full = work.path(&path.value);
    let metadata = std::fs::metadata(&full).map_err(|error| unreadable(work, path, &error))?;
    if metadata.is_dir() {
        let signature = tree_signature(&full).map_err(|error| unreadable(work, path, &error))?;
        inputs.hashed("layout", &path.value, signature);
        return Ok(());
    }
    let hash = work
        .hash_file(&full, &metadata)
        .map_err(|error| unreadable(work, path, &error))?;
    inputs.hashed("file", &path.value, hash);
    Ok(())
}

pub(super) fn unreadable(
    work: &Work<'_>,
    path: &Spanned<String>,
    error: &std::io::Error,
) -> Failure {
    let diagnostic = Diagnostic::at(
        path.span,
        format!("cannot read `{}`", path.value),
        plain(error),
    );
    Failure::failed(work.project.problem(diagnostic))
}

/// What other programs know may have grown since they were asked.
pub(super) fn must_ask_again(target: &Target) -> Option<String> {
    match &target.kind {
        TargetKind::Scan(scan) if scan.scanner != ScannerNode::Builtin => {
            Some("external scanners are asked in every run".to_string())
        }
        _ => None,
    }
}

/// Everything of the target that decides about its verdict.
fn settings(scan: &ScanTarget) -> (String, Vec<String>, Vec<String>) {
    let scanner = format!(
        "{:?} {:?} {:?}",
        scan.scanner, scan.fail_on, scan.max_db_age
    );
    let ignores = scan.ignores.iter().map(|rule| {
        let until = rule.until.as_ref().map(|u| u.value.clone());
        format!("{} {until:?} {:?}", rule.id.value, rule.reason)
    });
    let reports = scan
        .reports
        .iter()
        .map(|(format, path)| format!("{format} {}", path.value));
    (scanner, ignores.collect(), reports.collect())
}

pub(super) fn run(
    work: &Work<'_>,
    id: TargetId,
    scan: &ScanTarget,
    upstream: &Upstream<'_>,
) -> Result<Artifacts, Failure> {
    let name = work.project.graph.name(id);
    let request = request(work, id, scan, upstream)?;
    let verdict = scan::scan(
        &request,
        work.tools.store()?,
        &work.tools.events,
        &work.tools.cancel,
    )
    .map_err(failure)?;
    for warning in &verdict.warnings {
        work.tools.events.send(Event::Warning {
            target: Some(name.to_string()),
            message: warning.clone(),
        });
    }
    if !verdict.passed {
        let mut text = format!(
            "the gate refuses: {}",
            imgmake_guard::printable::sentences(&verdict.refusals, "; ")
        );
        if !verdict.table.is_empty() {
            text = format!("{text}\n\n{}", verdict.table.trim_end());
        }
        return Err(Failure::new(FailureKind::Gate, text));
    }
    for line in verdict.table.lines() {
        work.tools.events.send(Event::Note {
            target: Some(name.to_string()),
            message: line.to_string(),
        });
    }
    let mut digest = LengthPrefixedHasher::new();
    let mut outputs = Vec::new();
    for passed in verdict.passed_digests() {
        digest.bytes(passed.as_str().as_bytes());
        outputs.push(Output::Passed {
            digest: passed.to_string(),
        });
    }
    for path in scan.reports.values() {
        outputs.push(work.file_output(FileKind::Report, &path.value)?);
    }
    Ok(Artifacts {
        digest: digest.finish(),
        outputs,
    })
}

fn request(
    work: &Work<'_>,
    id: TargetId,
    scan: &ScanTarget,
    upstream: &Upstream<'_>,
) -> Result<ScanRequest, Failure> {
    let reports = scan.reports.iter().map(|(format, path)| {
        let format: ReportFormat = format.parse().map_err(|error: scan::ReportFormatError| {
            Failure::failed(work.project.problem(Diagnostic::at(
                path.span,
                error.to_string(),
                "this report",
            )))
        })?;
        Ok((format, work.path(&path.value)))
    });
    Ok(ScanRequest {
        target: work.project.graph.name(id).to_string(),
        images: images(work, id, scan, upstream)?,
        scanner: match &scan.scanner {
            ScannerNode::Builtin => Scanner::Builtin,
            ScannerNode::Trivy => Scanner::Trivy,
            ScannerNode::Grype => Scanner::Grype,
            ScannerNode::Command(command) => Scanner::Command(command.clone()),
        },
        policy: policy(work, scan)?,
        advisories: scan
            .advisories
            .iter()
            .map(|path| work.path(&path.value))
            .collect(),
        reports: reports.collect::<Result<BTreeMap<ReportFormat, PathBuf>, Failure>>()?,
        timeout: scan.timeout,
        environment: environment(work),
        directory: work.project.directory.clone(),
        width: work.project.width,
    })
}

/// What scanners see of ours: no password, for they look into files of others and
/// are given the image itself.
fn environment(work: &Work<'_>) -> BTreeMap<OsString, OsString> {
    let secrets = &work.project.graph.manifest().secrets;
    let declared = |name: &str| {
        let is_source = |from: &SecretFrom| matches!(from, SecretFrom::Env(own) if own == name);
        secrets.iter().any(|secret| is_source(&secret.source))
    };
    let variables = work.environment.variables.iter();
    variables
        .filter(|(name, _)| !declared(name) && !holds_credential(name))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn holds_credential(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AZURE_CLIENT_SECRET",
        "DOCKER_AUTH_CONFIG",
    ];
    // Settings of a plugin's step are for imgmake, and hold all kinds of passwords.
    NAMES.contains(&name) || name.starts_with("PLUGIN_")
}

/// The images to look into, with all of their layers in the store.
fn images(
    work: &Work<'_>,
    id: TargetId,
    scan: &ScanTarget,
    upstream: &Upstream<'_>,
) -> Result<Vec<ScanImage>, Failure> {
    let name = work.project.graph.name(id);
    match &scan.from {
        ScanFrom::Images(_) => {
            let images = work.project.graph.images(id).into_iter().map(|image| {
                let root = work.image(upstream, image)?;
                build::fetch_missing(work, name, &root).map_err(failure)?;
                Ok(ScanImage {
                    name: work.project.graph.name(image).to_string(),
                    root,
                })
            });
            images.collect()
        }
        ScanFrom::Tar(path) => {
            let imported = archive::read(work.tools.store()?, &work.path(&path.value), None)
                .map_err(failure)?;
            Ok(vec![ScanImage {
                name: path.value.clone(),
                root: imported.root,
            }])
        }
        ScanFrom::Image(reference) => {
            let root = super::push::fetch_remote(work, name, reference)?;
            Ok(vec![ScanImage {
                name: reference.value.clone(),
                root,
            }])
        }
    }
}

fn policy(work: &Work<'_>, scan: &ScanTarget) -> Result<Policy, Failure> {
    let mut policy = Policy::new(time::OffsetDateTime::now_utc());
    if let Some(severity) = &scan.fail_on.severity {
        policy.threshold = severity
            .parse()
            .map_err(|error: scan::SeverityError| Failure::failed(error.to_string()))?;
    }
    policy.fixable = if scan.fail_on.fixable {
        FixableOnly::Yes
    } else {
        FixableOnly::No
    };
    policy.unknown = if scan.fail_on.unknown {
        Gate::Refuse
    } else {
        Gate::Warn
    };
    policy.max_database_age = scan.max_db_age;
    for rule in &scan.ignores {
        let until = rule
            .until
            .as_ref()
            .map(|until| date(work, until))
            .transpose()?;
        policy.ignores.push(IgnoreRule {
            id: rule.id.value.clone(),
            until,
            reason: rule.reason.clone(),
            origin: work.project.file.clone(),
        });
    }
    policy.ignore_files = scan
        .ignore_files
        .iter()
        .map(|file| read(work, file))
        .collect::<Result<_, _>>()?;
    policy.vex = scan
        .vex_files
        .iter()
        .map(|file| read(work, file))
        .collect::<Result<_, _>>()?;
    Ok(policy)
}

fn date(work: &Work<'_>, text: &Spanned<String>) -> Result<time::Date, Failure> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(&text.value, format).map_err(|_| {
        let message = format!("`{}` is not a date", text.value);
        Failure::failed(work.project.problem(Diagnostic::at(
            text.span,
            message,
            "a date like 2026-12-31 is expected",
        )))
    })
}

fn read(work: &Work<'_>, file: &Spanned<String>) -> Result<TextFile, Failure> {
    let project = Checkout::new([work.project.directory.as_path()]);
    let text = project.read_to_string(&work.path(&file.value));
    let text = text.map_err(|error| unreadable(work, file, &error))?;
    Ok(TextFile {
        name: file.value.clone(),
        text,
    })
}

/// For messages: what an image is called.
pub(super) fn describe(root: &Descriptor) -> String {
    format!("sha256:{}", root.digest.short())
}
