//! Contents as chunks: one file after the other, cut so that a changed file changes the chunk that it is in, and of a
//! large one those around the change.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use fastcdc::v2020::StreamCDC;
use imgmake_core::share::{Chunk, ContentPlace, Entry, LARGEST_CHUNK, decode_path};
use imgmake_event::Cancel;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;
use rayon::prelude::*;

use super::pack::path_of;

/// Of a chunk, compressed with zstd.
pub const CHUNK: &str = "application/vnd.imgmake.source.chunk.v1+zstd";
/// Bytes of a chunk, unless a large file comes after it, or nothing.
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
    let mut pieces = Pieces {
        root,
        files: entries.iter(),
        group: Vec::new(),
        next: None,
        large: None,
        cancel,
    };
    let (mut chunks, mut layers) = (Vec::new(), Vec::new());
    loop {
        let next: Vec<Vec<u8>> = pieces.by_ref().take(AT_ONCE).collect::<io::Result<_>>()?;
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
    drop(pieces);
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
            store.put_described(CHUNK, &packed)?
        }
    };
    Ok((Chunk { hash, size }, layer))
}

/// Says where each content begins.
fn place(entries: &mut [Entry], chunks: &[Chunk]) {
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

/// The bytes of one chunk after the other. Small files are in groups, which end where the name of a file says: a file
/// that changes changes its group alone. A large file is cut where its content says.
struct Pieces<'a> {
    root: &'a Path,
    files: std::slice::Iter<'a, Entry>,
    /// Contents of small files.
    group: Vec<u8>,
    /// The file that comes after the group.
    next: Option<&'a Entry>,
    large: Option<StreamCDC<Content<'a>>>,
    cancel: &'a Cancel,
}

impl<'a> Pieces<'a> {
    /// The next file with a content that the list does not have itself.
    fn file(&mut self) -> Option<&'a Entry> {
        let has_content =
            |entry: &&Entry| matches!(entry, Entry::File { size, text: None, .. } if *size > 0);
        self.next
            .take()
            .or_else(|| self.files.by_ref().find(has_content))
    }

    fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            self.cancel.check()?;
            if let Some(large) = &mut self.large {
                match large.next() {
                    Some(piece) => return Ok(Some(piece.map_err(io::Error::from)?.data)),
                    None => self.large = None,
                }
            }
            let Some(entry) = self.file() else {
                return Ok(self.take_group());
            };
            let Entry::File { path, size, .. } = entry else {
                continue;
            };
            let is_small = *size < u64::from(LEAST);
            let is_full = self.group.len() as u64 + size > LARGEST_CHUNK;
            if !self.group.is_empty() && (!is_small || is_full) {
                self.next = Some(entry);
                return Ok(self.take_group());
            }
            let mut content = Content::open(self.root, entry, self.cancel)?;
            if !is_small {
                let largest = u32::try_from(LARGEST_CHUNK).expect("chunks fit in memory");
                self.large = Some(StreamCDC::new(content, LEAST, USUAL, largest));
                continue;
            }
            content.read_to_end(&mut self.group)?;
            if self.group.len() >= LEAST as usize && ends_group(path) {
                return Ok(self.take_group());
            }
        }
    }

    fn take_group(&mut self) -> Option<Vec<u8>> {
        let group = std::mem::take(&mut self.group);
        (!group.is_empty()).then_some(group)
    }
}

impl Iterator for Pieces<'_> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.piece().transpose()
    }
}

/// One name in sixteen.
fn ends_group(path: &str) -> bool {
    blake3::hash(path.as_bytes()).as_bytes()[0] < 16
}

/// A content that is what the list says, or an error.
struct Content<'a> {
    file: File,
    path: &'a str,
    hash: &'a str,
    left: u64,
    hasher: blake3::Hasher,
    cancel: &'a Cancel,
}

impl<'a> Content<'a> {
    fn open(root: &Path, entry: &'a Entry, cancel: &'a Cancel) -> io::Result<Content<'a>> {
        let Entry::File {
            path, size, hash, ..
        } = entry
        else {
            return Err(io::Error::other("only files have contents"));
        };
        let bytes = decode_path(path).unwrap_or_default();
        let file = File::open(path_of(root, &bytes)).map_err(|error| of(path, &error))?;
        Ok(Content {
            file,
            path,
            hash,
            left: *size,
            hasher: blake3::Hasher::new(),
            cancel,
        })
    }
}

fn of(path: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("cannot read `{path}`: {error}"))
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..most]);
        let count = count.map_err(|error| of(self.path, &error))?;
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        let is_other = match (count, self.left) {
            (0, _) => true,
            (_, 0) => self.hasher.finalize().to_hex().as_str() != self.hash,
            _ => false,
        };
        match is_other {
            true => Err(io::Error::other(format!(
                "`{}` was changed while it was read: run it again",
                self.path
            ))),
            false => Ok(count),
        }
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

    fn known(chunks: &[Chunk], layers: Vec<Descriptor>) -> Known {
        let pairs = chunks.iter().zip(layers);
        pairs
            .map(|(chunk, layer)| ((chunk.hash.clone(), chunk.size), layer))
            .collect()
    }

    fn new_bytes(chunks: &[Chunk], known: &Known) -> u64 {
        let is_new = |chunk: &&Chunk| !known.contains_key(&(chunk.hash.clone(), chunk.size));
        chunks.iter().filter(is_new).map(|chunk| chunk.size).sum()
    }

    #[test]
    fn a_changed_part_of_a_large_file_changes_the_chunks_around_it() {
        let (directory, store) = project();
        let (_, before, layers) = cut_all(directory.path(), &store, &Known::new());
        let known = known(&before, layers);
        let mut bytes = noise(9 << 20, 1);
        bytes.splice(4 << 20..4 << 20, [1, 2, 3]);
        std::fs::write(directory.path().join("f0"), bytes).unwrap();
        let (_, after, _) = cut_all(directory.path(), &store, &known);
        let new = new_bytes(&after, &known);
        assert!((1 << 20..=7 << 20).contains(&new), "{new}");
    }

    #[test]
    fn a_changed_small_file_changes_its_chunk_alone() {
        let (directory, store) = project();
        let root = directory.path();
        let write = |number: u64, bytes: &[u8]| {
            std::fs::write(root.join(format!("{number:04}")), bytes).unwrap();
        };
        for number in 0..600 {
            write(number, &noise(30_000, number + 1));
        }
        let all = || -> Vec<Entry> { (0..600).map(|n| entry(root, &format!("{n:04}"))).collect() };
        let cancel = Cancel::default();
        let cut = |known: &Known| cut(root, &mut all(), known, &store, &cancel).unwrap();
        let (before, layers) = cut(&Known::new());
        assert!((6..=17).contains(&before.len()), "{}", before.len());
        assert!(before.iter().all(|chunk| chunk.size <= LARGEST_CHUNK));
        let known = known(&before, layers);
        for number in [0, 7, 150, 299, 431, 599] {
            write(
                number,
                &[noise(30_000, number + 1), b"more".to_vec()].concat(),
            );
            let (after, _) = cut(&known);
            assert!(new_bytes(&after, &known) <= LARGEST_CHUNK);
            write(number, &noise(30_000, number + 1));
        }
        assert_eq!(new_bytes(&cut(&known).0, &known), 0);
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
