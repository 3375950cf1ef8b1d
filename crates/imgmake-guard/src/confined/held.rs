//! Something in a directory, known by descriptors and not by its path.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{descriptor_path, open_parent};

/// A name in a directory and what stood there when it was taken. Wherever the directory is
/// moved, it is this directory; while this lives, no other file gets the inode's number.
pub struct Held {
    parent: OwnedFd,
    name: Vec<u8>,
    inode: OwnedFd,
}

impl Held {
    /// What stands at a path of components that are no links; itself it may be one.
    ///
    /// # Errors
    /// There is nothing, or a part of the way is a link.
    pub fn beneath(root: impl AsFd, path: &Path) -> io::Result<Held> {
        let (parent, name) = open_parent(root, path)?;
        Held::new(parent, name)
    }

    /// # Errors
    /// Nothing of that name is in the directory.
    pub fn new(parent: OwnedFd, name: Vec<u8>) -> io::Result<Held> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inode = rustix::fs::openat(&parent, &*name, flags, Mode::empty())?;
        Ok(Held {
            parent,
            name,
            inode,
        })
    }

    pub fn parent(&self) -> &OwnedFd {
        &self.parent
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether it still stands there.
    ///
    /// # Errors
    /// The directory cannot be asked.
    pub fn is_there(&self) -> io::Result<bool> {
        let now = match rustix::fs::statat(&self.parent, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => now,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let held = rustix::fs::fstat(&self.inode)?;
        Ok((now.st_dev, now.st_ino) == (held.st_dev, held.st_ino))
    }

    /// Takes the bytes of the file that was held, under whatever name it is now.
    ///
    /// # Errors
    /// It is no file, or may not be written.
    pub fn truncate(&self) -> io::Result<()> {
        let file = std::fs::File::options()
            .write(true)
            .open(descriptor_path(&self.inode))?;
        file.set_len(0)
    }

    /// Removes it if it still stands there and holds nothing; the directory keeps its time.
    ///
    /// # Errors
    /// It may not be removed.
    pub fn remove_if_empty(&self) -> io::Result<()> {
        if !self.is_there()? {
            return Ok(());
        }
        let stat = rustix::fs::fstat(&self.inode)?;
        let flags = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => AtFlags::REMOVEDIR,
            _ if stat.st_size == 0 => AtFlags::empty(),
            _ => return Ok(()),
        };
        keeping_time(&self.parent, || {
            match rustix::fs::unlinkat(&self.parent, &*self.name, flags) {
                Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// Does something in a directory and puts the directory's modification time back.
///
/// # Errors
/// What the action says; the directory's time cannot be set.
pub fn keeping_time<T, E: From<io::Error>>(
    directory: impl AsFd,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let before: Stat =
        rustix::fs::statat(&directory, ".", AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
    let done = act()?;
    let nanos = i64::try_from(before.st_mtime_nsec).unwrap_or(0);
    super::set_modified(directory, before.st_mtime, nanos)?;
    Ok(done)
}
