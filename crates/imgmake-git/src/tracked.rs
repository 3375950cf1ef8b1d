//! Whether git tracks a path, by a checkout's index, which is read as far as needed.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::index_file::{IndexFile, is_split, plain};

/// The answer to [`tracks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    No,
    Yes,
    /// The index does not say; why.
    Unknown(String),
}

/// Whether git tracks a name in a directory (canonical), or something below that name.
pub fn tracks(directory: &Path, name: &str) -> Tracked {
    let around = directory.ancestors().find_map(|top| {
        let own = git_directory(top)?;
        Some((own, directory.strip_prefix(top).ok()?.join(name)))
    });
    let Some((own, wanted)) = around else {
        return Tracked::No;
    };
    match in_index(&own, wanted.as_os_str().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Tracked::No,
        Err(error) => Tracked::Unknown(error.to_string()),
        Ok(Tracked::No) => match is_split(&own) {
            Ok(false) => Tracked::No,
            Ok(true) => Tracked::Unknown("it is split".into()),
            Err(error) => Tracked::Unknown(error.to_string()),
        },
        Ok(tracked) => tracked,
    }
}

/// Of all paths in one index, in bytes, with what it takes to hold each.
const MOST: usize = 256 << 20;
const EACH: usize = 32;
/// The mode of what is another repository's: the index knows none of its files.
const SUBMODULE: u32 = 0o160000;

/// The index of a work tree, where it has a `.git`.
pub fn index_of(top: &Path) -> Option<PathBuf> {
    git_directory(top).map(|own| own.join("index"))
}

/// Every path that git tracks in a work tree, from its top and in order; a directory outside of a sparse
/// checkout or of a submodule, of which the index holds nothing else, ends with `/`. Odd bytes of a name are one character.
///
/// # Errors
/// The index cannot be read, or is longer than any.
pub fn tracked_paths(top: &Path) -> io::Result<Vec<String>> {
    let Some(own) = git_directory(top) else {
        return Ok(Vec::new());
    };
    let mut index = match IndexFile::open(&own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    if is_split(&own)? {
        let help = "it is split; `git update-index --no-split-index` makes it whole";
        return Err(io::Error::other(help));
    }
    let (mut paths, mut length) = (Vec::new(), 0);
    while let Some(entry) = index.next()? {
        length += entry.path.len() + EACH;
        if length > MOST {
            return Err(io::Error::other(format!(
                "its paths are longer than {MOST} bytes"
            )));
        }
        let mut path = String::from_utf8_lossy(entry.path).into_owned();
        if entry.mode == SUBMODULE {
            path.push('/');
        }
        paths.push(path);
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// `.git` of a work tree: a directory, or a file that names one.
fn git_directory(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    let metadata = fs::metadata(&git).ok()?;
    if metadata.is_dir() {
        return Some(git);
    }
    let mut text = String::new();
    plain(&git)
        .ok()?
        .take(8192)
        .read_to_string(&mut text)
        .ok()?;
    Some(top.join(text.strip_prefix("gitdir:")?.trim()))
}

fn in_index(own: &Path, wanted: &[u8]) -> io::Result<Tracked> {
    let mut index = IndexFile::open(own)?;
    let below = [wanted, b"/"].concat();
    while let Some(entry) = index.next()? {
        let path = entry.path;
        if path == wanted || path.starts_with(&below) {
            return Ok(Tracked::Yes);
        }
        if path.ends_with(b"/") && below.starts_with(path) {
            let folder = String::from_utf8_lossy(path);
            return Ok(Tracked::Unknown(format!(
                "it contains `{folder}` as one entry"
            )));
        }
        // They are in order.
        if path > below.as_slice() {
            break;
        }
    }
    Ok(Tracked::No)
}
