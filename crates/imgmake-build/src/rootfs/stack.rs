//! Unpacked layers as overlay stacks them, and the attributes that it would show wrong.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType};

use imgmake_guard::confined::{open_beneath, open_root};
use imgmake_oci::layer::split;

/// The trees of an image's layers, ready to be stacked.
pub struct Stack {
    /// Top first.
    pub lowers: Vec<PathBuf>,
    pub corrections: Vec<Correction>,
    /// The directory whose attributes the merged root has.
    pub root_like: Option<PathBuf>,
}

/// Overlay shows the attributes of the topmost directory, also where that layer says
/// nothing about it and just has files below. `like` has what is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    pub path: PathBuf,
    pub like: PathBuf,
}

pub(super) struct Unpacked {
    pub tree: PathBuf,
    pub implied: BTreeSet<Vec<u8>>,
}

/// For every directory that its topmost layer merely implies: who tells the truth.
pub(super) fn corrections(unpacked: &[Unpacked]) -> (Vec<Correction>, Option<PathBuf>) {
    let mut paths: BTreeSet<&[u8]> = BTreeSet::new();
    for layer in unpacked {
        for path in &layer.implied {
            // Ancestors too: a stub below them shows its own attributes for them.
            let mut path: &[u8] = path;
            while !path.is_empty() && paths.insert(path) {
                path = split(path).0;
            }
        }
    }
    let mut corrections = Vec::new();
    let mut needed = false;
    for path in paths {
        if let Some((like, hidden)) = truth_of(unpacked, path) {
            needed |= hidden;
            corrections.push(Correction {
                path: to_path(path),
                like,
            });
        }
    }
    if !needed {
        corrections.clear();
    }
    let root = unpacked
        .iter()
        .rev()
        .find(|u| !u.implied.contains(&Vec::new()))
        .map(|u| u.tree.join("fs"));
    (corrections, root)
}

/// The topmost tree that speaks about the directory, and whether a silent one lies
/// above it. `None` if there is no such directory, or nobody speaks.
fn truth_of(unpacked: &[Unpacked], path: &[u8]) -> Option<(PathBuf, bool)> {
    let mut hidden = false;
    let mut topmost = None;
    for layer in unpacked.iter().rev() {
        let at = layer.tree.join("fs").join(to_path(path));
        match kind_at(layer, path) {
            Some(FileType::Directory) => {}
            Some(_) => break,
            None if is_cut_off(layer, path) => break,
            None => continue,
        }
        if !layer.implied.contains(path) {
            return Some((at, hidden));
        }
        topmost.get_or_insert(at);
        hidden = true;
    }
    // Nobody speaks: the topmost silent one is as good as any.
    topmost.map(|at| (at, false))
}

/// Whether this layer hides what lower ones hold at the path: an ancestor is removed
/// or replaced there.
fn is_cut_off(layer: &Unpacked, path: &[u8]) -> bool {
    let mut path = split(path).0;
    while !path.is_empty() {
        if let Some(kind) = kind_at(layer, path) {
            return kind != FileType::Directory;
        }
        path = split(path).0;
    }
    false
}

/// What this layer itself holds at a path; a link on the way is no way, for it would be
/// followed to a directory of the host.
fn kind_at(layer: &Unpacked, path: &[u8]) -> Option<FileType> {
    let (directory, name) = split(path);
    let root = open_root(&layer.tree.join("fs")).ok()?;
    let directory = open_beneath(root, directory).ok()?;
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

fn to_path(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}
