//! Unfinished work: one directory per process under `tmp/`, locked while the
//! process lives, so that a later run can tell left-overs from work in progress
//! without trusting process ids, which are reused.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{Context, Result};

use imgmake_guard::confined::remove_tree_within;
use imgmake_guard::modes::{self, PRIVATE};

/// How long the end of a process waits for the removal of what it left.
const CLEANUP: Duration = Duration::from_secs(2);

pub(super) struct ProcessDir {
    path: PathBuf,
    /// Locked exclusively until this process ends, however it ends.
    _lock: File,
    count: AtomicU64,
}

impl ProcessDir {
    pub(super) fn create(tmp: &Path) -> Result<ProcessDir> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let told = || format!("cannot write to the store at `{}`", tmp.display());
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{nanos:x}-{count}", std::process::id());
        let unlocked = tmp.join(format!(".{name}"));
        modes::make_dirs(tmp, PRIVATE).with_context(told)?;
        spread(tmp);
        modes::make_dir(&unlocked, PRIVATE).with_context(told)?;
        let mut lock = modes::private_file(&unlocked.join("lock")).with_context(told)?;
        lock.lock().with_context(told)?;
        writeln!(lock, "{}", std::process::id()).with_context(told)?;
        // Only a locked directory gets a name that the sweep looks at.
        let path = tmp.join(name);
        fs::rename(&unlocked, &path).with_context(told)?;
        Ok(ProcessDir {
            path,
            _lock: lock,
            count: AtomicU64::new(0),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn directory(&self) -> Result<PathBuf> {
        let path = self
            .path
            .join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        modes::make_dir(&path, PRIVATE)
            .with_context(|| format!("cannot write to the store at `{}`", path.display()))?;
        Ok(path)
    }

    pub(super) fn file(&self) -> Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .tempfile_in(&self.path)
            .with_context(|| format!("cannot write to the store at `{}`", self.path.display()))
    }
}

impl Drop for ProcessDir {
    fn drop(&mut self) {
        // Trees of a user namespace may refuse, and what a cancellation left may be large;
        // a later run's helper removes them.
        drop(remove_tree_within(&self.path, CLEANUP));
    }
}

/// Asks ext4 to put each directory below this one into a block group of its own
/// (`chattr +T`; ext4(5), `EXT4_TOPDIR_FL`). For minutes after files were deleted ext4
/// will not reuse their inodes, and looks at each of them for every file that is made
/// in that group: unpacking a base where a job's workspace has just been removed took
/// 2.7 s in the kernel, and takes 0.2 s elsewhere on the disk.
fn spread(directory: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    // A wish: other file systems know no such flag, and need none.
    let Ok(directory) = File::open(directory) else {
        return;
    };
    if let Ok(flags) = ioctl_getflags(&directory)
        && !flags.contains(IFlags::TOPDIR)
    {
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

/// Directories whose process no longer holds its lock.
pub(super) fn leftovers(tmp: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(tmp) else {
        return Vec::new();
    };
    entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| is_left_over(p))
        .collect()
}

/// Since when the processes work that are at it now, but for the one whose directory is `own`.
pub(super) fn begun(tmp: &Path, own: Option<&Path>) -> Option<SystemTime> {
    let entries = fs::read_dir(tmp).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let others = paths.filter(|path| Some(path.as_path()) != own && !is_left_over(path));
    // The lock file is written once, before its directory has its name.
    let begun = others.filter_map(|path| fs::metadata(path.join("lock")).ok()?.modified().ok());
    begun.min()
}

fn is_left_over(path: &Path) -> bool {
    let being_made = path
        .file_name()
        .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
    if being_made {
        let age = fs::metadata(path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| t.elapsed().ok());
        return age.is_some_and(|a| a > Duration::from_secs(3600));
    }
    // What is no file here is of somebody else, and makes nobody wait.
    let lock = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path.join("lock"));
    match lock {
        Ok(lock) => lock.try_lock().is_ok(),
        // A sweep that was itself cut short took the lock file first.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
