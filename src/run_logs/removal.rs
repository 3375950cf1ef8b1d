//! Removes logs that are old: those of runs, and the outputs of steps that failed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use imgmake_build::STEP_LOGS;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub files: u64,
    pub bytes: u64,
}

/// The directory may be one that the user named: what has another name is not ours, and stays.
pub fn remove(directory: &Path, younger_than: Duration) -> Removed {
    let mut removed = Removed::default();
    let now = SystemTime::now();
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        let is_ours = entry.file_name().to_str().is_some_and(is_log);
        let modified = meta.modified().unwrap_or(now);
        let is_old = now.duration_since(modified).unwrap_or_default() >= younger_than;
        let goes = is_ours && is_old && meta.is_file() && meta.uid() == user;
        if goes && fs::remove_file(entry.path()).is_ok() {
            removed.files += 1;
            removed.bytes += meta.len();
        }
    }
    removed
}

/// `run-PROJECT-TARGET-TIME.log` with hashes and a number, and what a build calls the output of a step.
fn is_log(name: &str) -> bool {
    let Some(name) = name.strip_suffix(".log") else {
        return false;
    };
    if name.starts_with(STEP_LOGS) {
        return true;
    }
    let is_hash = |part: &str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = name.split('-').collect();
    match parts[..] {
        ["run", project, target, time] => {
            let is_time = time.len() >= 13 && time.bytes().all(|b| b.is_ascii_digit());
            is_hash(project) && is_hash(target) && is_time
        }
        _ => false,
    }
}
