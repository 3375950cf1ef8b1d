//! The content of a whole tree: what a `run` target's output is compared by.

use std::io;
use std::path::Path;

use rustix::fs::OFlags;

use super::super::runner::TargetRunner;
use super::hash::{self, is_directory, open_directory};
use imgmake_core::files::{Entry, FileAt, Visited, Visitor, base_name, tree_order, walk_opened};
use imgmake_core::fingerprint::LengthPrefixedHasher;

/// # Errors
/// Something of it cannot be read, such as because it is not there.
pub fn tree_hash(runner: &TargetRunner<'_>, path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    let stat = rustix::fs::lstat(path)?;
    if !is_directory(&stat) {
        hasher.bytes(&hash::entry(runner, FileAt::path(path), &stat)?.hash);
        return Ok(hasher.finish());
    }
    let directory = open_directory(path, OFlags::NOFOLLOW)?;
    let cancel = &runner.tools.cancel;
    let mut found = walk_opened(directory, (), &OutputFiles { runner }, cancel)?;
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

fn end_directories(hasher: &mut LengthPrefixedHasher, count: usize) {
    for _ in 0..count {
        hasher.bytes(b"end");
    }
}

/// Hashes all that is in an output.
struct OutputFiles<'a> {
    runner: &'a TargetRunner<'a>,
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
            None => Some(hash::entry(self.runner, entry.file(), &stat)?.hash),
        };
        let path = entry.path.clone();
        Ok(Visited {
            found: Some(OutputFile { path, hash }),
            enter,
        })
    }

    fn unlisted(&self, _: &[u8], error: io::Error) -> io::Error {
        error
    }
}
