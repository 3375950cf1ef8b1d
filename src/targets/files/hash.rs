//! Type, mode and content of one entry of a directory.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::super::runner::TargetRunner;
use imgmake_core::files::{FileAt, Signature};
use imgmake_core::fingerprint::LengthPrefixedHasher;

/// What is not a directory.
pub struct Entry {
    pub hash: [u8; 32],
    pub is_link: bool,
    /// What a link leads to.
    pub behind: Option<Stat>,
}

/// A link counts with its text and, since commands follow it, with the file that it leads to.
pub fn entry(runner: &TargetRunner<'_>, file: FileAt<'_>, stat: &Stat) -> io::Result<Entry> {
    let mut hasher = LengthPrefixedHasher::new();
    let mut behind = None;
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::RegularFile => {
            let hash = file_hash(runner, stat, || file.open())?;
            return Ok(Entry {
                hash,
                is_link: false,
                behind,
            });
        }
        FileType::Symlink => {
            hasher.bytes(b"link").bytes(&file.read_link()?);
            behind = file.stat_followed().ok();
            if let Some(followed) = behind.as_ref().filter(|stat| is_file(stat)) {
                hasher.bytes(&file_hash(runner, followed, || file.open_followed())?);
            }
        }
        _ => {
            hasher.bytes(b"special").bytes(&stat.st_rdev.to_le_bytes());
        }
    }
    let hash = hasher.finish();
    Ok(Entry {
        hash,
        is_link: kind == FileType::Symlink,
        behind,
    })
}

/// The content's hash with the mode folded in. Another hash over both would say
/// no more: contents whose hashes differ in these four bytes alone do not occur.
fn file_hash(
    runner: &TargetRunner<'_>,
    stat: &Stat,
    open: impl FnOnce() -> io::Result<File>,
) -> io::Result<[u8; 32]> {
    let mut hash = runner.hash_file(&Signature::of_stat(stat), open)?;
    let mode = stat.st_mode & 0o7777;
    for (byte, bits) in hash.iter_mut().zip(mode.to_le_bytes()) {
        *byte ^= bits;
    }
    Ok(hash)
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

pub fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub fn open_directory(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
