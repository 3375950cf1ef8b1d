//! Copies what a file holds: its data, not its holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use imgmake_event::Cancel;

const BLOCK: usize = 1 << 20;

/// Makes an empty file equal to another. Holes stay holes, so a sparse file of any length
/// costs no more than its data.
///
/// # Errors
/// Reading or writing fails, or somebody cancelled.
pub(super) fn copy_data(from: &File, to: &File, cancel: &Cancel) -> io::Result<()> {
    let length = from.metadata()?.len();
    let mut buffer = vec![0; (length.min(BLOCK as u64)) as usize];
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, length)? {
        at = start;
        while at < end {
            cancel.check()?;
            let room = (end - at).min(buffer.len() as u64) as usize;
            match from.read_at(&mut buffer[..room], at) {
                Ok(0) => break,
                Ok(read) => {
                    to.write_all_at(&buffer[..read], at)?;
                    at += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        at = end;
    }
    to.set_len(length)
}

/// A new file with what another holds; whose it is and what it may is the caller's.
///
/// # Errors
/// As [`copy_data`]; there is something at `to`.
pub fn copy_file(from: &Path, to: &Path, cancel: &Cancel) -> io::Result<()> {
    let mut new = File::options();
    new.write(true).create_new(true).mode(0o600);
    copy_data(&File::open(from)?, &new.open(to)?, cancel)
}

/// Bytes of a file that no block of the disk stands for.
pub(super) fn holes(stat: &rustix::fs::Stat) -> u64 {
    let stored = u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512);
    u64::try_from(stat.st_size)
        .unwrap_or(0)
        .saturating_sub(stored)
}

/// The next range of data at or behind `at`; all of the rest where the file system knows no holes.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        // Nothing but a hole follows.
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, length))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok((start < length).then_some((start, end.min(length))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_has_the_data_and_the_holes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(1 << 40).unwrap();
        let places = [0, 5 << 20, (1 << 40) - 4];
        for at in places {
            from.write_all_at(b"data", at).unwrap();
        }
        copy_data(&from, &to, &Cancel::default()).unwrap();
        let meta = to.metadata().unwrap();
        assert_eq!(meta.len(), 1 << 40);
        assert!(meta.blocks() * 512 < 1 << 20, "{}", meta.blocks());
        for at in places {
            let mut found = [0; 4];
            to.read_exact_at(&mut found, at).unwrap();
            assert_eq!(&found, b"data");
        }
    }

    #[test]
    fn an_empty_file_a_plain_file_and_a_hole_at_the_end_are_copied() {
        for (data, length) in [(0, 0), (3 << 20, 3 << 20), (10, 9 << 20), (0, 1 << 30)] {
            let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all_at(&vec![b'x'; data], 0).unwrap();
            from.set_len(length).unwrap();
            copy_data(&from, &to, &Cancel::default()).unwrap();
            assert_eq!(to.metadata().unwrap().len(), length);
            let mut found = vec![0; data];
            to.read_exact_at(&mut found, 0).unwrap();
            assert!(found.iter().all(|b| *b == b'x'));
        }
    }

    #[test]
    fn a_cancelled_copy_ends() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(b"data", 0).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let error = copy_data(&from, &to, &cancel).unwrap_err();
        assert!(imgmake_event::Cancelled::ended(&error));
    }
}
