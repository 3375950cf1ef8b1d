//! Reads any tar (v7, ustar, star, GNU, PAX), never trusting it: names are cleaned
//! and kept inside the root, numbers are checked, sparse files are expanded.

use std::io::{self, BufReader, Read};

use crate::error::{Context, OciError, Result};

use super::bounds::Claimed;
use super::content::Content as Holes;
use super::entry::{Entry, EntryKind, Timestamp, clean, clean_inside};
use super::header::{BLOCK, Header, padding, text};
use super::pax::Records;
use super::sparse;
use imgmake_event::Cancel;
use imgmake_guard::confined::check_length;

/// Long names and PAX headers beyond this are refused: they are held in memory.
const MOST_METADATA: u64 = 8 << 20;

/// Reads any tar (ustar, GNU, PAX), never trusting it.
pub struct LayerReader<R: Read> {
    input: BufReader<R>,
    /// Bytes taken from the input, for messages.
    position: u64,
    global: Records,
    content: Content,
    claimed: Claimed,
    cancel: Cancel,
    ended: bool,
    outside: Outside,
}

/// What becomes of a name that leads out of the root, and of a root that is no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    Refused,
    /// `..` at the root stays there, as where an archive is unpacked with its destination as the root.
    Inside,
}

/// What is left of the current entry.
#[derive(Default)]
struct Content {
    name: String,
    /// Bytes of it that the archive still holds, and what fills the last block.
    stored: u64,
    padding: u64,
    /// Bytes of the file, and how many were given.
    size: u64,
    at: u64,
    /// `Some` for a sparse file; `next` is the segment at or after `at`.
    segments: Option<Vec<sparse::Segment>>,
    next: usize,
}

/// What precedes an entry's header.
#[derive(Default)]
struct Before {
    records: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Before {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

impl<R: Read> LayerReader<R> {
    pub fn new(tar: R) -> LayerReader<R> {
        LayerReader::reading(tar, Outside::Refused)
    }

    /// Of an archive that is no layer: `../x` is `x`, and what names the root, with an empty path, may be of any
    /// kind.
    pub fn of_archive(tar: R) -> LayerReader<R> {
        LayerReader::reading(tar, Outside::Inside)
    }

    fn reading(tar: R, outside: Outside) -> LayerReader<R> {
        LayerReader {
            input: BufReader::with_capacity(64 << 10, tar),
            position: 0,
            global: Records::default(),
            content: Content::default(),
            claimed: Claimed::default(),
            cancel: Cancel::default(),
            ended: false,
            outside,
        }
    }

    /// From a cancellation on, whatever is asked of the reader fails.
    #[must_use]
    pub fn stopped_by(mut self, cancel: &Cancel) -> LayerReader<R> {
        self.cancel = cancel.clone();
        self
    }

    /// The next entry; its content is then read from `self` (`impl Read`) until it is exhausted; what is left unread is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_content()?;
        let mut before = Before::default();
        while let Some(header) = self.next_header()? {
            self.cancel.check()?;
            match header.typeflag() {
                b'x' | b'X' => before.records = Some(self.records(&header)?),
                b'g' => self.global = self.global_records(&header)?,
                b'L' => before.long_name = Some(self.long_text(&header)?),
                b'K' => before.long_link = Some(self.long_text(&header)?),
                // A volume's label: no part of the tree.
                b'V' => drop(self.metadata(&header)?),
                _ => return self.entry(&header, before).map(Some),
            }
        }
        match before.is_empty() {
            true => Ok(None),
            false => Err(OciError::cut_off(format!(
                "an entry that was announced, at byte {}",
                self.position
            ))),
        }
    }

    /// Reads on behind the last entry, to the end of the input (whose digest may be wanted).
    pub fn drain(&mut self) -> io::Result<()> {
        self.ended = true;
        self.content = Content::default();
        self.discard(u64::MAX).map(drop)
    }

    /// Reads past up to `most` bytes of the input; gives how many there were.
    fn discard(&mut self, most: u64) -> io::Result<u64> {
        use io::BufRead;
        let mut discarded = 0;
        while discarded < most {
            self.cancel.check()?;
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?.len(),
            };
            if available == 0 {
                break;
            }
            let now = (available as u64).min(most - discarded);
            self.input.consume(now as usize);
            discarded += now;
        }
        Ok(discarded)
    }

    /// The input; what was buffered of it is lost, unless [`drain`](Self::drain) was called.
    pub fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// `None` at the end: two blocks of zeros, or an input that ends between entries.
    fn next_header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        let at = self.position;
        let Some(block) = self.block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block == [0; BLOCK] {
            self.ended = true;
            let next = self.block()?.unwrap_or([0; BLOCK]);
            if next != [0; BLOCK] {
                let why = format!("there is a block of zeros between entries, at byte {at}");
                return Err(OciError::invalid("archive", why));
            }
            return Ok(None);
        }
        match Header::parse(block) {
            Some(header) => Ok(Some(header)),
            None if at == 0 => Err(not_a_tar()),
            None => Err(OciError::invalid(
                "archive",
                format!("the checksum of the header at byte {at} does not match"),
            )),
        }
    }

    /// `None` if the input ends here; an error if it ends inside the block.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) if self.position == 0 => return Err(not_a_tar()),
                Ok(0) => {
                    let inside = format!("a header, at byte {}", self.position);
                    return Err(OciError::cut_off(inside));
                }
                Ok(read) => {
                    filled += read;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    fn records(&mut self, header: &Header) -> Result<Records> {
        let at = self.position;
        Records::parse(&self.metadata(header)?).with_context(|| format!("PAX header at byte {at}"))
    }

    fn global_records(&mut self, header: &Header) -> Result<Records> {
        let records = self.records(header)?;
        if let Some(key) = records.names_one_entry() {
            let why = format!("it sets `{}` for every entry", key.escape_ascii());
            return Err(OciError::invalid("global PAX header", why));
        }
        let records = records.over(&self.global);
        match records.size() <= MOST_METADATA {
            true => Ok(records),
            false => Err(OciError::limit(
                "bytes of global PAX headers",
                MOST_METADATA,
            )),
        }
    }

    fn long_text(&mut self, header: &Header) -> Result<Vec<u8>> {
        Ok(text(&self.metadata(header)?).to_vec())
    }

    fn metadata(&mut self, header: &Header) -> Result<Vec<u8>> {
        let at = self.position;
        let size = header
            .size()
            .with_context(|| format!("header before byte {at}"))?;
        if size > MOST_METADATA {
            let what = format!("{size} bytes of names in the header at byte {at}");
            return Err(OciError::limit(what, MOST_METADATA));
        }
        let whole = size + padding(size);
        let mut bytes = Vec::new();
        (&mut self.input).take(whole).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != whole {
            let inside = format!("a long name or PAX header, at byte {at}");
            return Err(OciError::cut_off(inside));
        }
        self.position += whole;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, before: Before) -> Result<Entry> {
        let records = before.records.unwrap_or_default().over(&self.global);
        let raw_name = match records.text("GNU.sparse.name")? {
            Some(name) => Some(name),
            None => records.text("path")?,
        };
        let raw_name = raw_name
            .or(before.long_name)
            .unwrap_or_else(|| header.name());
        // Before anything else is done with it, messages included.
        let at = self.position;
        check_length(&clean(&raw_name)).with_context(|| format!("the entry before byte {at}"))?;
        let display_name = String::from_utf8_lossy(&raw_name).into_owned();
        let raw_link = match records.text("linkpath")? {
            Some(link) => link,
            None => before.long_link.unwrap_or_else(|| header.link().to_vec()),
        };
        check_length(&raw_link).with_context(|| format!("entry `{display_name}`: its link"))?;
        self.decode(header, &records, &raw_name, raw_link)
            .with_context(|| format!("entry `{display_name}`"))
    }

    fn decode(
        &mut self,
        header: &Header,
        records: &Records,
        raw_name: &[u8],
        raw_link: Vec<u8>,
    ) -> Result<Entry> {
        let path = self
            .inside(raw_name)
            .ok_or_else(|| OciError::invalid("name", "it leads out of the root"))?;
        let kind = self.kind(header, records, raw_name, raw_link)?;
        let strict = self.outside == Outside::Refused;
        if strict && path.is_empty() && kind != EntryKind::Directory {
            return Err(OciError::invalid(
                "entry",
                "the root can only be a directory",
            ));
        }
        self.content.name = String::from_utf8_lossy(raw_name).into_owned();
        let number = |key, field: Result<u64>| match records.number(key)? {
            Some(number) => Ok(number),
            None => field,
        };
        let mtime = match records.time("mtime")? {
            Some(time) => time,
            None => Timestamp::from_seconds(header.mtime()?),
        };
        let entry = Entry {
            path,
            kind,
            mode: header.mode()?,
            uid: number("uid", header.uid())?,
            gid: number("gid", header.gid())?,
            mtime,
            xattrs: records.xattrs(),
        };
        self.claimed.entry(&entry)?;
        Ok(entry)
    }

    /// The kind; `self.content` is set up for it.
    fn kind(
        &mut self,
        header: &Header,
        records: &Records,
        raw_name: &[u8],
        raw_link: Vec<u8>,
    ) -> Result<EntryKind> {
        Ok(match header.typeflag() {
            // v7 had no type for directories.
            b'0' | 0 if raw_name.ends_with(b"/") => {
                self.stored_content(header, records)?;
                EntryKind::Directory
            }
            b'1' => EntryKind::HardLink {
                target: self.hard_link_target(&raw_link)?,
            },
            b'2' if raw_link.is_empty() => {
                return Err(OciError::invalid("symbolic link", "it is empty"));
            }
            b'2' => EntryKind::Symlink { target: raw_link },
            b'3' => {
                let (major, minor) = header.device()?;
                EntryKind::CharDevice { major, minor }
            }
            b'4' => {
                let (major, minor) = header.device()?;
                EntryKind::BlockDevice { major, minor }
            }
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            // GNU's directory with a listing, which is of no use here.
            b'D' => {
                self.stored_content(header, records)?;
                EntryKind::Directory
            }
            b'S' => self.old_sparse_content(header, records)?,
            b'M' => return Err(OciError::unsupported("a file on several volumes", "")),
            vendor @ b'A'..=b'Z' => {
                return Err(OciError::unsupported(
                    format!("type `{}`", vendor as char),
                    "",
                ));
            }
            // POSIX: other types are to be treated as regular files.
            _ => self.file_content(header, records)?,
        })
    }

    /// A name as a path inside the root.
    fn inside(&self, name: &[u8]) -> Option<Vec<u8>> {
        match self.outside {
            Outside::Refused => clean_inside(name),
            Outside::Inside => Some(clean(name)),
        }
    }

    fn hard_link_target(&self, raw: &[u8]) -> Result<Vec<u8>> {
        let invalid = |why: &str| {
            let target = String::from_utf8_lossy(raw);
            OciError::invalid(format!("hard link to `{target}`"), why)
        };
        match self.inside(raw) {
            None => Err(invalid("it leads out of the root")),
            Some(target) if target.is_empty() => Err(invalid("it is empty")),
            Some(target) => Ok(target),
        }
    }

    fn file_content(&mut self, header: &Header, records: &Records) -> Result<EntryKind> {
        let stored = self.stored_content(header, records)?;
        let Some((map, used)) = sparse::from_records(records, stored, &mut self.input)? else {
            self.claimed.file(stored, 0)?;
            self.content.size = stored;
            return Ok(EntryKind::File { size: stored });
        };
        self.position += used;
        self.content.stored -= used;
        self.sparse_content(map)
    }

    fn old_sparse_content(&mut self, header: &Header, records: &Records) -> Result<EntryKind> {
        let stored = self.stored_content(header, records)?;
        let (map, used) = sparse::from_header(header, stored, &mut self.input)?;
        self.position += used;
        self.sparse_content(map)
    }

    fn sparse_content(&mut self, map: sparse::Map) -> Result<EntryKind> {
        self.claimed
            .file(map.size, map.size - self.content.stored)?;
        self.content.size = map.size;
        self.content.segments = Some(map.segments);
        Ok(EntryKind::File { size: map.size })
    }

    /// Takes note of how many bytes the archive contains for the entry.
    fn stored_content(&mut self, header: &Header, records: &Records) -> Result<u64> {
        let stored = match records.number("size")? {
            Some(size) => size,
            None => header.size()?,
        };
        if stored > i64::MAX as u64 {
            return Err(OciError::limit(
                format!("a file of {stored} bytes"),
                i64::MAX,
            ));
        }
        self.content = Content {
            stored,
            padding: padding(stored),
            ..Content::default()
        };
        Ok(stored)
    }

    fn skip_content(&mut self) -> Result<()> {
        let content = std::mem::take(&mut self.content);
        let rest = content.stored + content.padding;
        let skipped = self.discard(rest)?;
        self.position += skipped;
        if skipped < rest {
            self.ended = true;
            return Err(cut_off(&content.name).into());
        }
        Ok(())
    }

    /// Up to `most` stored bytes.
    fn read_stored(&mut self, buffer: &mut [u8], most: u64) -> io::Result<usize> {
        let most = most.min(self.content.stored);
        let room = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.input.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(cut_off(&self.content.name));
        }
        self.content.stored -= read as u64;
        self.content.at += read as u64;
        self.position += read as u64;
        Ok(read)
    }

    fn give_zeros(&mut self, buffer: &mut [u8], most: u64) -> usize {
        let count = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        buffer[..count].fill(0);
        self.content.at += count as u64;
        count
    }
}

impl<R: Read> LayerReader<R> {
    /// What comes next of a sparse file's content, for whom `left` bytes of it are to come.
    fn next_piece(&mut self, left: u64) -> Piece {
        let content = &mut self.content;
        let Some(segments) = &content.segments else {
            return Piece::Data(left);
        };
        let at = content.at;
        while let Some(segment) = segments.get(content.next)
            && segment.offset + segment.length <= at
        {
            content.next += 1;
        }
        match segments.get(content.next) {
            None => Piece::Hole(left),
            Some(segment) if at < segment.offset => Piece::Hole(segment.offset - at),
            Some(segment) => Piece::Data(segment.offset + segment.length - at),
        }
    }
}

/// Bytes that are stored, or that are not.
enum Piece {
    Data(u64),
    Hole(u64),
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.size - self.content.at;
        if left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        self.cancel.check()?;
        match self.next_piece(left) {
            Piece::Data(length) => self.read_stored(buffer, length),
            Piece::Hole(length) => Ok(self.give_zeros(buffer, length)),
        }
    }
}

impl<R: Read> Holes for LayerReader<R> {
    fn skip_hole(&mut self) -> io::Result<u64> {
        let left = self.content.size - self.content.at;
        if left == 0 {
            return Ok(0);
        }
        self.cancel.check()?;
        match self.next_piece(left) {
            Piece::Data(_) => Ok(0),
            Piece::Hole(length) => {
                self.content.at += length;
                Ok(length)
            }
        }
    }
}

fn not_a_tar() -> OciError {
    OciError::invalid("archive", "expected a tar")
}

fn cut_off(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the archive is cut off inside `{name}`"),
    )
}
