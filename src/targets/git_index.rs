//! What git tracks, by the index of a checkout: read when somebody first asks, and again once it changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use imgmake_core::files::Signature;

/// The index that was read last.
#[derive(Default)]
pub struct GitIndex {
    known: Mutex<Option<Known>>,
}

struct Known {
    top: PathBuf,
    signature: Option<Signature>,
    paths: Arc<TrackedPaths>,
}

/// Paths from the top of a work tree, in order.
#[derive(Default, PartialEq, Eq)]
pub struct TrackedPaths {
    paths: Vec<String>,
    /// Why nobody knows them.
    pub problem: Option<String>,
}

impl GitIndex {
    /// What git tracks in the work tree with this top.
    pub fn of(&self, top: &Path) -> Arc<TrackedPaths> {
        let index = imgmake_git::index_of(top);
        let metadata = index.and_then(|index| std::fs::metadata(index).ok());
        let signature = metadata.as_ref().map(Signature::of);
        let mut known = self.known.lock().expect("no thread panics with the index");
        if let Some(known) = known.as_ref()
            && (&known.signature, known.top.as_path()) == (&signature, top)
        {
            return Arc::clone(&known.paths);
        }
        let paths = Arc::new(TrackedPaths::of(top));
        *known = Some(Known {
            top: top.to_path_buf(),
            signature,
            paths: Arc::clone(&paths),
        });
        paths
    }
}

impl TrackedPaths {
    fn of(top: &Path) -> TrackedPaths {
        match imgmake_git::tracked_paths(top) {
            Ok(paths) => TrackedPaths {
                paths,
                problem: None,
            },
            Err(error) => TrackedPaths {
                paths: Vec::new(),
                problem: Some(error.to_string()),
            },
        }
    }

    /// Whether git tracks a path, or something below it.
    pub fn has(&self, path: &str) -> bool {
        let is_there = |path: &str| self.paths.binary_search_by(|one| one.as_str().cmp(path));
        if is_there(path).is_ok() {
            return true;
        }
        let below = format!("{path}/");
        let next = is_there(&below).unwrap_or_else(|next| next);
        if self
            .paths
            .get(next)
            .is_some_and(|one| one.starts_with(&below))
        {
            return true;
        }
        // Of a submodule, and outside of a sparse checkout, the index has directories instead of files.
        let mut slashes = path.match_indices('/');
        slashes.any(|(at, _)| is_there(&path[..=at]).is_ok())
    }
}
