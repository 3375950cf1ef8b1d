//! Writes a plan as a layer: one pass over the sources into tar, digests, compression and the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use super::contents::{Contents, open_content};
use super::entries::{Content, Plan, Planned};
use crate::error::{BuildError, Context, Result};
use crate::files::tree::show;
use imgmake_event::Cancel;
use imgmake_oci::layer::{
    Compression, EntryKind, Index, Layer, LayerReader, LayerWriter, decompress, write_content,
};
use imgmake_oci::store::{BlobReader, Store};

/// Files out of layer blobs, without unpacking them: what is wanted of each layer is read in one pass
/// into an unnamed file and given from there in the plan's order.
pub struct FromLayers {
    spool: File,
    /// Source path -> where its bytes lie in the spool.
    places: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl FromLayers {
    /// `wanted`: paths of regular files in the merged tree. `fetch` brings the blob of a layer, by its number,
    /// into the store; only those that hold something are asked for.
    ///
    /// # Errors
    /// A layer that cannot be read, or that no longer holds what its index says.
    pub fn gather(
        store: &Store,
        layers: &[Layer],
        wanted: &[Vec<u8>],
        fetch: &dyn Fn(usize) -> Result<()>,
        cancel: &Cancel,
    ) -> Result<FromLayers> {
        let mut from = FromLayers {
            spool: tempfile::tempfile_in(store.root()).context("cannot make a temporary file")?,
            places: BTreeMap::new(),
        };
        for (number, names) in locate(store, layers, wanted)? {
            cancel.check()?;
            fetch(number)?;
            from.spool_layer(store, &layers[number], &names, cancel)?;
        }
        Ok(from)
    }

    fn spool_layer(
        &mut self,
        store: &Store,
        layer: &Layer,
        names: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
        cancel: &Cancel,
    ) -> Result<()> {
        store.with_blob(layer.digest(), |blob| {
            self.spool_files(blob, layer, names, cancel)
        })
    }

    fn spool_files(
        &mut self,
        blob: &mut BlobReader,
        layer: &Layer,
        names: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
        cancel: &Cancel,
    ) -> Result<()> {
        let at = || format!("cannot read layer {}", layer.digest().short());
        let plain = decompress(cancel.reader(blob)).with_context(at)?;
        let mut reader = LayerReader::new(plain).stopped_by(cancel);
        let mut buffer = vec![0; 256 << 10];
        let mut missing: std::collections::BTreeSet<&Vec<u8>> = names.keys().collect();
        while let Some(entry) = reader.next_entry().with_context(at)? {
            let Some(sources) = names.get(&entry.path) else {
                continue;
            };
            if !matches!(entry.kind, EntryKind::File { .. }) {
                continue;
            }
            let start = self.spool.seek(SeekFrom::End(0))?;
            let length =
                write_content(&mut reader, &self.spool, start, &mut buffer).with_context(at)?;
            missing.remove(&entry.path);
            for source in sources {
                self.places.insert(source.clone(), (start, length));
            }
        }
        if let Some(path) = missing.first() {
            return Err(BuildError::damaged(
                format!("layer {}", layer.digest().short()),
                format!("it does not contain `{}`", show(path)),
            ));
        }
        Ok(())
    }
}

impl Contents for FromLayers {
    fn open(&mut self, source: &[u8]) -> Result<Box<dyn Read + Send + '_>> {
        let (start, length) = *self
            .places
            .get(source)
            .ok_or_else(|| BuildError::internal(format!("`{}` was not gathered", show(source))))?;
        self.spool.seek(SeekFrom::Start(start))?;
        Ok(Box::new((&self.spool).take(length)))
    }
}

/// Layer number -> path in that layer -> the source paths that it serves.
type Located = BTreeMap<usize, BTreeMap<Vec<u8>, Vec<Vec<u8>>>>;

fn locate(store: &Store, layers: &[Layer], wanted: &[Vec<u8>]) -> Result<Located> {
    let indexes = layers
        .iter()
        .map(|l| Ok(store.index(l)?))
        .collect::<Result<Vec<_>>>()?;
    let mut located = Located::new();
    for source in wanted {
        let (place, path) = origin(&indexes, source)?;
        located
            .entry(place)
            .or_default()
            .entry(path)
            .or_default()
            .push(source.clone());
    }
    Ok(located)
}

/// The layer that holds a file of the merged tree, and its path there: hard links are followed, also into layers
/// below.
///
/// # Errors
/// No layer holds it.
pub fn origin(layers: &[Arc<Index>], file: &[u8]) -> Result<(usize, Vec<u8>)> {
    let mut path = file.to_vec();
    let mut below = layers.len();
    loop {
        let mut from_top = layers[..below].iter().enumerate().rev();
        let found = from_top.find_map(|(n, index)| Some((n, &index.get(&path)?.entry.kind)));
        match found {
            Some((n, EntryKind::HardLink { target })) if *target != path => {
                path.clone_from(target);
                below = n + 1;
            }
            Some((n, EntryKind::File { .. })) => return Ok((n, path)),
            _ => {
                let what = format!("`{}`", show(file));
                return Err(BuildError::not_found(what, "no layer contains it"));
            }
        }
    }
}

/// Reads one file of the merged tree, at most `limit` bytes of it; `None` when it is not there or no regular file.
pub fn read_file(
    store: &Store,
    layers: &[Layer],
    view: &imgmake_oci::layer::View,
    path: &[u8],
    limit: u64,
    fetch: &dyn Fn(usize) -> Result<()>,
) -> Result<Option<Vec<u8>>> {
    let resolved = view.resolve(path, imgmake_oci::layer::FollowLast::Yes)?;
    match view.get(&resolved).map(|e| &e.entry.kind) {
        Some(EntryKind::File { .. } | EntryKind::HardLink { .. }) => {}
        _ => return Ok(None),
    }
    let wanted = std::slice::from_ref(&resolved);
    let mut from = FromLayers::gather(store, layers, wanted, fetch, store.cancel())?;
    let mut bytes = Vec::new();
    from.open(&resolved)?.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes the layer. Entries are sorted; bytes of archives come after, in the archives' order; hard links last,
/// when what they name is there.
///
/// # Errors
/// A source that cannot be read or that changes while it is read; nothing is left in the store then.
pub fn write_layer(
    plan: &Plan,
    contents: &mut dyn Contents,
    compression: Compression,
    store: &Store,
    cancel: &Cancel,
) -> Result<Layer> {
    let (file, out) = store.layer_file()?;
    let mut writer = LayerWriter::new(out, compression)?.stopped_by(cancel);
    let is_link = |p: &Planned| matches!(p.entry.kind, EntryKind::HardLink { .. });
    let is_archived = |p: &Planned| matches!(p.content, Content::Archive { .. });
    for planned in plan.entries.values() {
        if !is_link(planned) && !is_archived(planned) {
            cancel.check()?;
            write_entry(&mut writer, planned, contents)?;
        }
    }
    for (number, archive) in plan.archives.iter().enumerate() {
        write_archive(&mut writer, plan, (number, archive), contents, cancel)?;
    }
    for planned in plan.entries.values().filter(|p| is_link(p)) {
        write_entry(&mut writer, planned, contents)?;
    }
    let (layer, index) = writer.finish()?;
    unchanged(plan, &index)?;
    store.adopt_layer(file, &layer, &index)?;
    Ok(layer)
}

/// The key was made from hashes taken before: other bytes under that key would come back in every later build.
fn unchanged(plan: &Plan, index: &Index) -> Result<()> {
    for written in &index.entries {
        let planned = plan.entries.get(&written.entry.path);
        let expected = planned
            .filter(|p| !matches!(p.content, Content::Archive { .. }))
            .and_then(|p| p.hash);
        if expected.is_some() && written.content != expected {
            let path = format!("/{}", show(&written.entry.path));
            return Err(BuildError::Changed(path));
        }
    }
    Ok(())
}

fn write_entry(
    writer: &mut LayerWriter,
    planned: &Planned,
    contents: &mut dyn Contents,
) -> Result<()> {
    let at = || format!("cannot write `/{}`", show(&planned.entry.path));
    let mut content = open_content(&planned.content, contents)?;
    let written = writer.append(&planned.entry, &mut content);
    written.map(drop).with_context(at)
}

fn write_archive(
    writer: &mut LayerWriter,
    plan: &Plan,
    (number, archive): (usize, &Content),
    contents: &mut dyn Contents,
    cancel: &Cancel,
) -> Result<()> {
    let wanted: BTreeMap<u64, &Planned> = plan
        .entries
        .values()
        .filter_map(|p| match p.content {
            Content::Archive { archive, number: n } if archive == number => Some((n, p)),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut reader = super::archive::reader(archive, contents, cancel)?;
    let mut n = 0;
    while reader.next_entry()?.is_some() {
        if let Some(planned) = wanted.get(&n) {
            writer
                .append(&planned.entry, &mut reader)
                .with_context(|| format!("cannot write `/{}`", show(&planned.entry.path)))?;
        }
        n += 1;
    }
    Ok(())
}
