//! Bytes in a pipe, taken and given one by one by processes that share it.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

/// As make has them.
pub const TOKEN: u8 = b'+';

/// Two ends of this process alone: what it sets on them, others do not see.
#[derive(Debug)]
pub struct Ends {
    pub read: OwnedFd,
    write: OwnedFd,
}

impl Ends {
    /// # Errors
    /// There is no pipe.
    pub fn open(read: &Path, write: &Path) -> io::Result<Ends> {
        // A reader that holds it open for both never sees an end of a fifo.
        let read = open(read, OFlags::RDWR).or_else(|_| open(read, OFlags::RDONLY))?;
        let write = open_write(write)?;
        Ok(Ends { read, write })
    }

    /// One byte, if there is one.
    pub fn take(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            let read = rustix::io::read(&self.read, &mut byte).map_err(io::Error::from);
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn give(&self, bytes: &[u8]) {
        give(&self.write, bytes);
    }
}

/// A new pipe with so many bytes in it: the ends of this process, and those that others inherit.
///
/// # Errors
/// No pipe can be made, or there is no `/proc`.
pub fn filled(count: usize) -> io::Result<(Ends, (OwnedFd, OwnedFd))> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let path = |end: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", end.as_raw_fd()));
    // Opened once more: makes before 4.3 fail where a read does not wait.
    let ends = Ends {
        read: open(&path(&read), OFlags::RDONLY)?,
        write: open_write(&path(&write))?,
    };
    ends.give(&vec![TOKEN; count]);
    Ok((ends, (read, write)))
}

pub fn open_write(path: &Path) -> io::Result<OwnedFd> {
    open(path, OFlags::WRONLY)
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
    match kind {
        FileType::Fifo => Ok(opened),
        _ => Err(io::Error::other("it is not a pipe")),
    }
}

/// A pipe with room for a token takes it at once. One that is full has more than were ever given.
pub fn give(write: &OwnedFd, bytes: &[u8]) {
    let mut left = bytes;
    while !left.is_empty() {
        match rustix::io::write(write, left) {
            Ok(count) => left = &left[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
