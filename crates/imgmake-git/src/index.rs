//! The index of a checkout (gitformat-index, version 2). It holds no times, sizes
//! and inodes of files: git looks at the files themselves then, and equal commits
//! have equal indexes.

use std::io::{self, Write};

use gix_hash::{Kind, ObjectId};

pub(super) struct Entry {
    pub path: Vec<u8>,
    pub mode: u32,
    pub id: ObjectId,
}

/// Writes entries that are in the order of their paths.
///
/// # Errors
/// The writer's; more entries than an index can hold.
pub(super) fn write(entries: &[Entry], kind: Kind, out: &mut dyn Write) -> io::Result<()> {
    let mut hashed = Hashed {
        hasher: gix_hash::hasher(kind),
        out,
    };
    let count = u32::try_from(entries.len()).map_err(io::Error::other)?;
    hashed.write_all(b"DIRC")?;
    hashed.write_all(&2_u32.to_be_bytes())?;
    hashed.write_all(&count.to_be_bytes())?;
    for entry in entries {
        one(entry, &mut hashed)?;
    }
    let sum = hashed.hasher.try_finalize().map_err(io::Error::other)?;
    hashed.out.write_all(sum.as_slice())
}

fn one(entry: &Entry, out: &mut impl Write) -> io::Result<()> {
    const LONGEST: usize = 0xfff;
    // Two times, device and inode; owner, group and size.
    out.write_all(&[0; 24])?;
    out.write_all(&entry.mode.to_be_bytes())?;
    out.write_all(&[0; 12])?;
    out.write_all(entry.id.as_slice())?;
    let length = u16::try_from(entry.path.len().min(LONGEST)).expect("it is below 4096");
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&entry.path)?;
    let written = 62 - 20 + entry.id.as_slice().len() + entry.path.len();
    out.write_all(&[0; 8][..8 - written % 8])
}

/// Passes on what it hashes.
pub(super) struct Hashed<'a> {
    pub(super) hasher: gix_hash::Hasher,
    pub(super) out: &'a mut dyn Write,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A path of git's as one of the system's.
pub(super) fn path(bytes: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}
