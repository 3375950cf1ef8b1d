//! A blob that another process of this run still writes, read as it grows.
//!
//! What is read is a part of the blob, or of something that turns out not to be it: whoever reads it has to verify
//! what it unpacks to.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use imgmake_event::Cancel;

/// Between looks for more, which last longer the longer nothing comes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Where the bytes of a layer are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Blob {
    Stored,
    /// On their way into the store, by way of this file of it, which grows.
    Arriving(PathBuf),
}

pub(super) struct ArrivingBlob {
    file: File,
    /// Of the blob, and how many bytes of it were read.
    size: u64,
    read: u64,
    cancel: Cancel,
}

impl ArrivingBlob {
    /// # Errors
    /// It is not there any more: it arrived, or was given up.
    pub(super) fn open(path: &Path, size: u64, cancel: &Cancel) -> io::Result<ArrivingBlob> {
        Ok(ArrivingBlob {
            file: File::open(path)?,
            size,
            read: 0,
            cancel: cancel.clone(),
        })
    }

    /// Its writer has removed it.
    fn is_given_up(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }
}

impl Read for ArrivingBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.read).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.cancel.check()?;
            // Asked before reading: what was written before the name went is read.
            let is_given_up = self.is_given_up()?;
            let read = self.file.read(&mut buffer[..wanted])?;
            self.read += read as u64;
            match read {
                0 if is_given_up => {
                    let why = "the layer was given up before it was whole";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                0 => sleep(pause),
                read => return Ok(read),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(file: &mut impl Write, bytes: &[u8]) {
        sleep(LONGEST_PAUSE);
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn all_of_it_is_read_while_it_is_written_and_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = tempfile::NamedTempFile::new_in(&directory).unwrap();
        let cancel = Cancel::default();
        let mut blob = ArrivingBlob::open(file.path(), 10, &cancel).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                written(&mut file, b"01234");
                written(&mut file, b"56789");
                file.persist(directory.path().join("blob")).unwrap();
            });
            let mut found = Vec::new();
            blob.read_to_end(&mut found).unwrap();
            assert_eq!(found, b"0123456789");
        });
    }

    #[test]
    fn what_is_longer_than_the_blob_is_not_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut blob = ArrivingBlob::open(file.path(), 4, &Cancel::default()).unwrap();
        let mut found = Vec::new();
        blob.read_to_end(&mut found).unwrap();
        assert_eq!(found, b"0123");
    }

    #[test]
    fn a_blob_that_is_given_up_or_no_longer_wanted_ends_the_wait() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"01234").unwrap();
        let cancel = Cancel::default();
        let open = || ArrivingBlob::open(file.path(), 10, &cancel).unwrap();
        let (mut given_up, mut unwanted) = (open(), open());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut found = Vec::new();
                let error = given_up.read_to_end(&mut found).unwrap_err();
                (found, error.kind())
            });
            sleep(LONGEST_PAUSE * 2);
            drop(file);
            let expected = (b"01234".to_vec(), io::ErrorKind::UnexpectedEof);
            assert_eq!(reader.join().unwrap(), expected);
            cancel.cancel();
            let error = unwanted.read_to_end(&mut Vec::new()).unwrap_err();
            assert!(imgmake_event::Cancelled::ended(&error));
        });
    }
}
