//! Sparse files as GNU tar stores them: old (`S`), and PAX 0.0, 0.1 and 1.0.
//! Here is the map; the reader expands it into zeros and data.

use std::io::Read;

use crate::error::{Context, OciError, Result};

use super::header::{BLOCK, Header, padding, unsigned};
use super::pax::{Records, decimal};

/// Segments beyond this many are refused: the map is held in memory.
const MOST_SEGMENTS: usize = 1 << 20;

fn invalid(why: impl Into<String>) -> OciError {
    OciError::invalid("sparse map", why)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// Where the stored data belongs in a file of `size` bytes.
pub(super) struct Map {
    pub segments: Vec<Segment>,
    pub size: u64,
}

impl Map {
    /// In order, without overlap, inside the file, and as long as what is stored.
    fn checked(pairs: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<Map> {
        let (mut end, mut total) = (0_u64, 0_u64);
        let mut segments = Vec::with_capacity(pairs.len());
        for (offset, length) in pairs {
            if offset < end {
                return Err(invalid("it is not in order"));
            }
            end = offset
                .checked_add(length)
                .ok_or_else(|| invalid("it overflows"))?;
            total += length; // At most `end`: the segments do not overlap.
            segments.push(Segment { offset, length });
        }
        if end > size {
            return Err(invalid(format!(
                "it reaches beyond the file's {size} bytes"
            )));
        }
        if total != stored {
            return Err(invalid(format!(
                "it describes {total} bytes, {stored} are stored"
            )));
        }
        Ok(Map { segments, size })
    }
}

/// What GNU's PAX records say about a sparse entry with `stored` bytes of data,
/// if they do; also how many of the stored bytes the map itself took.
pub(super) fn from_records(
    records: &Records,
    stored: u64,
    data: &mut dyn Read,
) -> Result<Option<(Map, u64)>> {
    let major = records.number("GNU.sparse.major")?;
    let minor = records.number("GNU.sparse.minor")?;
    let size = match records.number("GNU.sparse.realsize")? {
        Some(size) => Some(size),
        None => records.number("GNU.sparse.size")?,
    };
    let (pairs, used) = match (major, minor, records.get("GNU.sparse.map")) {
        (Some(1), Some(0), _) => map_before_data(data, stored)?,
        (None | Some(0), None | Some(0 | 1), Some(map)) => (parse_map(map)?, 0),
        (None | Some(0), None | Some(0 | 1), None) if !records.sparse_pairs.is_empty() => {
            (records.sparse_pairs.clone(), 0)
        }
        (None, None, None) => match records.number("GNU.sparse.numblocks")? {
            Some(0) => (Vec::new(), 0),
            Some(_) => return Err(invalid("it is missing")),
            None => return Ok(None),
        },
        (major, minor, _) => {
            let (major, minor) = (major.unwrap_or(0), minor.unwrap_or(0));
            let what = format!("the sparse format {major}.{minor}");
            return Err(OciError::unsupported(what, ""));
        }
    };
    let size = size.ok_or_else(|| invalid("the real size is missing"))?;
    Ok(Some((Map::checked(pairs, size, stored - used)?, used)))
}

/// The map of an old GNU sparse header, and how many bytes its further blocks took from `data`
/// (which do not count as stored).
pub(super) fn from_header(header: &Header, stored: u64, data: &mut dyn Read) -> Result<(Map, u64)> {
    let mut pairs = Vec::new();
    push_pairs(&mut pairs, header.field(386, 4 * 24))?;
    let mut extended = header.0[482] != 0;
    let mut used = 0;
    while extended {
        let mut block = [0; BLOCK];
        data.read_exact(&mut block)
            .context("the archive ends inside a sparse map")?;
        used += BLOCK as u64;
        let before = pairs.len();
        push_pairs(&mut pairs, &block[..21 * 24])?;
        // Or blocks that say nothing could follow each other for ever.
        if pairs.len() == before {
            return Err(invalid("it continues without a segment"));
        }
        extended = block[504] != 0;
    }
    let size = unsigned("real size", header.field(483, 12))?;
    Ok((Map::checked(pairs, size, stored)?, used))
}

fn push_pairs(pairs: &mut Vec<(u64, u64)>, fields: &[u8]) -> Result<()> {
    for pair in fields.as_chunks::<24>().0 {
        if pair[0] == 0 {
            break;
        }
        let offset = unsigned("sparse offset", &pair[..12])?;
        let length = unsigned("sparse length", &pair[12..])?;
        push(pairs, offset, length)?;
    }
    Ok(())
}

fn push(pairs: &mut Vec<(u64, u64)>, offset: u64, length: u64) -> Result<()> {
    if pairs.len() >= MOST_SEGMENTS {
        return Err(OciError::limit("segments of a sparse map", MOST_SEGMENTS));
    }
    pairs.push((offset, length));
    Ok(())
}

/// 0.1: `offset,length,offset,length`.
fn parse_map(map: &[u8]) -> Result<Vec<(u64, u64)>> {
    let numbers = map
        .split(|b| *b == b',')
        .map(|number| decimal(b"GNU.sparse.map", number))
        .collect::<Result<Vec<u64>>>()?;
    if !numbers.len().is_multiple_of(2) {
        return Err(invalid("a length is missing"));
    }
    let mut pairs = Vec::new();
    for pair in numbers.as_chunks::<2>().0 {
        push(&mut pairs, pair[0], pair[1])?;
    }
    Ok(pairs)
}

/// 1.0: decimal lines at the start of the data, filled up to a block.
fn map_before_data(data: &mut dyn Read, stored: u64) -> Result<(Vec<(u64, u64)>, u64)> {
    let mut lines = Lines {
        data: data.take(stored),
        block: [0; BLOCK],
        at: BLOCK,
        used: 0,
    };
    let count = lines.number()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let offset = lines.number()?;
        let length = lines.number()?;
        push(&mut pairs, offset, length)?;
    }
    debug_assert_eq!(padding(lines.used), 0);
    Ok((pairs, lines.used))
}

struct Lines<'a> {
    data: std::io::Take<&'a mut dyn Read>,
    block: [u8; BLOCK],
    at: usize,
    used: u64,
}

impl Lines<'_> {
    fn number(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return decimal(b"GNU.sparse", &digits),
                _ if digits.len() == 20 => return Err(invalid("a number is too long")),
                digit => digits.push(digit),
            }
        }
    }

    fn byte(&mut self) -> Result<u8> {
        if self.at == BLOCK {
            self.data
                .read_exact(&mut self.block)
                .context("invalid sparse map")?;
            self.at = 0;
            self.used += BLOCK as u64;
        }
        self.at += 1;
        Ok(self.block[self.at - 1])
    }
}
