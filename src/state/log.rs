//! An append-only file of checksummed records.
//!
//! ```text
//! "imgmake state 1\n"
//! length (u32, little endian)  blake3 of the payload (8 bytes)  payload
//! ```
//!
//! A record is whole or it ends the log: what a kill or a full disk left
//! behind is cut off by the next writer.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

const MAGIC: &[u8] = b"imgmake state 1\n";
const HEAD: usize = 12;

/// Gives each sound record to `take`, which may refuse one; the length of what
/// was sound, or `None` when this is no log of ours.
pub fn read(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let mut at = MAGIC.len();
    while let Some((payload, next)) = record(&bytes, at) {
        if !take(payload) {
            break;
        }
        at = next;
    }
    Some(at as u64)
}

fn record(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let head = bytes.get(at..at + HEAD)?;
    let (length, checksum) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let payload = bytes.get(at + HEAD..(at + HEAD).checked_add(length)?)?;
    (checksum_of(payload) == checksum).then_some((payload, at + HEAD + length))
}

fn checksum_of(payload: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(payload);
    hash.as_bytes()[..8].try_into().expect("a hash is 32 bytes")
}

/// The writing end.
pub struct Log {
    file: File,
    length: u64,
}

impl Log {
    /// Goes on after the first `length` bytes; what follows them is cut off.
    pub fn append_at(path: &Path, length: u64) -> io::Result<Log> {
        let mut file = File::options().write(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(Log { file, length })
    }

    /// A new log under the same name, filled by `fill` before it gets that name.
    pub fn rewrite(path: &Path, fill: impl FnOnce(&mut Log) -> io::Result<()>) -> io::Result<Log> {
        let directory = path.parent().expect("the log is in a directory");
        let temporary = tempfile::NamedTempFile::new_in(directory)?;
        let mut log = Log {
            file: temporary.reopen()?,
            length: 0,
        };
        log.write(MAGIC)?;
        fill(&mut log)?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(log)
    }

    /// One record, in one write.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| io::Error::other("a record of more than four gigabytes"))?;
        let mut framed = Vec::with_capacity(HEAD + payload.len());
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&checksum_of(payload));
        framed.extend_from_slice(payload);
        self.write(&framed)
    }

    /// A write that failed half-way is taken back, so that a later one is not
    /// hidden behind its torn record.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}
