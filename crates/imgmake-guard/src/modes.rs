//! Files and directories with the modes that they are to have. The helper process has no
//! umask, so what it makes without a word would be everybody's.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// For this user alone.
pub const PRIVATE: u32 = 0o700;
/// A directory that commands of an image see.
pub const VISIBLE: u32 = 0o755;

/// A new directory.
///
/// # Errors
/// It is there already, or cannot be made.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)
}

/// A directory and those above it, as far as they are missing.
///
/// # Errors
/// Something else is there, or it cannot be made.
pub fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// A file, made or emptied, for this user alone.
///
/// # Errors
/// It cannot be written.
pub fn private_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Writes a whole file for this user alone.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private_file(path)?.write_all(bytes)
}
