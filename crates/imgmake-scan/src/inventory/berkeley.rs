//! Berkeley DB's hash files, read only: buckets, their chains of pages, and values that fill
//! pages of their own (`dbinc/db_page.h`, `dbinc/hash.h` of Berkeley DB 5.3).
//!
//! A hostile file is read in the time that its length allows: a page is used once.

use std::fs::File;
use std::os::unix::fs::FileExt;

use imgmake_event::Cancel;

const MAGIC: u32 = 0x0006_1561;
const BTREE: u32 = 0x0005_3162;
/// The versions of the format that rpm has written, from Berkeley DB 3.1 to 5.3.
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=9;

/// Bytes of the head of a page; the offsets of its items follow.
const PAGE_HEAD: usize = 26;
/// Bytes of the meta page that are read.
const META: usize = 72 + 24 + 32 * 4;

/// Types of pages.
const UNUSED: u8 = 0;
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;

/// Types of items.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;

/// Bytes of one value.
const LARGEST_VALUE: u64 = 256 << 20;

/// Calls `take` with each key and value.
///
/// # Errors
/// What is no such file, or not whole; what `take` says.
pub fn each(
    file: &File,
    cancel: &Cancel,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut database = Database::open(file)?;
    for bucket in 0..=database.last_bucket {
        let mut page = database.first_page(bucket)?;
        while page != 0 {
            cancel.check().map_err(|e| e.to_string())?;
            page = database.hash_page(page, &mut take)?;
        }
    }
    Ok(())
}

struct Database<'a> {
    file: &'a File,
    page_size: usize,
    pages: u32,
    big_endian: bool,
    last_bucket: u32,
    /// Where the pages of each doubling of the table begin, less the buckets before.
    spares: [u32; 32],
    used: Vec<bool>,
}

impl<'a> Database<'a> {
    fn open(file: &'a File) -> Result<Database<'a>, String> {
        let mut meta = [0; META];
        file.read_exact_at(&mut meta, 0)
            .map_err(|_| "Berkeley DB file cut short")?;
        let big_endian = match word(&meta, 12, false) {
            MAGIC => false,
            BTREE => return Err("a Berkeley DB file that is not a hash".into()),
            _ if word(&meta, 12, true) == MAGIC => true,
            _ => return Err("not a Berkeley DB file".into()),
        };
        let at = |offset| word(&meta, offset, big_endian);
        let version = at(16);
        if !VERSIONS.contains(&version) {
            return Err(format!(
                "unknown version {version} of Berkeley DB's hash files"
            ));
        }
        let (encrypted, flags) = (meta[24] != 0, meta[26]);
        if encrypted || flags != 0 {
            return Err("a Berkeley DB file with encryption, checksums or parts".into());
        }
        let page_size = at(20) as usize;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(damaged());
        }
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let pages = u32::try_from(length / page_size as u64).map_err(|_| damaged())?;
        if pages <= at(32) {
            return Err("Berkeley DB file cut short".into());
        }
        let last_bucket = at(72);
        if last_bucket >= pages {
            return Err(damaged());
        }
        let mut spares = [0; 32];
        for (number, spare) in spares.iter_mut().enumerate() {
            *spare = at(96 + 4 * number);
        }
        Ok(Database {
            file,
            page_size,
            pages,
            big_endian,
            last_bucket,
            spares,
            used: vec![false; pages as usize],
        })
    }

    fn first_page(&self, bucket: u32) -> Result<u32, String> {
        let doublings = (bucket + 1).next_power_of_two().trailing_zeros() as usize;
        let page = bucket.checked_add(self.spares[doublings]);
        page.filter(|page| *page != 0).ok_or_else(damaged)
    }

    /// The items of one page of a bucket; the next page, or 0.
    fn hash_page(
        &mut self,
        number: u32,
        take: &mut impl FnMut(&[u8], &[u8]) -> Result<(), String>,
    ) -> Result<u32, String> {
        let page = self.page(number)?;
        match page[25] {
            HASH | HASH_UNSORTED => {}
            // Of a bucket that was made together with others and is still empty.
            UNUSED if self.half(&page, 20) == 0 => return Ok(0),
            _ => return Err(damaged()),
        }
        let count = self.half(&page, 20);
        if !count.is_multiple_of(2) {
            return Err(damaged());
        }
        for pair in 0..count / 2 {
            let key = self.value(&page, 2 * pair)?;
            let value = self.value(&page, 2 * pair + 1)?;
            take(&key, &value)?;
        }
        Ok(word(&page, 16, self.big_endian))
    }

    fn value(&mut self, page: &[u8], item: usize) -> Result<Vec<u8>, String> {
        let bytes = self.item(page, item)?;
        match bytes.split_first() {
            Some((&KEY_DATA, value)) => Ok(value.to_vec()),
            Some((&OFF_PAGE, rest)) if rest.len() == 11 => {
                let first = word(bytes, 4, self.big_endian);
                let length = word(bytes, 8, self.big_endian);
                self.overflow(first, u64::from(length))
            }
            _ => Err(damaged()),
        }
    }

    /// Items fill a page from its end; each ends where the one before it begins.
    fn item<'p>(&self, page: &'p [u8], item: usize) -> Result<&'p [u8], String> {
        let offset = |item: usize| -> Option<usize> {
            let at = PAGE_HEAD.checked_add(2 * item)?;
            page.get(at..at + 2)?;
            Some(self.half(page, at))
        };
        let end = match item {
            0 => Some(self.page_size),
            _ => offset(item - 1),
        };
        let range = offset(item).zip(end).map(|(start, end)| start..end);
        range.and_then(|range| page.get(range)).ok_or_else(damaged)
    }

    fn overflow(&mut self, first: u32, length: u64) -> Result<Vec<u8>, String> {
        let in_file = u64::from(self.pages) * self.page_size as u64;
        if length > LARGEST_VALUE.min(in_file) {
            return Err(damaged());
        }
        let mut value = Vec::with_capacity(length as usize);
        let mut number = first;
        while (value.len() as u64) < length {
            let page = self.page(number)?;
            let here = PAGE_HEAD..PAGE_HEAD + self.half(&page, 22);
            match page.get(here) {
                Some(bytes) if page[25] == OVERFLOW && !bytes.is_empty() => {
                    value.extend_from_slice(bytes);
                }
                _ => return Err(damaged()),
            }
            number = word(&page, 16, self.big_endian);
        }
        match value.len() as u64 == length {
            true => Ok(value),
            false => Err(damaged()),
        }
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>, String> {
        let used = self.used.get_mut(number as usize);
        let used = used.ok_or("Berkeley DB file that names pages it does not have")?;
        if number == 0 || std::mem::replace(used, true) {
            return Err("Berkeley DB file that uses its pages more than once".into());
        }
        let mut bytes = vec![0; self.page_size];
        let offset = u64::from(number) * self.page_size as u64;
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|_| "Berkeley DB file cut short")?;
        let named = word(&bytes, 8, self.big_endian);
        if named != number && bytes[25] != UNUSED {
            return Err(damaged());
        }
        Ok(bytes)
    }

    fn half(&self, bytes: &[u8], at: usize) -> usize {
        let two = [bytes[at], bytes[at + 1]];
        usize::from(match self.big_endian {
            true => u16::from_be_bytes(two),
            false => u16::from_le_bytes(two),
        })
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    match big_endian {
        true => u32::from_be_bytes(four),
        false => u32::from_le_bytes(four),
    }
}

fn damaged() -> String {
    "damaged Berkeley DB file".to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> Result<usize, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut count = 0;
        each(&file, &Cancel::default(), |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    /// One bucket on page 1: a key of a byte, and a value elsewhere, of this page and length.
    fn database(first: u32, length: u32, chain: &[(u32, u16)]) -> Vec<u8> {
        let mut bytes = vec![0; 512 * (2 + chain.len())];
        let mut put = |at: usize, number: u32| {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        for (at, number) in [(12, MAGIC), (16, 9), (20, 512), (32, 1), (96, 1)] {
            put(at, number);
        }
        put(512 + 8, 1);
        put(512 + 502, first);
        put(512 + 506, length);
        for (number, (next, _)) in chain.iter().enumerate() {
            put(1024 + 512 * number + 8, 2 + number as u32);
            put(1024 + 512 * number + 16, *next);
        }
        let page = &mut bytes[512..1024];
        (page[20], page[25]) = (2, HASH);
        // The key fills the last two bytes, the value's item the twelve before.
        page[26..28].copy_from_slice(&510_u16.to_le_bytes());
        page[28..30].copy_from_slice(&498_u16.to_le_bytes());
        (page[498], page[510]) = (OFF_PAGE, KEY_DATA);
        for (number, (_, here)) in chain.iter().enumerate() {
            let at = 1024 + 512 * number;
            bytes[at + 22..at + 24].copy_from_slice(&here.to_le_bytes());
            bytes[at + 25] = OVERFLOW;
        }
        bytes
    }

    #[test]
    fn pages_that_name_each_other_themselves_or_nothing_are_an_error() {
        assert_eq!(read(&database(2, 486, &[(0, 486)])), Ok(1));
        assert_eq!(read(&database(2, 900, &[(3, 486), (0, 414)])), Ok(1));
        for (what, first, length, chain) in [
            ("itself", 2, 900, vec![(2, 486)]),
            ("each other", 2, 2000, vec![(3, 486), (2, 486)]),
            ("its bucket", 1, 100, vec![(0, 486)]),
            ("the meta page", 0, 100, vec![(0, 486)]),
            ("nothing", 9, 100, vec![(0, 486)]),
            ("no end", 2, u32::MAX, vec![(0, 486)]),
            ("empty pages", 2, 100, vec![(3, 0), (0, 100)]),
            ("more than a page", 2, 600, vec![(0, 600)]),
            ("more than it says", 2, 100, vec![(0, 101)]),
            ("less than it says", 2, 487, vec![(0, 486)]),
        ] {
            assert!(read(&database(first, length, &chain)).is_err(), "{what}");
        }
        let whole = database(2, 486, &[(0, 486)]);
        assert!(read(&whole[..1100]).is_err());
        for (at, byte, why) in [
            (12, 0x62, "a Berkeley DB file that is not a hash"),
            (16, 10, "unknown version 10"),
            (26, 1, "checksums"),
            (24, 1, "encryption"),
            (20, 1, "damaged"),
            (72, 9, "damaged"),
            (96, 0, "damaged"),
            (512 + 16, 1, "more than once"),
            (512 + 20, 3, "damaged"),
            (512 + 25, 5, "damaged"),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            if at == 12 {
                bytes[13..15].copy_from_slice(&[0x31, 5]);
            }
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(why), "{at}: {error}");
        }
    }
}
