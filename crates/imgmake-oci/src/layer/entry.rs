//! One entry of a layer, and the form its path has.

use std::collections::BTreeMap;

/// Seconds and nanoseconds since the epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Timestamp {
    pub seconds: i64,
    /// Below 1,000,000,000, counted forward from `seconds` even before the epoch.
    pub nanos: u32,
}

impl Timestamp {
    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EntryKind {
    Directory,
    File {
        size: u64,
    },
    /// `target` is the text of the link, as it is.
    Symlink {
        target: Vec<u8>,
    },
    /// `target` is a path of the same form as `Entry::path`.
    HardLink {
        target: Vec<u8>,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// One entry. `path` is relative, cleaned: no leading or trailing `/`, no `.` or `..`; empty = the root itself. Bytes, not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: 0o7777.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Timestamp,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// Owned by 0:0, of the epoch, without xattrs. The path is cleaned.
    pub fn new(path: impl AsRef<[u8]>, kind: EntryKind, mode: u32) -> Entry {
        Entry {
            path: clean(path.as_ref()),
            kind,
            mode: mode & 0o7777,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: BTreeMap::new(),
        }
    }

    pub fn directory(path: impl AsRef<[u8]>, mode: u32) -> Entry {
        Entry::new(path, EntryKind::Directory, mode)
    }

    pub fn file(path: impl AsRef<[u8]>, mode: u32, size: u64) -> Entry {
        Entry::new(path, EntryKind::File { size }, mode)
    }

    pub fn symlink(path: impl AsRef<[u8]>, target: impl Into<Vec<u8>>) -> Entry {
        let target = target.into();
        Entry::new(path, EntryKind::Symlink { target }, 0o777)
    }

    pub fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>, mode: u32) -> Entry {
        let target = clean(target.as_ref());
        Entry::new(path, EntryKind::HardLink { target }, mode)
    }

    #[must_use]
    pub fn owned_by(mut self, uid: u64, gid: u64) -> Entry {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    #[must_use]
    pub fn modified(mut self, mtime: Timestamp) -> Entry {
        self.mtime = mtime;
        self
    }

    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }

    /// Bytes of content that follow the entry in a layer.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            _ => 0,
        }
    }

    /// For people: the path with a leading `/`, bytes that are not UTF-8 replaced.
    pub fn display(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.path))
    }
}

/// Lexically cleaned as Go's `path.Clean("/" + path)`, without the leading `/`:
/// `..` at the root stays at the root.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(path.len());
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => cleaned.truncate(split(&cleaned).0.len()),
            name => push(&mut cleaned, name),
        }
    }
    cleaned
}

/// As [`clean`], but `None` if the path leaves the root on its way.
pub(crate) fn clean_inside(path: &[u8]) -> Option<Vec<u8>> {
    let mut depth = 0_u32;
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1)?,
            _ => depth += 1,
        }
    }
    Some(clean(path))
}

/// Has the path the form of [`Entry::path`]?
pub fn is_clean(path: &[u8]) -> bool {
    path.is_empty()
        || path
            .split(|b| *b == b'/')
            .all(|c| !matches!(c, b"" | b"." | b"..") && !c.contains(&0))
}

/// The parent and the last component of a clean path; both empty for the root.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// `directory/name`, or `name` in the root.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    push(&mut path, name);
    path
}

pub(super) fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
