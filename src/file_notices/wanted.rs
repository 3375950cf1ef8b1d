//! What somebody wants to hear of.

use std::path::Path;

/// Judges paths, for whoever watches.
pub trait Wanted {
    /// Whether a change there is news.
    fn counts(&self, path: &Path) -> bool;

    /// Whether a directory is watched that lies in a tree.
    fn enters(&self, directory: &Path) -> bool;
}

/// Whether the watch of a tree goes on to a directory in it, or to itself.
pub fn is_entered(tree: &Path, directory: &Path, wanted: &dyn Wanted) -> bool {
    let within = directory.ancestors().take_while(|above| *above != tree);
    within.into_iter().all(|above| wanted.enters(above))
}
