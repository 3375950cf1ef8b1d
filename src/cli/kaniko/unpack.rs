//! An archive's entries as files in a directory of ours. Nothing is written
//! through a link, so nothing lands outside.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::event::Cancel;
use crate::layer::{Entry, EntryKind, LayerReader, decompress};

/// # Errors
/// The archive is damaged, or holds what no context can have.
pub fn unpack(archive: impl Read + Send, to: &Path, cancel: &Cancel) -> Result<()> {
    let mut reader = LayerReader::new(decompress(archive).context("cannot read the archive")?);
    let mut directories: Vec<(PathBuf, u32)> = Vec::new();
    let mut count = 0_u64;
    while let Some(entry) = reader.next_entry().context("the archive is damaged")? {
        cancel.check()?;
        count += 1;
        if entry.path.is_empty() {
            continue;
        }
        let told = || format!("cannot unpack `{}`", entry.display());
        let path = place(to, &entry.path).with_context(told)?;
        write(&mut reader, &entry, to, &path, cancel).with_context(told)?;
        if entry.is_directory() {
            directories.push((path, entry.mode));
        }
    }
    if count == 0 {
        bail!("there is no archive: it is empty");
    }
    // Last, and from below: a directory may forbid to write into it.
    for (path, mode) in directories.iter().rev() {
        fs::set_permissions(path, Permissions::from_mode(*mode))?;
    }
    Ok(())
}

/// Where an entry goes: below real directories, which are made as needed.
fn place(root: &Path, path: &[u8]) -> Result<PathBuf> {
    let mut place = root.to_path_buf();
    let mut parts = path.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        place.push(OsStr::from_bytes(part));
        if parts.peek().is_none() {
            break;
        }
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => bail!("`{}` is not a directory", part.escape_ascii()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&place)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(place)
}

fn write(
    reader: &mut (impl Read + ?Sized),
    entry: &Entry,
    root: &Path,
    path: &Path,
    cancel: &Cancel,
) -> Result<()> {
    let there = fs::symlink_metadata(path).ok();
    if let EntryKind::Directory = entry.kind {
        if !there.as_ref().is_some_and(fs::Metadata::is_dir) {
            remove(path, there.as_ref())?;
            fs::create_dir(path)?;
        }
        return Ok(());
    }
    remove(path, there.as_ref())?;
    match &entry.kind {
        EntryKind::File { .. } => {
            let mut file = File::create_new(path)?;
            copy(reader, &mut file, cancel)?;
            file.set_permissions(Permissions::from_mode(entry.mode))?;
        }
        EntryKind::Symlink { target } => symlink(OsStr::from_bytes(target), path)?,
        EntryKind::HardLink { target } => fs::hard_link(place(root, target)?, path)?,
        EntryKind::Directory => unreachable!("directories are made above"),
        EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo => {
            bail!("devices and pipes have no place in a context; leave it out of the archive")
        }
    }
    Ok(())
}

/// What an earlier entry of the same name left.
fn remove(path: &Path, there: Option<&fs::Metadata>) -> Result<()> {
    match there {
        None => Ok(()),
        Some(meta) if meta.is_dir() => Ok(fs::remove_dir_all(path)?),
        Some(_) => Ok(fs::remove_file(path)?),
    }
}

fn copy(from: &mut (impl Read + ?Sized), to: &mut File, cancel: &Cancel) -> Result<()> {
    let mut block = vec![0; 128 << 10];
    loop {
        cancel.check()?;
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&block[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        fill(&mut builder);
        builder.into_inner().unwrap()
    }

    fn add(
        builder: &mut tar::Builder<Vec<u8>>,
        path: &str,
        kind: tar::EntryType,
        link: &str,
        text: &str,
    ) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory {
            0o555
        } else {
            0o640
        });
        header.set_size(text.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        builder
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }

    fn unpacked(bytes: &[u8]) -> Result<tempfile::TempDir> {
        let directory = tempfile::tempdir().unwrap();
        unpack(bytes, directory.path(), &Cancel::default()).map(|()| directory)
    }

    #[test]
    fn files_links_and_modes_arrive() {
        let bytes = archive(|b| {
            add(b, "d", tar::EntryType::Directory, "", "");
            add(b, "d/f", tar::EntryType::Regular, "", "text");
            add(b, "deep/g", tar::EntryType::Regular, "", "old");
            add(b, "deep/g", tar::EntryType::Regular, "", "new");
            add(b, "s", tar::EntryType::Symlink, "d/f", "");
            add(b, "h", tar::EntryType::Link, "d/f", "");
        });
        let directory = unpacked(&bytes).unwrap();
        let read = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap();
        assert_eq!(
            (read("d/f"), read("deep/g"), read("s"), read("h")),
            ("text".into(), "new".into(), "text".into(), "text".into())
        );
        let mode = |path: &str| {
            fs::metadata(directory.path().join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode("d"), mode("d/f")), (0o555, 0o640));
        fs::set_permissions(directory.path().join("d"), Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let outside = tempfile::tempdir().unwrap();
        let bytes = archive(|b| {
            add(
                b,
                "out",
                tar::EntryType::Symlink,
                outside.path().to_str().unwrap(),
                "",
            );
            add(b, "out/f", tar::EntryType::Regular, "", "text");
        });
        let error = format!("{:#}", unpacked(&bytes).unwrap_err());
        assert!(error.contains("/out/f"), "{error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_archive_or_cut_off_or_a_device_is_refused() {
        let whole = archive(|b| add(b, "f", tar::EntryType::Regular, "", &"text".repeat(1000)));
        let device = archive(|b| add(b, "n", tar::EntryType::Char, "", ""));
        for bytes in [&b""[..], b"hello", &whole[..2000], &device] {
            assert!(unpacked(bytes).is_err());
        }
    }
}
