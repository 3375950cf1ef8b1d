//! A file by the directory that it is in, which is open, and its name there.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

#[derive(Clone, Copy)]
pub struct FileAt<'a> {
    pub directory: BorrowedFd<'a>,
    pub name: &'a [u8],
}

impl<'a> FileAt<'a> {
    /// By the user's own word: links on the way are followed.
    pub fn path(path: &'a Path) -> FileAt<'a> {
        FileAt {
            directory: CWD,
            name: path.as_os_str().as_bytes(),
        }
    }

    /// Of a link itself.
    ///
    /// # Errors
    /// The file is gone.
    pub fn stat(self) -> io::Result<Stat> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::statat(self.directory, self.name, flags)?)
    }

    /// Of what a link leads to.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn stat_followed(self) -> io::Result<Stat> {
        Ok(rustix::fs::statat(
            self.directory,
            self.name,
            AtFlags::empty(),
        )?)
    }

    /// The text of a link.
    ///
    /// # Errors
    /// The file is not a link.
    pub fn read_link(self) -> io::Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(self.directory, self.name, Vec::new())?;
        Ok(target.into_bytes())
    }

    /// To read a regular file.
    ///
    /// # Errors
    /// It is gone, or something else by now, such as a link.
    pub fn open(self) -> io::Result<File> {
        self.open_with(OFlags::NOFOLLOW)
    }

    /// To read the regular file that a link leads to.
    ///
    /// # Errors
    /// It leads to nothing, or to something else by now.
    pub fn open_followed(self) -> io::Result<File> {
        self.open_with(OFlags::empty())
    }

    fn open_with(self, flags: OFlags) -> io::Result<File> {
        // Whatever has taken its place meanwhile: nothing to wait for.
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.directory, self.name, flags, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::other("the file was replaced by something else")),
        }
    }
}
