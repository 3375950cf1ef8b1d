//! Empty files that stand for the device nodes of layers where these cannot be made, or
//! would open the host's devices. A mark on the file says which device it stands for,
//! so that what a command does to it (a new owner, mode, name) is recorded of the device.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use imgmake_oci::layer::EntryKind;

/// `user.*`, which files have in every isolation mode and which overlay copies up.
pub(super) const MARK: &[u8] = b"user.imgmake.device";

/// Marks an empty file. Without effect on a file system that keeps no such attributes:
/// there the placeholder, once touched, is a file.
///
/// # Errors
/// The file system is full, or fails.
pub(super) fn mark(file: &OwnedFd, device: &EntryKind) -> rustix::io::Result<()> {
    let text = match device {
        EntryKind::CharDevice { major, minor } => format!("c {major}:{minor}"),
        EntryKind::BlockDevice { major, minor } => format!("b {major}:{minor}"),
        _ => return Ok(()),
    };
    match rustix::fs::fsetxattr(file, MARK, text.as_bytes(), XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        done => done,
    }
}

/// The device that an empty file stands for. A command may have written the mark; what
/// it gets by that is an entry of its own layer, as `mknod` gives one to real root.
pub(super) fn device_of(file: impl AsFd) -> Option<EntryKind> {
    let mut text = [0; 32];
    let length = rustix::fs::fgetxattr(file, MARK, &mut text[..]).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let (kind, numbers) = text.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    // The numbers that the kernel has; 0:0 is overlay's whiteout.
    if major >= 1 << 12 || minor >= 1 << 20 || (major, minor) == (0, 0) {
        return None;
    }
    match kind {
        "c" => Some(EntryKind::CharDevice { major, minor }),
        "b" => Some(EntryKind::BlockDevice { major, minor }),
        _ => None,
    }
}
