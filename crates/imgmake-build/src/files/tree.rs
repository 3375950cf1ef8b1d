//! What a COPY may read: a tree of files that can be asked by path. Two kinds exist, a context
//! directory (`files::context`) and the merged tree of some layers; both answer with metadata only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{BuildError, Result};
use imgmake_core::files::Signature;
use imgmake_oci::layer::{EntryKind, Index, IndexEntry, Timestamp, View};

/// A file of a source tree. Paths have the form of `layer::Entry::path`.
#[derive(Clone, Debug)]
pub struct Node {
    pub path: Vec<u8>,
    /// Never a hard link: those are told by `identity`.
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Nodes with equal identity are names of one file; `None` when there is only one name.
    pub identity: Option<Vec<u8>>,
    /// blake3 of the content, where the tree knows it already.
    pub content: Option<[u8; 32]>,
    /// Of a regular file on this machine: what it was when it was found.
    pub stat: Option<Signature>,
}

impl Node {
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

pub trait Tree: Sync {
    /// Without following links; `None` when it is not there, or hidden.
    fn get(&self, path: &[u8]) -> Result<Option<Node>>;
    /// Follows every link inside the tree, the last component's too; never leaves it.
    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>>;
    /// What is directly in a directory, sorted by name.
    fn children(&self, directory: &[u8]) -> Result<Vec<Node>>;
    /// Everything beneath a directory, sorted by path, without the directory itself.
    fn walk(&self, directory: &[u8]) -> Result<Vec<Node>>;
    /// The same with what an ignore file hides; `None` where nothing is hidden.
    fn unfiltered(&self) -> Option<Box<dyn Tree>> {
        None
    }
    /// What a person should know when a source is missing.
    fn hint(&self, path: &[u8]) -> Option<String>;
}

/// The merged tree of layers.
pub struct LayerTree {
    view: View,
    /// What the tree is called in messages: `stage build`, `image debian:12`.
    name: String,
    /// Files with several names -> what tells which file it is.
    identities: HashMap<Vec<u8>, Vec<u8>>,
}

impl LayerTree {
    /// `layers` are the indexes that `view` was made from, bottom first.
    pub fn new(view: View, layers: &[Arc<Index>], name: String) -> LayerTree {
        let mut identities: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for (number, layer) in layers.iter().enumerate() {
            for found in &layer.entries {
                identities.remove(&found.entry.path);
            }
            for found in &layer.entries {
                if let EntryKind::HardLink { target } = &found.entry.kind {
                    let file = identities
                        .entry(target.clone())
                        .or_insert_with(|| [number.to_string().as_bytes(), b"/", target].concat())
                        .clone();
                    identities.insert(found.entry.path.clone(), file);
                }
            }
        }
        LayerTree {
            view,
            name,
            identities,
        }
    }

    fn node(&self, path: &[u8], found: &IndexEntry) -> Node {
        let entry = &found.entry;
        let identity = self.identities.get(path).cloned();
        Node {
            path: path.to_vec(),
            kind: entry.kind.clone(),
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs.clone(),
            identity,
            content: found.content,
            stat: None,
        }
    }
}

impl Tree for LayerTree {
    fn get(&self, path: &[u8]) -> Result<Option<Node>> {
        if path.is_empty() {
            return Ok(Some(root()));
        }
        Ok(self.view.get(path).map(|found| self.node(path, found)))
    }

    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        resolve(path, true, |p| {
            Ok(match self.view.get(p).map(|e| &e.entry.kind) {
                Some(EntryKind::Symlink { target }) => Some(target.clone()),
                _ => None,
            })
        })
    }

    fn children(&self, directory: &[u8]) -> Result<Vec<Node>> {
        let paths = self.view.children(directory).into_iter();
        Ok(paths
            .map(|name| join(directory, &name))
            .filter_map(|path| self.view.get(&path).map(|found| self.node(&path, found)))
            .collect())
    }

    fn walk(&self, directory: &[u8]) -> Result<Vec<Node>> {
        Ok(self
            .view
            .walk(directory)
            .filter(|found| found.entry.path.len() > directory.len())
            .map(|found| self.node(&found.entry.path, found))
            .collect())
    }

    fn hint(&self, path: &[u8]) -> Option<String> {
        let mut missing = path;
        while !parent(missing).is_empty() && self.view.get(parent(missing)).is_none() {
            missing = parent(missing);
        }
        let siblings = self.view.children(parent(missing));
        Some(match similar(missing, &siblings) {
            Some(meant) => format!("it is not in {}, but `/{}` is", self.name, show(&meant)),
            None => format!("it is not in {}", self.name),
        })
    }
}

/// The path beside `path` that was probably meant.
pub fn similar(path: &[u8], siblings: &[Vec<u8>]) -> Option<Vec<u8>> {
    let names: Vec<&str> = siblings
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok())
        .collect();
    let wanted = std::str::from_utf8(base_name(path)).ok()?;
    let otherwise_cased = names.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    let meant = match otherwise_cased {
        Some(name) => name,
        None => imgmake_dockerfile::nearest(wanted, names.iter().copied())?,
    };
    Some(join(parent(path), meant.as_bytes()))
}

/// The root of a tree, which layers often do not mention.
pub fn root() -> Node {
    Node {
        path: Vec::new(),
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        xattrs: BTreeMap::new(),
        identity: None,
        content: None,
        stat: None,
    }
}

/// Walks a path as the kernel would inside a chroot: `..` at the root stays there, absolute links begin at the root.
/// `link_at` gives the target of a symlink; what does not exist is taken as it stands.
pub fn resolve(
    path: &[u8],
    follow_last: bool,
    link_at: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<u8>> {
    const MOST_LINKS: usize = 255;
    let mut resolved: Vec<u8> = Vec::new();
    let mut todo: Vec<Vec<u8>> = components(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == b".." {
            resolved.truncate(resolved.iter().rposition(|b| *b == b'/').unwrap_or(0));
            continue;
        }
        let candidate = join(&resolved, &part);
        let follow = follow_last || !todo.is_empty();
        match if follow { link_at(&candidate)? } else { None } {
            Some(target) => {
                links += 1;
                if links > MOST_LINKS {
                    let what = format!("symbolic links on the way to `/{}`", show(path));
                    return Err(BuildError::limit(what, MOST_LINKS, ""));
                }
                if target.first() == Some(&b'/') {
                    resolved.clear();
                }
                todo.extend(components(&target));
            }
            None => resolved = candidate,
        }
    }
    Ok(resolved)
}

/// Last first, so that they can be popped.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

pub fn parent(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|b| *b == b'/').unwrap_or(0)]
}

pub fn base_name(path: &[u8]) -> &[u8] {
    &path[path.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1)..]
}

/// A path for people.
pub fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Relative and cleaned: `/a/./b/../c/` is `a/c`. `..` never climbs over the root.
pub fn relative(path: &str) -> Vec<u8> {
    let cleaned = super::patterns::clean(format!("/{path}").as_bytes());
    cleaned[1..].to_vec()
}
