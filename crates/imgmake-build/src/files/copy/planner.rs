//! Decides what a COPY or ADD puts where, before a byte is read: sources from a [`Tree`], the
//! destination as the layers below have it, out come the entries of the new layer.
//!
//! The rules are those of BuildKit's file copier: docs.docker.com/reference/dockerfile, COPY. Which paths match: `select`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entries::{Content, FreshFile, Plan, Planned, Rules};
use super::select::{self, inner};
use crate::error::{BuildError, Result};
use crate::files::patterns::{Patterns, ancestors_and_self};
use crate::files::tree::{Node, Tree, base_name, join, parent, relative, resolve, root, show};
use imgmake_oci::layer::{Chmod, Entry, EntryKind, Timestamp, View, is_reserved};

pub struct Planner<'a> {
    below: &'a View,
    rules: Rules,
    plan: Plan,
    /// A non-directory stands where a directory was: what was beneath it is gone.
    hides: bool,
    /// Identity of a file with several names -> its first name here.
    names: HashMap<Vec<u8>, Vec<u8>>,
    /// Whether anything here is a hard link, whose file must not go away under it.
    has_links: bool,
}

/// What stands at a path now.
pub(super) enum DestinationEntry {
    Nothing,
    Directory,
    Link(Vec<u8>),
    Other,
}

impl<'a> Planner<'a> {
    pub fn new(below: &'a View, rules: Rules) -> Planner<'a> {
        Planner {
            below,
            rules,
            plan: Plan::default(),
            hides: false,
            names: HashMap::new(),
            has_links: false,
        }
    }

    /// For what comes next.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// One selected source: `path` as it was named, `node` the file behind it, links followed.
    /// `to` is absolute, ending in `/` when it is to be a directory.
    ///
    /// # Errors
    /// Files and directories in each other's place.
    pub fn copy_selected(
        &mut self,
        tree: &dyn Tree,
        path: &[u8],
        node: &Node,
        to: &str,
    ) -> Result<()> {
        let target = self.target(node.is_directory(), base_name(path), to)?;
        if node.is_directory() {
            self.put_tree(tree, node, &target)
        } else {
            self.put(node, target)
        }
    }

    /// Whether a destination is a directory: as written, or because one stands there.
    pub fn is_directory(&self, to: &str) -> bool {
        names_directory(to)
            || self
                .resolve(&relative(to), true)
                .is_ok_and(|p| matches!(self.standing(&p), DestinationEntry::Directory))
    }

    /// The path at which a source lands; its parents exist afterwards.
    pub(super) fn target(&mut self, is_directory: bool, name: &[u8], to: &str) -> Result<Vec<u8>> {
        let as_written = relative(to);
        if names_directory(to) {
            self.ensure_directory(&as_written)?;
        } else {
            self.ensure_directory(parent(&as_written))?;
        }
        let mut target = self.resolve(&as_written, true)?;
        let standing = self.standing(&target);
        if !is_directory && matches!(standing, DestinationEntry::Directory) {
            target = join(&target, name);
        }
        if is_directory && matches!(standing, DestinationEntry::Nothing) {
            self.ensure_directory(&target)?;
        } else {
            self.ensure_directory(parent(&target))?;
        }
        Ok(target)
    }

    /// The contents of a directory. The directory itself is not copied, only made if it does not exist.
    fn put_tree(&mut self, tree: &dyn Tree, directory: &Node, target: &[u8]) -> Result<()> {
        if !matches!(self.standing(target), DestinationEntry::Directory) {
            return Err(onto_another_kind(directory, target));
        }
        for node in select::kept_beneath(tree, directory, &self.rules.exclude)? {
            let path = join(target, inner(&node.path, directory.path.len()));
            self.put(&node, path)?;
        }
        Ok(())
    }

    /// `--parents`: what the pattern selects beneath the pivot (`/./`), with the directories on the way. Gives how
    /// many there are.
    ///
    /// # Errors
    /// A path without wildcards that is not there.
    pub fn copy_parents(&mut self, tree: &dyn Tree, source: &str, to: &str) -> Result<usize> {
        let found = select::with_parents(tree, source, &self.rules.exclude)?;
        let count = found.iter().map(|pivoted| pivoted.nodes.len()).sum();
        if count == 0 {
            return Ok(0);
        }
        let target = self.target(true, b"", &format!("{to}/"))?;
        for select::Pivoted { pivot, nodes } in &found {
            for node in nodes {
                let path = join(&target, inner(&node.path, pivot.len()));
                self.put(node, path)?;
            }
        }
        Ok(count)
    }

    /// Everything in a checkout. Its modes are git's: a file is executable or not, whatever the umask made of it.
    pub fn copy_checkout(
        &mut self,
        checkout: &crate::files::context::ContextTree,
        to: &str,
    ) -> Result<()> {
        let target = self.target(true, b"", &format!("{to}/"))?;
        for mut node in select::kept_beneath(checkout, &root(), &self.rules.exclude)? {
            let content = match node.kind {
                EntryKind::File { .. } => {
                    node.mode = if node.mode & 0o100 == 0 { 0o644 } else { 0o755 };
                    Content::File(checkout.path_of(&node.path))
                }
                EntryKind::Directory => {
                    node.mode = 0o755;
                    Content::None
                }
                _ => Content::None,
            };
            node.identity = None;
            let path = join(&target, &node.path);
            self.put_content(&node, path, content)?;
        }
        Ok(())
    }

    pub fn exclude(&self) -> &Patterns {
        &self.rules.exclude
    }

    pub fn now(&self) -> Timestamp {
        self.rules.now
    }

    /// A file that is in no tree: a heredoc or a download.
    pub fn file(&mut self, name: &[u8], file: FreshFile, to: &str) -> Result<()> {
        let target = self.target(false, name, to)?;
        let node = Node {
            path: name.to_vec(),
            kind: EntryKind::File { size: file.size },
            mode: file.mode,
            mtime: file.mtime.unwrap_or(self.rules.now),
            content: Some(file.hash),
            ..root()
        };
        self.put_content(&node, target, file.content)
    }

    /// Makes a directory and what is missing above it, as WORKDIR and `mkdir` do. A mode that is
    /// given, and then the owner, hold for a directory that was there too.
    ///
    /// # Errors
    /// A file stands there.
    pub fn made_directory(&mut self, path: &str, mode: Option<&Chmod>) -> Result<()> {
        let path = relative(path);
        let before = self.plan.changes;
        self.ensure_directory(&path)?;
        let place = self.resolve(&path, true)?;
        let Some(mode) = mode else { return Ok(()) };
        let Some(mut planned) = self.plan.entries.get(&place).cloned() else {
            return Ok(());
        };
        planned.kept = false;
        planned.entry.mode = mode.apply(planned.entry.mode, true);
        if let Some((uid, gid)) = self.rules.owner {
            (planned.entry.uid, planned.entry.gid) = (uid, gid);
        }
        self.plan.changes = before;
        self.insert(planned)
    }

    /// Makes a symlink; its parents are made too.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        let written = relative(path);
        self.ensure_directory(parent(&written))?;
        let place = join(&self.resolve(parent(&written), true)?, base_name(&written));
        let node = Node {
            path: place.clone(),
            kind: EntryKind::Symlink {
                target: target.as_bytes().to_vec(),
            },
            mode: 0o777,
            mtime: self.rules.now,
            ..root()
        };
        self.put(&node, place)
    }

    fn put(&mut self, node: &Node, path: Vec<u8>) -> Result<()> {
        let content = match node.kind {
            EntryKind::File { .. } => Content::Source(node.path.clone()),
            _ => Content::None,
        };
        self.put_content(node, path, content)
    }

    fn put_content(&mut self, node: &Node, path: Vec<u8>, content: Content) -> Result<()> {
        if is_reserved(&path) {
            let action = format!("cannot copy `{}`", show(&node.path));
            return Err(BuildError::WhiteoutName.during(action));
        }
        match (node.is_directory(), self.standing(&path)) {
            (true, DestinationEntry::Link(_) | DestinationEntry::Other)
            | (false, DestinationEntry::Directory) => return Err(onto_another_kind(node, &path)),
            _ => {}
        }
        let entry = self.entry_of(node, path);
        let planned = Planned {
            entry,
            content,
            hash: node.content,
            kept: false,
            stat: node.stat,
        };
        self.insert(self.linked(node, planned))
    }

    /// The second name of a file becomes a hard link to the first.
    fn linked(&self, node: &Node, planned: Planned) -> Planned {
        let Some(first) = node.identity.as_ref().and_then(|i| self.names.get(i)) else {
            return planned;
        };
        if *first == planned.entry.path || !self.plan.entries.contains_key(first) {
            return planned;
        }
        Planned {
            entry: Entry {
                kind: EntryKind::HardLink {
                    target: first.clone(),
                },
                ..planned.entry
            },
            content: Content::None,
            hash: None,
            kept: false,
            stat: None,
        }
    }

    fn entry_of(&mut self, node: &Node, path: Vec<u8>) -> Entry {
        if let Some(identity) = &node.identity {
            self.names
                .entry(identity.clone())
                .or_insert_with(|| path.clone());
        }
        let is_link = matches!(node.kind, EntryKind::Symlink { .. });
        let mode = match &self.rules.chmod {
            Some(chmod) if !is_link => chmod.apply(node.mode, node.is_directory()),
            _ => node.mode,
        };
        let (uid, gid) = self.rules.owner.unwrap_or((node.uid, node.gid));
        Entry {
            path,
            kind: node.kind.clone(),
            mode,
            uid,
            gid,
            mtime: self.clamped(node.mtime),
            xattrs: node.xattrs.clone(),
        }
    }

    pub fn clamped(&self, time: Timestamp) -> Timestamp {
        match self.rules.clamp {
            Some(latest) if time.seconds >= latest => Timestamp {
                seconds: latest,
                nanos: 0,
            },
            _ => time,
        }
    }

    pub(super) fn insert(&mut self, planned: Planned) -> Result<()> {
        let path = &planned.entry.path;
        if path.is_empty() {
            return Ok(()); // The root's metadata belongs to the base.
        }
        if planned.entry.kind != EntryKind::Directory {
            self.forget_beneath(&path.clone());
        }
        let path = planned.entry.path.clone();
        self.keep_names_of(&path);
        self.has_links |= matches!(planned.entry.kind, EntryKind::HardLink { .. });
        self.plan.changes = true;
        self.add(planned)
    }

    /// Every entry comes into the layer here, its path resolved.
    fn add(&mut self, planned: Planned) -> Result<()> {
        let path = planned.entry.path.clone();
        if is_reserved(&path) {
            let action = format!("cannot put `/{}` into a layer", show(&path));
            return Err(BuildError::WhiteoutName.during(action));
        }
        self.plan.entries.insert(path, planned);
        Ok(())
    }

    /// What is beneath a directory goes with it when something else takes its place.
    fn forget_beneath(&mut self, path: &[u8]) {
        if !matches!(self.standing(path), DestinationEntry::Directory) {
            return;
        }
        self.hides = true;
        let prefix = join(path, b"");
        let gone: Vec<Vec<u8>> = self
            .plan
            .entries
            .range(prefix.clone()..)
            .map(|(p, _)| p.clone())
            .take_while(|p| p.starts_with(&prefix))
            .collect();
        // Links go first, so that none of them becomes the file's name only to go, too.
        let is_link =
            |p: &Vec<u8>| matches!(self.plan.entries[p].entry.kind, EntryKind::HardLink { .. });
        let (links, others): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_link);
        for path in links {
            self.plan.entries.remove(&path);
        }
        for path in others {
            self.keep_names_of(&path);
            self.plan.entries.remove(&path);
        }
    }

    /// A file that is about to go may have further names here: the first of them becomes
    /// the file, and the others are links to that.
    fn keep_names_of(&mut self, path: &[u8]) {
        if !self.has_links && self.names.is_empty() {
            return;
        }
        let Some(replaced) = self.plan.entries.get(path).cloned() else {
            return;
        };
        if replaced.entry.kind == EntryKind::Directory {
            return;
        }
        let mut heir: Option<Vec<u8>> = None;
        for (name, planned) in &mut self.plan.entries {
            let EntryKind::HardLink { target } = &mut planned.entry.kind else {
                continue;
            };
            if target != path {
                continue;
            }
            match &heir {
                Some(heir) => target.clone_from(heir),
                None => {
                    heir = Some(name.clone());
                    planned.entry.kind = replaced.entry.kind.clone();
                    planned.content = replaced.content.clone();
                    planned.hash = replaced.hash;
                }
            }
        }
        match heir {
            Some(heir) => {
                let names = self.names.values_mut().filter(|name| *name == path);
                names.for_each(|name| name.clone_from(&heir));
            }
            None => self.names.retain(|_, name| name != path),
        }
    }

    /// Makes what is missing of a directory path, following links inside the image.
    pub(super) fn ensure_directory(&mut self, path: &[u8]) -> Result<()> {
        let mode = match self.rules.chmod {
            Some(Chmod::Octal(mode)) => mode & 0o777,
            _ => 0o755,
        };
        self.ensure_directory_as(path, mode, self.rules.owner)
    }

    /// The same, with a mode and an owner of its own.
    pub(super) fn ensure_directory_as(
        &mut self,
        path: &[u8],
        mode: u32,
        owner: Option<(u64, u64)>,
    ) -> Result<()> {
        let resolved = self.resolve(path, true)?;
        if resolved.is_empty() {
            return Ok(());
        }
        for ancestor in ancestors_and_self(&resolved.clone()) {
            match self.standing(ancestor) {
                DestinationEntry::Directory => self.keep(ancestor)?,
                DestinationEntry::Nothing => self.make(ancestor, mode, owner.unwrap_or((0, 0)))?,
                DestinationEntry::Link(_) | DestinationEntry::Other => {
                    let action = format!("make the directory `/{}`", show(ancestor));
                    return Err(BuildError::conflict(action, "the image has a file there"));
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, path: &[u8], mode: u32, (uid, gid): (u64, u64)) -> Result<()> {
        let entry = Entry {
            path: path.to_vec(),
            kind: EntryKind::Directory,
            mode,
            uid,
            gid,
            mtime: self.rules.now,
            xattrs: BTreeMap::new(),
        };
        self.insert(Planned {
            entry,
            content: Content::None,
            hash: None,
            kept: false,
            stat: None,
        })
    }

    /// A directory of the layers below is in the new layer too, as it was: so is it in an overlay's difference.
    fn keep(&mut self, path: &[u8]) -> Result<()> {
        if self.plan.entries.contains_key(path) {
            return Ok(());
        }
        let entry = match self.below.get(path) {
            Some(found) => found.entry.clone(),
            None => Entry {
                path: path.to_vec(),
                kind: EntryKind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: self.rules.now,
                xattrs: BTreeMap::new(),
            },
        };
        self.add(Planned {
            entry,
            content: Content::None,
            hash: None,
            kept: true,
            stat: None,
        })
    }

    pub(super) fn standing(&self, path: &[u8]) -> DestinationEntry {
        if path.is_empty() {
            return DestinationEntry::Directory;
        }
        if let Some(planned) = self.plan.entries.get(path) {
            return DestinationEntry::of(&planned.entry.kind);
        }
        if self.hides && self.hidden(path) {
            return DestinationEntry::Nothing;
        }
        match self.below.get(path) {
            Some(found) => DestinationEntry::of(&found.entry.kind),
            None if !self.below.children(path).is_empty() => DestinationEntry::Directory,
            None => DestinationEntry::Nothing,
        }
    }

    fn hidden(&self, path: &[u8]) -> bool {
        ancestors_and_self(parent(path)).any(|p| {
            self.plan
                .entries
                .get(p)
                .is_some_and(|e| e.entry.kind != EntryKind::Directory)
        })
    }

    pub(super) fn resolve(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>> {
        resolve(path, follow_last, |p| {
            Ok(match self.standing(p) {
                DestinationEntry::Link(target) => Some(target),
                _ => None,
            })
        })
    }

    /// A path as it is below a directory that is the root of it: neither `..` nor a link leads out.
    pub(super) fn resolve_beneath(
        &self,
        directory: &[u8],
        path: &[u8],
        follow_last: bool,
    ) -> Result<Vec<u8>> {
        let inner = resolve(path, follow_last, |p| {
            Ok(match self.standing(&join(directory, p)) {
                DestinationEntry::Link(target) => Some(target),
                _ => None,
            })
        })?;
        Ok(match inner.is_empty() {
            true => directory.to_vec(),
            false => join(directory, &inner),
        })
    }

    pub fn warn(&mut self, warning: String) {
        self.plan.warnings.insert(warning);
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Adds the directories above everything that is there already, so that the layer names them.
    ///
    /// # Errors
    /// One of them has a name that layers keep for whiteouts.
    pub fn finish(mut self) -> Result<Plan> {
        let parents: BTreeSet<Vec<u8>> = self
            .plan
            .entries
            .keys()
            .flat_map(|path| ancestors_and_self(parent(path)))
            .filter(|p| !p.is_empty() && !self.plan.entries.contains_key(*p))
            .map(<[u8]>::to_vec)
            .collect();
        for path in parents {
            self.keep(&path)?;
        }
        Ok(self.plan)
    }
}

impl DestinationEntry {
    fn of(kind: &EntryKind) -> DestinationEntry {
        match kind {
            EntryKind::Directory => DestinationEntry::Directory,
            EntryKind::Symlink { target } => DestinationEntry::Link(target.clone()),
            _ => DestinationEntry::Other,
        }
    }
}

/// A directory onto something else, or something else onto a directory.
fn onto_another_kind(node: &Node, path: &[u8]) -> BuildError {
    let (kind, obstacle) = match node.is_directory() {
        true => ("directory", "the destination is not a directory"),
        false => ("file", "the destination is a directory"),
    };
    let action = format!(
        "copy the {kind} `{}` onto `/{}`",
        show(&node.path),
        show(path)
    );
    BuildError::conflict(action, obstacle)
}

/// `a/`, `a/.`, `.` and the root.
pub fn names_directory(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "."
}
