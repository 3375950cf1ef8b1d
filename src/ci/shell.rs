//! Lines for a POSIX shell.

use super::jobs::{Job, Pipeline, SecretKind};
use super::options::{CACHE, Options};

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

/// A path of the manifest, from the checkout: `~/` is the home directory.
fn path(text: &str, options: &Options) -> String {
    if let Some(rest) = text.strip_prefix("~/") {
        return format!("\"$HOME\"/{}", word(rest));
    }
    let path = options.path(text);
    match path.starts_with('-') {
        true => word(&format!("./{path}")),
        false => word(&path),
    }
}

/// Files of secrets, where the program looks for them. Some secrets may not be there: then the variable is
/// unset or empty.
pub fn secret_files(job: &Job, options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    for secret in &job.secrets {
        if let SecretKind::File(file) = &secret.kind {
            let file = path(file, options);
            let variable = &secret.variable;
            lines.push(format!(
                "[ -z \"${{{variable}:-}}\" ] || [ -e {file} ] || (umask 077 && mkdir -p \"$(dirname {file})\" && printf '%s\\n' \"${variable}\" > {file})"
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
