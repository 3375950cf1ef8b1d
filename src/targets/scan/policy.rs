//! What the gate of a target lets pass.

use std::fs::File;
use std::io;
use std::path::Path;

use super::super::task::ScanTask;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::files::ReadAs;
use imgmake_core::manifest::{FailOn, KindNode, ScannerNode, Spanned};
use imgmake_guard::bounded;
use imgmake_guard::checkout::Checkout;
use imgmake_scan::{
    FailRule, FindingKind, FixableOnly, Gate, IgnoreRule, ListFile, Policy, SeverityError, TextFile,
};

pub(super) fn policy(task: &ScanTask<'_>) -> Result<Policy, Failure> {
    let mut policy = Policy::new(jiff::Timestamp::now());
    policy.fail_on = task
        .target
        .fail_on
        .iter()
        .map(rule)
        .collect::<Result<_, _>>()?;
    policy.unjudged = if task.target.allow_unjudged {
        Gate::Warn
    } else {
        Gate::Refuse
    };
    policy.max_database_age = task.target.max_db_age;
    for rule in &task.target.ignores {
        let until = rule
            .until
            .as_ref()
            .map(|until| date(task, until))
            .transpose()?;
        policy.ignores.push(IgnoreRule {
            id: rule.id.as_ref().map(|id| id.value.clone()),
            kind: rule.kind.map(kind),
            package: rule.package.clone(),
            path: rule.path.clone(),
            until,
            reason: rule.reason.clone(),
            origin: task.runner.project.file.clone(),
        });
    }
    policy.ignore_files = task
        .target
        .ignore_files
        .iter()
        .map(|file| read(task, file))
        .collect::<Result<_, _>>()?;
    policy.vex = task
        .target
        .vex_files
        .iter()
        .map(|file| read(task, file))
        .collect::<Result<_, _>>()?;
    policy.epss = list(task, task.target.epss.as_ref())?;
    policy.kev = list(task, task.target.kev.as_ref())?;
    Ok(policy)
}

fn rule(said: &FailOn) -> Result<FailRule, Failure> {
    let severity = said.severity.as_deref().map(str::parse).transpose();
    Ok(FailRule {
        kind: said.kind.map(kind),
        severity: severity.map_err(|error: SeverityError| Failure::failed(error.to_string()))?,
        fixable: match said.fixable {
            true => FixableOnly::Yes,
            false => FixableOnly::No,
        },
        unknown: match said.unknown {
            true => Gate::Refuse,
            false => Gate::Warn,
        },
        older: said.older,
        epss: said.epss.map(|millionths| f64::from(millionths) / 1e6),
        kev: said.kev,
    })
}

fn kind(said: KindNode) -> FindingKind {
    match said {
        KindNode::Vulnerability => FindingKind::Vulnerability,
        KindNode::Secret => FindingKind::Secret,
        KindNode::Misconfiguration => FindingKind::Misconfiguration,
        KindNode::License => FindingKind::License,
        KindNode::Hygiene => FindingKind::Hygiene,
    }
}

/// Bytes of a list that somebody publishes.
const LARGEST_LIST: u64 = 64 << 20;

fn list(task: &ScanTask<'_>, file: Option<&Spanned<String>>) -> Result<Option<ListFile>, Failure> {
    file.map(|file| read_list(task, file)).transpose()
}

/// A list that cannot be read refuses: without it, nobody knows what is exploited.
pub(super) fn read_list(task: &ScanTask<'_>, file: &Spanned<String>) -> Result<ListFile, Failure> {
    let path = task.runner.path(&file.value);
    task.runner.record(&path, ReadAs::Text);
    let read = open(&path).and_then(|open| bounded::take(open, LARGEST_LIST));
    let bytes = read.map_err(|error| Failure {
        kind: FailureKind::Gate,
        ..task.unreadable(file, &error)
    })?;
    Ok(ListFile {
        name: file.value.clone(),
        bytes,
    })
}

/// A pipe would be waited for.
fn open(path: &Path) -> io::Result<File> {
    match std::fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// The file of the project that a `scanner` command runs: its first word, or what its first word interprets.
/// What else such a command reads is its own affair.
pub(super) fn script(task: &ScanTask<'_>) -> Result<Option<Vec<u8>>, Failure> {
    const INTERPRETERS: [&str; 8] = [
        "sh", "bash", "dash", "python", "python3", "node", "perl", "ruby",
    ];
    let ScannerNode::Command(line) = &task.target.scanner else {
        return Ok(None);
    };
    let quotes = |c: char| c == '"' || c == '\'';
    let mut words = line
        .split_whitespace()
        .map(|word| word.trim_matches(quotes));
    let is_interpreter = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or(word);
        INTERPRETERS.contains(&name)
    };
    let found = match words.next() {
        Some(word) if is_interpreter(word) => words.find(|word| !word.starts_with('-')),
        // Without a slash it is one of PATH.
        Some(word) if word.contains('/') => Some(word),
        Some(_) | None => None,
    };
    let directory = task.runner.project.directory.as_path();
    let path = found.map(|word| directory.join(word));
    let Some(path) = path.filter(|path| path.starts_with(directory) && path.is_file()) else {
        return Ok(None);
    };
    task.runner.record(&path, ReadAs::Text);
    let project = Checkout::new([directory]);
    let read = project
        .open(&path)
        .and_then(|open| bounded::take(open, LARGEST_LIST));
    let bytes = read.map_err(|error| {
        Failure::failed(format!(
            "cannot read the scanner `{}`: {error}",
            path.display()
        ))
    })?;
    Ok(Some(bytes))
}

fn date(task: &ScanTask<'_>, text: &Spanned<String>) -> Result<jiff::civil::Date, Failure> {
    imgmake_scan::calendar_day(&text.value).ok_or_else(|| {
        let message = format!("`{}` is not a date", text.value);
        task.problem(text, message, "a date like 2026-12-31 is expected")
    })
}

pub(super) fn read(task: &ScanTask<'_>, file: &Spanned<String>) -> Result<TextFile, Failure> {
    task.runner
        .record(task.runner.path(&file.value), ReadAs::Text);
    let project = Checkout::new([task.runner.project.directory.as_path()]);
    let text = project.read_to_string(&task.runner.path(&file.value));
    let text = text.map_err(|error| task.unreadable(file, &error))?;
    Ok(TextFile {
        name: file.value.clone(),
        text,
    })
}
