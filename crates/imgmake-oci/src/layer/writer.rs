//! Writes a layer in one pass: tar → diff id → compression → digest → file.
//! ustar headers; PAX records only for what does not fit into them.

use std::io::Read;

use crate::error::{Context, OciError, Result};

use imgmake_event::Cancel;

use super::assembly::Assembly;
use super::blocks::Output;
use super::bounds::Claimed;
use super::compress::Compression;
use super::cut::{MOST, block_length};
use super::entry::{Entry, EntryKind, is_clean, split};
use super::header::{self, HeaderBuilder};
use super::index::{Index, IndexEntry};
use super::pax::{XATTR, format_time, push_record};
use super::record::Layer;

/// Writes one layer: tar -> diff id -> block-parallel compression -> digest -> file, in one pass; also gathers the [`Index`].
///
/// Not to be used on a thread of rayon's pool, where it compresses without help.
/// After an error the layer is lost: drop it.
pub struct LayerWriter {
    packer: Packer,
    entries: Vec<IndexEntry>,
    claimed: Claimed,
}

impl LayerWriter {
    pub fn new(out: impl Into<Output>, compression: Compression) -> Result<LayerWriter> {
        Ok(LayerWriter {
            packer: Packer::new(out.into(), compression)?,
            entries: Vec::new(),
            claimed: Claimed::default(),
        })
    }

    /// From a cancellation on, whatever is given to the writer fails.
    #[must_use]
    pub fn stopped_by(mut self, cancel: &Cancel) -> LayerWriter {
        self.packer.cancel = cancel.clone();
        self
    }

    /// `content` must give exactly the size of a `File` entry (anything else is an error: the file changed while read); ignored for other kinds.
    /// Gives the blake3 of a file's bytes.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<Option<[u8; 32]>> {
        let action = || format!("cannot put `{}` into a layer", entry.display());
        self.packer.cancel.check()?;
        // What is written must be readable again, here and elsewhere.
        self.claimed.entry(entry).with_context(action)?;
        self.claimed.file(entry.size(), 0).with_context(action)?;
        let headers = encode_headers(entry).with_context(action)?;
        self.packer.write(&headers)?;
        let content = match entry.kind {
            EntryKind::File { size } => Some(
                self.copy(content, size)
                    .with_context(|| format!("cannot read `{}`", entry.display()))?,
            ),
            _ => None,
        };
        self.entries.push(IndexEntry {
            entry: entry.clone(),
            content,
        });
        Ok(content)
    }

    /// An entry without content (or an empty file).
    pub fn append_empty(&mut self, entry: &Entry) -> Result<()> {
        self.append(entry, &mut std::io::empty()).map(drop)
    }

    pub fn finish(mut self) -> Result<(Layer, Index)> {
        self.packer.write(&[0; 2 * header::BLOCK])?;
        Ok((self.packer.finish()?, Index::new(self.entries)))
    }

    /// Straight into the block that will be compressed; gives the blake3 of it.
    fn copy(&mut self, content: &mut dyn Read, size: u64) -> Result<[u8; 32]> {
        let mut hash = blake3::Hasher::new();
        let mut left = size;
        while left > 0 {
            let target = self.packer.room(left);
            let read = match content.read(target) {
                Ok(0) => {
                    let read = size - left;
                    let what = "it became shorter while it was read";
                    return Err(OciError::conflict(
                        format!("{what}: {read} of {size} bytes"),
                        "",
                    ));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            hash.update(&target[..read]);
            left -= read as u64;
            self.packer.advance(read)?;
        }
        expect_end(content, size)?;
        let padding = header::padding(size) as usize;
        self.packer.write(&[0; header::BLOCK][..padding])?;
        Ok(*hash.finalize().as_bytes())
    }
}

/// A finished tar, byte for byte as it is (its diff id stays), packed like a layer of our own.
/// Read to the end of `tar`; refused if it is no layer.
pub fn pack(
    tar: impl Read,
    out: impl Into<Output>,
    compression: Compression,
    cancel: &Cancel,
) -> Result<(Layer, Index)> {
    let mut packer = Packer::new(out.into(), compression)?;
    packer.cancel = cancel.clone();
    let mut through = Through { tar, packer };
    let index = Index::read_until(&mut through, cancel)?;
    Ok((through.packer.finish()?, index))
}

/// What is read from it has also been packed.
struct Through<R> {
    tar: R,
    packer: Packer,
}

impl<R: Read> Read for Through<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.tar.read(buffer)?;
        self.packer
            .write(&buffer[..read])
            .map_err(std::io::Error::other)?;
        Ok(read)
    }
}

/// Plain bytes → blocks.
struct Packer {
    assembly: Assembly,
    block: Vec<u8>,
    filled: usize,
    cancel: Cancel,
}

impl Packer {
    fn new(out: Output, compression: Compression) -> Result<Packer> {
        let mut assembly = Assembly::new(out, compression)?;
        Ok(Packer {
            block: assembly.spare()?,
            assembly,
            filled: 0,
            cancel: Cancel::default(),
        })
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len() as u64);
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
            self.advance(now.len())?;
        }
        Ok(())
    }

    /// Where up to `most` bytes may be put before [`advance`](Self::advance).
    fn room(&mut self, most: u64) -> &mut [u8] {
        let free = MOST - self.filled;
        let count = usize::try_from(most).unwrap_or(free).min(free);
        &mut self.block[self.filled..self.filled + count]
    }

    /// `count` more bytes are there. Once a block must end among them, it goes.
    fn advance(&mut self, count: usize) -> Result<()> {
        self.filled += count;
        if self.filled == MOST {
            self.cut()?;
        }
        Ok(())
    }

    /// Hands the first block in and keeps what follows it.
    fn cut(&mut self) -> Result<()> {
        self.cancel.check()?;
        let length = match self.assembly.compression() {
            Compression::None => self.filled,
            _ => block_length(&self.block[..self.filled]),
        };
        let mut next = self.assembly.spare()?;
        let rest = self.filled - length;
        next[..rest].copy_from_slice(&self.block[length..self.filled]);
        let block = std::mem::replace(&mut self.block, next);
        self.filled = rest;
        self.assembly.submit(block, length)
    }

    fn finish(mut self) -> Result<Layer> {
        while self.filled > 0 {
            self.cut()?;
        }
        self.assembly.finish()
    }
}

fn expect_end(content: &mut dyn Read, size: u64) -> Result<()> {
    loop {
        match content.read(&mut [0]) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) => {
                let what = format!("it became longer than {size} bytes while it was read");
                return Err(OciError::conflict(what, ""));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The ustar header, after a PAX header if one is needed.
fn encode_headers(entry: &Entry) -> Result<Vec<u8>> {
    check(entry)?;
    let mut records = Records::default();
    let mut header = HeaderBuilder::new(typeflag(&entry.kind));
    put_name(&mut header, &mut records, &tar_name(entry));
    header.octal(100, 8, u64::from(entry.mode));
    put_number(&mut header, &mut records, (108, 8), "uid", entry.uid);
    put_number(&mut header, &mut records, (116, 8), "gid", entry.gid);
    put_number(&mut header, &mut records, (124, 12), "size", entry.size());
    put_time(&mut header, &mut records, entry);
    put_kind(&mut header, &mut records, &entry.kind)?;
    for (name, value) in &entry.xattrs {
        records.put(&[XATTR, name].concat(), value);
    }
    let mut headers = records.into_blocks(&entry.path);
    headers.extend_from_slice(&header.finish());
    Ok(headers)
}

fn check(entry: &Entry) -> Result<()> {
    if !is_clean(&entry.path) {
        let why = "it has an empty, `.` or `..` component, or a NUL byte";
        return Err(OciError::invalid("path", why));
    }
    if entry.path.is_empty() && !entry.is_directory() {
        return Err(OciError::invalid(
            "path",
            "the root can only be a directory",
        ));
    }
    if entry.mode & !0o7777 != 0 {
        return Err(OciError::invalid(
            format!("mode {:o}", entry.mode),
            "it has bits beyond 7777",
        ));
    }
    if entry.mtime.nanos >= 1_000_000_000 {
        let why = format!("it has {} nanoseconds", entry.mtime.nanos);
        return Err(OciError::invalid("modification time", why));
    }
    match &entry.kind {
        EntryKind::Symlink { target } if target.is_empty() || target.contains(&0) => {
            let why = "its text is empty or contains a NUL byte";
            return Err(OciError::invalid("symbolic link", why));
        }
        EntryKind::HardLink { target } if target.is_empty() || !is_clean(target) => {
            return Err(OciError::invalid(
                "hard link",
                "its target is not a clean path",
            ));
        }
        _ => {}
    }
    for name in entry.xattrs.keys() {
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            return Err(not_in_tar(format!(
                "the extended attribute `{}`, whose name is empty or has `=` or NUL,",
                name.escape_ascii()
            )));
        }
    }
    Ok(())
}

fn not_in_tar(what: String) -> OciError {
    OciError::unsupported(format!("{what} in a tar"), "")
}

fn typeflag(kind: &EntryKind) -> u8 {
    match kind {
        EntryKind::File { .. } => b'0',
        EntryKind::HardLink { .. } => b'1',
        EntryKind::Symlink { .. } => b'2',
        EntryKind::CharDevice { .. } => b'3',
        EntryKind::BlockDevice { .. } => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

/// Directories end in `/`; the root is `./`.
fn tar_name(entry: &Entry) -> Vec<u8> {
    match (&entry.kind, entry.path.as_slice()) {
        (_, b"") => b"./".to_vec(),
        (EntryKind::Directory, path) => [path, b"/"].concat(),
        (_, path) => path.to_vec(),
    }
}

fn put_name(header: &mut HeaderBuilder, records: &mut Records, name: &[u8]) {
    if let Some((prefix, rest)) = ustar_name(name) {
        header.bytes(0, rest);
        header.bytes(345, prefix);
    } else {
        header.bytes(0, &readable(name));
        records.put_text("path", name);
    }
}

/// Prefix and name, if both fields can hold them.
fn ustar_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The slash between the fields is not stored; a directory's last one is.
    let from = name.len() - 101;
    let slash = from + name[from..name.len() - 1].iter().position(|b| *b == b'/')?;
    (1..=155)
        .contains(&slash)
        .then(|| (&name[..slash], &name[slash + 1..]))
}

/// For readers without PAX: the beginning, in ASCII.
fn readable(name: &[u8]) -> Vec<u8> {
    let start = name[..name.len().min(100)].trim_ascii_end();
    let start = start.strip_suffix(b"/").unwrap_or(start);
    let shown = |b: &u8| if b.is_ascii() { *b } else { b'_' };
    start.iter().map(shown).collect()
}

fn put_number(
    header: &mut HeaderBuilder,
    records: &mut Records,
    (at, length): (usize, usize),
    key: &str,
    value: u64,
) {
    if !header.octal(at, length, value) {
        records.put(key.as_bytes(), value.to_string().as_bytes());
    }
}

fn put_time(header: &mut HeaderBuilder, records: &mut Records, entry: &Entry) {
    let whole = u64::try_from(entry.mtime.seconds).ok();
    let fits = whole.is_some_and(|seconds| header.octal(136, 12, seconds));
    if !fits {
        header.octal(136, 12, 0);
    }
    if !fits || entry.mtime.nanos != 0 {
        records.put(b"mtime", format_time(entry.mtime).as_bytes());
    }
}

fn put_kind(header: &mut HeaderBuilder, records: &mut Records, kind: &EntryKind) -> Result<()> {
    let (mut major_at, mut minor_at) = (0, 0);
    match kind {
        EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
            if target.is_ascii() && target.len() <= 100 {
                header.bytes(157, target);
            } else {
                header.bytes(157, &readable(target));
                records.put_text("linkpath", target);
            }
        }
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            (major_at, minor_at) = (u64::from(*major), u64::from(*minor));
        }
        EntryKind::Directory | EntryKind::File { .. } | EntryKind::Fifo => {}
    }
    let fits = header.octal(329, 8, major_at) && header.octal(337, 8, minor_at);
    match fits {
        true => Ok(()),
        false => Err(not_in_tar(format!("the device {major_at}:{minor_at}"))),
    }
}

/// PAX records being gathered, in a fixed order.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    binary: bool,
}

impl Records {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        push_record(&mut self.bytes, key, value);
    }

    fn put_text(&mut self, key: &str, value: &[u8]) {
        self.binary |= std::str::from_utf8(value).is_err();
        self.put(key.as_bytes(), value);
    }

    /// Nothing, if nothing was put.
    fn into_blocks(self, path: &[u8]) -> Vec<u8> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let mut body = Vec::new();
        if self.binary {
            // POSIX: otherwise names are UTF-8.
            push_record(&mut body, b"hdrcharset", b"BINARY");
        }
        body.extend_from_slice(&self.bytes);
        let mut header = HeaderBuilder::new(b'x');
        let name = [b"PaxHeaders.0/", split(path).1].concat();
        header.bytes(0, &readable(&name));
        header.octal(100, 8, 0o644);
        header.octal(108, 8, 0);
        header.octal(116, 8, 0);
        header.octal(124, 12, body.len() as u64);
        header.octal(136, 12, 0);
        let mut blocks = header.finish().to_vec();
        blocks.extend_from_slice(&body);
        blocks.resize(blocks.len().next_multiple_of(header::BLOCK), 0);
        blocks
    }
}
