//! A content takes the place of an empty file: it is written aside, checked, and renamed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail, ensure};
use imgmake_core::share::{ContentPlace, Entry, decode_path};
use imgmake_event::Cancel;
use imgmake_oci::store::Store;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::names::{create, parent_of, signature_at};
use super::opened::Opened;
use super::record::numbers_of;

/// The further names of each file.
pub fn links(entries: &[Entry]) -> HashMap<&str, Vec<&str>> {
    let mut links: HashMap<&str, Vec<&str>> = HashMap::new();
    for entry in entries {
        if let Entry::Hardlink { path, target } = entry {
            links.entry(target).or_default().push(path);
        }
    }
    links
}

/// The chunk that was read last.
#[derive(Default)]
pub struct Current {
    number: Option<usize>,
    bytes: Vec<u8>,
}

impl Current {
    fn chunk(&mut self, number: usize, opened: &Opened, store: &Store) -> Result<&[u8]> {
        if self.number != Some(number) {
            self.bytes = opened.chunk(number, store)?;
            self.number = Some(number);
        }
        Ok(&self.bytes)
    }
}

/// Puts contents in place.
pub struct Filling<'a> {
    pub opened: &'a Opened,
    pub store: &'a Store,
    /// The directory of the source.
    pub held: &'a OwnedFd,
    pub links: &'a HashMap<&'a str, Vec<&'a str>>,
}

impl Filling<'_> {
    /// Puts a content in the place of an empty file; gives what the file is then.
    ///
    /// # Errors
    /// It is not what the list says; it cannot be written.
    pub fn file(&self, number: usize, current: &mut Current) -> Result<[u64; 5]> {
        let Entry::File {
            path,
            mode,
            size,
            hash,
            content,
            ..
        } = &self.opened.list.entries[number]
        else {
            bail!("entry {number} is not a file");
        };
        let bytes = decode_path(path).unwrap_or_default();
        let (parent, name) = parent_of(self.held, &bytes)?;
        let at = || format!("cannot write `{path}` of the source");
        let aside = aside(number);
        let write = || -> Result<()> {
            let _ = rustix::fs::unlinkat(&parent, aside.as_str(), AtFlags::empty());
            let mut file = create(&parent, aside.as_bytes(), 0o600)?;
            self.content(&mut file, *size, hash, *content, current)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(*mode))?;
            rustix::fs::renameat(&parent, aside.as_str(), &parent, &*name)?;
            Ok(())
        };
        let written = writable(&parent, write);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent, aside.as_str(), AtFlags::empty());
        }
        written.with_context(at)?;
        self.link_all(path, &parent, &name).with_context(at)?;
        Ok(numbers_of(&signature_at(self.held, &bytes)?))
    }

    fn content(
        &self,
        file: &mut File,
        size: u64,
        hash: &str,
        content: Option<ContentPlace>,
        current: &mut Current,
    ) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        let mut place = content;
        while left > 0 {
            let ContentPlace { chunk, offset } = place.context("a content without a place")?;
            let bytes = current.chunk(chunk, self.opened, self.store)?;
            let rest = usize::try_from(offset)
                .ok()
                .and_then(|from| bytes.get(from..));
            let rest = rest
                .filter(|rest| !rest.is_empty())
                .context("a content is not there")?;
            let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            file.write_all(&rest[..taken])?;
            hasher.update(&rest[..taken]);
            left -= taken as u64;
            place = Some(ContentPlace {
                chunk: chunk + 1,
                offset: 0,
            });
        }
        ensure!(
            hasher.finalize().to_hex().as_str() == hash,
            "its content is not what the list says"
        );
        Ok(())
    }

    /// The further names of a file that has just got another inode.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn link_all(&self, path: &str, parent: &OwnedFd, name: &[u8]) -> Result<()> {
        let mut links = self.links.get(path).into_iter().flatten();
        links.try_for_each(|link| self.link(parent, name, link))
    }

    fn link(&self, parent: &OwnedFd, name: &[u8], link: &str) -> Result<()> {
        let bytes = decode_path(link).unwrap_or_default();
        let (above, link) = parent_of(self.held, &bytes)?;
        writable(&above, || {
            match rustix::fs::unlinkat(&above, &*link, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::linkat(parent, name, &above, &*link, AtFlags::empty())?;
            Ok(())
        })
    }
}

/// The name that a content has until it is whole: what a run is writing is in no context.
pub fn aside(number: usize) -> String {
    format!(".imgmake-{:06}", number % 1_000_000)
}

/// The content of a file.
///
/// # Errors
/// It cannot be read.
pub fn hash_of(parent: &OwnedFd, name: &[u8], cancel: &Cancel) -> Result<blake3::Hash> {
    let mut file = imgmake_guard::confined::open_file(parent, name)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        cancel.check()?;
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// In a directory that its owner may not write, it may be written for a moment.
fn writable(directory: &OwnedFd, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    let Err(error) = act() else {
        return Ok(());
    };
    let is_denied = error.downcast_ref::<io::Error>().map(io::Error::kind)
        == Some(io::ErrorKind::PermissionDenied)
        || error.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::ACCESS);
    if !is_denied {
        return Err(error);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&open)?.st_mode & 0o7777;
    rustix::fs::fchmod(&open, Mode::from_raw_mode(mode | 0o700))?;
    let done = act();
    rustix::fs::fchmod(&open, Mode::from_raw_mode(mode))?;
    done
}
