//! An append-only file of records, each with a MAC.
//!
//! ```text
//! "imgmake state 3\n"  salt (16 bytes)  MAC (16)
//! length (u32, little endian)  MAC (16)  payload
//! ```
//!
//! The key is the project's. Each MAC covers the one before it, so records cannot be
//! changed, exchanged, repeated or cut out; the salt keeps those of one file out of another.
//! What is cut off at the end is not noticed: a kill or a full disk does the same, and a log
//! that stops earlier says what was true earlier. An old log of the same key can be put in
//! the place of a newer one; for that somebody must have it, such as from a cache.
//!
//! The first line says the format. Its length, the salt and the MAC are those of every format, so that
//! one of ours that is older or newer is told from a stranger's.
//!
//! Several runs write into one log, each in its turn, and each goes on after what the others have
//! written. Whoever is alone may replace it.
//!
//! A record is whole or it ends the log: what a kill or a full disk left behind is cut
//! off by the next writer.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::directory::Directory;
use super::turn::Turns;
use imgmake_guard::mac::{MacKey, same};

pub(super) const NAME: &str = "log";
/// Raised when a record is written differently, or a file beside the log is.
pub(super) const FORMAT: u32 = 3;
const BEGIN: &str = "imgmake state ";
const MAGIC: usize = 16;
const SALT: usize = 16;
const MAC: usize = 16;
const START: usize = MAGIC + SALT + MAC;
const HEAD: usize = 4 + MAC;
/// For reading, at once.
const BUFFER: usize = 256 << 10;

type Link = [u8; MAC];

/// What was found in a log.
pub enum Found {
    Absent,
    /// It has no MAC of this key: of another user, machine or project.
    Foreign,
    /// Of this key, and an older format.
    Older,
    /// Of this key, and a newer format: also one whose number cannot be read.
    Newer {
        format: String,
    },
    Ours {
        end: End,
        /// Something that is no record follows.
        damaged: bool,
        past: Past,
    },
}

/// Records that were read, to be read again: nobody changes what is sound, and a log that is replaced stays
/// what it was for whoever has it open.
pub struct Past {
    file: File,
    key: MacKey,
}

/// Where a sound record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    offset: u64,
    length: u32,
    before: Link,
}

impl Place {
    /// In bytes, with what frames it.
    pub fn length(&self) -> usize {
        self.length as usize
    }
}

impl Past {
    /// What was recorded there; `None` of what is no longer that.
    pub fn payload(&self, place: &Place) -> Option<Vec<u8>> {
        let mut bytes = vec![0; place.length as usize];
        self.file.read_exact_at(&mut bytes, place.offset).ok()?;
        match record(&self.key, &place.before, &bytes)? {
            (payload, _, []) => Some(payload.to_vec()),
            _ => None,
        }
    }
}

/// Where the next record goes.
#[derive(Clone, Copy)]
pub struct End {
    pub length: u64,
    link: Link,
}

/// Gives each sound record to `take`, which may refuse one, and where it lies.
pub fn read(
    directory: &Directory,
    key: &MacKey,
    mut take: impl FnMut(&[u8], Place) -> bool,
) -> Found {
    let mut file = match directory.read(NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Absent,
        Err(_) => return Found::Foreign,
        Ok(file) => file,
    };
    // Not a byte more of a stranger's.
    let mut start = [0; START];
    if file.read_exact(&mut start).is_err() {
        return Found::Foreign;
    }
    let (fields, mac) = start.split_at(START - MAC);
    let link = first(key, fields);
    if !same(&link, mac) {
        return Found::Foreign;
    }
    match format(&fields[..MAGIC]) {
        Ok(FORMAT) => {}
        Ok(format) if format < FORMAT => return Found::Older,
        Ok(format) => {
            let format = format.to_string();
            return Found::Newer { format };
        }
        Err(format) => return Found::Newer { format },
    }
    let mut end = End {
        length: START as u64,
        link,
    };
    // One after the other: a log of 10,000 targets is not held twice.
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let mut bytes = Vec::new();
    let damaged = loop {
        bytes.clear();
        match read_framed(&mut reader, &mut bytes) {
            Ok(()) if bytes.is_empty() => break false,
            Ok(()) => {}
            Err(_) => break true,
        }
        let Some((payload, link, [])) = record(key, &end.link, &bytes) else {
            break true;
        };
        let place = Place {
            offset: end.length,
            length: u32::try_from(bytes.len()).unwrap_or(0),
            before: end.link,
        };
        if !take(payload, place) {
            break true;
        }
        end.link = link;
        end.length += bytes.len() as u64;
    };
    let past = Past {
        file: reader.into_inner(),
        key: key.clone(),
    };
    Found::Ours { end, damaged, past }
}

/// As many bytes as the next record says that it has, or as there are.
fn read_framed(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    from.take(HEAD as u64).read_to_end(bytes)?;
    if let Some(length) = bytes.first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        from.take(length.into()).read_to_end(bytes)?;
    }
    Ok(())
}

fn record<'a>(key: &MacKey, before: &Link, bytes: &'a [u8]) -> Option<(&'a [u8], Link, &'a [u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (length, mac) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
    let (payload, rest) = rest.split_at_checked(length as usize)?;
    let link = next(key, before, payload);
    same(&link, mac).then_some((payload, link, rest))
}

/// As many digits as there is room for, filled up with ends of lines.
fn magic(format: u32) -> [u8; MAGIC] {
    let mut line = [b'\n'; MAGIC];
    let text = format!("{BEGIN}{format}");
    line[..text.len()].copy_from_slice(text.as_bytes());
    line
}

/// Its number; as an error what stands there instead of one that is known.
fn format(line: &[u8]) -> Result<u32, String> {
    let text = String::from_utf8_lossy(line);
    let number = text.strip_prefix(BEGIN).unwrap_or(&text).trim_end();
    let other = || number.escape_debug().to_string();
    number.parse().map_err(|_| other())
}

fn first(key: &MacKey, fields: &[u8]) -> Link {
    shortened(&key.mac(&[b"start", fields]))
}

fn next(key: &MacKey, before: &Link, payload: &[u8]) -> Link {
    shortened(&key.mac(&[b"record", before, payload]))
}

fn shortened(mac: &[u8; 32]) -> Link {
    mac[..MAC].try_into().expect("it is longer")
}

/// The writing end.
pub struct Log {
    chain: Chain,
    turns: Turns,
}

/// Records behind each other, as far as this writer has seen them.
pub struct Chain {
    file: File,
    key: MacKey,
    end: End,
}

impl Log {
    /// Goes on after what was sound; what follows it is cut off. In a turn.
    pub fn append_at(directory: &Directory, key: &MacKey, end: End) -> io::Result<Log> {
        let mut file = directory.write(NAME)?;
        if file.metadata()?.len() != end.length {
            file.set_len(end.length)?;
        }
        file.seek(SeekFrom::Start(end.length))?;
        let key = key.clone();
        Ok(Log {
            chain: Chain { file, key, end },
            turns: Turns::of(directory)?,
        })
    }

    /// A new log under the same name, filled by `fill` before it gets that name. In a turn.
    pub fn rewrite(
        directory: &Directory,
        key: &MacKey,
        fill: impl FnOnce(&mut Chain) -> io::Result<()>,
    ) -> io::Result<Log> {
        let unfinished = directory.begin(NAME)?;
        let salt = MacKey::random()?.mac(&[]);
        let fields = [&magic(FORMAT)[..], &salt[..SALT]].concat();
        let link = first(key, &fields);
        let mut chain = Chain {
            file: unfinished.file.try_clone()?,
            key: key.clone(),
            end: End { length: 0, link },
        };
        chain.write(&[&fields[..], &link].concat())?;
        fill(&mut chain)?;
        unfinished.finish()?;
        Ok(Log {
            chain,
            turns: Turns::of(directory)?,
        })
    }

    /// One record, behind what other runs have written meanwhile.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let _turn = self.turns.take()?;
        self.chain.catch_up()?;
        self.chain.append(payload)
    }
}

impl Chain {
    /// Goes on after the records of others. What is no record was left by one that was killed.
    fn catch_up(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length == self.end.length {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.end.length))?;
        self.file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some((_, link, next)) = record(&self.key, &self.end.link, rest) {
            self.end.link = link;
            self.end.length += (rest.len() - next.len()) as u64;
            rest = next;
        }
        if !rest.is_empty() {
            self.file.set_len(self.end.length)?;
        }
        self.file.seek(SeekFrom::Start(self.end.length))?;
        Ok(())
    }

    /// One record, in one write.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| io::Error::other("a record of more than four gigabytes"))?;
        let link = next(&self.key, &self.end.link, payload);
        let mut framed = Vec::with_capacity(HEAD + payload.len());
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&link);
        framed.extend_from_slice(payload);
        self.write(&framed)?;
        self.end.link = link;
        Ok(())
    }

    /// A write that failed half-way is taken back, so that a later one is not
    /// hidden behind its torn record.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.end.length)?;
            self.file.seek(SeekFrom::Start(self.end.length))?;
            return Err(error);
        }
        self.end.length += bytes.len() as u64;
        Ok(())
    }
}
