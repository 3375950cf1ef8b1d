//! Files whose bytes may never come: pipes, terminals, sockets. A run that is cancelled does
//! not wait for them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;

use super::{Cancel, Cancelled, OnCancel};

/// A descriptor that is readable from the cancellation on, to be waited for beside others.
#[derive(Debug)]
pub struct CancelFd {
    event: Arc<OwnedFd>,
    _registered: OnCancel,
}

impl AsFd for CancelFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl CancelFd {
    /// Waits until `file` can be read, has ended, or has failed; `false` after `most`.
    ///
    /// # Errors
    /// [`Cancelled`] as an input's error; the system's.
    pub fn wait_readable(&self, file: impl AsFd, most: Option<Duration>) -> io::Result<bool> {
        let until = most.map(|most| Instant::now() + most);
        loop {
            let mut waited = [
                PollFd::new(&self.event, PollFlags::IN),
                PollFd::new(&file, PollFlags::IN),
            ];
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // A time that is out of range is for ever.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut waited, left.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(0) => return Ok(false),
                Ok(_) => {}
            }
            if !waited[0].revents().is_empty() {
                return Err(Cancelled.into());
            }
            return Ok(true);
        }
    }
}

/// A file whose reader a cancellation ends, also while nothing comes.
pub struct Attentive {
    file: File,
    cancel: Cancel,
    /// `None` for a regular file, whose bytes are there at once.
    waiting: Option<CancelFd>,
}

impl Cancel {
    /// # Errors
    /// This process may have no more descriptors.
    pub fn descriptor(&self) -> io::Result<CancelFd> {
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let woken = event.clone();
        let registered = self.on_cancel(move || {
            // The counter is far from full.
            let _ = rustix::io::write(&woken, &1_u64.to_ne_bytes());
        });
        Ok(CancelFd {
            event,
            _registered: registered,
        })
    }

    /// Opens a file to read it. A named pipe that nobody writes to is waited for when it is
    /// read, and not now.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<Attentive> {
        self.check()?;
        let mut options = File::options();
        options.read(true);
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        self.attentive(options.open(path)?)
    }

    /// # Errors
    /// The file cannot be asked what it is.
    pub fn attentive(&self, file: File) -> io::Result<Attentive> {
        let waits = !file.metadata()?.is_file();
        Ok(Attentive {
            waiting: waits.then(|| self.descriptor()).transpose()?,
            file,
            cancel: self.clone(),
        })
    }
}

impl Attentive {
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn into_file(self) -> File {
        self.file
    }
}

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.cancel.check()?;
            if let Some(waiting) = &self.waiting {
                waiting.wait_readable(&self.file, None)?;
            }
            match self.file.read(buffer) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    fn pipe(directory: &Path) -> std::path::PathBuf {
        let path = directory.join("pipe");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        path
    }

    #[test]
    fn a_pipe_that_stays_silent_is_read_until_the_cancellation() {
        let directory = tempfile::tempdir().unwrap();
        let (path, cancel) = (pipe(directory.path()), Cancel::default());
        for with_writer in [false, true] {
            let cancel = Cancel::default();
            let mut reader = cancel.open(&path).unwrap();
            let writer = || File::options().write(true).open(&path).unwrap();
            let _writer = with_writer.then(writer);
            let (ended, was_ended) = std::sync::mpsc::channel();
            let reading = std::thread::spawn(move || {
                let read = reader.read(&mut [0; 8]);
                ended.send(()).unwrap();
                read
            });
            assert!(
                was_ended
                    .recv_timeout(std::time::Duration::from_millis(120))
                    .is_err()
            );
            cancel.cancel();
            assert!(Cancelled::ended(&reading.join().unwrap().unwrap_err()));
        }
        cancel.cancel();
        assert!(cancel.open(&path).is_err());
    }

    #[test]
    fn what_comes_late_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = pipe(directory.path());
        let mut reader = Cancel::default().open(&path).unwrap();
        let writing = std::thread::spawn(move || {
            let mut writer = File::options().write(true).open(path).unwrap();
            for part in [b"ab".repeat(50_000), b"c".to_vec()] {
                std::thread::sleep(std::time::Duration::from_millis(80));
                writer.write_all(&part).unwrap();
            }
        });
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        writing.join().unwrap();
        assert_eq!(bytes.len(), 100_001);
        let plain = directory.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        let mut text = String::new();
        let mut reader = Cancel::default().open(&plain).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
