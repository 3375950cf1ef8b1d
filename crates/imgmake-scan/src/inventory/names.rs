//! The names by which files can be opened besides their own: hard links, and paths that lead
//! through symbolic links. Programs look for a database or a package by its name, and so does
//! an inventory. Knows the merged tree and what names mean; reads no file.

use std::collections::{BTreeMap, BTreeSet};

use super::classify::{Meaning, PLACES, meaning};
use super::file_id::FileId;
use imgmake_event::{Cancel, Cancelled};
use imgmake_oci::layer::{EntryKind, FollowLast, IndexEntry, View, join};

/// A name that says something of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub file: FileId,
    pub path: Vec<u8>,
    pub meaning: Meaning,
}

/// How many components of a name decide what it means, besides the places: those of
/// `@scope/name/package.json` in `node_modules`.
const DEPTH: usize = 3;
/// Names beneath links; images that people make have a thousandth of it.
const MOST: usize = 2_000_000;

/// What the names of a tree say.
#[derive(Debug, Default)]
pub struct Names {
    /// Each name of a file at which it stands, then one for each thing that it is by way of a
    /// symbolic link alone.
    pub found: Vec<Name>,
    /// Links were left out, since there are too many names beneath them.
    pub are_too_many: bool,
}

/// # Errors
/// Somebody cancelled.
pub fn of(view: &View, cancel: &Cancel) -> Result<Names, Cancelled> {
    let mut search = Search {
        view,
        cancel,
        known: BTreeSet::new(),
        linked: BTreeMap::new(),
        left: MOST,
    };
    let mut found = Vec::new();
    let mut links = Vec::new();
    for entry in view.walk(b"") {
        match &entry.entry.kind {
            EntryKind::File { .. } => found.extend(search.own(entry)),
            // A hard link without a target in its layer or below, by that name, is one by way of a link.
            EntryKind::Symlink { .. } | EntryKind::HardLink { .. } => links.push(&entry.entry.path),
            _ => {}
        }
    }
    for place in PLACES {
        if let Some(target) = search.target(place.as_bytes()) {
            search.lead(place.as_bytes(), &target, DEPTH)?;
        }
    }
    for link in links {
        search.follow(link, link, DEPTH)?;
    }
    found.extend(
        search
            .linked
            .into_iter()
            .map(|((file, meaning), path)| Name {
                file,
                path,
                meaning,
            }),
    );
    Ok(Names {
        found,
        are_too_many: search.left == 0,
    })
}

struct Search<'a> {
    view: &'a View,
    cancel: &'a Cancel,
    /// What files are by names at which they stand.
    known: BTreeSet<(FileId, Meaning)>,
    /// The shortest name for what files are otherwise.
    linked: BTreeMap<(FileId, Meaning), Vec<u8>>,
    left: usize,
}

impl Search<'_> {
    fn own(&mut self, entry: &IndexEntry) -> Option<Name> {
        let file = FileId::of(entry)?;
        let path = &entry.entry.path;
        let meaning = meaning(&String::from_utf8_lossy(path))?;
        self.known.insert((file, meaning));
        Some(Name {
            file,
            path: path.clone(),
            meaning,
        })
    }

    /// Where a path leads by way of links; what leads nowhere or in circles cannot be opened either.
    fn target(&self, path: &[u8]) -> Option<Vec<u8>> {
        let from = match self.view.get(path).map(|e| &e.entry.kind) {
            Some(EntryKind::HardLink { target }) => target,
            _ => path,
        };
        let target = self.view.resolve(from, FollowLast::Yes).ok()?;
        (target != path).then_some(target)
    }

    /// Looks at what a link leads to, and beneath it; `name` is the link's by the way here.
    fn follow(&mut self, name: &[u8], link: &[u8], depth: usize) -> Result<(), Cancelled> {
        match self.target(link) {
            Some(target) if !same_end(name, &target) => self.lead(name, &target, depth),
            _ => Ok(()),
        }
    }

    fn lead(&mut self, name: &[u8], target: &[u8], depth: usize) -> Result<(), Cancelled> {
        let entry = self.view.get(target);
        // The root need not be an entry.
        let is_directory = target.is_empty() || entry.is_some_and(|e| e.entry.is_directory());
        match entry {
            _ if is_directory && depth > 0 => self.beneath(name, target, depth)?,
            Some(entry) => self.consider(name, entry),
            None => {}
        }
        Ok(())
    }

    fn beneath(&mut self, name: &[u8], directory: &[u8], depth: usize) -> Result<(), Cancelled> {
        self.cancel.check()?;
        for child in self.view.children(directory) {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return Ok(());
            }
            let (name, path) = (join(name, &child), join(directory, &child));
            let entry = self.view.get(&path).expect("a child is there");
            match &entry.entry.kind {
                EntryKind::File { .. } => self.consider(&name, entry),
                EntryKind::Directory if depth > 1 => self.beneath(&name, &path, depth - 1)?,
                EntryKind::Symlink { .. } => self.follow(&name, &path, depth - 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn consider(&mut self, name: &[u8], entry: &IndexEntry) {
        let Some(file) = FileId::of(entry) else {
            return;
        };
        if let Some(meaning) = meaning(&String::from_utf8_lossy(name))
            && !self.known.contains(&(file, meaning))
        {
            let order = |name: &[u8]| (name.len(), name.to_vec());
            let known = self.linked.entry((file, meaning));
            let known = known.or_insert_with(|| name.to_vec());
            if order(name) < order(known) {
                *known = name.to_vec();
            }
        }
    }
}

/// Whether two directories end alike, as far as the meaning of what is in them goes: most links
/// of `node_modules` lead to a directory of the same name in another one.
fn same_end(a: &[u8], b: &[u8]) -> bool {
    let ends = |path: &[u8]| -> Vec<Vec<u8>> {
        let parts = path.rsplit(|b| *b == b'/');
        parts.take(DEPTH).map(<[u8]>::to_vec).collect()
    };
    let (a, b) = (ends(a), ends(b));
    let counts = match a.get(1) {
        Some(scope) if scope.starts_with(b"@") => DEPTH,
        _ => DEPTH - 1,
    };
    a.len() >= counts && b.len() >= counts && a[..counts] == b[..counts]
}
