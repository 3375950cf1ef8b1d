//! How much a layer or an archive may claim: its numbers come from strangers, and cost
//! those who write them nothing. Far beyond what images hold; the book names them.

use crate::error::{OciError, Result};

use super::entry::{Entry, EntryKind};

const GIB: u64 = 1 << 30;

/// Bytes of one file.
pub const MOST_FILE: u64 = 1024 * GIB;
/// Bytes of all files together.
pub const MOST_LAYER: u64 = 4096 * GIB;
/// Bytes of all holes of sparse files together: no byte is stored for them, and each is hashed.
pub const MOST_HOLES: u64 = 64 * GIB;
/// Entries: each is held in memory.
pub const MOST_ENTRIES: u64 = 4_000_000;
/// Bytes of paths, link targets and extended attributes together, which are held in memory too.
pub const MOST_NAMES: u64 = GIB / 2;
/// Bytes that a packed stream may unpack to however few it has itself; beyond, [`MOST_RATIO`] holds.
pub const FREE_PLAIN: u64 = 64 * GIB;
/// Plain bytes for each packed one. gzip reaches 1,032 with zeros alone.
pub const MOST_RATIO: u64 = 1000;

/// Adds up what one layer claims.
#[derive(Clone, Default)]
pub(crate) struct Claimed {
    bytes: u64,
    holes: u64,
    entries: u64,
    names: u64,
}

impl Claimed {
    /// Takes one more file's size, of which `holes` bytes are stored nowhere.
    ///
    /// # Errors
    /// The file, or the layer with it, claims more than any may.
    pub fn file(&mut self, size: u64, holes: u64) -> Result<()> {
        at_most(size, MOST_FILE, || {
            format!("a file of {size} bytes in a layer")
        })?;
        self.bytes = self.bytes.saturating_add(size);
        self.holes = self.holes.saturating_add(holes);
        if self.holes > MOST_HOLES {
            let what = format!(
                "the file is sparse: {holes} of its {size} bytes are holes, with those before them {}",
                self.holes
            );
            return Err(OciError::limit(
                what,
                format!("{} GiB of holes ({MOST_HOLES} bytes)", MOST_HOLES / GIB),
            ));
        }
        at_most(self.bytes, MOST_LAYER, || {
            format!("{} bytes in all files of a layer", self.bytes)
        })
    }

    /// Takes one more entry, whatever it is.
    ///
    /// # Errors
    /// There are more entries, or more bytes of names, than any layer may have.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        let target = match &entry.kind {
            EntryKind::Symlink { target } | EntryKind::HardLink { target } => target.len(),
            _ => 0,
        };
        let attributes: usize = entry.xattrs.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.names(entry.path.len() + target + attributes)
    }

    /// Takes one more entry whose path, link target and attributes have so many bytes.
    ///
    /// # Errors
    /// As [`Claimed::entry`].
    pub fn names(&mut self, bytes: usize) -> Result<()> {
        self.entries += 1;
        self.names += bytes as u64;
        if self.entries > MOST_ENTRIES {
            return Err(OciError::limit("entries of a layer", MOST_ENTRIES));
        }
        at_most(self.names, MOST_NAMES, || {
            "paths, links and extended attributes of a layer".to_string()
        })
    }
}

fn at_most(bytes: u64, most: u64, what: impl FnOnce() -> String) -> Result<()> {
    match bytes <= most {
        true => Ok(()),
        false => Err(OciError::limit(what(), gib(most))),
    }
}

/// Half of one is said in MiB.
fn gib(bytes: u64) -> String {
    match bytes % GIB {
        0 => format!("{} GiB ({bytes} bytes)", bytes / GIB),
        _ => format!("{} MiB ({bytes} bytes)", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_layer_may_claim_is_bounded_by_file_and_in_sum() {
        let mut claimed = Claimed::default();
        for _ in 0..4 {
            claimed.file(MOST_FILE, 0).unwrap();
        }
        assert!(
            claimed
                .file(1, 0)
                .unwrap_err()
                .to_string()
                .contains("4096 GiB")
        );
        let mut claimed = Claimed::default();
        claimed.file(MOST_HOLES + 10, MOST_HOLES).unwrap();
        let error = claimed.file(5, 1).unwrap_err().to_string();
        assert!(error.contains("64 GiB of holes"), "{error}");
        let error = Claimed::default()
            .file(u64::MAX, 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("1024 GiB"), "{error}");
    }

    #[test]
    fn names_and_attributes_are_counted() {
        let mut claimed = Claimed::default();
        let mut entry = Entry::symlink("a", vec![b'x'; 1 << 20]);
        entry.xattrs.insert(b"user.x".to_vec(), vec![0; 1 << 20]);
        let taken = (0..).take_while(|_| claimed.entry(&entry).is_ok()).count();
        assert_eq!(taken as u64, MOST_NAMES / ((2 << 20) + 7));
    }
}
