//! What of the store was read and found sound, and what was found damaged.

use std::collections::HashMap;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::OciError;
use crate::image::Digest;

/// A file of the store that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    pub path: PathBuf,
    /// How that is known.
    pub why: String,
    /// It is gone, so the next who needs it pulls or makes it again.
    pub removed: bool,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match self.removed {
            true => "it was removed; the next run pulls or builds it again",
            false => "remove it, and the next run pulls or builds it again",
        };
        let path = self.path.display();
        write!(f, "`{path}` in the store is damaged ({}): {next}", self.why)
    }
}

impl std::error::Error for Damaged {}

impl From<Damaged> for OciError {
    fn from(error: Damaged) -> OciError {
        OciError::Other(Box::new(error))
    }
}

/// What was found damaged, and what was found sound.
#[derive(Default)]
pub(super) struct Checks {
    pub damaged: Mutex<(usize, Vec<Damaged>)>,
    pub sound: Mutex<HashMap<Digest, Signature>>,
}

/// A file as it was when its content was hashed: whoever writes to it moves the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    pub fn of(meta: &Metadata) -> Signature {
        Signature {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
