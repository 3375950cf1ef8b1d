//! Whether git tracks something, by a checkout's index (gitformat-index, versions 2 to 4)
//! read up to where that would stand.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::config::settings;

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
        Ok(Tracked::No) if is_split(&own) => Tracked::Unknown("it is split".into()),
        Ok(tracked) => tracked,
    }
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

/// What makes nobody wait.
fn plain(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

fn is_split(own: &Path) -> bool {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_name().as_bytes().starts_with(b"sharedindex."))
}

/// Of the ids in an index, in bytes.
fn id_length(own: &Path) -> io::Result<usize> {
    let common = match fs::read_to_string(own.join("commondir")) {
        Ok(text) => own.join(text.trim_end_matches('\n')),
        Err(_) => own.to_path_buf(),
    };
    let mut text = Vec::new();
    if let Ok(config) = plain(&common.join("config")) {
        config.take(1 << 20).read_to_end(&mut text)?;
    }
    let settings = settings(&String::from_utf8_lossy(&text));
    let format = settings
        .iter()
        .rev()
        .find(|s| s.section == "extensions" && s.name == "objectformat");
    match format.map(|setting| setting.value.as_str()) {
        None | Some("sha1") => Ok(20),
        Some("sha256") => Ok(32),
        Some(other) => Err(io::Error::other(format!("unknown object format `{other}`"))),
    }
}

fn in_index(own: &Path, wanted: &[u8]) -> io::Result<Tracked> {
    let mut index = BufReader::with_capacity(128 << 10, plain(&own.join("index"))?);
    let mut head = [0; 12];
    index.read_exact(&mut head)?;
    let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let (version, count) = (number(4), number(8));
    if &head[..4] != b"DIRC" || !(2..=4).contains(&version) {
        return Err(io::Error::other(format!(
            "unknown version {version}; expected 2, 3 or 4"
        )));
    }
    let id = id_length(own)?;
    let below = [wanted, b"/"].concat();
    let mut path: Vec<u8> = Vec::new();
    for _ in 0..count {
        read_path(&mut index, version, id, &mut path)?;
        if path == wanted || path.starts_with(&below) {
            return Ok(Tracked::Yes);
        }
        if path.ends_with(b"/") && below.starts_with(&path) {
            let folder = String::from_utf8_lossy(&path);
            return Ok(Tracked::Unknown(format!("it holds `{folder}` as a whole")));
        }
        // They are in order.
        if path > below {
            break;
        }
    }
    Ok(Tracked::No)
}

/// Goes past one entry, and changes the path before it into its path.
fn read_path(
    index: &mut impl BufRead,
    version: u32,
    id: usize,
    path: &mut Vec<u8>,
) -> io::Result<()> {
    const LONGEST: usize = 0xfff;
    const EXTENDED: u16 = 0x4000;
    let mut fixed = [0; 40 + 32 + 2];
    let mut length = 40 + id + 2;
    index.read_exact(&mut fixed[..length])?;
    let flags = u16::from_be_bytes([fixed[length - 2], fixed[length - 1]]);
    if version >= 3 && flags & EXTENDED != 0 {
        index.read_exact(&mut [0; 2])?;
        length += 2;
    }
    if version == 4 {
        let kept = path.len().checked_sub(varint(index)?).ok_or_else(damaged)?;
        path.truncate(kept);
        return until_nul(index, path);
    }
    path.clear();
    let named = usize::from(flags) & LONGEST;
    let mut nuls = 0;
    if named < LONGEST {
        path.resize(named, 0);
        index.read_exact(path)?;
    } else {
        until_nul(index, path)?;
        nuls = 1;
    }
    let padding = 8 - (length + path.len()) % 8;
    index.read_exact(&mut [0; 8][..padding - nuls])
}

fn until_nul(index: &mut impl BufRead, path: &mut Vec<u8>) -> io::Result<()> {
    index.by_ref().take(1 << 20).read_until(0, path)?;
    path.pop().filter(|last| *last == 0).ok_or_else(damaged)?;
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::other("it is damaged")
}

/// How many bytes of the path before go, as git writes numbers.
fn varint(index: &mut impl Read) -> io::Result<usize> {
    let mut byte = [0];
    let mut next = || index.read_exact(&mut byte).map(|()| byte[0]);
    let mut last = next()?;
    let mut value = usize::from(last & 0x7f);
    while last & 0x80 != 0 {
        last = next()?;
        value = value
            .checked_add(1)
            .and_then(|value| value.checked_mul(128))
            .ok_or_else(damaged)?
            + usize::from(last & 0x7f);
    }
    Ok(value)
}
