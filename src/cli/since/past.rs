//! The manifest as a commit has it, with its includes and env-files.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::super::args::Global;
use super::super::environment::Environment;
use super::super::imported::is_compose;
use super::super::manifest_files::{DEEPEST_INCLUDE, Disk, LARGEST_MANIFEST, is_passed_over};
use super::super::project::facts;
use crate::targets::Project;
use imgmake_core::manifest::{self, Files, Glob, Manifest};
use imgmake_git::Since;

/// `None` where the commit has none, or one that is wrong today.
pub(super) fn manifest(
    global: &Global,
    environment: &Environment,
    project: &Project,
    since: &Since,
    changed: &[PathBuf],
) -> Option<Manifest> {
    let directory = project.directory.strip_prefix(since.top()).ok()?;
    let file = Path::new(&project.file).file_name()?;
    let past = Past {
        disk: Disk {
            directory: &project.directory,
        },
        directory,
        since,
        changed,
    };
    let text = past.read(file.to_str()?).ok()?;
    // What a Compose file is made of lies in more files.
    if is_compose(&project.file) {
        return None;
    }
    // What git says of the checkout is the same for both: a commit alone touches nothing.
    let facts = facts(global, environment, &project.directory, &text).ok()?;
    manifest::load_project(&project.file, &text, &facts, &past)
        .0
        .ok()
        .map(|(manifest, _)| manifest)
}

/// Files of a commit; of what git does not track, those that are here.
struct Past<'a> {
    disk: Disk<'a>,
    /// Of the manifest, from the top of the checkout.
    directory: &'a Path,
    since: &'a Since,
    changed: &'a [PathBuf],
}

impl Files for Past<'_> {
    fn read(&self, path: &str) -> io::Result<String> {
        let full = normal(&self.directory.join(path));
        let limit = usize::try_from(LARGEST_MANIFEST).expect("a few megabytes");
        match self.since.read(&full, limit) {
            Ok(bytes) => String::from_utf8(bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.changed.contains(&full) {
                    true => Err(error),
                    false => self.disk.read(path),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn matching(&self, pattern: &Glob) -> io::Result<Vec<String>> {
        let names = self.since.names(self.directory);
        let wanted = names.filter_map(|path| {
            let name = path.to_str()?;
            let mut above = path.parent()?.components();
            let is_seen = path.components().count() <= DEEPEST_INCLUDE + 1
                && !above.any(|part| is_passed_over(part.as_os_str()));
            (is_seen && pattern.matches(name)).then(|| name.to_string())
        });
        Ok(wanted.collect())
    }
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.into_iter().collect()
}
