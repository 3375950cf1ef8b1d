//! Which files the keys of targets are made of, told by whoever reads them: so many have to be on another machine
//! for the same keys there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a file a key depends on; what comes later includes what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadAs {
    /// Its metadata and the hash of its content. A link is its text.
    Itself,
    /// The same, and what a link leads to.
    Followed,
    /// Its bytes are read to make the key.
    Text,
    /// A directory with everything that it contains, whose bytes are read.
    Tree,
}

/// Files that are read, by absolute path. One that does not exist may be among them.
#[derive(Clone, Debug, Default)]
pub struct ReadFiles(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What targets write: whoever has the targets makes it.
    outputs: Vec<PathBuf>,
    found: Mutex<BTreeMap<PathBuf, ReadAs>>,
}

impl ReadFiles {
    /// Without what is beneath these paths.
    pub fn except(outputs: Vec<PathBuf>) -> ReadFiles {
        ReadFiles(Arc::new(Inner {
            outputs,
            found: Mutex::default(),
        }))
    }

    pub fn add(&self, path: impl Into<PathBuf>, how: ReadAs) {
        let path = path.into();
        if self.is_output(&path) {
            return;
        }
        let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.entry(path).or_insert(how);
        *known = how.max(*known);
    }

    /// Whether a target writes it.
    pub fn is_output(&self, path: &Path) -> bool {
        self.0.outputs.iter().any(|output| path.starts_with(output))
    }

    /// Whether a target writes something beneath a directory.
    pub fn has_output_beneath(&self, directory: &Path) -> bool {
        let mut outputs = self.0.outputs.iter();
        outputs.any(|output| output.starts_with(directory))
    }

    /// What was found so far.
    pub fn found(&self) -> BTreeMap<PathBuf, ReadAs> {
        let found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_way_counts_and_outputs_never_do() {
        let read = ReadFiles::except(vec![PathBuf::from("/p/dist")]);
        read.add("/p/a", ReadAs::Text);
        read.add("/p/a", ReadAs::Itself);
        read.add("/p/dist/app.js", ReadAs::Followed);
        read.add("/p/distant", ReadAs::Itself);
        read.clone().add("/p/distant", ReadAs::Followed);
        let found: Vec<_> = read.found().into_iter().collect();
        assert_eq!(
            found,
            [
                (PathBuf::from("/p/a"), ReadAs::Text),
                (PathBuf::from("/p/distant"), ReadAs::Followed),
            ]
        );
        assert!(read.has_output_beneath(Path::new("/p")));
        assert!(!read.has_output_beneath(Path::new("/p/src")));
    }
}
