//! The list of a source: what a manifest needs to be built elsewhere. It is the config of an artifact whose layers
//! are the chunks of its files' contents, one file after the other in the order of the list.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::path_text::decode_path;
use imgmake_guard::confined::LONGEST_PATH;

/// Of the format.
pub const VERSION: u32 = 1;
/// Bytes of a list.
pub const LARGEST_LIST: u64 = 256 << 20;
/// Bytes of a chunk before compression.
pub const LARGEST_CHUNK: u64 = 4 << 20;
/// Bytes of a text that the list has itself.
pub const LONGEST_TEXT: u64 = 64 << 10;
/// Bytes of all of them.
pub const MOST_TEXT: u64 = 1 << 20;
/// Files, directories and links.
pub const MOST_ENTRIES: usize = 1_000_000;
const MOST_CHUNKS: usize = 1_000_000;

/// Everything about a source but the contents of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceList {
    pub version: u32,
    /// The path of the manifest, one of the files.
    pub manifest: String,
    /// Whose files these are: names or patterns, as they were asked for; all where there is none.
    pub targets: Vec<String>,
    pub facts: SourceFacts,
    /// What names outside of the project stood for: tags of base images, URLs, git references.
    pub pins: BTreeMap<String, String>,
    /// In the order of their paths.
    pub entries: Vec<Entry>,
    pub chunks: Vec<Chunk>,
}

/// What the manifest's values came from, beside its own text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFacts {
    /// As `--var` has them.
    pub variables: BTreeMap<String, String>,
    /// Of the environment, what the manifest reads.
    pub environment: BTreeMap<String, String>,
    pub git: BTreeMap<String, String>,
    /// As `--set` has them, in order.
    pub sets: Vec<String>,
    /// Files of variables, as the manifest names them: they are no part of the source, since their values are known.
    pub env_files: Vec<String>,
}

/// Something in the source, by its path from the source's root; paths are as [`super::encode_path`] writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    File {
        path: String,
        /// The permission bits.
        mode: u32,
        size: u64,
        /// blake3 of the content, in hex.
        hash: String,
        /// Where the content begins; of an empty file nowhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<ContentPlace>,
        /// Its bytes are read to make keys: it is fetched before anything else.
        #[serde(default, skip_serializing_if = "is_false")]
        early: bool,
        /// The content itself: of what is read to make keys, and is a short text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    Directory {
        path: String,
        mode: u32,
    },
    Symlink {
        path: String,
        /// The link's text.
        target: String,
    },
    /// A further name of a file that stands before it.
    Hardlink {
        path: String,
        target: String,
    },
}

/// A place in the chunks; content that goes on beyond the end of a chunk goes on with the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentPlace {
    pub chunk: usize,
    pub offset: u64,
}

/// A part of the contents; the layer of the same number has its bytes, compressed with zstd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// blake3 of the bytes, in hex.
    pub hash: String,
    /// Of the bytes.
    pub size: u64,
}

/// Why a list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "it has format {found}, and this version of imgmake reads format {VERSION}: use a newer version"
    )]
    Version { found: u32 },
    #[error("it has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("`{path}`: {why}")]
    Entry { path: String, why: &'static str },
    #[error("chunk {number}: {why}")]
    Chunk { number: usize, why: &'static str },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives fields by reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Entry {
    pub fn path(&self) -> &str {
        match self {
            Entry::File { path, .. }
            | Entry::Directory { path, .. }
            | Entry::Symlink { path, .. }
            | Entry::Hardlink { path, .. } => path,
        }
    }
}

impl SourceList {
    /// The list, if everything in it is sound: paths stay inside, nothing is beneath a link, contents are where
    /// the chunks are.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn parse(bytes: &[u8]) -> Result<SourceList, InvalidSource> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| InvalidSource::Unreadable(error.to_string());
        // A later format may have other fields.
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        if head.version != VERSION {
            return Err(InvalidSource::Version {
                found: head.version,
            });
        }
        let list: SourceList = serde_json::from_slice(bytes).map_err(unreadable)?;
        list.check()?;
        Ok(list)
    }

    /// As bytes: the same list gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a list has texts and numbers")
    }

    /// # Errors
    /// As [`SourceList::parse`].
    pub fn check(&self) -> Result<(), InvalidSource> {
        let too_many = |what, most| Err(InvalidSource::TooMany { what, most });
        if self.entries.len() > MOST_ENTRIES {
            return too_many("files", MOST_ENTRIES);
        }
        if self.chunks.len() > MOST_CHUNKS {
            return too_many("chunks", MOST_CHUNKS);
        }
        for (number, chunk) in self.chunks.iter().enumerate() {
            let why = match chunk.size {
                0 => "it is empty",
                size if size > LARGEST_CHUNK => "it is too large",
                _ if !is_hash(&chunk.hash) => "its hash is not one of blake3",
                _ => continue,
            };
            return Err(InvalidSource::Chunk { number, why });
        }
        let mut checked = Checked::default();
        let mut place = Place::default();
        for entry in &self.entries {
            let refused = |why| InvalidSource::Entry {
                path: entry.path().to_string(),
                why,
            };
            checked.entry(entry).map_err(refused)?;
            if let Entry::File {
                size,
                content,
                text,
                ..
            } = entry
            {
                // What the list has itself takes no place in the chunks.
                let size = if text.is_some() { 0 } else { *size };
                place
                    .content(*content, size, &self.chunks)
                    .map_err(refused)?;
            }
        }
        if place != Place::end(&self.chunks) {
            return Err(InvalidSource::Chunk {
                number: place.chunk,
                why: "it belongs to no file",
            });
        }
        let is_manifest =
            |entry: &Entry| matches!(entry, Entry::File { path, .. } if *path == self.manifest);
        match self.entries.iter().any(is_manifest) {
            true => Ok(()),
            false => Err(InvalidSource::Entry {
                path: self.manifest.clone(),
                why: "the manifest is not among the files",
            }),
        }
    }
}

/// What has been found in order.
#[derive(Default)]
struct Checked<'a> {
    last: Option<Vec<u8>>,
    files: HashSet<&'a str>,
    /// What nothing may be beneath.
    leaves: BTreeSet<Vec<u8>>,
}

impl<'a> Checked<'a> {
    fn entry(&mut self, entry: &'a Entry) -> Result<(), &'static str> {
        let path = decode_path(entry.path()).ok_or("its name is not escaped as it must be")?;
        check_path(&path)?;
        if self.last.as_ref().is_some_and(|last| *last >= path) {
            return Err("the names are not in order, or one is there twice");
        }
        let mut above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        if above.any(|(at, _)| self.leaves.contains(&path[..at])) {
            return Err("it is beneath something that is not a directory");
        }
        match entry {
            Entry::Directory { mode, .. } => check_mode(*mode)?,
            Entry::File {
                mode,
                size,
                hash,
                text,
                ..
            } => {
                check_mode(*mode)?;
                if !is_hash(hash) {
                    return Err("its hash is not one of blake3");
                }
                let is_its_own = |text: &String| {
                    text.len() as u64 == *size
                        && blake3::hash(text.as_bytes()).to_hex().as_str() == hash
                };
                if !text.as_ref().is_none_or(is_its_own) {
                    return Err("its text is not what its hash says");
                }
                self.files.insert(entry.path());
            }
            Entry::Symlink { target, .. } => {
                let target =
                    decode_path(target).ok_or("its target is not escaped as it must be")?;
                if target.is_empty() || target.len() > LONGEST_PATH || target.contains(&0) {
                    return Err("its target is not that of a link");
                }
            }
            Entry::Hardlink { target, .. } => {
                if !self.files.contains(target.as_str()) {
                    return Err("the file that it is a name of does not stand before it");
                }
            }
        }
        if !matches!(entry, Entry::Directory { .. }) {
            self.leaves.insert(path.clone());
        }
        self.last = Some(path);
        Ok(())
    }
}

/// A path from the root of the source.
fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > LONGEST_PATH || path.contains(&0) {
        return Err("it is not the name of a file");
    }
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." | b".." => return Err("its name leads elsewhere"),
            b".imgmake" => return Err("the state of runs is not a part of a source"),
            part if part.len() > 255 => return Err("a part of its name is too long"),
            _ => {}
        }
    }
    Ok(())
}

fn check_mode(mode: u32) -> Result<(), &'static str> {
    match mode {
        0..=0o7777 => Ok(()),
        _ => Err("its mode has other bits than those of permissions"),
    }
}

fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
}

/// How far the contents have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    chunk: usize,
    offset: u64,
}

impl Place {
    fn end(chunks: &[Chunk]) -> Place {
        Place {
            chunk: chunks.len(),
            offset: 0,
        }
    }

    /// Goes on behind the content of one file.
    fn content(
        &mut self,
        said: Option<ContentPlace>,
        size: u64,
        chunks: &[Chunk],
    ) -> Result<(), &'static str> {
        let here = (size > 0).then_some(ContentPlace {
            chunk: self.chunk,
            offset: self.offset,
        });
        if said != here {
            return Err("its content does not follow that of the file before it");
        }
        let mut left = size;
        while left > 0 {
            let chunk = chunks
                .get(self.chunk)
                .ok_or("its content is not in the chunks")?;
            let taken = left.min(chunk.size - self.offset);
            left -= taken;
            self.offset += taken;
            if self.offset == chunk.size {
                *self = Place {
                    chunk: self.chunk + 1,
                    offset: 0,
                };
            }
        }
        Ok(())
    }
}
