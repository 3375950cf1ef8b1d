//! The files that patterns name, for a key.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;

use rustix::fs::{OFlags, Stat};

use super::super::git_ignore::{GitIgnore, Ignored};
use super::super::runner::TargetRunner;
use super::found::Found;
use super::hash::{is_directory, open_directory};
use super::walk::{Children, InputFiles, LeftOut, Wanted, found};
use imgmake_core::files::{Evidence, FileAt, ReadAs, Signature, walk_opened};
use imgmake_core::fingerprint::Inputs;
use imgmake_core::manifest::Glob;
use imgmake_core::manifest::glob::{Progress, clean, excluded, is_pattern};

/// Adds every file that the patterns name, in the order of their paths. A plain
/// name is a file or a whole directory, and must exist. What is below
/// `outputs` is left out: making a target must not make it stale; and of what no plain name names,
/// what git ignores.
///
/// Gives what tells that they are still the same, where something does.
///
/// # Errors
/// The place of the pattern, and why its files cannot be read.
pub fn add<'p>(
    runner: &TargetRunner<'_>,
    patterns: impl Iterator<Item = &'p str>,
    outputs: &[&str],
    git: Option<&GitIgnore>,
    inputs: &mut Inputs,
) -> Result<Option<Evidence>, (usize, io::Error)> {
    // Before anything is looked at.
    let evidence = match git {
        // Files elsewhere say what it ignores.
        Some(_) => None,
        None => runner.state.sightings.evidence(),
    };
    let outputs: Vec<String> = outputs.iter().map(|output| clean(output)).collect();
    let mut wanted = Vec::new();
    let mut taken_out = Vec::new();
    for (at, pattern) in patterns.enumerate() {
        match excluded(pattern) {
            None => wanted.push((at, pattern)),
            Some(pattern) => {
                let glob = Glob::new(pattern).map_err(|error| (at, invalid(&error)))?;
                taken_out.push(glob);
            }
        }
    }
    let left_out = LeftOut {
        outputs: &outputs,
        excluded: &taken_out,
        git,
    };
    let mut gathering = Gathering {
        runner,
        left_out: &left_out,
        found: Vec::new(),
        followed: HashSet::new(),
        evidence: evidence.map(Mutex::new),
    };
    for (at, pattern) in wanted {
        gathering.pattern(pattern).map_err(|error| (at, error))?;
    }
    let evidence = gathering.take_evidence();
    let mut found = gathering.found;
    // Sorted: readdir order differs between machines; keys must not.
    found.sort_unstable_by(|a, b| (&a.path, &a.hash).cmp(&(&b.path, &b.hash)));
    found.dedup_by(|a, b| (&a.path, &a.hash) == (&b.path, &b.hash));
    inputs.reserve(found.len());
    for found in found {
        if runner.recording.is_some() {
            let path = runner
                .project
                .directory
                .join(OsStr::from_bytes(&found.path));
            runner.record(path, ReadAs::Followed);
        }
        let seen = [Some(found.seen), found.behind];
        if let Some((name, hash)) = found.named() {
            inputs.file(name, hash, seen.into_iter().flatten());
        }
    }
    Ok(evidence)
}

fn invalid(error: &impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

/// A pattern may match nothing; only what cannot be read is an error.
fn nothing_there(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
        _ => Err(error),
    }
}

/// `src/*` and `src/**` take every child of `src`: by far the most common
/// patterns, and matching each name would cost more than looking at the file.
fn has_all_children(pattern: &str, root: &str) -> bool {
    let rest = match root {
        "" => Some(pattern),
        root => pattern
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/')),
    };
    matches!(rest, Some("*" | "**"))
}

struct Gathering<'a> {
    runner: &'a TargetRunner<'a>,
    left_out: &'a LeftOut<'a>,
    found: Vec<Found>,
    /// Where links led to, for one pattern: nothing is read twice, so that links in a circle end.
    followed: HashSet<Followed>,
    evidence: Option<Mutex<Evidence>>,
}

/// Where a walk begins.
struct Root<'a> {
    /// As the pattern has it, relative to the project.
    name: &'a [u8],
    /// Where a link led to, if that is in the project.
    real: Option<&'a [u8]>,
    /// Whether it is what its name leads to.
    is_followed: bool,
}

impl<'a> Root<'a> {
    fn itself(name: &'a [u8]) -> Root<'a> {
        Root {
            name,
            real: None,
            is_followed: false,
        }
    }

    fn followed(name: &'a [u8]) -> Root<'a> {
        Root {
            is_followed: true,
            ..Root::itself(name)
        }
    }
}

/// A directory that a link led to, and what of it is wanted: the same twice, and whatever changes
/// in it is seen already.
#[derive(PartialEq, Eq, Hash)]
struct Followed {
    device: u64,
    inode: u64,
    /// `None` where everything is wanted.
    wanted: Option<Progress>,
    taken_out: Vec<Progress>,
}

impl Gathering<'_> {
    fn pattern(&mut self, pattern: &str) -> io::Result<()> {
        self.followed.clear();
        if !is_pattern(pattern) {
            return self.named(&clean(pattern));
        }
        let glob = Glob::new(pattern).map_err(|error| invalid(&error))?;
        for root in glob.roots() {
            if glob.matches(&root) {
                if let Err(error) = self.named(&root) {
                    self.not_there(&root, false, &error);
                    nothing_there(error)?;
                }
                continue;
            }
            let judge = |git: &GitIgnore| git.judge(&root, || true);
            let ignored = self.left_out.git.map_or(Ignored::No, judge);
            if self.takes_out(&root) || ignored == Ignored::Yes {
                continue;
            }
            let wanted = Wanted {
                children: match has_all_children(pattern, &root) {
                    true => Children::All,
                    false => Children::Matching(&glob),
                },
                tracked: ignored == Ignored::ButTracked,
            };
            // The pattern's own words: links in them are followed.
            match open_directory(&self.runner.path(&root), OFlags::empty()) {
                Ok(directory) => {
                    let root = Root::followed(root.as_bytes());
                    self.beneath(directory, &root, wanted)?;
                }
                Err(error) => {
                    self.not_there(&root, true, &error);
                    nothing_there(error)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the manifest takes a whole directory out.
    fn takes_out(&self, name: &str) -> bool {
        let excluded = self.left_out.excluded;
        !excluded.is_empty() && self.left_out.has_above(name.as_bytes())
    }

    /// A file, or everything below a directory.
    fn named(&mut self, name: &str) -> io::Result<()> {
        // What the target makes of it counts, not what it was before.
        let is_below = |output: &String| {
            let rest = name.strip_prefix(output.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.left_out.outputs.iter().any(is_below) {
            return Ok(());
        }
        let path = self.runner.path(name);
        if self.runner.is_yet_to_be_made(&path) {
            return Ok(());
        }
        let stat = rustix::fs::lstat(&path)?;
        if self.takes_out(name) {
            // That it is there counts all the same.
            self.seen(|evidence| evidence.itself(name.as_bytes(), &Signature::of_stat(&stat)));
            return Ok(());
        }
        if is_directory(&stat) {
            let directory = open_directory(&path, OFlags::NOFOLLOW)?;
            let root = Root::itself(name.as_bytes());
            return self.beneath(directory, &root, Children::All.whole());
        }
        let file = FileAt::path(&path);
        let found = found(self.runner, name.as_bytes().to_vec(), file, &stat)?;
        if found.leads_on {
            self.follow(name.as_bytes(), Children::All)?;
        }
        self.found.push(found);
        Ok(())
    }

    fn beneath(&mut self, directory: File, root: &Root<'_>, wanted: Wanted<'_>) -> io::Result<()> {
        let children = wanted.children;
        let Root {
            name: root,
            real,
            is_followed,
        } = *root;
        let inputs = InputFiles {
            runner: self.runner,
            left_out: self.left_out,
            root,
            real,
            evidence: self.evidence.as_ref(),
            is_followed,
        };
        let cancel = &self.runner.tools.cancel;
        let found = walk_opened(directory, wanted, &inputs, cancel)?;
        let mut links: Vec<Vec<u8>> = found
            .iter()
            .filter(|found| found.leads_on)
            .map(|found| found.path.clone())
            .collect();
        self.found.extend(found);
        if !links.is_empty() {
            // A link that leads back to where the walk began leads to nothing new.
            let stat = rustix::fs::stat(self.path(root))?;
            self.is_new(root, &stat, children);
        }
        // The first by name is the one that is followed.
        links.sort_unstable();
        for link in links {
            let children = match children {
                Children::Matching(glob) if !takes(glob, &link) => children,
                _ => Children::All,
            };
            self.follow(&link, children)?;
        }
        Ok(())
    }

    /// Whether nobody has been there for what is wanted there.
    fn is_new(&mut self, path: &[u8], stat: &Stat, children: Children<'_>) -> bool {
        let path = String::from_utf8_lossy(path);
        let excluded = self.left_out.excluded.iter();
        self.followed.insert(Followed {
            device: stat.st_dev,
            inode: stat.st_ino,
            wanted: match children {
                Children::All => None,
                Children::Matching(glob) => Some(glob.progress(&path)),
            },
            taken_out: excluded.map(|glob| glob.progress(&path)).collect(),
        })
    }

    /// What a link to a directory leads to, under the link's name.
    fn follow(&mut self, link: &[u8], children: Children<'_>) -> io::Result<()> {
        let path = self.path(link);
        let opened = open_directory(&path, OFlags::empty());
        let (directory, real) = match opened.and_then(|file| Ok((file, path.canonicalize()?))) {
            Ok(opened) => opened,
            Err(error) => return nothing_there(error),
        };
        let stat = rustix::fs::fstat(&directory)?;
        let real = real.strip_prefix(&self.runner.project.directory).ok();
        let real = real.map(|path| path.as_os_str().as_bytes());
        if real.is_some_and(|real| self.left_out.has_above(real))
            || !self.is_new(link, &stat, children)
        {
            return Ok(());
        }
        let root = Root {
            name: link,
            real,
            is_followed: true,
        };
        self.beneath(directory, &root, children.whole())
    }

    fn seen(&mut self, add: impl FnOnce(&mut Evidence)) {
        if let Some(evidence) = &mut self.evidence {
            add(evidence.get_mut().expect("no thread panics with evidence"));
        }
    }

    fn not_there(&mut self, name: &str, follows: bool, error: &io::Error) {
        self.seen(|evidence| match error.kind() {
            io::ErrorKind::NotFound => evidence.absent(name.as_bytes(), follows),
            // What stands in its way is not looked at again.
            _ => evidence.void(),
        });
    }

    /// With the files that were found.
    fn take_evidence(&mut self) -> Option<Evidence> {
        let evidence = self.evidence.take()?.into_inner();
        let mut evidence = evidence.expect("no thread panics with evidence");
        for found in &self.found {
            match found.is_link {
                // What it leads to may become another.
                true => evidence.void(),
                false => evidence.itself(&found.path, &found.signature()),
            }
        }
        Some(evidence)
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.runner.project.directory.join(OsStr::from_bytes(path))
    }
}

/// Whether a pattern selects it, or a directory that it is in.
fn takes(glob: &Glob, path: &[u8]) -> bool {
    let name = String::from_utf8_lossy(path);
    let mut above = name.match_indices('/').map(|(at, _)| &name[..at]);
    above.any(|above| glob.matches(above)) || glob.matches(&name)
}
