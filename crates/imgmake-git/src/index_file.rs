//! A checkout's index, read entry by entry (gitformat-index, versions 2 to 4).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::config::settings;

/// What makes nobody wait.
pub(super) fn plain(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// Whether the index has only a part of the entries. The other part may lie there still when it is whole again.
pub(super) fn is_split(own: &Path) -> io::Result<bool> {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    let mut names = entries.into_iter().map(|entry| entry.file_name());
    match names.any(|name| name.as_bytes().starts_with(b"sharedindex.")) {
        true => IndexFile::open(own)?.has_link(),
        false => Ok(false),
    }
}

/// Of the ids in an index, in bytes.
fn id_length(own: &Path) -> io::Result<usize> {
    let mut common = own.to_path_buf();
    if let Ok(named) = plain(&own.join("commondir")) {
        let mut text = String::new();
        named.take(8192).read_to_string(&mut text)?;
        common = own.join(text.trim_end_matches('\n'));
    }
    let mut text = Vec::new();
    if let Ok(config) = plain(&common.join("config")) {
        config.take(1 << 20).read_to_end(&mut text)?;
    }
    let settings = settings(&String::from_utf8_lossy(&text));
    let format = settings
        .iter()
        .rev()
        .find(|s| s.section == "extensions" && s.name == "objectformat");
    match format.map(|setting| setting.value.as_str()) {
        None | Some("sha1") => Ok(20),
        Some("sha256") => Ok(32),
        Some(other) => Err(io::Error::other(format!("unknown object format `{other}`"))),
    }
}

/// Of an entry, before its path.
const FIXED: usize = 40 + 32 + 2;

pub(super) struct IndexFile {
    reader: BufReader<File>,
    version: u32,
    /// Of an id, in bytes.
    id: usize,
    left: u32,
    path: Vec<u8>,
    fixed: [u8; FIXED],
}

/// What git last knew of a file.
pub(super) struct Entry<'a> {
    pub path: &'a [u8],
    /// Seconds and nanoseconds, as far as 32 bits reach.
    pub modified: (u32, u32),
    pub mode: u32,
    /// Cut to 32 bits; 0 where git wants the content to be compared.
    pub size: u32,
    pub id: &'a [u8],
    /// Nobody looks at the file: `assume-unchanged`, or it is outside of a sparse checkout.
    pub is_assumed: bool,
    /// Of a merge with conflicts.
    pub is_unmerged: bool,
}

impl IndexFile {
    /// # Errors
    /// There is none (`NotFound`), or it is of another version.
    pub fn open(own: &Path) -> io::Result<IndexFile> {
        let mut reader = BufReader::with_capacity(128 << 10, plain(&own.join("index"))?);
        let mut head = [0; 12];
        reader.read_exact(&mut head)?;
        let number =
            |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (version, count) = (number(4), number(8));
        if &head[..4] != b"DIRC" || !(2..=4).contains(&version) {
            return Err(io::Error::other(format!(
                "unknown version {version}; expected 2, 3 or 4"
            )));
        }
        Ok(IndexFile {
            reader,
            version,
            id: id_length(own)?,
            left: count,
            path: Vec::new(),
            fixed: [0; FIXED],
        })
    }

    /// The next entry. They are in the order of their paths.
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        const ASSUMED: u16 = 0x8000;
        const STAGE: u16 = 0x3000;
        const SKIPPED: u16 = 0x4000;
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let (flags, extended) = self.read()?;
        let fixed = &self.fixed;
        let number =
            |at: usize| u32::from_be_bytes(fixed[at..at + 4].try_into().expect("four bytes"));
        Ok(Some(Entry {
            path: &self.path,
            modified: (number(8), number(12)),
            mode: number(24),
            size: number(36),
            id: &fixed[40..40 + self.id],
            is_assumed: flags & ASSUMED != 0 || extended & SKIPPED != 0,
            is_unmerged: flags & STAGE != 0,
        }))
    }

    /// Whether an extension behind the entries names a shared index.
    fn has_link(mut self) -> io::Result<bool> {
        while self.next()?.is_some() {}
        let mut head = [0; 8];
        // The checksum at the end is read as one more extension, which the file is too short for.
        while self.reader.read_exact(&mut head).is_ok() {
            if &head[..4] == b"link" {
                return Ok(true);
            }
            let length = u32::from_be_bytes(head[4..].try_into().expect("four bytes"));
            io::copy(
                &mut self.reader.by_ref().take(length.into()),
                &mut io::sink(),
            )?;
        }
        Ok(false)
    }

    /// Reads one entry, changes the path before it into its path, and gives its flags.
    fn read(&mut self) -> io::Result<(u16, u16)> {
        const LONGEST: usize = 0xfff;
        const EXTENDED: u16 = 0x4000;
        let index = &mut self.reader;
        let path = &mut self.path;
        let mut length = 40 + self.id + 2;
        index.read_exact(&mut self.fixed[..length])?;
        let flags = u16::from_be_bytes([self.fixed[length - 2], self.fixed[length - 1]]);
        let mut extended = [0; 2];
        if self.version >= 3 && flags & EXTENDED != 0 {
            index.read_exact(&mut extended)?;
            length += 2;
        }
        let extended = u16::from_be_bytes(extended);
        if self.version == 4 {
            let kept = path.len().checked_sub(varint(index)?).ok_or_else(damaged)?;
            path.truncate(kept);
            until_nul(index, path)?;
            return Ok((flags, extended));
        }
        path.clear();
        let named = usize::from(flags) & LONGEST;
        let mut nuls = 0;
        if named < LONGEST {
            path.resize(named, 0);
            index.read_exact(path)?;
        } else {
            until_nul(index, path)?;
            nuls = 1;
        }
        let padding = 8 - (length + path.len()) % 8;
        index.read_exact(&mut [0; 8][..padding - nuls])?;
        Ok((flags, extended))
    }
}

fn until_nul(index: &mut impl BufRead, path: &mut Vec<u8>) -> io::Result<()> {
    index.by_ref().take(1 << 20).read_until(0, path)?;
    path.pop().filter(|last| *last == 0).ok_or_else(damaged)?;
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::other("it is damaged")
}

/// How many bytes of the path before go, as git writes numbers.
fn varint(index: &mut impl Read) -> io::Result<usize> {
    let mut byte = [0];
    let mut next = || index.read_exact(&mut byte).map(|()| byte[0]);
    let mut last = next()?;
    let mut value = usize::from(last & 0x7f);
    while last & 0x80 != 0 {
        last = next()?;
        value = value
            .checked_add(1)
            .and_then(|value| value.checked_mul(128))
            .ok_or_else(damaged)?
            + usize::from(last & 0x7f);
    }
    Ok(value)
}
