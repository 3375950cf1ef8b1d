//! What the gate is asked: images, scanner, policy, reports.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::super::advisories::{self, Pulled, TooLarge};
use super::super::archives;
use super::super::failure::failure;
use super::super::images;
use super::super::task::ScanTask;
use super::policy::policy;
use imgmake_core::execute::{Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::manifest::{ScanFrom, ScannerNode, SecretFrom, Spanned};
use imgmake_scan::{ReportFormat, ReportFormatError, ScanImage, ScanRequest, Scanner};

/// With what must be held until it is answered.
pub(super) fn request(
    task: &ScanTask<'_>,
    inputs: &Inputs,
    upstream: &Upstream<'_>,
) -> Result<(ScanRequest, Option<Pulled>), Failure> {
    let reports = task.target.reports.iter().map(|(format, path)| {
        let format: ReportFormat = format.parse().map_err(|error: ReportFormatError| {
            task.problem(path, error.to_string(), "this report")
        })?;
        Ok((format, task.runner.path(&path.value)))
    });
    let advisories = database(task, inputs)?;
    let request = ScanRequest {
        target: task.name.to_string(),
        images: images(task, upstream)?,
        scanner: scanner(task),
        policy: policy(task)?,
        baseline: baseline(task, inputs)?,
        advisories: advisories.paths,
        advisories_name: advisories.name,
        reports: reports.collect::<Result<BTreeMap<ReportFormat, PathBuf>, Failure>>()?,
        timeout: task.target.timeout,
        environment: environment(task),
        directory: task.runner.project.directory.clone(),
        width: task.runner.project.width,
    };
    Ok((request, advisories.pulled))
}

pub(super) fn scanner(task: &ScanTask<'_>) -> Scanner {
    match &task.target.scanner {
        ScannerNode::Builtin => Scanner::Builtin,
        ScannerNode::Trivy => Scanner::Trivy,
        ScannerNode::Grype => Scanner::Grype,
        ScannerNode::Command(command) => Scanner::Command(command.clone()),
    }
}

/// Where the advisories of the gate are now, and what must be held while they are read. None: those of `imgmake db`.
pub(super) fn advisories(
    task: &ScanTask<'_>,
    inputs: &Inputs,
) -> Result<(Vec<PathBuf>, Option<Pulled>), Failure> {
    let found = database(task, inputs)?;
    Ok((found.paths, found.pulled))
}

/// The advisories of a scan.
struct Advisories {
    paths: Vec<PathBuf>,
    /// What reports call them, if not so.
    name: Option<String>,
    pulled: Option<Pulled>,
}

/// Where the advisories are, and what reports call them if not so.
fn database(task: &ScanTask<'_>, inputs: &Inputs) -> Result<Advisories, Failure> {
    let Some(named) = &task.target.db else {
        let paths = task.target.advisories.iter();
        let paths = paths.map(|path| task.runner.path(&path.value));
        return Ok(Advisories {
            paths: paths.collect(),
            name: None,
            pulled: None,
        });
    };
    let runner = task.runner;
    let from = images::parse(runner, task.name, named)?;
    let work = runner.tools.operation(task.name);
    let pulled = advisories::pull(runner.client()?, runner.store()?, &from, &work);
    let pulled = pulled.map_err(|error| match error.is::<TooLarge>() {
        true => Failure::new(FailureKind::Gate, error.to_string()),
        false => failure(error),
    })?;
    unchanged(task, inputs, named, pulled.digest.as_str())?;
    let name = format!("{}@{}", from.name(), pulled.digest);
    Ok(Advisories {
        paths: vec![pulled.directory.clone()],
        name: Some(name),
        pulled: Some(pulled),
    })
}

/// Whether a name of a registry means what it meant for the key.
fn unchanged(
    task: &ScanTask<'_>,
    inputs: &Inputs,
    name: &Spanned<String>,
    digest: &str,
) -> Result<(), Failure> {
    let key = *blake3::hash(digest.as_bytes()).as_bytes();
    let mut entries = inputs.entries().iter();
    if entries.any(|input| input.name == name.value && input.hash == key) {
        return Ok(());
    }
    let message = format!("`{}` now points to another digest", name.value);
    let label = "changed during the run: run it again";
    Err(task.failure(name.span, message, label))
}

/// What scanners see of ours: no password, for they look into files of others and
/// are given the image itself.
fn environment(task: &ScanTask<'_>) -> BTreeMap<OsString, OsString> {
    let secrets = &task.runner.project.graph.manifest().secrets;
    let declared = |name: &str| {
        let is_source = |from: &SecretFrom| matches!(from, SecretFrom::Env(own) if own == name);
        secrets.iter().any(|secret| is_source(&secret.source))
    };
    let variables = task.runner.variables.iter();
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
fn images(task: &ScanTask<'_>, upstream: &Upstream<'_>) -> Result<Vec<ScanImage>, Failure> {
    match &task.target.from {
        ScanFrom::Images(_) => built(task, upstream),
        ScanFrom::Tar { path, pick } => {
            let imported = archives::read(task.runner, &path.value, pick.as_ref())?;
            Ok(vec![ScanImage {
                name: path.value.clone(),
                root: imported.root,
            }])
        }
        ScanFrom::Image(reference) => Ok(vec![remote(task, reference)?]),
        ScanFrom::Index(index) => {
            let mut images = built(task, upstream)?;
            for reference in &index.from {
                images.push(remote(task, reference)?);
            }
            Ok(images)
        }
    }
}

fn built(task: &ScanTask<'_>, upstream: &Upstream<'_>) -> Result<Vec<ScanImage>, Failure> {
    let graph = &task.runner.project.graph;
    let images = graph.images(task.id).into_iter().map(|image| {
        let root = images::of_target(task.runner, upstream, image);
        images::fetch_missing(task.runner, task.name, &root).map_err(failure)?;
        Ok(ScanImage {
            name: graph.name(image).to_string(),
            root,
        })
    });
    images.collect()
}

/// The image with which those are compared, at the digest that is in the key.
fn baseline(task: &ScanTask<'_>, inputs: &Inputs) -> Result<Option<ScanImage>, Failure> {
    let Some(base) = &task.target.only_new else {
        return Ok(None);
    };
    let image = remote(task, base)?;
    unchanged(task, inputs, base, image.root.digest.as_str())?;
    Ok(Some(image))
}

fn remote(task: &ScanTask<'_>, reference: &Spanned<String>) -> Result<ScanImage, Failure> {
    let root = images::fetch_remote(task.runner, task.name, reference)?;
    Ok(ScanImage {
        name: reference.value.clone(),
        root,
    })
}
