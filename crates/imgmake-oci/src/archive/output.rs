//! Files appear under their names when they are whole: written beside, then renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, OciError, Result};
use tempfile::NamedTempFile;

use crate::image::Descriptor;
use crate::store::Store;

const PREFIX: &str = ".imgmake-";

pub(super) struct Member {
    pub name: String,
    pub body: Body,
}

pub(super) enum Body {
    Bytes(Vec<u8>),
    /// Streamed from the store.
    Blob(Box<Descriptor>),
}

impl Member {
    pub fn bytes(name: &str, bytes: Vec<u8>) -> Member {
        Member {
            name: name.to_string(),
            body: Body::Bytes(bytes),
        }
    }
}

/// A tar of the members, in their order, with one fixed time and owner.
pub(super) fn write_archive(store: &Store, members: &[Member], path: &Path) -> Result<()> {
    // Pipes and devices cannot be replaced, only written to.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let mut out = File::options().write(true).open(path)?;
        return write_members(store, members, &mut out);
    }
    let path = followed(path)?;
    sweep(parent(&path), Duration::from_secs(60));
    let mut beside = beside(&path)?;
    // Held until the end of this process, however that comes: see `sweep`.
    beside.as_file().lock()?;
    write_members(store, members, beside.as_file_mut())?;
    put(beside, &path)
}

pub(super) fn write_members(store: &Store, members: &[Member], out: &mut impl Write) -> Result<()> {
    // Not to be dropped, which would end the archive: one that failed must not look whole.
    let mut tar = ManuallyDrop::new(tar::Builder::new(out));
    for member in members {
        match &member.body {
            Body::Bytes(bytes) => {
                tar.append(&header(&member.name, bytes.len() as u64)?, &bytes[..])?;
            }
            Body::Blob(blob) => {
                tar.append(&header(&member.name, blob.size)?, io::empty())?;
                // Past the builder: the kernel copies from file to file, and may share blocks.
                let out = tar.get_mut();
                store.copy_blob(blob, out)?;
                pad(out, blob.size)?;
            }
        }
    }
    Ok(tar.finish()?)
}

fn header(name: &str, size: u64) -> Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let rest = size.wrapping_neg() % 512;
    out.write_all(&[0; 512][..rest as usize])
}

/// The file that a link at the end of the path leads to: it is replaced, not the link.
fn followed(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        return Err(OciError::conflict("a directory has that name", ""));
    }
    if path.is_symlink()
        && let Ok(target) = path.canonicalize()
    {
        return Ok(target);
    }
    Ok(path.to_path_buf())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes what killed runs left in a directory: files of ours that nobody has
/// locked, and old enough not to be between their creation and their lock.
pub(super) fn sweep(directory: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        let old = |meta: fs::Metadata| {
            meta.is_file()
                && meta
                    .modified()
                    .is_ok_and(|t| t.elapsed().is_ok_and(|a| a >= age))
        };
        if entry.metadata().is_ok_and(old)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // If it cannot be removed it only takes space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A temporary file in the directory of `path`, which is created if need be.
pub(super) fn beside(path: &Path) -> Result<NamedTempFile> {
    let parent = parent(path);
    let action = || format!("cannot write into `{}`", parent.display());
    fs::create_dir_all(parent).with_context(action)?;
    tempfile::Builder::new()
        .prefix(PREFIX)
        // As for any file that a program makes: the umask takes from it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .with_context(action)
}

pub(super) fn put(file: NamedTempFile, path: &Path) -> Result<()> {
    file.persist(path)
        .map_err(|failed| failed.error)
        .with_context(|| format!("cannot replace `{}`", path.display()))?;
    Ok(())
}
