//! Whether a file or a tree is still the one that was written, by `lstat` alone.

use std::ffi::OsString;
use std::fs::{self, Metadata};

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fingerprint::LengthPrefixedHasher;

/// Everything about a file that the kernel changes when its content changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime: i64,
    pub ctime: i64,
}

impl Signature {
    pub fn of(metadata: &Metadata) -> Signature {
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000) + nanos;
        Signature {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let fields = [
            self.device.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.size.to_le_bytes(),
            self.mtime.to_le_bytes(),
            self.ctime.to_le_bytes(),
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        bytes
    }
}

/// Signs a file, or a directory with everything below it.
///
/// # Errors
/// Something cannot be read, such as because it is gone.
pub fn tree_signature(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = LengthPrefixedHasher::new();
    let mut path = path.to_path_buf();
    // Per level: the names that are still to be signed. Not by recursion: a command may
    // have made directories in each other as long as it liked.
    let mut left = vec![sign(&path, &mut hasher)?.into_iter()];
    while let Some(names) = left.last_mut() {
        match names.next() {
            Some(name) => {
                hasher.bytes(name.as_bytes());
                path.push(&name);
                left.push(sign(&path, &mut hasher)?.into_iter());
            }
            None => {
                left.pop();
                path.pop();
            }
        }
    }
    Ok(hasher.finish())
}

/// Signs a file, or how many names a directory has, and gives these.
fn sign(path: &Path, hasher: &mut LengthPrefixedHasher) -> io::Result<Vec<OsString>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        hasher.bytes(&Signature::of(&metadata).bytes());
        return Ok(Vec::new());
    }
    let mut names = fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    // Sorted: readdir order differs between file systems.
    names.sort();
    hasher.bytes(&(names.len() as u64).to_le_bytes());
    Ok(names)
}
