//! Lines for a POSIX shell.

use super::jobs::{Job, Pipeline, SecretKind};
use super::options::CACHE;

/// Who says where steps are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    Manifest,
    /// A variable of the jobs.
    OfJobs,
}

impl Cache {
    pub fn of(pipeline: &Pipeline, named: Option<&String>) -> Cache {
        match pipeline.has_cache && named.is_none() {
            true => Cache::Manifest,
            false => Cache::OfJobs,
        }
    }
}

/// A word that the shell takes as it is.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A path of the manifest: `~/` is the home directory.
fn path(text: &str) -> String {
    match text.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", word(rest)),
        None => word(text),
    }
}

/// Files of secrets, for this job alone.
pub fn secret_files(job: &Job) -> Vec<String> {
    let mut lines = Vec::new();
    for secret in &job.secrets {
        if let SecretKind::File(file) = &secret.kind {
            let file = path(file);
            let variable = &secret.variable;
            lines.push(format!(
                "[ -z \"${variable}\" ] || [ -e {file} ] || (umask 077 && mkdir -p \"$(dirname {file})\" && printf '%s\\n' \"${variable}\" > {file})"
            ));
        }
    }
    lines
}

/// The program's line: `imgmake run -C app --cache-from … --cache-to … TARGET`.
pub fn run(job: &Job, arguments: &[String], cache: Cache) -> String {
    let mut words = vec!["imgmake run".to_string()];
    words.extend(arguments.iter().map(|argument| word(argument)));
    if cache == Cache::OfJobs {
        words.push(format!("--cache-from \"${CACHE}\" --cache-to \"${CACHE}\""));
    }
    words.push(word(&job.target));
    words.join(" ")
}
