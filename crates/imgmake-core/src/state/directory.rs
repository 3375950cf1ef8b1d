//! `.imgmake/` itself, opened once: its files are reached through the descriptor, and no
//! link is followed. A checkout may have made it anything.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, statat, unlinkat};

use crate::files::Signature;
use imgmake_guard::mac::MacKey;

/// Nothing here takes this long to write.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) struct Directory {
    descriptor: OwnedFd,
}

impl Directory {
    /// `None` when there is none.
    ///
    /// # Errors
    /// It is something else, such as a link.
    pub(super) fn open(project: &Path) -> io::Result<Option<Directory>> {
        let path = project.join(DIRECTORY);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Some(Directory { descriptor })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Err(io::Error::other(
                "it is not a directory but a link or a file; remove it",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, made where there is none.
    pub(super) fn open_or_make(project: &Path) -> io::Result<Directory> {
        if let Some(directory) = Directory::open(project)? {
            return Ok(directory);
        }
        match std::fs::create_dir(project.join(DIRECTORY)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let directory = Directory::open(project)?
            .ok_or_else(|| io::Error::other("it was removed meanwhile"))?;
        // Nothing in here belongs into anybody's history.
        directory.replace(".gitignore", &[b"*\n"])?;
        Ok(directory)
    }

    /// A regular file, and no link.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Who may open a file may lock it.
        let mode = Mode::RUSR | Mode::WUSR;
        let file: File = match openat(&self.descriptor, name, flags, mode) {
            Err(rustix::io::Errno::LOOP) => return Err(wrong(name)),
            opened => opened?.into(),
        };
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(wrong(name)),
        }
    }

    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// For the writer who goes on in a file that it has read, and reads what others write there.
    pub(super) fn write(&self, name: &str) -> io::Result<File> {
        let file = self.open_file(name, OFlags::RDWR)?;
        // Another name of it could be anybody's.
        match file.metadata()?.nlink() {
            1 => Ok(file),
            _ => Err(wrong(name)),
        }
    }

    /// Those that would only be told of again.
    pub(super) fn remove_foreign(&self, names: &[&str], key: &MacKey) {
        for name in names {
            if matches!(self.sealed(name, key), Sealed::Foreign) {
                // What cannot be removed is told of again.
                let _ = unlinkat(&self.descriptor, *name, AtFlags::empty());
            }
        }
    }

    /// Of all files with this beginning, in no order.
    pub(super) fn names(&self, beginning: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor)? {
            // Our own are text.
            if let Ok(name) = entry?.file_name().to_str()
                && name.starts_with(beginning)
            {
                names.push(name.to_string());
            }
        }
        Ok(names)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.descriptor, name, AtFlags::empty())?)
    }

    /// As [`Directory::remove`], which is no error where nothing is.
    pub(super) fn remove_if_there(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// What killed processes began: all of the files that are written in turns, in a turn; of one that is
    /// not, what nobody can be writing any more.
    pub(super) fn remove_unfinished(&self, in_turns: &[&str], other: &str) {
        let begun = |name: &str| self.names(&format!(".{name}-")).unwrap_or_default();
        // What cannot be removed is tried again by the next run.
        for name in in_turns.iter().flat_map(|name| begun(name)) {
            drop(self.remove(&name));
        }
        let is_old = |name: &String| {
            let written = self.read(name).and_then(|file| file.metadata()?.modified());
            written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED))
        };
        for name in begun(other).iter().filter(|name| is_old(name)) {
            drop(self.remove(name));
        }
    }

    /// A file that was not there before, under this name and a number.
    pub(super) fn make_new(&self, stem: &str) -> io::Result<(String, File)> {
        let mut number: u64 = 0;
        loop {
            let name = format!("{stem}-{number}");
            match self.open_file(&name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
                // Of another container's process of this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                made => return Ok((name, made?)),
            }
        }
    }

    pub(super) fn read_or_make(&self, name: &str) -> io::Result<File> {
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE)?;
        let found = file.metadata()?;
        // Earlier versions let everybody open it. Another name of it could be anybody's.
        if found.nlink() == 1 && found.mode() & 0o077 != 0 {
            // Of another user: it stays his.
            let _ = rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR);
        }
        Ok(file)
    }

    /// A new file that gets this name, whatever has it now, once it is complete.
    pub(super) fn begin(&self, name: &str) -> io::Result<Unfinished<'_>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = format!(".{name}-{}-{count}", std::process::id());
            match openat(&self.descriptor, &temporary, flags, Mode::RUSR | Mode::WUSR) {
                // Of a process that was killed and had this number.
                Err(rustix::io::Errno::EXIST) => {}
                opened => {
                    return Ok(Unfinished {
                        directory: self,
                        file: opened?.into(),
                        temporary,
                        name: name.to_string(),
                        named: false,
                    });
                }
            }
        }
    }

    /// Writes beside, then renames: readers see the old or the new content.
    pub(super) fn replace(&self, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let mut unfinished = self.begin(name)?;
        for piece in pieces {
            unfinished.file.write_all(piece)?;
        }
        unfinished.finish()?;
        Ok(())
    }

    /// Which file has this name now.
    pub(super) fn inode(&self, name: &str) -> Option<u64> {
        Some(self.signature(name)?.inode)
    }

    /// The same, and how it is.
    pub(super) fn signature(&self, name: &str) -> Option<Signature> {
        let stat = statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Signature::of_stat(&stat))
    }

    /// What was sealed under this name, and read no further than a sound head promises.
    pub(super) fn sealed(&self, name: &str, key: &MacKey) -> Sealed {
        match self.read(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Sealed::Absent,
            Err(_) => Sealed::Foreign,
            Ok(mut file) => match key.read_sealed(name, &mut file as &mut dyn Read) {
                Ok(Some(content)) => Sealed::Ours(content),
                _ => Sealed::Foreign,
            },
        }
    }

    pub(super) fn seal(&self, name: &str, key: &MacKey, content: &[u8]) -> io::Result<()> {
        self.replace(name, &[&key.head(name, content), content])
    }
}

/// What lies under a name.
pub enum Sealed {
    Absent,
    /// Without a MAC of this key.
    Foreign,
    Ours(Vec<u8>),
}

/// Removed again unless it is finished.
pub(super) struct Unfinished<'a> {
    directory: &'a Directory,
    pub(super) file: File,
    temporary: String,
    name: String,
    named: bool,
}

impl Unfinished<'_> {
    pub(super) fn finish(mut self) -> io::Result<File> {
        let at = &self.directory.descriptor;
        renameat(at, &self.temporary, at, &self.name)?;
        self.named = true;
        self.file.try_clone()
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.named {
            // The error that led here is the one to tell.
            let _ = unlinkat(
                &self.directory.descriptor,
                &self.temporary,
                AtFlags::empty(),
            );
        }
    }
}

fn wrong(name: &str) -> io::Error {
    io::Error::other(format!(
        "`{name}` in it is a link or a special file; remove it"
    ))
}

/// The name of the directory that holds all this.
pub const DIRECTORY: &str = ".imgmake";
