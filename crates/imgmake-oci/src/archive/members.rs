//! Which members the tar of an image archive has, and where in the file their bytes are.
//! Knows tar and limits; knows no image.
//!
//! The crate `tar` reads here, for no extended attribute is at stake. It trusts its input, so it
//! reads through [`Input`], which bounds what an entry may announce, notices where the file ends
//! and stops with the run. Whatever the crate would pass over and another reader would not is
//! refused: global names, PAX records that are malformed or name a size twice, sparse files,
//! entries behind a block of zeros.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use crate::error::{Context, OciError, Result};
use tar::{Archive, PaxExtensions};

use crate::layer::{Claimed, clean, clean_inside, join, split};
use imgmake_event::Cancel;
use imgmake_guard::confined::check_length;

/// Names are held in memory while an archive is read.
const MOST_MEMBERS: usize = 1 << 20;
/// Bytes of headers, long names and PAX records before one entry: they are held in memory too.
const MOST_METADATA: u64 = 8 << 20;
const BLOCK: u64 = 512;

/// Where a member's bytes are.
pub(super) enum Place {
    Here {
        offset: u64,
        size: u64,
    },
    /// Old docker archives link equal layers to each other.
    Link(Vec<u8>),
}

type Entry<'a, 'b> = tar::Entry<'a, &'b Input<'b>>;

/// The members of a plain tar by their cleaned names; of several with one name the last.
///
/// # Errors
/// The archive is damaged, cut off, beyond the limits, or holds what image archives do not.
pub(super) fn members(file: &File, cancel: &Cancel) -> Result<HashMap<Vec<u8>, Place>> {
    let input = Input {
        file,
        length: file.metadata()?.len(),
        position: Cell::new(0),
        left: Cell::new(MOST_METADATA),
        cancel,
    };
    let mut members = HashMap::new();
    let mut claimed = Claimed::default();
    let mut archive = Archive::new(&input);
    for entry in archive.entries_with_seek()? {
        cancel.check()?;
        let mut entry = entry.map_err(|error| input.damaged(error))?;
        if let Some((name, place)) = member(&mut entry, &input, &mut claimed)? {
            members.insert(name, place);
        }
        if members.len() > MOST_MEMBERS {
            return Err(OciError::limit("files in an image archive", MOST_MEMBERS));
        }
        input.left.set(MOST_METADATA);
    }
    input.expect_end()?;
    Ok(members)
}

/// `None` for what holds no bytes.
fn member(
    entry: &mut Entry<'_, '_>,
    input: &Input<'_>,
    claimed: &mut Claimed,
) -> Result<Option<(Vec<u8>, Place)>> {
    match entry.header().entry_type().as_byte() {
        b'g' => return global_records(entry).map(|()| None),
        // A volume's label.
        b'V' => return Ok(None),
        _ => {}
    }
    let at = entry.raw_header_position();
    let records = Records::of(entry).with_context(|| format!("the entry at byte {at}"))?;
    let name = match records.path {
        Some(path) => path,
        None => entry.path_bytes().into_owned(),
    };
    // Before anything else is done with it, messages included.
    check_length(&clean(&name)).with_context(|| format!("the entry at byte {at}"))?;
    let display_name = String::from_utf8_lossy(&name).into_owned();
    let named = || format!("entry `{display_name}`");
    let link = match records.linkpath {
        Some(link) => link,
        None => entry.link_name_bytes().unwrap_or_default().into_owned(),
    };
    check_length(&link).with_context(|| format!("{}: its link", named()))?;
    let path = clean_inside(&name)
        .ok_or_else(|| OciError::invalid("name", "it leads out of the root"))
        .with_context(named)?;
    claimed.names(path.len() + link.len()).with_context(named)?;
    let place = match entry.header().entry_type().as_byte() {
        b'0' | 0 if name.ends_with(b"/") => None,
        b'3'..=b'6' | b'D' => None,
        b'1' => Some(Place::Link(hard_link(&link).with_context(named)?)),
        b'2' => {
            if link.is_empty() {
                return Err(OciError::invalid("symbolic link", "it is empty").during(named()));
            }
            Some(Place::Link(match link.starts_with(b"/") {
                true => clean(&link),
                false => clean(&join(split(&path).0, &link)),
            }))
        }
        b'S' => return Err(sparse().during(named())),
        b'M' => {
            return Err(OciError::unsupported("a file on several volumes", "").during(named()));
        }
        kind @ (b'A'..=b'Z' | b'x') => {
            let what = format!("type `{}`", kind as char);
            return Err(OciError::unsupported(what, "").during(named()));
        }
        // POSIX: other types are to be treated as regular files.
        _ => {
            if records.sparse {
                return Err(sparse().during(named()));
            }
            claimed.file(entry.size(), 0).with_context(named)?;
            Some(input.place(entry, &display_name)?)
        }
    };
    if path.is_empty() && place.is_some() {
        let why = "the root can only be a directory";
        return Err(OciError::invalid("entry", why).during(named()));
    }
    Ok(place.map(|place| (path, place)))
}

fn sparse() -> OciError {
    OciError::unsupported("a sparse file in an image archive", "")
}

fn hard_link(link: &[u8]) -> Result<Vec<u8>> {
    let invalid = |why: &str| {
        let link = String::from_utf8_lossy(link);
        OciError::invalid(format!("hard link to `{link}`"), why)
    };
    match clean_inside(link) {
        None => Err(invalid("it leads out of the root")),
        Some(target) if target.is_empty() => Err(invalid("it is empty")),
        Some(target) => Ok(target),
    }
}

/// Records for all entries that follow. None of them matters here, unless it names or sizes
/// each of them, which makes no sense.
fn global_records(entry: &mut Entry<'_, '_>) -> Result<()> {
    let at = entry.raw_header_position();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 != entry.size() {
        return Err(OciError::cut_off(format!("a PAX header, at byte {at}")));
    }
    for record in PaxExtensions::new(&bytes) {
        let record = record.with_context(|| format!("invalid PAX header at byte {at}"))?;
        let key = record.key_bytes();
        if matches!(key, b"path" | b"linkpath" | b"size") || is_sparse(key) {
            let why = format!("it sets `{}` for every entry", key.escape_ascii());
            return Err(OciError::invalid("global PAX header", why));
        }
    }
    Ok(())
}

fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.")
}

/// What PAX records say about one entry.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    sparse: bool,
}

impl Records {
    fn of(entry: &mut Entry<'_, '_>) -> Result<Records> {
        let mut records = Records::default();
        let is_header = matches!(entry.header().entry_type().as_byte(), b'x' | b'g');
        let extensions = match is_header {
            true => None,
            false => entry.pax_extensions()?,
        };
        let mut sized = false;
        for record in extensions.into_iter().flatten() {
            let record = record.context("invalid PAX header")?;
            let value = record.value_bytes();
            match record.key_bytes() {
                key @ (b"path" | b"linkpath") => {
                    if value.contains(&0) {
                        let what = format!("PAX record `{}`", key.escape_ascii());
                        return Err(OciError::invalid(what, "it contains a NUL byte"));
                    }
                    // An empty value takes a record back.
                    let value = (!value.is_empty()).then(|| value.to_vec());
                    match record.key_bytes() {
                        b"path" => records.path = value,
                        _ => records.linkpath = value,
                    }
                }
                b"size" => {
                    let size = record
                        .value()
                        .ok()
                        .and_then(|text| text.parse::<u64>().ok());
                    // The crate takes the first, other readers take the last.
                    if sized || size.is_none() {
                        let why = match sized {
                            true => "it is a duplicate".to_string(),
                            false => format!("`{}`", value.escape_ascii()),
                        };
                        return Err(OciError::invalid("PAX record `size`", why));
                    }
                    sized = true;
                }
                key => records.sparse |= is_sparse(key),
            }
        }
        Ok(records)
    }
}

/// The file as `tar` sees it.
struct Input<'a> {
    file: &'a File,
    length: u64,
    position: Cell<u64>,
    /// Bytes that may still be read before the next entry.
    left: Cell<u64>,
    cancel: &'a Cancel,
}

impl Input<'_> {
    fn place(&self, entry: &Entry<'_, '_>, display_name: &str) -> Result<Place> {
        let (offset, size) = (entry.raw_file_position(), entry.size());
        // The last block is whole in every tar.
        let blocks = size.checked_next_multiple_of(BLOCK);
        let end = blocks.and_then(|blocks| offset.checked_add(blocks));
        match end.is_some_and(|end| end <= self.length) {
            true => Ok(Place::Here { offset, size }),
            false => Err(OciError::cut_off(format!("`{display_name}`"))),
        }
    }

    /// Two blocks of zeros end an archive, or its file ends: after one block of them others may
    /// read on.
    fn expect_end(&self) -> Result<()> {
        let mut block = [0; BLOCK as usize];
        let at = self.position.get();
        let mut filled = 0;
        while filled < block.len() {
            match self.file.read_at(&mut block[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        match block[..filled].iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => {
                let at = at.saturating_sub(BLOCK);
                let why = format!("there is a block of zeros between entries, at byte {at}");
                Err(OciError::invalid("archive", why))
            }
        }
    }

    fn damaged(&self, error: io::Error) -> OciError {
        if let Err(cancelled) = self.cancel.check() {
            return cancelled.into();
        }
        let at = self.position.get();
        OciError::from(error).during(format!("the archive is damaged before byte {at}"))
    }
}

impl Read for &Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "an entry has more than {MOST_METADATA} bytes of names and PAX records"
            )));
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let at = self.position.get();
        let read = self.file.read_at(&mut buffer[..most], at)?;
        if read == 0 && !at.is_multiple_of(BLOCK) {
            let what = format!("the archive is cut off inside a header, at byte {at}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.left.set(left - read as u64);
        self.position.set(at + read as u64);
        Ok(read)
    }
}

impl Seek for &Input<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.position.get();
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(step) => at.checked_add_signed(step),
            SeekFrom::End(step) => self.length.checked_add_signed(step),
        };
        let to = to.ok_or(io::ErrorKind::InvalidInput)?;
        self.position.set(to);
        Ok(to)
    }
}
