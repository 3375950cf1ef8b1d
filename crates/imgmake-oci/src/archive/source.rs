//! Where an image is read from: the members of a tar, or the files of a directory,
//! under the names that its JSON uses.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::{OciError, Result};

use crate::layer::{Packing, clean, decompress, looks_like_tar};
use crate::store::Store;
use imgmake_event::Cancel;
use imgmake_guard::confined;

use super::contents::MOST_JSON;
use super::members::{Place, members};
use super::recognize::what_it_is;

/// Links to links: more are a loop.
const MOST_LINKS: usize = 40;

pub(super) enum Source {
    Directory(PathBuf),
    Tar {
        file: File,
        members: HashMap<Vec<u8>, Place>,
    },
}

impl Source {
    /// A packed tar, or one from a pipe, is spooled into the store's temporary directory.
    pub fn open(store: &Store, path: &Path) -> Result<Source> {
        let opened = store.cancel().open(path)?;
        let meta = opened.file().metadata()?;
        if meta.is_dir() {
            return Ok(Source::Directory(path.canonicalize()?));
        }
        if !meta.is_file() {
            return tar(spool(store, opened)?, store.cancel());
        }
        let mut file = opened.into_file();
        let start = first_bytes(&mut file)?;
        match Packing::of(&start) {
            Packing::Plain => tar(file, store.cancel()),
            _ => tar(spool(store, file)?, store.cancel()),
        }
    }

    /// `None` if there is no such member.
    pub fn open_member(&self, name: &str) -> Result<Option<Box<dyn Read + Send + '_>>> {
        match self {
            Source::Directory(root) => {
                Ok(open_inside(root, name)?.map(|file| Box::new(file) as Box<dyn Read + Send>))
            }
            Source::Tar { file, members } => Ok(find(members, name)?.map(|(offset, left)| {
                Box::new(Section { file, offset, left }) as Box<dyn Read + Send>
            })),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        matches!(self.open_member(name), Ok(Some(_)))
    }

    pub fn member(&self, name: &str) -> Result<Box<dyn Read + Send + '_>> {
        self.open_member(name)?.ok_or_else(|| missing(name))
    }

    /// A small member, whole.
    pub fn json(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(member) = self.open_member(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        member.take(MOST_JSON + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 <= MOST_JSON {
            true => Ok(Some(bytes)),
            false => Err(OciError::limit(
                format!("`{name}`"),
                format!("{MOST_JSON} bytes"),
            )),
        }
    }

    /// Does it hold what a root file system holds?
    pub fn is_root_file_system(&self) -> bool {
        let has = |name: &str| match self {
            Source::Directory(root) => root.join(name).is_dir(),
            Source::Tar { members, .. } => {
                let below = format!("{name}/").into_bytes();
                members.keys().any(|path| path.starts_with(&below))
            }
        };
        has("etc") && (has("usr") || has("bin"))
    }
}

fn tar(mut file: File, cancel: &Cancel) -> Result<Source> {
    let start = first_bytes(&mut file)?;
    if !looks_like_tar(&start) || start.iter().all(|b| *b == 0) {
        let why = what_it_is(&start).map(|what| format!("this is {what}"));
        let why = why.unwrap_or_else(|| "expected a tar, plain or packed".to_string());
        return Err(OciError::invalid("image archive", why));
    }
    let members = members(&file, cancel)?;
    Ok(Source::Tar { file, members })
}

/// What an archive should hold.
pub(super) fn missing(name: &str) -> OciError {
    OciError::not_found(format!("`{name}`"), "is the archive incomplete?")
}

fn find(members: &HashMap<Vec<u8>, Place>, name: &str) -> Result<Option<(u64, u64)>> {
    let mut path = clean(name.as_bytes());
    for _ in 0..MOST_LINKS {
        match members.get(&path) {
            None => return Ok(None),
            Some(Place::Here { offset, size }) => return Ok(Some((*offset, *size))),
            Some(Place::Link(target)) => path.clone_from(target),
        }
    }
    Err(OciError::invalid(
        format!("link `{name}`"),
        "it leads back to itself",
    ))
}

/// Names come from the archive's JSON, and links from whoever made the directory: neither leads out.
fn open_inside(root: &Path, name: &str) -> Result<Option<File>> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = clean(name.as_bytes());
    let path = match root.join(std::ffi::OsStr::from_bytes(&name)).canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !path.starts_with(root) {
        let name = String::from_utf8_lossy(&name);
        return Err(OciError::invalid(
            format!("name `{name}`"),
            "it leads out of the directory",
        ));
    }
    if !path.is_file() {
        return Ok(None);
    }
    // By its real path: what has become a link meanwhile is not followed.
    let directory = confined::open_real(root)?;
    let inside = path.strip_prefix(root).expect("it starts with it");
    let inside = inside.as_os_str().as_bytes();
    Ok(Some(confined::open_file(directory, inside)?))
}

fn first_bytes(file: &mut File) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::take(&mut *file, 512).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start)
}

/// Unpacked into a file that is gone when it is closed.
fn spool(store: &Store, packed: impl Read + Send) -> Result<File> {
    let (named, mut out) = store.temporary_file()?;
    let mut plain = decompress(store.cancel().reader(packed))?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        store.cancel().check()?;
        match plain.read(&mut buffer)? {
            0 => break,
            read => out.write_all(&buffer[..read])?,
        }
    }
    drop(named);
    out.rewind()?;
    Ok(out)
}

/// A part of a file, read without a shared position.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..room], self.offset)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive became shorter while it was read",
            ));
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
