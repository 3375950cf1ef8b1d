//! What git knows of a checkout: `sha`, `short`, `branch` and `tag`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use super::environment::Environment;
use imgmake_git as git;
use imgmake_guard::program::{Kind, Program};

/// `sha`, `short`, `branch` and `tag` of the checkout, as far as there are any.
pub(super) fn git_facts(directory: &Path, environment: &Environment) -> BTreeMap<String, String> {
    // A table of references, say, which only git itself can read.
    git::facts(directory, &environment.variables)
        .unwrap_or_else(|_| facts_of_git(directory, environment))
}

fn facts_of_git(directory: &Path, environment: &Environment) -> BTreeMap<String, String> {
    let questions: [(&str, &[&str]); 4] = [
        ("sha", &["rev-parse", "HEAD"]),
        ("short", &["rev-parse", "--short", "HEAD"]),
        ("branch", &["symbolic-ref", "--short", "-q", "HEAD"]),
        ("tag", &["describe", "--tags", "--exact-match"]),
    ];
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.into());
    let git = |arguments: &[&str]| {
        let git = Program::new(Kind::Git, "git", &environment.variables).ok()?;
        let git = git.configure(|command| {
            command
                .arg("-C")
                .arg(&directory)
                // A `.git` that came with a checkout names no programs.
                .args([
                    "-c",
                    "core.fsmonitor=false",
                    "-c",
                    "core.hooksPath=/dev/null",
                ])
                .args(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
        });
        let output = git.spawn().ok()?.output().ok()?;
        let answer = String::from_utf8(output.stdout).ok()?.trim().to_string();
        (output.status.success() && !answer.is_empty()).then_some(answer)
    };
    questions
        .into_iter()
        .filter_map(|(name, arguments)| Some((name.to_string(), git(arguments)?)))
        .collect()
}
