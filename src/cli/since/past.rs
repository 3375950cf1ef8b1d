//! The manifest as a commit has it, with its includes and env-files.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::super::args::Global;
use super::super::environment::Environment;
use super::super::imported::is_compose;
use super::super::manifest_files::{DEEPEST_INCLUDE, Disk, LARGEST_MANIFEST, is_passed_over};
use super::super::project::facts;
use crate::targets::Project;
use imgmake_core::manifest::{self, Files, Glob, Manifest};
use imgmake_git::{Held, Since};

/// Links on the way to a file, as Linux counts them.
const MOST_LINKS: usize = 40;

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
            left_out: &[],
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
        let real = self.real(&self.directory.join(path))?;
        let limit = usize::try_from(LARGEST_MANIFEST).expect("a few megabytes");
        match self.since.read(&real, limit) {
            Ok(bytes) => String::from_utf8(bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.has_changed(&real) => {
                let full = self.since.top().join(&real);
                let full = full.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
                self.disk.read(full)
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

impl Past<'_> {
    fn has_changed(&self, path: &Path) -> bool {
        self.changed.iter().any(|changed| changed == path)
    }

    /// Where a file lay, from the top of the checkout: links lead where the commit has them lead, and
    /// those that git does not track, where they lead now.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let top = self.since.top();
        let mut left = reversed(path);
        let mut real = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                if !real.pop() {
                    return Err(leads_out(path));
                }
                continue;
            }
            real.push(part);
            let target = match self.since.held(&real)? {
                Some(Held::Link(target)) => target,
                Some(Held::Other) => continue,
                // It came later.
                None if self.has_changed(&real) => continue,
                None => match top.join(&real).read_link() {
                    Ok(target) => target,
                    Err(_) => continue,
                },
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(io::ErrorKind::TooManyLinks.into());
            }
            real.pop();
            let target = match target.is_absolute() {
                true => {
                    real = PathBuf::new();
                    target.strip_prefix(top).map_err(|_| leads_out(path))?
                }
                false => &target,
            };
            left.extend(reversed(target));
        }
        Ok(real)
    }
}

fn leads_out(path: &Path) -> io::Error {
    io::Error::other(format!("`{}` leads out of the checkout", path.display()))
}

/// The parts of a path that lead somewhere, the first one last.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}
