//! SQLite's write-ahead log (sqlite.org/walformat.html): pages that were committed and are not
//! yet in the database's own file. Whoever stops a container rarely closes its databases.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use imgmake_event::Cancel;

const HEADER: u64 = 32;
const FRAME: u64 = 24;
const VERSION: u32 = 3_007_000;

/// The newest committed version of each page in the log.
#[derive(Debug)]
pub struct WriteAheadLog<'a> {
    file: &'a File,
    pub page_size: u64,
    /// Of the database after the last commit.
    pub pages: u64,
    /// Where a page begins in the file.
    newest: HashMap<u64, u64>,
}

impl<'a> WriteAheadLog<'a> {
    /// None if the log holds no commit: what it holds of an earlier one, or of one that was
    /// not finished, is not part of the database.
    ///
    /// # Errors
    /// A header that is none.
    pub fn read(file: &'a File, cancel: &Cancel) -> Result<Option<WriteAheadLog<'a>>, String> {
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        if length == 0 {
            return Ok(None);
        }
        let mut header = [0; HEADER as usize];
        let read = file.read_exact_at(&mut header, 0);
        // A log that was reset for the next one begins with zeros.
        if read.is_ok() && header == [0; HEADER as usize] {
            return Ok(None);
        }
        let big_endian = match (read.is_ok(), word(&header, 0)) {
            (true, 0x377f_0682) => false,
            (true, 0x377f_0683) => true,
            _ => return Err("its write-ahead log has no header".into()),
        };
        let page_size = u64::from(word(&header, 8));
        let is_size = page_size.is_power_of_two() && (512..=65536).contains(&page_size);
        if word(&header, 4) != VERSION || !is_size {
            return Err("its write-ahead log is of an unknown version".into());
        }
        let mut sum = Checksum::new(big_endian);
        sum.add(&header[..24]);
        if sum.words() != [word(&header, 24), word(&header, 28)] {
            return Err("its write-ahead log is damaged".into());
        }
        let mut log = WriteAheadLog {
            file,
            page_size,
            pages: 0,
            newest: HashMap::new(),
        };
        log.index(&header, sum, length, cancel)?;
        Ok((log.pages > 0).then_some(log))
    }

    /// Frames count up to the last commit before the first one that is not of this log.
    fn index(
        &mut self,
        header: &[u8],
        mut sum: Checksum,
        length: u64,
        cancel: &Cancel,
    ) -> Result<(), String> {
        let mut frame = vec![0; (FRAME + self.page_size) as usize];
        let mut pending: Vec<(u64, u64)> = Vec::new();
        let mut at = HEADER;
        while at + frame.len() as u64 <= length {
            cancel.check().map_err(|e| e.to_string())?;
            self.file
                .read_exact_at(&mut frame, at)
                .map_err(|e| e.to_string())?;
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME as usize..]);
            let of_this_log = frame[8..16] == header[16..24];
            if !of_this_log || sum.words() != [word(&frame, 16), word(&frame, 20)] {
                break;
            }
            pending.push((word(&frame, 0).into(), at + FRAME));
            let pages = word(&frame, 4);
            if pages > 0 {
                self.pages = pages.into();
                self.newest.extend(pending.drain(..));
            }
            at += frame.len() as u64;
        }
        Ok(())
    }

    /// Reads a page, if the log has it.
    pub fn page(&self, number: u64, bytes: &mut [u8]) -> Option<std::io::Result<()>> {
        let at = *self.newest.get(&number)?;
        Some(self.file.read_exact_at(bytes, at))
    }
}

/// Fibonacci sums over pairs of words.
pub(super) struct Checksum {
    big_endian: bool,
    sums: [u32; 2],
}

impl Checksum {
    pub(super) fn new(big_endian: bool) -> Checksum {
        Checksum {
            big_endian,
            sums: [0; 2],
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.as_chunks::<8>().0 {
            let [first, second] =
                [word(pair, 0), word(pair, 4)].map(|word| match self.big_endian {
                    true => word,
                    false => word.swap_bytes(),
                });
            let [a, b] = &mut self.sums;
            *a = a.wrapping_add(first).wrapping_add(*b);
            *b = b.wrapping_add(second).wrapping_add(*a);
        }
    }

    pub(super) fn words(&self) -> [u32; 2] {
        self.sums
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
