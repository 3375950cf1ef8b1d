//! The merged tree that layers give, from their indexes alone.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::{OciError, Result};

use super::entry::{Entry, EntryKind, join, push, split};
use super::index::{Index, IndexEntry};
use super::whiteout::Whiteout;
use imgmake_guard::confined::check_length;

/// Linux allows 40; images are resolved as Go's securejoin does.
const MOST_LINKS: usize = 255;

/// The merged tree that layers give, bottom first, whiteouts and opaque directories applied; metadata only.
///
/// Directories that a layer implies without naming them (`a` for `a/b`) are there,
/// as 0755 of 0:0; only the root may be unnamed. Cloning costs nothing until one
/// of the two is pushed to.
#[derive(Clone, Default)]
pub struct View {
    nodes: Arc<BTreeSet<Node>>,
}

/// An entry, ordered by its path.
#[derive(Clone)]
struct Node(Arc<IndexEntry>);

impl Borrow<[u8]> for Node {
    fn borrow(&self) -> &[u8] {
        &self.0.entry.path
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.0.entry.path == other.0.entry.path
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Node) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Node) -> std::cmp::Ordering {
        self.0.entry.path.cmp(&other.0.entry.path)
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowLast {
    Yes,
    No,
}

impl View {
    pub fn new(layers: &[Arc<Index>]) -> View {
        let mut view = View::default();
        for layer in layers {
            view.push(layer);
        }
        view
    }

    /// Puts one more layer on top.
    pub fn push(&mut self, layer: &Index) {
        // Before anything is removed: a hard link may name a file that this layer hides.
        let entries: Vec<IndexEntry> = layer
            .entries
            .iter()
            .filter(|e| Whiteout::parse(&e.entry.path).is_none())
            .map(|e| self.without_hard_link(layer, e))
            .collect();
        for entry in &layer.entries {
            match Whiteout::parse(&entry.entry.path) {
                Some(Whiteout::Removes(path)) if self.becomes_directory(layer, split(&path).0) => {}
                Some(Whiteout::Opaque(path)) if self.becomes_directory(layer, &path) => {}
                Some(Whiteout::Removes(path)) => {
                    let path = self.place(&path);
                    self.remove_beneath(&path);
                    self.nodes_mut().remove(path.as_slice());
                }
                Some(Whiteout::Opaque(path)) => {
                    let path = self.place(&path);
                    self.remove_beneath(&path);
                }
                Some(Whiteout::Reserved) | None => {}
            }
        }
        let mut parent = None;
        for entry in entries {
            self.insert(entry, &mut parent);
        }
    }

    /// Whether a layer puts a directory of its own in the place of a link, at a path or on
    /// the way to it: what it removes there is not where the link led.
    fn becomes_directory(&self, layer: &Index, mut path: &[u8]) -> bool {
        let is_link = |e: &IndexEntry| matches!(e.entry.kind, EntryKind::Symlink { .. });
        let is_directory = |e: &IndexEntry| e.entry.is_directory();
        while !path.is_empty() {
            if self.get(path).is_some_and(is_link) && layer.get(path).is_some_and(is_directory) {
                return true;
            }
            path = split(path).0;
        }
        false
    }

    /// Without following links. A hard link is answered as the file that it names (path kept).
    pub fn get(&self, path: &[u8]) -> Option<&IndexEntry> {
        self.nodes.get(path).map(|node| &*node.0)
    }

    /// Follows every symlink on the way, absolute ones from the root, never leaving it; the last component too if `last`.
    /// Components that do not exist are taken as they are (as in a path about to be created). Errors on loops (> 255).
    pub fn resolve(&self, path: &[u8], last: FollowLast) -> Result<Vec<u8>> {
        let mut links = 0;
        let mut resolved = Vec::with_capacity(path.len());
        // Components still to be walked, the next one last.
        let mut ahead: Vec<&[u8]> = path.rsplit(|b| *b == b'/').filter(named).collect();
        while let Some(component) = ahead.pop() {
            if component == b".." {
                resolved.truncate(split(&resolved).0.len());
                continue;
            }
            let parent = resolved.len();
            push(&mut resolved, component);
            // Links can make a path of any length from short ones.
            check_length(&resolved)?;
            if ahead.is_empty() && last == FollowLast::No {
                break;
            }
            if let Some(IndexEntry { entry, .. }) = self.get(&resolved)
                && let EntryKind::Symlink { target } = &entry.kind
            {
                links += 1;
                if links > MOST_LINKS {
                    let shown = String::from_utf8_lossy(path);
                    return Err(OciError::limit(
                        format!("symbolic links on the way to `{shown}`"),
                        MOST_LINKS,
                    ));
                }
                let start = if target.starts_with(b"/") { 0 } else { parent };
                resolved.truncate(start);
                ahead.extend(target.rsplit(|b| *b == b'/').filter(named));
            }
        }
        Ok(resolved)
    }

    /// Names of direct children, sorted.
    pub fn children(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let prefix = beneath(path);
        let mut names = Vec::new();
        let mut from = Bound::Excluded(prefix.clone());
        while let Some(found) = self.first_from(&from)
            && let Some(rest) = found.strip_prefix(prefix.as_slice())
        {
            if let Some(slash) = rest.iter().position(|b| *b == b'/') {
                // Over the whole subtree: `0` follows `/`.
                from = Bound::Included([&prefix, &rest[..slash], b"0"].concat());
            } else {
                names.push(rest.to_vec());
                from = Bound::Excluded(found.to_vec());
            }
        }
        names
    }

    /// Every entry at or under `path`, sorted by path.
    pub fn walk<'a>(&'a self, path: &[u8]) -> Box<dyn Iterator<Item = &'a IndexEntry> + 'a> {
        let prefix = beneath(path);
        let under = self
            .nodes
            .range::<[u8], _>((Bound::Excluded(prefix.as_slice()), Bound::Unbounded))
            .map(|node| &*node.0)
            .take_while(move |e| e.entry.path.starts_with(&prefix));
        Box::new(self.get(path).into_iter().chain(under))
    }

    /// How many entries the tree has.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn nodes_mut(&mut self) -> &mut BTreeSet<Node> {
        Arc::make_mut(&mut self.nodes)
    }

    fn first_from(&self, from: &Bound<Vec<u8>>) -> Option<&[u8]> {
        let from = from.as_ref().map(Vec::as_slice);
        let mut range = self.nodes.range::<[u8], _>((from, Bound::Unbounded));
        range.next().map(Borrow::borrow)
    }

    /// The entry itself, or for a hard link the file it names, in this layer or one below.
    fn without_hard_link(&self, layer: &Index, entry: &IndexEntry) -> IndexEntry {
        let mut found = entry;
        // A link may name a link; more steps than a few are a loop.
        for _ in 0..MOST_LINKS {
            let EntryKind::HardLink { target } = &found.entry.kind else {
                break;
            };
            match layer.get(target).or_else(|| self.get(target)) {
                Some(target) => found = target,
                None => break,
            }
        }
        let mut resolved = found.clone();
        resolved.entry.path.clone_from(&entry.entry.path);
        resolved
    }

    /// `parent` remembers the last directory known to exist: entries come in order.
    fn insert(&mut self, mut new: IndexEntry, parent: &mut Option<Vec<u8>>) {
        let directory = split(&new.entry.path).0;
        if parent.as_deref() != Some(directory) {
            let placed = self.place(&new.entry.path);
            self.imply(split(&placed).0);
            *parent = (placed == new.entry.path).then(|| directory.to_vec());
            new.entry.path = placed;
        }
        let node = Node(Arc::new(new));
        let before = self.nodes_mut().replace(node.clone());
        let was_directory = before.is_some_and(|before| before.0.entry.is_directory());
        if was_directory && !node.0.entry.is_directory() {
            self.remove_beneath(&node.0.entry.path);
            // It might be the one remembered.
            *parent = None;
        }
    }

    /// Where a path of an upper layer lands: a link that stands for its parent is followed, as when unpacked.
    fn place(&self, path: &[u8]) -> Vec<u8> {
        let (directory, name) = split(path);
        match self.get(directory) {
            Some(parent) if parent.entry.is_directory() => path.to_vec(),
            None if directory.is_empty() => path.to_vec(),
            // In a loop of links it stays where it was named.
            _ => match self.resolve(directory, FollowLast::Yes) {
                Ok(directory) => join(&directory, name),
                Err(_) => path.to_vec(),
            },
        }
    }

    /// Sees to it that a directory stands at `path` and at all its parents.
    fn imply(&mut self, path: &[u8]) {
        let known = |e: &IndexEntry| e.entry.is_directory();
        let mut missing = Vec::new();
        let mut path = path;
        while !path.is_empty() && !self.get(path).is_some_and(known) {
            missing.push(path);
            path = split(path).0;
        }
        for path in missing.into_iter().rev() {
            self.nodes_mut().replace(Node(Arc::new(IndexEntry {
                entry: Entry::directory(path, 0o755),
                content: None,
            })));
        }
    }

    fn remove_beneath(&mut self, path: &[u8]) {
        let prefix = beneath(path);
        let mut from = Bound::Excluded(prefix.clone());
        while let Some(found) = self.first_from(&from)
            && found.starts_with(&prefix)
        {
            let found = found.to_vec();
            self.nodes_mut().remove(found.as_slice());
            from = Bound::Excluded(found);
        }
    }
}

/// What the paths beneath a directory begin with.
fn beneath(directory: &[u8]) -> Vec<u8> {
    match directory {
        b"" => Vec::new(),
        _ => [directory, b"/"].concat(),
    }
}

fn named(component: &&[u8]) -> bool {
    !matches!(*component, b"" | b".")
}
