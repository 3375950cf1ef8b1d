//! Input files beneath one directory.

use std::borrow::Cow;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use rustix::fs::Stat;

use super::super::failure::plain;
use super::super::git_ignore::{GitIgnore, Ignored};
use super::super::runner::TargetRunner;
use super::found::Found;
use super::hash::{self, is_directory};
use imgmake_core::files::{Entry, Evidence, FileAt, Signature, Visited, Visitor, base_name};
use imgmake_core::fingerprint::Seen;
use imgmake_core::manifest::Glob;
use imgmake_event::Cancelled;

/// Which entries of a directory are wanted.
#[derive(Clone, Copy)]
pub enum Children<'g> {
    All,
    Matching(&'g Glob),
}

impl<'g> Children<'g> {
    /// Of a directory that git does not ignore.
    pub fn whole(self) -> Wanted<'g> {
        Wanted {
            children: self,
            tracked: false,
        }
    }
}

/// What is wanted of one directory.
#[derive(Clone, Copy)]
pub struct Wanted<'g> {
    pub children: Children<'g>,
    /// Git ignores the directory, and tracks something in it.
    pub tracked: bool,
}

/// What never counts: outputs of this target and of those after it, the project's state, git's own
/// files, and what the manifest takes out.
pub struct LeftOut<'a> {
    pub outputs: &'a [String],
    pub excluded: &'a [Glob],
    pub git: Option<&'a GitIgnore>,
}

impl LeftOut<'_> {
    pub fn has(&self, path: &[u8]) -> bool {
        if base_name(path) == b".git" {
            return true;
        }
        let is = |name: &str| name.as_bytes() == path;
        is(imgmake_core::state::DIRECTORY)
            || self.outputs.iter().any(|output| is(output))
            || self.takes_out(path)
    }

    /// The same of the directories above it.
    pub fn has_above(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes.into_iter().any(|(at, _)| self.has(&path[..at])) || self.has(path)
    }

    fn takes_out(&self, path: &[u8]) -> bool {
        !self.excluded.is_empty() && {
            let name = text(path);
            self.excluded.iter().any(|glob| glob.matches(&name))
        }
    }
}

/// Patterns are texts: odd bytes of a name are one character to them.
fn text(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

/// Looks for input files beneath `root`.
pub struct InputFiles<'a> {
    pub runner: &'a TargetRunner<'a>,
    pub left_out: &'a LeftOut<'a>,
    /// As the pattern has it, relative to the project.
    pub root: &'a [u8],
    /// Where a link led to, if that is in the project.
    pub real: Option<&'a [u8]>,
    /// What was listed, and whether something else counts.
    pub evidence: Option<&'a Mutex<Evidence>>,
    /// Whether `root` is what its name leads to.
    pub is_followed: bool,
}

impl InputFiles<'_> {
    fn with_evidence(&self, change: impl FnOnce(&mut Evidence)) {
        if let Some(evidence) = self.evidence {
            change(&mut evidence.lock().expect("no thread panics with evidence"));
        }
    }

    /// The entry's path, and whether of what is in it only what git tracks counts; `None` for what
    /// never counts.
    fn path_of(&self, entry: &Entry<'_>, tracked: bool) -> Option<(Vec<u8>, bool)> {
        let path = joined(self.root, &entry.path);
        let is_left_out = self.left_out.has(&path)
            || self
                .real
                .is_some_and(|real| self.left_out.has(&joined(real, &entry.path)));
        let is_directory = || entry.is_directory().unwrap_or(false);
        if is_left_out {
            return None;
        }
        let judge = |git: &GitIgnore| match tracked {
            true if git.tracks(&text(&path)) => Ignored::ButTracked,
            true => Ignored::Yes,
            false => git.judge_itself(&text(&path), is_directory),
        };
        match self.left_out.git.map_or(Ignored::No, judge) {
            Ignored::No => Some((path, false)),
            Ignored::ButTracked => Some((path, true)),
            Ignored::Yes => None,
        }
    }
}

/// An entry that is no directory.
///
/// # Errors
/// It cannot be read.
pub fn found(
    runner: &TargetRunner<'_>,
    path: Vec<u8>,
    file: FileAt<'_>,
    stat: &Stat,
) -> io::Result<Found> {
    let hashed = hash::entry(runner, file, stat);
    let hash::Entry {
        hash,
        is_link,
        behind,
    } = hashed.map_err(|error| of_file(&path, error))?;
    let leads_on = behind.as_ref().is_some_and(is_directory);
    Ok(Found {
        path,
        hash: Some(hash),
        seen: seen(stat),
        is_link,
        leads_on,
        // A directory changes with whatever is made in it; what counts of that is found there.
        behind: behind.filter(|_| !leads_on).as_ref().map(seen),
    })
}

fn seen(stat: &Stat) -> Seen {
    let signature = Signature::of_stat(stat);
    Seen {
        identity: [signature.device, signature.inode, signature.size],
        modified: signature.mtime,
        changed: signature.ctime,
        links: i64::try_from(stat.st_nlink).unwrap_or(i64::MAX),
    }
}

pub fn joined(root: &[u8], path: &[u8]) -> Vec<u8> {
    match root {
        b"" => path.to_vec(),
        root => [root, b"/", path].concat(),
    }
}

impl<'a> Visitor for InputFiles<'a> {
    type Found = Found;
    type State = Wanted<'a>;
    type Error = io::Error;

    fn visit(
        &self,
        entry: &Entry<'_>,
        wanted: &Wanted<'a>,
    ) -> io::Result<Visited<Found, Wanted<'a>>> {
        let Some((path, tracked)) = self.path_of(entry, wanted.tracked) else {
            return Ok(Visited::skipped());
        };
        let children = wanted.children;
        if let Children::Matching(glob) = children
            && let name = text(&path)
            && !glob.matches(&name)
        {
            if !glob.may_match_under(&name) {
                return Ok(Visited::skipped());
            }
            if entry.is_directory()? {
                return Ok(Visited {
                    found: None,
                    enter: Some(Wanted { children, tracked }),
                });
            }
            if entry.may_be_link() {
                // It may lead to a directory some day.
                self.with_evidence(Evidence::void);
            }
            return Ok(Visited {
                found: way(entry, path),
                enter: None,
            });
        }
        let stat = entry.file().stat();
        let stat = stat.map_err(|error| of_file(&path, error))?;
        if is_directory(&stat) {
            return Ok(Visited {
                found: None,
                enter: Some(Wanted {
                    children: Children::All,
                    tracked,
                }),
            });
        }
        Ok(Visited {
            found: Some(found(self.runner, path, entry.file(), &stat)?),
            enter: None,
        })
    }

    /// Before its names are read: one that comes meanwhile makes it another.
    fn listing(&self, directory: &[u8], opened: BorrowedFd<'_>) {
        self.with_evidence(|evidence| {
            let Ok(stat) = rustix::fs::fstat(opened) else {
                return evidence.void();
            };
            let signature = Signature::of_stat(&stat);
            match directory {
                b"" if self.is_followed => evidence.followed(self.root, &signature),
                b"" => evidence.itself(self.root, &signature),
                directory => evidence.itself(&joined(self.root, directory), &signature),
            }
        });
    }

    fn unlisted(&self, directory: &[u8], error: io::Error) -> io::Error {
        of_file(&joined(self.root, directory), error)
    }
}

/// A pattern alone does not say which file it is.
fn of_file(path: &[u8], error: io::Error) -> io::Error {
    if Cancelled::ended(&error) {
        return error;
    }
    let text = format!("`{}`: {}", text(path), plain(&error));
    io::Error::new(error.kind(), text)
}

/// A link to a directory in which something may match.
fn way(entry: &Entry<'_>, path: Vec<u8>) -> Option<Found> {
    if !entry.may_be_link() {
        return None;
    }
    let stat = entry.file().stat_followed().ok()?;
    is_directory(&stat).then(|| Found {
        path,
        hash: None,
        seen: seen(&stat),
        is_link: true,
        behind: None,
        leads_on: true,
    })
}
