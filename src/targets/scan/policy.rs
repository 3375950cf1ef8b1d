//! What the gate of a target lets pass.

use super::super::task::ScanTask;
use imgmake_core::execute::Failure;
use imgmake_core::manifest::Spanned;
use imgmake_guard::checkout::Checkout;
use imgmake_scan::{FixableOnly, Gate, IgnoreRule, Policy, SeverityError, TextFile};

pub(super) fn policy(task: &ScanTask<'_>) -> Result<Policy, Failure> {
    let mut policy = Policy::new(jiff::Timestamp::now());
    if let Some(severity) = &task.target.fail_on.severity {
        policy.threshold = severity
            .parse()
            .map_err(|error: SeverityError| Failure::failed(error.to_string()))?;
    }
    policy.fixable = if task.target.fail_on.fixable {
        FixableOnly::Yes
    } else {
        FixableOnly::No
    };
    policy.unknown = if task.target.fail_on.unknown {
        Gate::Refuse
    } else {
        Gate::Warn
    };
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
            id: rule.id.value.clone(),
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
    Ok(policy)
}

fn date(task: &ScanTask<'_>, text: &Spanned<String>) -> Result<jiff::civil::Date, Failure> {
    imgmake_scan::calendar_day(&text.value).ok_or_else(|| {
        let message = format!("`{}` is not a date", text.value);
        task.problem(text, message, "a date like 2026-12-31 is expected")
    })
}

pub(super) fn read(task: &ScanTask<'_>, file: &Spanned<String>) -> Result<TextFile, Failure> {
    let project = Checkout::new([task.runner.project.directory.as_path()]);
    let text = project.read_to_string(&task.runner.path(&file.value));
    let text = text.map_err(|error| task.runner.project.unreadable(file, &error))?;
    Ok(TextFile {
        name: file.value.clone(),
        text,
    })
}
