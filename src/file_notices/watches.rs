//! Directories that the kernel watches for us, and what it says of them.
//!
//! Only changes are asked for: a kernel that told of each file that is opened would lose count while
//! this very process reads its inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::wanted::{Wanted, is_entered};

/// For a few hundred notices at once.
const BUFFER: usize = 16 << 10;

/// A directory cannot be watched.
#[derive(Debug)]
pub struct Unwatchable {
    pub error: io::Error,
    pub directory: Option<PathBuf>,
}

impl fmt::Display for Unwatchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(directory) = &self.directory {
            write!(f, "`{}`: ", directory.display())?;
        }
        self.error.fmt(f)
    }
}

/// How much of a directory is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Directory,
    /// With everything below it.
    Tree,
}

struct Watch {
    /// The kernel's name for it.
    number: i32,
    depth: Depth,
}

pub struct Watches {
    kernel: OwnedFd,
    /// What was asked for.
    roots: BTreeMap<PathBuf, Depth>,
    watched: BTreeMap<PathBuf, Watch>,
    /// One directory has several names where it is mounted twice.
    names: HashMap<i32, BTreeSet<PathBuf>>,
}

/// What the kernel said.
#[derive(Default)]
pub struct Notices {
    pub paths: BTreeSet<PathBuf>,
    /// It lost count: anything may have changed.
    pub is_incomplete: bool,
}

/// One of the kernel's words.
struct Notice {
    number: i32,
    what: ReadFlags,
    name: Option<Vec<u8>>,
}

impl Watches {
    /// # Errors
    /// The user's limit of inotify instances is reached.
    pub fn new() -> Result<Watches, Unwatchable> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let kernel = inotify::init(flags).map_err(|error| Unwatchable {
            error: error.into(),
            directory: None,
        })?;
        Ok(Watches {
            kernel,
            roots: BTreeMap::new(),
            watched: BTreeMap::new(),
            names: HashMap::new(),
        })
    }

    pub fn kernel(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }

    /// Watches these, and no others; those that are not there once they come. What is watched already is
    /// not looked at again, unless it is another directory now, or directories may have come of which
    /// nobody was told.
    ///
    /// # Errors
    /// The kernel refuses, mostly because the user's limit of inotify watches is reached.
    pub fn observe(
        &mut self,
        roots: BTreeMap<PathBuf, Depth>,
        is_behind: bool,
        wanted: &dyn Wanted,
    ) -> Result<(), Unwatchable> {
        if is_behind || roots != self.roots {
            let is_in_tree = |path: &Path| {
                let above = path.ancestors().skip(1);
                let mut trees = above.filter(|above| roots.get(*above) == Some(&Depth::Tree));
                trees.any(|tree| is_entered(tree, path, wanted))
            };
            self.retain(|path| roots.contains_key(path) || is_in_tree(path));
        }
        for (path, depth) in &roots {
            let before = self.watched.get(path);
            let before = before.map(|watch| (watch.number, watch.depth));
            // The kernel gives the same number for the same directory.
            self.add_one(path, *depth)?;
            let now = self.watched.get(path).map(|watch| watch.number);
            if before.is_some_and(|(number, _)| Some(number) != now) {
                self.remove_with_all_below(path);
            }
            if is_behind || before != now.map(|number| (number, *depth)) {
                self.add(path, *depth, wanted)?;
            }
        }
        self.roots = roots;
        Ok(())
    }

    fn depth(&self, directory: &Path) -> Option<Depth> {
        self.watched.get(directory).map(|watch| watch.depth)
    }

    /// Whoever is gone is not watched, which is no error.
    fn add(
        &mut self,
        directory: &Path,
        depth: Depth,
        wanted: &dyn Wanted,
    ) -> Result<(), Unwatchable> {
        let mut todo = vec![directory.to_path_buf()];
        while let Some(directory) = todo.pop() {
            // Before it is listed: what is made in it afterwards is told.
            if !self.add_one(&directory, depth)? || depth == Depth::Directory {
                continue;
            }
            let entries = std::fs::read_dir(&directory).into_iter().flatten();
            let below = entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path());
            todo.extend(below.filter(|path| wanted.enters(path)));
        }
        Ok(())
    }

    /// Whether it is there, and may be read.
    fn add_one(&mut self, directory: &Path, depth: Depth) -> Result<bool, Unwatchable> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        let number = match inotify::add_watch(&self.kernel, directory, flags) {
            Ok(number) => number,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {
                self.remove(directory);
                return Ok(false);
            }
            Err(error) => {
                return Err(Unwatchable {
                    error: error.into(),
                    directory: Some(directory.to_path_buf()),
                });
            }
        };
        let watch = Watch { number, depth };
        let before = self.watched.insert(directory.to_path_buf(), watch);
        if let Some(before) = before.filter(|before| before.number != number) {
            self.end(before.number, directory);
        }
        let names = self.names.entry(number).or_default();
        names.insert(directory.to_path_buf());
        Ok(true)
    }

    /// Watches no more what is not `kept`.
    fn retain(&mut self, kept: impl Fn(&Path) -> bool) {
        let gone: Vec<PathBuf> = self
            .watched
            .keys()
            .filter(|path| !kept(path))
            .cloned()
            .collect();
        for path in gone {
            self.remove(&path);
        }
    }

    fn remove(&mut self, directory: &Path) {
        if let Some(watch) = self.watched.remove(directory) {
            self.end(watch.number, directory);
        }
    }

    fn remove_with_all_below(&mut self, directory: &Path) {
        let from_there = (Bound::Included(directory), Bound::Unbounded);
        let from_there = self.watched.range::<Path, _>(from_there);
        let below: Vec<PathBuf> = from_there
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(directory))
            .cloned()
            .collect();
        for path in below {
            self.remove(&path);
        }
    }

    /// It is not watched under this name any more.
    fn end(&mut self, number: i32, name: &Path) {
        let Some(names) = self.names.get_mut(&number) else {
            return;
        };
        names.remove(name);
        if names.is_empty() {
            self.names.remove(&number);
            // It may have gone with its directory.
            let _ = inotify::remove_watch(&self.kernel, number);
        }
    }

    /// The kernel watches it no more.
    fn forget(&mut self, number: i32) {
        for name in self.names.remove(&number).into_iter().flatten() {
            if self
                .watched
                .get(&name)
                .is_some_and(|watch| watch.number == number)
            {
                self.watched.remove(&name);
            }
        }
    }

    /// All that the kernel has to say now. Directories that were made in a tree are watched from here on.
    pub fn read(&mut self, wanted: &dyn Wanted) -> Notices {
        let mut notices = Notices::default();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        loop {
            let (said, is_more) = heard(&self.kernel, &mut buffer);
            for notice in said {
                self.take(&notice, wanted, &mut notices);
            }
            match is_more {
                Ok(true) => {}
                Ok(false) => return notices,
                Err(_) => {
                    notices.is_incomplete = true;
                    return notices;
                }
            }
        }
    }

    fn take(&mut self, notice: &Notice, wanted: &dyn Wanted, notices: &mut Notices) {
        let Notice { number, what, name } = notice;
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            notices.is_incomplete = true;
            return;
        }
        if what.contains(ReadFlags::IGNORED) {
            self.forget(*number);
            return;
        }
        // Of one that is watched no more, there is nothing to say.
        let directories = self.names.get(number).cloned().unwrap_or_default();
        for directory in directories {
            let path = match name {
                Some(name) => directory.join(OsStr::from_bytes(name)),
                None => directory.clone(),
            };
            let is_gone = ReadFlags::MOVED_FROM | ReadFlags::DELETE | ReadFlags::MOVE_SELF;
            let is_of_directory = name.is_none() || what.contains(ReadFlags::ISDIR);
            if is_of_directory && what.intersects(is_gone) {
                self.remove_with_all_below(&path);
            }
            let has_come = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            // It may be one that may be read from now on.
            let is_open = what.contains(ReadFlags::ATTRIB) && !self.watched.contains_key(&path);
            if is_of_directory
                && (has_come || is_open)
                && self.add_come(&directory, &path, wanted).is_err()
            {
                // Whoever observes next is told why.
                notices.is_incomplete = true;
            }
            notices.paths.insert(path);
        }
    }

    /// Of a directory that has come: itself, and what was asked for below it.
    fn add_come(
        &mut self,
        above: &Path,
        path: &Path,
        wanted: &dyn Wanted,
    ) -> Result<(), Unwatchable> {
        if let Some(depth) = self.wanted_depth(above, path, wanted) {
            self.add(path, depth, wanted)?;
        }
        let beyond = (Bound::Excluded(path), Bound::Unbounded);
        let below = self.roots.range::<Path, _>(beyond);
        let below: Vec<(PathBuf, Depth)> = below
            .take_while(|(root, _)| root.starts_with(path))
            .map(|(root, depth)| (root.clone(), *depth))
            .collect();
        for (root, depth) in below {
            self.add(&root, depth, wanted)?;
        }
        Ok(())
    }

    /// How much of a directory is watched that has come.
    fn wanted_depth(&self, above: &Path, path: &Path, wanted: &dyn Wanted) -> Option<Depth> {
        let is_in_tree = self.depth(above) == Some(Depth::Tree) && wanted.enters(path);
        let of_itself = self.roots.get(path).copied();
        match is_in_tree {
            true => Some(Depth::Tree),
            false => of_itself,
        }
    }
}

/// What one call of the kernel gives, and whether it may have more.
fn heard(kernel: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> (Vec<Notice>, io::Result<bool>) {
    let mut said = Vec::new();
    let mut reader = Reader::new(kernel, buffer);
    loop {
        match reader.next() {
            Ok(event) => said.push(Notice {
                number: event.wd(),
                what: event.events(),
                name: event.file_name().map(|name| name.to_bytes().to_vec()),
            }),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return (said, Ok(false)),
            Err(error) => return (said, Err(error.into())),
        }
        if reader.is_buffer_empty() {
            return (said, Ok(true));
        }
    }
}
