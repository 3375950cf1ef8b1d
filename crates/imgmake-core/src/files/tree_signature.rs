//! Whether a file or a tree is still the one that was written, by what `stat` says alone.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::{Entry, Signature, Visited, Visitor, tree_order, walk_opened};
use crate::fingerprint::LengthPrefixedHasher;
use imgmake_event::Cancel;

/// Signs a file, or a directory with everything below it. A path that is a link stands for what it
/// leads to, as it does for whoever reads it; links below are signed as links.
///
/// # Errors
/// Something cannot be read, such as because it is gone; somebody cancelled.
pub fn tree_signature(path: &Path, cancel: &Cancel) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        hasher.bytes(&Signature::of_stat(&stat).bytes());
        return Ok(hasher.finish());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())?;
    let mut signed = walk_opened(root, (), &Signing, cancel)?;
    signed.sort_unstable_by(|(a, _), (b, _)| tree_order(a, b));
    let mut lengths: HashMap<&[u8], u64> = HashMap::new();
    for (path, _) in &signed {
        *lengths.entry(split(path).0).or_default() += 1;
    }
    let length = |directory: &[u8]| lengths.get(directory).copied().unwrap_or(0).to_le_bytes();
    hasher.bytes(&length(b""));
    for (path, signature) in &signed {
        hasher.bytes(split(path).1);
        match signature {
            Some(signature) => hasher.bytes(&signature.bytes()),
            None => hasher.bytes(&length(path)),
        };
    }
    Ok(hasher.finish())
}

/// The directory and the name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

struct Signing;

impl Visitor for Signing {
    /// `None` of a directory, which is signed by what is in it.
    type Found = (Vec<u8>, Option<Signature>);
    type State = ();
    type Error = io::Error;

    fn visit(&self, entry: &Entry<'_>, (): &()) -> io::Result<Visited<Self::Found, ()>> {
        let stat = entry.file().stat()?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let signature = (!is_directory).then(|| Signature::of_stat(&stat));
        Ok(Visited {
            found: Some((entry.path.clone(), signature)),
            enter: is_directory.then_some(()),
        })
    }

    fn unlisted(&self, _: &[u8], error: io::Error) -> io::Error {
        error
    }
}
