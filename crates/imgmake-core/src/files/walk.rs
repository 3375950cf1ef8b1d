//! The walk through a directory that is held open: whoever exchanges a directory in it for a link meanwhile
//! leads nobody out. Levels are read in parallel; not by recursion: a checkout or a command may have made
//! directories in each other as long as paths last.

use std::cmp::Ordering;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rayon::prelude::*;
use rustix::fs::{FileType, OFlags, RawDir};

use super::FileAt;
use imgmake_event::{Cancel, Cancelled};
use imgmake_guard::confined;

/// For the names of a directory, as many as the kernel gives at once.
const BUFFER: usize = 32 << 10;

/// What a walk comes upon, in a directory that is open.
pub struct Entry<'a> {
    /// Relative to the directory that the walk was given.
    pub path: Vec<u8>,
    pub directory: BorrowedFd<'a>,
    /// As the directory says, which need not know.
    kind: FileType,
}

impl Entry<'_> {
    pub fn file(&self) -> FileAt<'_> {
        FileAt {
            directory: self.directory,
            name: base_name(&self.path),
        }
    }

    /// False of what its directory knows to be something else.
    pub fn may_be_link(&self) -> bool {
        matches!(self.kind, FileType::Symlink | FileType::Unknown)
    }

    /// # Errors
    /// The entry is gone, where its directory did not know what it is.
    pub fn is_directory(&self) -> io::Result<bool> {
        let kind = match self.kind {
            FileType::Unknown => FileType::from_raw_mode(self.file().stat()?.st_mode),
            kind => kind,
        };
        Ok(kind == FileType::Directory)
    }
}

/// What a visitor makes of an entry.
pub struct Visited<F, S> {
    pub found: Option<F>,
    /// Of a directory that is walked too: what its entries are judged by.
    pub enter: Option<S>,
}

impl<F, S> Visited<F, S> {
    pub fn skipped() -> Visited<F, S> {
        Visited {
            found: None,
            enter: None,
        }
    }
}

/// Judges entries, on many threads and in no order.
pub trait Visitor: Sync {
    type Found: Send;
    /// What is known of a directory when its entries are visited.
    type State: Send + Sync;
    type Error: Send + From<Cancelled>;

    /// # Errors
    /// The entry cannot be read; it ends the walk.
    fn visit(
        &self,
        entry: &Entry<'_>,
        directory: &Self::State,
    ) -> Result<Visited<Self::Found, Self::State>, Self::Error>;

    /// A directory that is open and about to be listed.
    fn listing(&self, _directory: &[u8], _opened: BorrowedFd<'_>) {}

    /// The error for a directory that cannot be listed.
    fn unlisted(&self, directory: &[u8], error: io::Error) -> Self::Error;
}

/// Everything that the visitor found beneath the directory `from` of `root`, in no order.
///
/// # Errors
/// A directory cannot be listed, the visitor fails, or somebody cancelled.
pub fn walk<V: Visitor>(
    root: impl AsFd,
    from: &[u8],
    state: V::State,
    visitor: &V,
    cancel: &Cancel,
) -> Result<Vec<V::Found>, V::Error> {
    let walk = Walk {
        root: root.as_fd(),
        is_unread: false,
        visitor,
        cancel,
    };
    walk.beneath(from, state)
}

/// The same beneath a directory that was opened for this walk alone, so that it is not opened again.
///
/// # Errors
/// As [`walk`].
pub fn walk_opened<V: Visitor>(
    root: impl Into<OwnedFd>,
    state: V::State,
    visitor: &V,
    cancel: &Cancel,
) -> Result<Vec<V::Found>, V::Error> {
    let root = root.into();
    let walk = Walk {
        root: root.as_fd(),
        is_unread: true,
        visitor,
        cancel,
    };
    walk.beneath(b"", state)
}

/// What fewer entries than these hold is not worth the handing over to other threads.
const MANY: usize = 64;

struct Walk<'a, V> {
    root: BorrowedFd<'a>,
    /// Nobody else lists through this descriptor, whose place in the list is at the beginning.
    is_unread: bool,
    visitor: &'a V,
    cancel: &'a Cancel,
}

/// The entries of a directory as the visitor judged them; directories with their paths.
type Judged<F, S> = Vec<Visited<F, (Vec<u8>, S)>>;

impl<V: Visitor> Walk<'_, V> {
    fn beneath(&self, from: &[u8], state: V::State) -> Result<Vec<V::Found>, V::Error> {
        let mut found = Vec::new();
        let mut level = vec![(from.to_vec(), state)];
        while !level.is_empty() {
            let visited = match level.as_slice() {
                [(path, state)] => vec![self.directory(path, state)?],
                several => several
                    .par_iter()
                    .map(|(path, state)| self.directory(path, state))
                    .collect::<Result<Vec<_>, _>>()?,
            };
            level = Vec::new();
            for entry in visited.into_iter().flatten() {
                found.extend(entry.found);
                level.extend(entry.enter);
            }
        }
        Ok(found)
    }

    /// Visits what is directly in a directory.
    fn directory(
        &self,
        path: &[u8],
        state: &V::State,
    ) -> Result<Judged<V::Found, V::State>, V::Error> {
        self.cancel.check()?;
        let listed = self
            .list(path)
            .map_err(|error| self.visitor.unlisted(path, error))?;
        let directory = listed.opened.as_ref().map_or(self.root, AsFd::as_fd);
        let visit = |(path, kind)| {
            self.cancel.check()?;
            let entry = Entry {
                path,
                directory,
                kind,
            };
            let visited = self.visitor.visit(&entry, state)?;
            Ok(Visited {
                found: visited.found,
                enter: visited.enter.map(|state| (entry.path, state)),
            })
        };
        match listed.entries.len() < MANY {
            true => listed.entries.into_iter().map(visit).collect(),
            false => listed
                .entries
                .into_par_iter()
                .with_min_len(MANY / 2)
                .map(visit)
                .collect(),
        }
    }

    fn list(&self, path: &[u8]) -> io::Result<Listed> {
        let opened = match path.is_empty() && self.is_unread {
            true => None,
            false => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                Some(confined::open_inside(self.root, path, flags)?)
            }
        };
        let directory = opened.as_ref().map_or(self.root, AsFd::as_fd);
        self.visitor.listing(path, directory);
        // On the stack: given back to the allocator for each directory, it costs more than the listing.
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut names = RawDir::new(directory, &mut buffer);
        let mut entries = Vec::new();
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push((join(path, name), entry.file_type()));
            }
        }
        // Whoever orders all that is found has less to do then.
        entries.sort_unstable_by(|(a, _): &(Vec<u8>, FileType), (b, _)| a.cmp(b));
        Ok(Listed { opened, entries })
    }
}

struct Listed {
    /// `None` of the root, which is open already.
    opened: Option<OwnedFd>,
    /// Paths of entries, and what the directory says of them.
    entries: Vec<(Vec<u8>, FileType)>,
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    }
}

/// The last part of a path.
pub fn base_name(path: &[u8]) -> &[u8] {
    &path[path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1)..]
}

/// The order in which a tree is read depth first: what is in a directory comes right after it.
pub fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|b| *b == b'/').cmp(b.split(|b| *b == b'/'))
}
