//! Contents as chunks: one file after the other, cut where content says, so that a changed file changes the chunks
//! around it alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use fastcdc::v2020::StreamCDC;
use imgmake_core::share::{Chunk, ContentPlace, Entry, LARGEST_CHUNK, decode_path};
use imgmake_event::Cancel;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;
use rayon::prelude::*;

use super::pack::path_of;

/// Of a chunk, compressed with zstd.
pub const CHUNK: &str = "application/vnd.imgmake.source.chunk.v1+zstd";
/// Bytes of a chunk, unless it is the last.
const LEAST: u32 = 1 << 20;
const USUAL: u32 = 2 << 20;
const LEVEL: i32 = 3;
/// Chunks that are held at once, for each processor one.
const AT_ONCE: usize = 4;

/// Chunks that a registry has, by what is in them.
pub type Known = HashMap<(String, u64), Descriptor>;

/// Cuts the contents of files, compresses what is not known, and says where each content begins.
///
/// # Errors
/// A file cannot be read, or is another than it was when it was hashed; the store cannot be written.
pub fn cut(
    root: &Path,
    entries: &mut [Entry],
    known: &Known,
    store: &Store,
    cancel: &Cancel,
) -> Result<(Vec<Chunk>, Vec<Descriptor>)> {
    let contents = Contents {
        root,
        files: entries.iter(),
        open: None,
        cancel,
    };
    let largest = u32::try_from(LARGEST_CHUNK).expect("chunks fit in memory");
    let mut cutter = StreamCDC::new(contents, LEAST, USUAL, largest);
    let (mut chunks, mut layers) = (Vec::new(), Vec::new());
    loop {
        let next: Vec<Vec<u8>> = cutter
            .by_ref()
            .take(AT_ONCE)
            .map(|chunk| chunk.map(|chunk| chunk.data))
            .collect::<Result<_, _>>()
            .map_err(|error| anyhow!(io::Error::from(error)))?;
        if next.is_empty() {
            break;
        }
        let done: Vec<(Chunk, Descriptor)> = next
            .par_iter()
            .map(|bytes| compressed(bytes, known, store))
            .collect::<Result<_>>()?;
        for (chunk, layer) in done {
            chunks.push(chunk);
            layers.push(layer);
        }
    }
    drop(cutter);
    place(entries, &chunks);
    Ok((chunks, layers))
}

fn compressed(bytes: &[u8], known: &Known, store: &Store) -> Result<(Chunk, Descriptor)> {
    let hash = blake3::hash(bytes).to_hex().to_string();
    let size = bytes.len() as u64;
    let layer = match known.get(&(hash.clone(), size)) {
        Some(layer) => layer.clone(),
        None => {
            let packed = zstd::bulk::compress(bytes, LEVEL).context("cannot compress a chunk")?;
            let digest = store.put_bytes(&packed)?;
            Descriptor::new(CHUNK, digest, packed.len() as u64)
        }
    };
    Ok((Chunk { hash, size }, layer))
}

/// Says where each content begins.
pub fn place(entries: &mut [Entry], chunks: &[Chunk]) {
    let (mut chunk, mut offset) = (0, 0);
    for entry in entries {
        let Entry::File {
            size,
            content,
            text: None,
            ..
        } = entry
        else {
            continue;
        };
        *content = (*size > 0).then_some(ContentPlace { chunk, offset });
        offset += *size;
        while chunks.get(chunk).is_some_and(|one| one.size <= offset) {
            offset -= chunks[chunk].size;
            chunk += 1;
        }
    }
}

/// The bytes of a chunk.
///
/// # Errors
/// They are not what the list says.
pub fn decompressed(chunk: &Chunk, packed: &[u8]) -> Result<Vec<u8>> {
    let size = usize::try_from(chunk.size.min(LARGEST_CHUNK)).expect("chunks fit in memory");
    // Never more than the list says, whatever the frame says of itself.
    let bytes = zstd::bulk::decompress(packed, size).context("a chunk cannot be decompressed")?;
    ensure!(
        bytes.len() as u64 == chunk.size && blake3::hash(&bytes).to_hex().as_str() == chunk.hash,
        "a chunk has other bytes than the list says"
    );
    Ok(bytes)
}

/// All contents, as one stream.
struct Contents<'a> {
    root: &'a Path,
    files: std::slice::Iter<'a, Entry>,
    open: Option<Open<'a>>,
    cancel: &'a Cancel,
}

struct Open<'a> {
    file: File,
    path: &'a str,
    hash: &'a str,
    left: u64,
    hasher: blake3::Hasher,
}

impl<'a> Contents<'a> {
    fn next(&mut self) -> io::Result<Option<Open<'a>>> {
        for entry in self.files.by_ref() {
            let Entry::File {
                path,
                size,
                hash,
                text,
                ..
            } = entry
            else {
                continue;
            };
            if *size == 0 || text.is_some() {
                continue;
            }
            self.cancel.check()?;
            let bytes = decode_path(path).unwrap_or_default();
            let file = File::open(path_of(self.root, &bytes)).map_err(|error| of(path, &error))?;
            return Ok(Some(Open {
                file,
                path,
                hash,
                left: *size,
                hasher: blake3::Hasher::new(),
            }));
        }
        Ok(None)
    }
}

fn of(path: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("cannot read `{path}`: {error}"))
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.next()? {
                Some(open) => open,
                None => return Ok(0),
            },
        };
        let most = usize::try_from(open.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = open.file.read(&mut buffer[..most]);
        let count = count.map_err(|error| of(open.path, &error))?;
        open.hasher.update(&buffer[..count]);
        open.left -= count as u64;
        let is_other = match (count, open.left) {
            (0, _) => true,
            (_, 0) => open.hasher.finalize().to_hex().as_str() != open.hash,
            _ => false,
        };
        if is_other {
            let text = format!(
                "`{}` was changed while it was read: run it again",
                open.path
            );
            return Err(io::Error::other(text));
        }
        if open.left > 0 {
            self.open = Some(open);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn entry(root: &Path, path: &str) -> Entry {
        let full = root.join(path);
        let bytes = std::fs::read(&full).unwrap();
        Entry::File {
            path: path.to_string(),
            mode: std::fs::metadata(&full).unwrap().mode() & 0o7777,
            size: bytes.len() as u64,
            hash: blake3::hash(&bytes).to_hex().to_string(),
            content: None,
            early: false,
            text: None,
        }
    }

    fn project() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        for (number, size) in [9 << 20, 0, 3, 5 << 20].into_iter().enumerate() {
            let bytes = noise(size, number as u64 + 1);
            std::fs::write(directory.path().join(format!("f{number}")), bytes).unwrap();
        }
        let store = Store::open(&directory.path().join("store")).unwrap();
        (directory, store)
    }

    fn cut_all(
        root: &Path,
        store: &Store,
        known: &Known,
    ) -> (Vec<Entry>, Vec<Chunk>, Vec<Descriptor>) {
        let mut entries: Vec<Entry> = (0..4).map(|n| entry(root, &format!("f{n}"))).collect();
        let cancel = Cancel::default();
        let (chunks, layers) = cut(root, &mut entries, known, store, &cancel).unwrap();
        (entries, chunks, layers)
    }

    #[test]
    fn every_content_is_where_its_entry_says() {
        let (directory, store) = project();
        let (entries, chunks, layers) = cut_all(directory.path(), &store, &Known::new());
        let whole: Vec<u8> = chunks
            .iter()
            .zip(&layers)
            .flat_map(|(chunk, layer)| {
                let packed = store.read_blob(&layer.digest, layer.size).unwrap();
                decompressed(chunk, &packed).unwrap()
            })
            .collect();
        for entry in &entries {
            let Entry::File {
                path,
                size,
                content,
                ..
            } = entry
            else {
                unreachable!()
            };
            let expected = std::fs::read(directory.path().join(path)).unwrap();
            let found = content.map_or(&[][..], |place| {
                let before: u64 = chunks[..place.chunk].iter().map(|one| one.size).sum();
                let at = usize::try_from(before + place.offset).unwrap();
                &whole[at..at + usize::try_from(*size).unwrap()]
            });
            assert!(found == expected, "{path}");
        }
    }

    #[test]
    fn a_changed_file_changes_the_chunks_around_it() {
        let (directory, store) = project();
        let (_, before, layers) = cut_all(directory.path(), &store, &Known::new());
        let known: Known = before
            .iter()
            .zip(layers)
            .map(|(chunk, layer)| ((chunk.hash.clone(), chunk.size), layer))
            .collect();
        std::fs::write(directory.path().join("f2"), "some more bytes").unwrap();
        let (_, after, _) = cut_all(directory.path(), &store, &known);
        let is_new = |chunk: &&Chunk| !known.contains_key(&(chunk.hash.clone(), chunk.size));
        let new = after.iter().filter(is_new).count();
        assert!((1..=2).contains(&new), "{new} of {}", after.len());
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let (directory, store) = project();
        let mut entries = vec![entry(directory.path(), "f2")];
        std::fs::write(directory.path().join("f2"), "abc").unwrap();
        let cancel = Cancel::default();
        let done = cut(
            directory.path(),
            &mut entries,
            &Known::new(),
            &store,
            &cancel,
        );
        let error = format!("{:#}", done.unwrap_err());
        assert!(
            error.contains("`f2` was changed while it was read"),
            "{error}"
        );
    }
}
