//! Small files, read whole: whoever wrote them chose their length, and what is read is held in
//! memory. A link to a device, or a file that is all hole, ends in an error.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a text that people write: manifests, Dockerfiles, ignore files, settings.
pub const LARGEST_TEXT: u64 = 16 << 20;

/// All bytes of a file that people write.
///
/// # Errors
/// As `std::fs::read`; it is longer than [`LARGEST_TEXT`].
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    take(File::open(path)?, LARGEST_TEXT)
}

/// As [`read`], as text.
///
/// # Errors
/// As [`read`]; it is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    String::from_utf8(read(path)?).map_err(not_text)
}

/// All bytes that come, if there are no more than `most`.
///
/// # Errors
/// Reading fails, or there are more.
pub fn take(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let most = match most >> 20 {
            0 => format!("{most} bytes"),
            mib => format!("{mib} MiB"),
        };
        let text = format!("longer than the limit of {most}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_any_text_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LARGEST_TEXT).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, LARGEST_TEXT);
        file.as_file().set_len(1 << 40).unwrap();
        let text = read(file.path()).unwrap_err().to_string();
        assert!(text.contains("16 MiB"), "{text}");
        assert!(read("/dev/zero").is_err());
        assert!(
            take(&b"abc"[..], 2)
                .unwrap_err()
                .to_string()
                .contains("2 bytes")
        );
        assert_eq!(take(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(
            read("/nowhere").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
