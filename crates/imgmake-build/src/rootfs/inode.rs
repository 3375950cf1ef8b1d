//! What a layer records of an inode, and what is asked of something that the image has.

use crate::error::Result;
use std::collections::BTreeMap;
use std::fs::File;

use rustix::fs::{FileType, Stat};

/// What a layer records of an inode, but for what takes reading to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    /// Kind and permissions.
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: (i64, i64),
    pub size: u64,
    pub device: u64,
}

impl Inode {
    pub(super) fn of(stat: &Stat) -> Inode {
        Inode {
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            modified: (
                stat.st_mtime,
                i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            device: stat.st_rdev,
        }
    }

    pub(super) fn kind(self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

/// Something that the image has.
pub(super) trait Original {
    /// Nobody has touched it, whatever it is.
    fn is_untouched(&self, now: &Stat) -> bool;
    fn inode(&self) -> Inode;
    fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>>;
    /// Of a symlink.
    fn target(&self) -> Result<Vec<u8>>;
    fn has_content_of(&self, file: File) -> Result<bool>;
}
