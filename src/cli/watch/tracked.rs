//! What git tracks, for targets that leave out what git ignores: a file that is added by force, or that
//! is no longer tracked, changes their inputs. The index is written by each `git status`; only another
//! list of names in it is news.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::targets::git_ignore::GitIgnore;
use crate::targets::{GitIndex, TrackedPaths};

pub struct Tracked {
    top: PathBuf,
    /// As the notices name it.
    index: PathBuf,
    read: Arc<GitIndex>,
    last: RefCell<Arc<TrackedPaths>>,
}

impl Tracked {
    /// `None` outside of a work tree, or in one whose files are not believed.
    pub fn of(project: &Path, read: &Arc<GitIndex>) -> Option<Tracked> {
        let ignore = GitIgnore::of(project, read);
        let top = ignore.work_tree()?;
        let index = imgmake_git::index_of(top)?;
        let directory = index.parent()?.canonicalize().ok()?;
        Some(Tracked {
            top: top.to_path_buf(),
            index: directory.join(index.file_name()?),
            read: Arc::clone(read),
            last: RefCell::new(read.of(top)),
        })
    }

    pub fn index(&self) -> &Path {
        &self.index
    }

    /// Whether git tracks other files than when this was last asked.
    pub fn has_changed(&self) -> bool {
        let now = self.read.of(&self.top);
        let before = self.last.replace(Arc::clone(&now));
        before != now
    }
}
