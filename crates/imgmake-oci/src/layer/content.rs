//! A file's content on its way out of an archive: data, and holes that stand for zeros.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Shorter runs of zeros are written: a hole costs an extent of its own.
const SHORTEST_HOLE: usize = 64 << 10;

/// Reads as data and zeros; who can leave out zeros asks for holes first.
pub trait Content: Read {
    /// Goes past the hole that begins here and gives its length; 0 when data follow, or nothing.
    ///
    /// # Errors
    /// The reading was cancelled.
    fn skip_hole(&mut self) -> io::Result<u64>;
}

/// No holes: bytes in memory.
impl Content for &[u8] {
    fn skip_hole(&mut self) -> io::Result<u64> {
        Ok(0)
    }
}

impl<C: Content + ?Sized> Content for &mut C {
    fn skip_hole(&mut self) -> io::Result<u64> {
        (**self).skip_hole()
    }
}

/// Writes all of `content` into a file from `start` on, behind which it holds nothing yet; gives
/// the length. Holes and long runs of zeros take no space on the disk.
///
/// # Errors
/// The content cannot be read, or the file cannot be written.
pub fn write_content(
    content: &mut dyn Content,
    file: &File,
    start: u64,
    buffer: &mut [u8],
) -> io::Result<u64> {
    let mut at = start;
    let mut ends_in_hole = false;
    loop {
        let hole = content.skip_hole()?;
        if hole > 0 {
            at += hole;
            ends_in_hole = true;
            continue;
        }
        let read = match content.read(buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        ends_in_hole = read >= SHORTEST_HOLE && is_zero(&buffer[..read]);
        if !ends_in_hole {
            file.write_all_at(&buffer[..read], at)?;
        }
        at += read as u64;
    }
    if ends_in_hole {
        file.set_len(at)?;
    }
    Ok(at - start)
}

/// Whether all bytes are 0; the first ones mostly tell.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Pieces: bytes, or a hole.
    struct Pieces(Vec<Result<Vec<u8>, u64>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.first_mut() {
                Some(Ok(bytes)) => {
                    let read = (&bytes[..]).read(buffer)?;
                    bytes.drain(..read);
                    if bytes.is_empty() {
                        drop(self.0.remove(0));
                    }
                    Ok(read)
                }
                Some(Err(_)) => panic!("holes were not asked for"),
                None => Ok(0),
            }
        }
    }

    impl Content for Pieces {
        fn skip_hole(&mut self) -> io::Result<u64> {
            match self.0.first() {
                Some(Err(length)) => {
                    let length = *length;
                    drop(self.0.remove(0));
                    Ok(length)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn holes_and_zeros_take_no_space_and_read_as_zeros() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"before", 0).unwrap();
        let pieces = vec![
            Err(1 << 40),
            Ok(b"data".to_vec()),
            Ok(vec![0; 1 << 20]),
            Ok(b"more".to_vec()),
            Err(5 << 30),
        ];
        let mut buffer = vec![0; 256 << 10];
        let written = write_content(&mut Pieces(pieces), &file, 6, &mut buffer).unwrap();
        assert_eq!(written, (1 << 40) + 4 + (1 << 20) + 4 + (5 << 30));
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), 6 + written);
        assert!(meta.blocks() * 512 < 1 << 20, "{}", meta.blocks());
        let mut found = [1; 8];
        file.read_exact_at(&mut found, 6 + (1 << 40) - 2).unwrap();
        assert_eq!(&found, b"\0\0data\0\0");
    }

    #[test]
    fn a_short_file_of_zeros_has_its_length() {
        for length in [0, 1, 16, 4096, 70_000] {
            let file = tempfile::tempfile().unwrap();
            let zeros = vec![0; length];
            let mut content = &zeros[..];
            let written = write_content(&mut content, &file, 0, &mut vec![1; 1 << 20]).unwrap();
            assert_eq!(
                (written, file.metadata().unwrap().len()),
                (length as u64, length as u64)
            );
        }
    }

    #[test]
    fn one_byte_anywhere_is_not_zero() {
        for at in 0..40 {
            let mut bytes = [0; 40];
            assert!(is_zero(&bytes[at..]));
            bytes[at] = 1;
            assert!(!is_zero(&bytes));
        }
    }
}
