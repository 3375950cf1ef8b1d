//! Whether a file is still the one that it was, by `lstat` alone.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// Kernels stamp files with a coarse clock that moves every 1 to 10 ms.
const TICK: i64 = 20_000_000;
/// File systems that know whole seconds alone, or every second one.
const COARSE_TICK: i64 = 2_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// The time of a file of which only the name, the mode and the size are here: seconds and nanoseconds. Files have no such
/// time otherwise.
pub const CONTENT_MISSING: (i64, i64) = (-2_145_916_799, 123_456_789);

/// Everything about a file that the kernel changes when its content changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime: i64,
    pub ctime: i64,
}

impl Signature {
    pub fn of(metadata: &Metadata) -> Signature {
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000) + nanos;
        Signature {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The same of what the kernel says where there is a descriptor and a name.
    pub fn of_stat(stat: &Stat) -> Signature {
        let nanos = |seconds: i64, nanos: u64| {
            let nanos = i64::try_from(nanos).unwrap_or(0);
            seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
        };
        Signature {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanos(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanos(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// # Errors
    /// The content is elsewhere: nobody may read what stands in its place.
    pub fn has_content(&self) -> std::io::Result<()> {
        let (seconds, nanos) = CONTENT_MISSING;
        match self.mtime == seconds * SECOND + nanos {
            true => Err(std::io::Error::other(
                "its content was not fetched from the source",
            )),
            false => Ok(()),
        }
    }

    pub fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let fields = [
            self.device.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.size.to_le_bytes(),
            self.mtime.to_le_bytes(),
            self.ctime.to_le_bytes(),
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        bytes
    }

    /// Whether whatever changes after this time changes the signature: a change within the tick of the last one
    /// leaves it as it is.
    pub fn would_move_after(&self, time: i64) -> bool {
        let tick = match self.ctime % SECOND {
            0 => COARSE_TICK,
            _ => TICK,
        };
        self.ctime.saturating_add(tick) < time
    }
}

/// Nanoseconds since the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}
