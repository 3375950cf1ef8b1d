//! A walk down and up a tree that may be deeper than there are descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// As many levels are held open at the lower end of a walk; those between them and its
/// start are found again through `..`.
const HELD: usize = 64;

enum Level {
    Open(OwnedFd),
    /// Device and inode, so that `..` leads nowhere else when directories are moved meanwhile.
    Closed((u64, u64)),
}

/// Where a walk is: a directory, and the way back to the one that it began in.
pub struct Descent {
    start: OwnedFd,
    levels: Vec<Level>,
}

impl Descent {
    pub fn new(start: OwnedFd) -> Descent {
        Descent {
            start,
            levels: Vec::new(),
        }
    }

    /// The current directory.
    pub fn here(&self) -> BorrowedFd<'_> {
        match self.levels.last() {
            None => self.start.as_fd(),
            Some(Level::Open(fd)) => fd.as_fd(),
            Some(Level::Closed(_)) => unreachable!("the lowest level is open"),
        }
    }

    /// How many directories below its start the walk is.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Into a subdirectory, which can be read then; a link is none.
    ///
    /// # Errors
    /// There is no such directory, or it may not be read; the walk is where it was.
    pub fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        let child = super::open_child(self.here(), name)?;
        self.push(child)
    }

    /// Into a subdirectory of the current one that is open already.
    ///
    /// # Errors
    /// It cannot be asked what it is; the walk is where it was.
    pub fn push(&mut self, child: OwnedFd) -> io::Result<()> {
        if let Some(far) = self.levels.len().checked_sub(HELD)
            && let Level::Open(fd) = &self.levels[far]
        {
            self.levels[far] = Level::Closed(identity(fd)?);
        }
        self.levels.push(Level::Open(child));
        Ok(())
    }

    /// Back to the directory above; nowhere from the start.
    ///
    /// # Errors
    /// The directory was moved or removed during the walk. Goes on nowhere then.
    pub fn leave(&mut self) -> io::Result<()> {
        let Some(Level::Open(left)) = self.levels.pop() else {
            return Ok(());
        };
        if let Some(Level::Closed(expected)) = self.levels.last() {
            let expected = *expected;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let above = rustix::fs::openat(&left, "..", flags, Mode::empty())?;
            if identity(&above)? != expected {
                // Still a way up, so that nobody works in the wrong place.
                self.levels.push(Level::Open(left));
                return Err(io::Error::other("a directory was moved while it was read"));
            }
            *self.levels.last_mut().expect("it was just looked at") = Level::Open(above);
        }
        Ok(())
    }

    /// The current directory, for good.
    pub fn into_here(mut self) -> OwnedFd {
        match self.levels.pop() {
            None => self.start,
            Some(Level::Open(fd)) => fd,
            Some(Level::Closed(_)) => unreachable!("the lowest level is open"),
        }
    }

    /// Back to the start.
    pub fn restart(&mut self) {
        self.levels.clear();
    }
}

pub(super) fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}
