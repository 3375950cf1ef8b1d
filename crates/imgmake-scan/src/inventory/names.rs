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
    /// The same by way of other links, longer ones.
    pub others: Vec<Vec<u8>>,
    pub meaning: Meaning,
}

/// How many components of a name decide what it means, besides the places: those of
/// `@scope/name/package.json` in `node_modules`.
const DEPTH: usize = 3;
/// Names beneath links; images that people make have a thousandth of it.
const MOST: usize = 2_000_000;
/// Further names of files that are known by links alone.
const MOST_OTHERS: usize = 20_000;

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
        others_left: MOST_OTHERS,
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
    let are_too_many = search.left == 0 || search.others_left == 0;
    found.extend(search.linked.into_iter().map(|((file, meaning), names)| {
        let mut names = names.into_iter().map(|(_, name)| name);
        Name {
            file,
            path: names.next().expect("it was found by a name"),
            others: names.collect(),
            meaning,
        }
    }));
    Ok(Names {
        found,
        are_too_many,
    })
}

/// A name after its length: the order puts the shortest first.
type ByLength = (usize, Vec<u8>);

struct Search<'a> {
    view: &'a View,
    cancel: &'a Cancel,
    /// What files are by names at which they stand.
    known: BTreeSet<(FileId, Meaning)>,
    /// The names for what files are otherwise, with their lengths, shortest first.
    linked: BTreeMap<(FileId, Meaning), BTreeSet<ByLength>>,
    left: usize,
    others_left: usize,
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
            others: Vec::new(),
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
            let names = self.linked.entry((file, meaning)).or_default();
            let is_another = names.insert((name.len(), name.to_vec())) && names.len() > 1;
            if is_another && self.others_left == 0 {
                names.pop_last();
            } else if is_another {
                self.others_left -= 1;
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
