//! Just enough of SQLite's file format (sqlite.org/fileformat2.html) to read one
//! table of a database that nobody writes to: its blobs, in order of row ids. Pages that
//! its write-ahead log has are read from there.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::sqlite_log::WriteAheadLog;
use imgmake_event::Cancel;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// B-trees of the largest files are far flatter; a circle of pages is not.
const DEEPEST: u32 = 40;
/// Bytes of one record; package headers with long change logs have a few million.
const LARGEST_RECORD: u64 = 256 << 20;

const INTERIOR_TABLE: u8 = 5;
const LEAF_TABLE: u8 = 13;

type Result<T> = std::result::Result<T, String>;

/// A value of a record, as far as it is of use here.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Integer(i64),
    Blob(Vec<u8>),
    Text(String),
    Other,
}

pub struct Database<'a> {
    file: &'a File,
    log: Option<WriteAheadLog<'a>>,
    page_size: u64,
    /// Page size less the bytes reserved at each page's end.
    usable: u64,
    pages: u64,
    /// Pages that were read. In a sound file each has one place, so that a walk reads the file
    /// once; in a hostile one a few pages that name each other could take for ever.
    seen: RefCell<HashSet<u64>>,
    cancel: &'a Cancel,
}

impl<'a> Database<'a> {
    pub fn open(file: &'a File, log: Option<&'a File>, cancel: &'a Cancel) -> Result<Database<'a>> {
        let log = log
            .map(|log| WriteAheadLog::read(log, cancel))
            .transpose()?;
        let log = log.flatten();
        let mut header = [0; 100];
        // Before the first checkpoint, the log has everything.
        if log
            .as_ref()
            .and_then(|log| log.page(1, &mut header))
            .is_none()
        {
            file.read_exact_at(&mut header, 0)
                .map_err(|_| "no SQLite database: too short")?;
        }
        if &header[..16] != MAGIC {
            return Err("no SQLite database".into());
        }
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            size => return Err(format!("SQLite database with pages of {size} bytes")),
        };
        if log.as_ref().is_some_and(|log| log.page_size != page_size) {
            return Err("SQLite database whose write-ahead log has pages of another size".into());
        }
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let pages = log.as_ref().map_or(length / page_size, |log| log.pages);
        Ok(Database {
            file,
            page_size,
            usable: page_size - u64::from(header[20]),
            pages,
            seen: RefCell::default(),
            log,
            cancel,
        })
    }

    /// Every row of a table, its columns decoded.
    pub fn rows(&self, table: &str, mut visit: impl FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
        let mut root = None;
        self.walk(1, 0, &mut |row| {
            // sqlite_schema: type, name, tbl_name, rootpage, sql.
            if let [
                Value::Text(kind),
                Value::Text(name),
                _,
                Value::Integer(page),
                ..,
            ] = &row[..]
                && kind == "table"
                && name == table
            {
                root = u64::try_from(*page).ok();
            }
            Ok(())
        })?;
        let root = root.ok_or_else(|| format!("SQLite database without a table `{table}`"))?;
        self.walk(root, 0, &mut visit)
    }

    fn walk(
        &self,
        page: u64,
        depth: u32,
        visit: &mut dyn FnMut(Vec<Value>) -> Result<()>,
    ) -> Result<()> {
        if depth > DEEPEST {
            return Err("SQLite database whose pages form a circle".into());
        }
        let bytes = self.page(page)?;
        let start = if page == 1 { 100 } else { 0 };
        let kind = byte(&bytes, start)?;
        let cells = half(&bytes, start + 3)?;
        let pointers = start + if kind == INTERIOR_TABLE { 12 } else { 8 };
        // Cells of a hostile page may lie on each other: together they have no more than the page.
        let mut left = self.page_size;
        for cell in 0..usize::from(cells) {
            let at = usize::from(half(&bytes, pointers + 2 * cell)?);
            match kind {
                INTERIOR_TABLE => self.walk(word(&bytes, at)?.into(), depth + 1, visit)?,
                LEAF_TABLE => visit(record(&self.payload(&bytes, at, &mut left)?)?)?,
                other => return Err(format!("SQLite database with a page of kind {other}")),
            }
        }
        if kind == INTERIOR_TABLE {
            self.walk(word(&bytes, start + 8)?.into(), depth + 1, visit)?;
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Result<Vec<u8>> {
        self.cancel.check().map_err(|e| e.to_string())?;
        if number == 0 || number > self.pages {
            return Err(format!("SQLite database without its page {number}"));
        }
        if !self.seen.borrow_mut().insert(number) {
            return Err(format!(
                "SQLite database that uses its page {number} more than once"
            ));
        }
        let mut bytes = vec![0; self.page_size as usize];
        let log = self.log.as_ref();
        let read = log.and_then(|log| log.page(number, &mut bytes));
        read.unwrap_or_else(|| {
            let at = (number - 1) * self.page_size;
            self.file.read_exact_at(&mut bytes, at)
        })
        .map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    /// The whole record of a leaf cell, gathered from its overflow pages.
    fn payload(&self, page: &[u8], at: usize, left: &mut u64) -> Result<Vec<u8>> {
        let (length, at) = varint(page, at)?;
        let (_row_id, at) = varint(page, at)?;
        if length > LARGEST_RECORD {
            return Err("SQLite database with a record of unlikely size".into());
        }
        let local = self.local(length) as usize;
        let rest = left.checked_sub(local as u64);
        *left = rest.ok_or("SQLite database whose rows lie on each other")?;
        let mut payload = part(page, at, local)?.to_vec();
        if local as u64 == length {
            return Ok(payload);
        }
        let mut next = word(page, at + local)?;
        while (payload.len() as u64) < length {
            let overflow = self.page(next.into())?;
            let left = length - payload.len() as u64;
            let here = left.min(self.usable - 4) as usize;
            payload.extend_from_slice(part(&overflow, 4, here)?);
            next = word(&overflow, 0)?;
        }
        Ok(payload)
    }

    /// How much of a payload stays in a leaf ("Cell payload overflow pages").
    fn local(&self, length: u64) -> u64 {
        let (u, most) = (self.usable, self.usable - 35);
        if length <= most {
            return length;
        }
        let least = (u - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (u - 4);
        if fitting <= most { fitting } else { least }
    }
}

/// A record: a header of serial types, then the values.
fn record(payload: &[u8]) -> Result<Vec<Value>> {
    let (header, mut at) = varint(payload, 0)?;
    let mut body = usize::try_from(header).map_err(|e| e.to_string())?;
    let mut values = Vec::new();
    while (at as u64) < header {
        let (serial, after) = varint(payload, at)?;
        at = after;
        let size = match serial {
            0 | 8 | 9 | 10 | 11 => 0,
            1..=4 => serial,
            5 => 6,
            6 | 7 => 8,
            blob_or_text => (blob_or_text - 12) / 2,
        };
        let size = usize::try_from(size).map_err(|e| e.to_string())?;
        let bytes = part(payload, body, size)?;
        body += size;
        values.push(match serial {
            1..=6 => Value::Integer(integer(bytes)),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            0 | 7 | 10 | 11 => Value::Other,
            text if text % 2 == 1 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Blob(bytes.to_vec()),
        });
    }
    Ok(values)
}

/// Big-endian, two's complement.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().fold(start, |n, b| (n << 8) | i64::from(*b))
}

/// Seven bits per byte, most significant first; the ninth byte counts whole.
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize)> {
    let mut value = 0u64;
    for i in 0..9 {
        let b = byte(bytes, at + i)?;
        if i == 8 {
            return Ok(((value << 8) | u64::from(b), at + 9));
        }
        value = (value << 7) | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            return Ok((value, at + i + 1));
        }
    }
    unreachable!("the ninth byte returns")
}

fn part(bytes: &[u8], at: usize, size: usize) -> Result<&[u8]> {
    let end = at.checked_add(size);
    end.and_then(|end| bytes.get(at..end))
        .ok_or_else(|| "damaged SQLite database".to_string())
}

fn byte(bytes: &[u8], at: usize) -> Result<u8> {
    Ok(part(bytes, at, 1)?[0])
}

fn half(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(
        part(bytes, at, 2)?.try_into().expect("two bytes"),
    ))
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(
        part(bytes, at, 4)?.try_into().expect("four bytes"),
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::sqlite_log::Checksum;
    use super::*;

    const PAGE: usize = 512;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Twenty pages, each of which names the next one a hundred times.
    fn doubling() -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 1..=20_u32 {
            let mut page = vec![0; PAGE];
            let start = if number == 1 { 100 } else { 0 };
            page[..16].copy_from_slice(MAGIC);
            page[16..18].copy_from_slice(&512_u16.to_be_bytes());
            page[start] = INTERIOR_TABLE;
            page[start + 3..start + 5].copy_from_slice(&100_u16.to_be_bytes());
            page[start + 8..start + 12].copy_from_slice(&(number + 1).to_be_bytes());
            for cell in 0..100 {
                let at = start + 12 + 2 * cell;
                page[at..at + 2].copy_from_slice(&500_u16.to_be_bytes());
            }
            page[500..504].copy_from_slice(&(number + 1).to_be_bytes());
            if number == 20 {
                page[..8].fill(0);
                page[0] = LEAF_TABLE;
            }
            bytes.extend(page);
        }
        bytes
    }

    /// A log of one commit, after which the database has so many pages.
    fn log(page: &[u8], pages: u32) -> Vec<u8> {
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let mut bytes = words(&[0x377f_0683, 3_007_000, PAGE as u32, 0, 1, 2]);
        let mut sum = Checksum::new(true);
        sum.add(&bytes);
        bytes.extend(words(&sum.words()));
        let frame = words(&[1, pages]);
        sum.add(&frame);
        sum.add(page);
        bytes.extend(frame);
        bytes.extend(words(&[1, 2]));
        bytes.extend(words(&sum.words()));
        bytes.extend(page);
        bytes
    }

    #[test]
    fn pages_that_name_each_other_are_read_once_whatever_the_log_says() {
        let never = Cancel::default();
        let bytes = doubling();
        let database = file(&bytes);
        let log = file(&log(&bytes[..PAGE], u32::MAX));
        for log in [None, Some(&log)] {
            let database = Database::open(&database, log, &never).unwrap();
            assert_eq!(
                database.pages,
                if log.is_some() { u32::MAX.into() } else { 20 }
            );
            let error = database.rows("Packages", |_| Ok(())).unwrap_err();
            assert!(error.contains("page 20 more than once"), "{error}");
        }
    }

    #[test]
    fn rows_that_lie_on_each_other_are_no_table() {
        let never = Cancel::default();
        let mut page = vec![0; PAGE];
        page[..16].copy_from_slice(MAGIC);
        page[16..18].copy_from_slice(&512_u16.to_be_bytes());
        page[100] = LEAF_TABLE;
        page[103..105].copy_from_slice(&50_u16.to_be_bytes());
        for cell in 0..50 {
            page[108 + 2 * cell..110 + 2 * cell].copy_from_slice(&300_u16.to_be_bytes());
        }
        // A row of 100 bytes: a header of one type, and a blob.
        page[300..306].copy_from_slice(&[100, 1, 3, 0x81, 0x4e, 0]);
        let page = file(&page);
        let database = Database::open(&page, None, &never).unwrap();
        let error = database.rows("Packages", |_| Ok(())).unwrap_err();
        assert!(error.contains("lie on each other"), "{error}");
    }
}
