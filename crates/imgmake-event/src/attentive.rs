//! Files whose bytes may never come: pipes, terminals, sockets. A run that is cancelled does
//! not wait for them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::Cancel;

/// How soon a cancellation is seen.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A file whose reader a cancellation ends, also while nothing comes.
pub struct Attentive {
    file: File,
    cancel: Cancel,
    /// Bytes of a regular file are there at once.
    waits: bool,
}

impl Cancel {
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
        Ok(Attentive {
            waits: !file.metadata()?.is_file(),
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
            if self.waits {
                match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&GLANCE)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
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

    use super::super::Cancelled;
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
            let (ended, told) = std::sync::mpsc::channel();
            let reading = std::thread::spawn(move || {
                let read = reader.read(&mut [0; 8]);
                ended.send(()).unwrap();
                read
            });
            assert!(
                told.recv_timeout(std::time::Duration::from_millis(120))
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
