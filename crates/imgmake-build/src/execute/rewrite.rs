//! A layer made of finished ones: their entries chosen by indexes and merged views, their files copied straight
//! from the compressed blobs. Nothing is unpacked; what is held are indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{BuildError, Context, Result};
use crate::files::copy::write::origin;
use crate::files::tree::{parent, show};
use imgmake_event::Cancel;
use imgmake_oci::layer::{
    Compression, Entry, EntryKind, Index, IndexEntry, Layer, LayerReader, LayerWriter, View,
    Whiteout, decompress, whiteout_path,
};
use imgmake_oci::store::{BlobReader, Store};

/// What the new layer will hold.
#[derive(Default)]
pub struct Rewrite {
    /// Sorted: each before what is in it.
    directories: Vec<Entry>,
    /// By layer, then by the file's path there: the file under its new name.
    files: BTreeMap<usize, BTreeMap<Vec<u8>, IndexEntry>>,
    /// Everything without content, hard links and whiteouts last.
    rest: Vec<Entry>,
}

/// A file of some layer, and all the names that it is to have.
type Names = BTreeMap<(usize, Vec<u8>), Vec<IndexEntry>>;

impl Rewrite {
    /// The layers above `base` as one that does the same to the base: what they hide among themselves is gone,
    /// whiteouts are left for what the base has.
    ///
    /// # Errors
    /// A layer links to a file that is nowhere.
    pub fn squash(layers: &[Arc<Index>], base: usize) -> Result<Rewrite> {
        let below = View::new(&layers[..base]);
        let mut above = below.clone();
        layers[base..].iter().for_each(|layer| above.push(layer));
        // An entry of the base that nobody touched is the very same in both views.
        let kept = |path: &[u8]| match (below.get(path), above.get(path)) {
            (Some(old), Some(new)) => std::ptr::eq(old, new),
            _ => false,
        };
        let mut rewrite = Rewrite::default();
        let mut names = Names::new();
        for found in above.walk(b"").filter(|e| !kept(&e.entry.path)) {
            match &found.entry.kind {
                EntryKind::File { .. } => {
                    let file = origin(layers, &found.entry.path)?;
                    names.entry(file).or_default().push(found.clone());
                }
                EntryKind::HardLink { .. } => {
                    let what = format!("`{}`", found.entry.display());
                    return Err(BuildError::damaged(what, "it links to no file"));
                }
                _ => rewrite.plain(&found.entry),
            }
        }
        // Files of the base whose first name is gone may have another one there.
        let nameless: BTreeSet<_> = names
            .keys()
            .filter(|(layer, path)| *layer < base && !kept(path))
            .cloned()
            .collect();
        let mut other_names = BTreeMap::new();
        if !nameless.is_empty() {
            for found in above.walk(b"").filter(|e| kept(&e.entry.path)) {
                if matches!(found.entry.kind, EntryKind::File { .. }) {
                    let file = origin(layers, &found.entry.path)?;
                    if nameless.contains(&file) {
                        other_names.entry(file).or_insert(&found.entry.path);
                    }
                }
            }
        }
        for (file, names) in names {
            // Another name of a file that the base still shows.
            if let Some(shown) = other_names.get(&file) {
                rewrite.link(shown, &names);
                continue;
            }
            let (layer, path) = file;
            match layer < base && kept(&path) {
                true => rewrite.link(&path, &names),
                false => rewrite.file(layer, path, names),
            }
        }
        rewrite.rest.extend(gone(&below, &above));
        Ok(rewrite)
    }

    /// A layer without the paths that `hidden` names. A file that has another name keeps it. Directories that were
    /// only named because of what is hidden in them go, too: `below` has them.
    pub fn without(layer: &Arc<Index>, hidden: &dyn Fn(&[u8]) -> bool, below: &View) -> Rewrite {
        let mut rewrite = Rewrite::default();
        let mut names = Names::new();
        let mut whiteouts = Vec::new();
        for found in layer.entries.iter().filter(|e| !hidden(&e.entry.path)) {
            let entry = &found.entry;
            if Whiteout::parse(&entry.path).is_some() {
                whiteouts.push(entry.clone());
                continue;
            }
            match followed(layer, found) {
                Some(file) if matches!(file.entry.kind, EntryKind::File { .. }) => {
                    let name = renamed(file, &entry.path);
                    names
                        .entry((0, file.entry.path.clone()))
                        .or_default()
                        .push(name);
                }
                // Symbolic links and devices may have several names, too: each becomes one of its own.
                Some(other) => rewrite.plain(&renamed(other, &entry.path).entry),
                // It names something in a lower layer.
                None => rewrite.rest.push(entry.clone()),
            }
        }
        for ((number, path), names) in names {
            rewrite.file(number, path, names);
        }
        rewrite.rest.extend(whiteouts);
        rewrite.prune(layer, hidden, below);
        rewrite
    }

    fn prune(&mut self, layer: &Index, hidden: &dyn Fn(&[u8]) -> bool, below: &View) {
        let paths = layer.entries.iter().map(|e| &e.entry.path);
        // What is hidden has changed the time of the directory that it is in.
        let same = |old: &Entry, new: &Entry| {
            let old = old.clone();
            old.modified(new.mtime) == *new
        };
        let idle: BTreeSet<Vec<u8>> = paths
            .filter(|path| hidden(path))
            .flat_map(|path| ancestors(path))
            .filter(|path| match (below.get(path), layer.get(path)) {
                (Some(old), Some(new)) => same(&old.entry, &new.entry),
                _ => false,
            })
            .map(<[u8]>::to_vec)
            .collect();
        let files = self.files.values().flat_map(|files| files.values());
        let mut needed: BTreeSet<Vec<u8>> = files
            .map(|found| &found.entry)
            .chain(&self.rest)
            .flat_map(|entry| ancestors(&entry.path))
            .map(<[u8]>::to_vec)
            .collect();
        for directory in self.directories.iter().rev() {
            if !idle.contains(&directory.path) {
                needed.insert(directory.path.clone());
                needed.extend(ancestors(&directory.path).map(<[u8]>::to_vec));
            }
        }
        self.directories
            .retain(|directory| needed.contains(&directory.path));
    }

    fn plain(&mut self, entry: &Entry) {
        match entry.is_directory() {
            true => self.directories.push(entry.clone()),
            false => self.rest.push(entry.clone()),
        }
    }

    /// The first name is the file, the others are links to it.
    fn file(&mut self, layer: usize, path: Vec<u8>, names: Vec<IndexEntry>) {
        let mut names = names.into_iter();
        let Some(first) = names.next() else { return };
        self.link(&first.entry.path, &names.collect::<Vec<_>>());
        self.files.entry(layer).or_default().insert(path, first);
    }

    fn link(&mut self, target: &[u8], names: &[IndexEntry]) {
        let linked = |name: &IndexEntry| Entry {
            kind: EntryKind::HardLink {
                target: target.to_vec(),
            },
            xattrs: BTreeMap::new(),
            ..name.entry.clone()
        };
        self.rest.extend(names.iter().map(linked));
    }

    /// The layers whose bytes are needed.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        self.files.keys().copied()
    }

    /// Writes the layer into the store; one without entries, too.
    ///
    /// # Errors
    /// A layer that is missing or does not hold what its index says.
    pub fn write(
        mut self,
        layers: &[Layer],
        compression: Compression,
        store: &Store,
        cancel: &Cancel,
    ) -> Result<Layer> {
        let (file, out) = store.layer_file()?;
        let mut writer = LayerWriter::new(out, compression)?.stopped_by(cancel);
        for directory in &self.directories {
            writer.append_empty(directory)?;
        }
        for (number, files) in std::mem::take(&mut self.files) {
            let layer = &layers[number];
            store
                .with_blob(layer.digest(), |blob| {
                    copy_files(&mut writer, blob, files, cancel)
                })
                .with_context(|| format!("cannot read layer {}", layer.digest().short()))?;
        }
        for entry in &self.rest {
            writer.append_empty(entry)?;
        }
        let (layer, index) = writer.finish()?;
        store.adopt_layer(file, &layer, &index)?;
        Ok(layer)
    }
}

/// The directories above a path, but for the root.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn above(path: &[u8]) -> Option<&[u8]> {
        Some(parent(path)).filter(|path| !path.is_empty())
    }
    std::iter::successors(above(path), |path| above(path))
}

/// Whiteouts for what the upper tree lacks; one removes all that is beneath.
fn gone(below: &View, above: &View) -> Vec<Entry> {
    let stays = |directory: &[u8]| {
        directory.is_empty() || above.get(directory).is_some_and(|e| e.entry.is_directory())
    };
    let paths = below.walk(b"").map(|e| &e.entry.path);
    let gone = paths.filter(|path| above.get(path).is_none() && stays(parent(path)));
    gone.map(|path| Entry::file(whiteout_path(path), 0o644, 0))
        .collect()
}

/// What an entry is a name of, in its own layer.
fn followed<'a>(layer: &'a Index, entry: &'a IndexEntry) -> Option<&'a IndexEntry> {
    const MOST_LINKS: usize = 255;
    let mut found = entry;
    for _ in 0..MOST_LINKS {
        match &found.entry.kind {
            EntryKind::HardLink { target } => found = layer.get(target)?,
            _ => return Some(found),
        }
    }
    None
}

fn renamed(found: &IndexEntry, name: &[u8]) -> IndexEntry {
    let mut renamed = found.clone();
    renamed.entry.path = name.to_vec();
    renamed
}

/// Copies files out of a layer in the order in which they stand there.
fn copy_files(
    writer: &mut LayerWriter,
    blob: &mut BlobReader,
    mut wanted: BTreeMap<Vec<u8>, IndexEntry>,
    cancel: &Cancel,
) -> Result<()> {
    let mut reader = LayerReader::new(decompress(cancel.reader(blob))?).stopped_by(cancel);
    while let Some(entry) = reader.next_entry()? {
        if !matches!(entry.kind, EntryKind::File { .. }) {
            continue;
        }
        let Some(file) = wanted.remove(&entry.path) else {
            continue;
        };
        cancel.check()?;
        let content = writer.append(&file.entry, &mut reader)?;
        // Of several entries with one path the last counts; only layers made elsewhere have such.
        if content != file.content {
            let what = format!("`{}`", entry.display());
            return Err(BuildError::damaged(
                what,
                "its content is not what the layer's index says",
            ));
        }
    }
    match wanted.first_key_value() {
        Some((path, _)) => {
            let what = format!("`{}`", show(path));
            Err(BuildError::not_found(what, "the layer's index has it"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One thing that a layer says.
    #[derive(Clone, Debug)]
    enum Change {
        Directory(String, u32),
        File(String, u8),
        Symlink(String),
        Link(String, String),
        Removes(String),
        Opaque(String),
    }

    fn path() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "a", "b", "a/x", "a/y", "b/x", "a/x/p", "a/x/q", "b/x/p", "c",
        ])
        .prop_map(String::from)
    }

    fn changes() -> impl Strategy<Value = Change> {
        prop_oneof![
            (path(), 0o700u32..0o704).prop_map(|(p, m)| Change::Directory(p, m)),
            (path(), any::<u8>()).prop_map(|(p, c)| Change::File(p, c)),
            (path(), any::<u8>()).prop_map(|(p, c)| Change::File(p, c)),
            path().prop_map(|p| Change::Symlink(p + "-l")),
            (path(), path()).prop_map(|(p, t)| Change::Link(p + "-h", t)),
            (path(), path()).prop_map(|(p, t)| Change::Link(p + "-h", t + "-l")),
            path().prop_map(Change::Removes),
            path().prop_map(Change::Opaque),
        ]
    }

    /// A layer as a builder would write it on what lies below: links name files that are there.
    fn layer(store: &Store, changes: &[Change], below: &[Arc<Index>]) -> (Layer, Arc<Index>) {
        let view = View::new(below);
        let mut entries: BTreeMap<Vec<u8>, (Entry, Vec<u8>)> = BTreeMap::new();
        let mut put = |entry: Entry, content: Vec<u8>| {
            let prefix = [&entry.path[..], b"/"].concat();
            let under = |p: &Vec<u8>| {
                p.starts_with(&prefix) || entry.path.starts_with(&[&p[..], b"/"].concat())
            };
            let clash = entries.iter().any(|(p, (e, _))| {
                under(p)
                    && !(e.is_directory() && entry.path.starts_with(p))
                    && !entry.is_directory()
                    || under(p) && !e.is_directory() && entry.path.starts_with(p)
            });
            if !clash {
                entries.insert(entry.path.clone(), (entry, content));
            }
        };
        let mut links = Vec::new();
        for one in changes {
            match one {
                Change::Directory(path, mode) => put(Entry::directory(path, *mode), Vec::new()),
                Change::File(path, content) => {
                    let bytes = vec![*content; usize::from(*content)];
                    put(Entry::file(path, 0o644, bytes.len() as u64), bytes);
                }
                Change::Symlink(path) => put(Entry::symlink(path, "x"), Vec::new()),
                Change::Link(path, target) => links.push((path, target)),
                Change::Removes(path) => {
                    put(
                        Entry::file(whiteout_path(path.as_bytes()), 0o644, 0),
                        Vec::new(),
                    );
                }
                Change::Opaque(path) => {
                    put(Entry::directory(path, 0o755), Vec::new());
                    put(
                        Entry::file(format!("{path}/.wh..wh..opq"), 0o644, 0),
                        Vec::new(),
                    );
                }
            }
        }
        let is_file = |entry: &Entry| {
            matches!(
                entry.kind,
                EntryKind::File { .. } | EntryKind::Symlink { .. }
            )
        };
        for (path, target) in links {
            let here = entries
                .get(target.as_bytes())
                .is_some_and(|(e, _)| is_file(e));
            let below = view
                .get(target.as_bytes())
                .is_some_and(|e| is_file(&e.entry));
            let link = Entry::hard_link(path, target, 0o644);
            let placed = ancestors(&link.path)
                .all(|path| entries.get(path).is_none_or(|(e, _)| e.is_directory()));
            if placed && (here || (below && !entries.contains_key(target.as_bytes()))) {
                entries
                    .entry(link.path.clone())
                    .or_insert((link, Vec::new()));
            }
        }
        let (file, out) = store.layer_file().unwrap();
        let mut writer = LayerWriter::new(out, Compression::None).unwrap();
        for (entry, content) in entries.values() {
            writer.append(entry, &mut content.as_slice()).unwrap();
        }
        let (blob, index) = writer.finish().unwrap();
        store.adopt_layer(file, &blob, &index).unwrap();
        (blob, Arc::new(index))
    }

    /// What a person would find, and which names are one file.
    fn found(layers: &[Arc<Index>]) -> (Vec<IndexEntry>, BTreeSet<Vec<Vec<u8>>>) {
        let view = View::new(layers);
        let mut files: BTreeMap<(usize, Vec<u8>), Vec<Vec<u8>>> = BTreeMap::new();
        for entry in view.walk(b"").map(|e| &e.entry) {
            if let (EntryKind::File { .. }, Ok(file)) = (&entry.kind, origin(layers, &entry.path)) {
                files.entry(file).or_default().push(entry.path.clone());
            }
        }
        let entries = view.walk(b"").cloned().map(|mut found| {
            found.entry.xattrs.clear();
            found
        });
        (entries.collect(), files.into_values().collect())
    }

    fn written(rewrite: Rewrite, blobs: &[Layer], store: &Store) -> Arc<Index> {
        let layer = rewrite
            .write(
                blobs,
                Compression::Gzip { level: 1 },
                store,
                &Cancel::default(),
            )
            .unwrap();
        store.index(&layer).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn one_layer_does_what_several_did(
            all in prop::collection::vec(prop::collection::vec(changes(), 0..7), 1..6),
            base in 0usize..3,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            let (mut blobs, mut layers) = (Vec::new(), Vec::new());
            for changes in &all {
                let (blob, index) = layer(&store, changes, &layers);
                blobs.push(blob);
                layers.push(index);
            }
            let base = base.min(layers.len());
            let rewrite = Rewrite::squash(&layers, base);
            let Ok(rewrite) = rewrite else {
                // A link whose file went in the same breath: no tree has it.
                return Ok(());
            };
            let squashed = written(rewrite, &blobs, &store);
            let whiteouts = squashed.entries.iter().filter_map(|e| Whiteout::parse(&e.entry.path));
            let below = View::new(&layers[..base]);
            for whiteout in whiteouts {
                let Whiteout::Removes(path) = whiteout else { panic!("{whiteout:?}") };
                prop_assert!(below.get(&path).is_some(), "nothing to hide at {path:?}");
            }
            let mut together = layers[..base].to_vec();
            together.push(squashed);
            prop_assert_eq!(found(&together), found(&layers));
        }

        #[test]
        fn leaving_paths_out_changes_nothing_else(all in prop::collection::vec(changes(), 0..9)) {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            let named = [Change::Directory("a".into(), 0o755)];
            let all = [&named[..], &all].concat();
            let (blob, index) = layer(&store, &all, &[]);
            let hidden = |path: &[u8]| path == b"a/x" || path.starts_with(b"a/x/") || path == b"a/.wh.x";
            let rewrite = Rewrite::without(&index, &hidden, &View::default());
            let rest = written(rewrite, &[blob], &store);
            let kept = |layers: &[Arc<Index>]| {
                let (mut entries, files) = found(layers);
                entries.retain(|e| !hidden(&e.entry.path));
                let files = files.into_iter().map(|mut names: Vec<Vec<u8>>| {
                    names.retain(|name| !hidden(name));
                    names
                });
                (entries, files.filter(|names| !names.is_empty()).collect::<BTreeSet<_>>())
            };
            let (left, _) = found(std::slice::from_ref(&rest));
            prop_assert!(left.iter().all(|e| !hidden(&e.entry.path)));
            prop_assert_eq!(kept(&[rest]), kept(&[index]));
        }
    }
}
