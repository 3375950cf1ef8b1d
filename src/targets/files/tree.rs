//! The content of a whole tree: what a `run` target's output is compared by.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use rustix::fs::{OFlags, Stat};

use super::super::runner::TargetRunner;
use super::hash::{self, is_directory, open_directory};
use super::walk::joined;
use imgmake_core::files::{
    Entry, Evidence, FileAt, Signature, Visited, Visitor, base_name, tree_order, walk_opened,
};
use imgmake_core::fingerprint::LengthPrefixedHasher;

/// Of a path in the project.
///
/// # Errors
/// Something of it cannot be read, such as because it is not there.
pub fn tree_hash(runner: &TargetRunner<'_>, written: &str) -> io::Result<[u8; 32]> {
    const NO_CONTEXT: [u8; 32] = [0; 32];
    let sightings = &runner.state.sightings;
    let name = [b"output ", written.as_bytes()].concat();
    if let Some(hash) = sightings.hash(&name, &NO_CONTEXT, &runner.tools.cancel) {
        return Ok(hash);
    }
    let mut evidence = sightings.evidence();
    let hash = read_hash(runner, written, &mut evidence)?;
    if let Some(evidence) = evidence {
        sightings.learn(&name, &NO_CONTEXT, &hash, &evidence);
    }
    Ok(hash)
}

fn read_hash(
    runner: &TargetRunner<'_>,
    written: &str,
    evidence: &mut Option<Evidence>,
) -> io::Result<[u8; 32]> {
    let path = &runner.path(written);
    let mut hasher = LengthPrefixedHasher::new();
    let stat = rustix::fs::lstat(path)?;
    if !is_directory(&stat) {
        let entry = hash::entry(runner, FileAt::path(path), &stat)?;
        if let Some(evidence) = evidence {
            add(evidence, written.as_bytes(), &stat, &entry);
        }
        hasher.bytes(&entry.hash);
        return Ok(hasher.finish());
    }
    let directory = open_directory(path, OFlags::NOFOLLOW)?;
    let cancel = &runner.tools.cancel;
    let files = OutputFiles {
        runner,
        root: written.as_bytes(),
        evidence: evidence.take().map(Mutex::new),
    };
    let mut found = walk_opened(directory, (), &files, cancel)?;
    let taken = files.evidence.map(Mutex::into_inner);
    *evidence = taken.map(|evidence| evidence.expect("no thread panics with evidence"));
    found.sort_unstable_by(|a, b| tree_order(&a.path, &b.path));
    hasher.bytes(b"directory");
    let mut depth = 0;
    for OutputFile { path, hash } in &found {
        let above = path.iter().filter(|b| **b == b'/').count();
        end_directories(&mut hasher, depth - above);
        depth = above;
        hasher.bytes(base_name(path));
        match hash {
            Some(hash) => hasher.bytes(hash),
            None => {
                depth += 1;
                hasher.bytes(b"directory")
            }
        };
    }
    end_directories(&mut hasher, depth + 1);
    Ok(hasher.finish())
}

fn add(evidence: &mut Evidence, path: &[u8], stat: &Stat, entry: &hash::Entry) {
    match entry.is_link {
        // What it leads to may become another.
        true => evidence.void(),
        false => evidence.itself(path, &Signature::of_stat(stat)),
    }
}

fn end_directories(hasher: &mut LengthPrefixedHasher, count: usize) {
    for _ in 0..count {
        hasher.bytes(b"end");
    }
}

/// Hashes all that is in an output.
struct OutputFiles<'a> {
    runner: &'a TargetRunner<'a>,
    root: &'a [u8],
    evidence: Option<Mutex<Evidence>>,
}

impl OutputFiles<'_> {
    fn with_evidence(&self, change: impl FnOnce(&mut Evidence)) {
        if let Some(evidence) = &self.evidence {
            change(&mut evidence.lock().expect("no thread panics with evidence"));
        }
    }
}

struct OutputFile {
    path: Vec<u8>,
    /// `None` of a directory.
    hash: Option<[u8; 32]>,
}

impl Visitor for OutputFiles<'_> {
    type Found = OutputFile;
    type State = ();
    type Error = io::Error;

    fn visit(&self, entry: &Entry<'_>, (): &()) -> io::Result<Visited<OutputFile, ()>> {
        let stat = entry.file().stat()?;
        let enter = is_directory(&stat).then_some(());
        let hash = match enter {
            Some(()) => None,
            None => {
                let hashed = hash::entry(self.runner, entry.file(), &stat)?;
                let path = || joined(self.root, &entry.path);
                self.with_evidence(|evidence| add(evidence, &path(), &stat, &hashed));
                Some(hashed.hash)
            }
        };
        let path = entry.path.clone();
        Ok(Visited {
            found: Some(OutputFile { path, hash }),
            enter,
        })
    }

    /// Before its names are read: one that comes meanwhile makes it another.
    fn listing(&self, directory: &[u8], opened: BorrowedFd<'_>) {
        self.with_evidence(|evidence| match rustix::fs::fstat(opened) {
            Err(_) => evidence.void(),
            Ok(stat) => {
                let signature = Signature::of_stat(&stat);
                match directory {
                    b"" => evidence.itself(self.root, &signature),
                    directory => evidence.itself(&joined(self.root, directory), &signature),
                }
            }
        });
    }

    fn unlisted(&self, _: &[u8], error: io::Error) -> io::Error {
        error
    }
}
