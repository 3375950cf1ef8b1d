//! Hard links, also to what only lower layers hold.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use super::{Tree, Whiteouts};
use crate::error::{BuildError, Context, Result};
use crate::rootfs::attributes::{chmod, chown, times, xattrs_of};
use crate::rootfs::data::copy_data;
use imgmake_oci::layer::{Timestamp, split};

impl Tree<'_> {
    pub(super) fn make_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        self.clear(name)?;
        let (directory, target_name) = split(target);
        let from = match open_inside(&self.root, directory) {
            Ok(from) => from,
            Err(Errno::NOENT | Errno::NOTDIR) => return self.link_from_lower(name, target),
            Err(error) => return Err(error.into()),
        };
        match rustix::fs::linkat(&from, target_name, self.parent(), name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => self.link_from_lower(name, target),
            Err(error) => Err(error).context("cannot link"),
        }
    }

    /// As overlay does it: the file comes up from the lower layer, and both names are links to it.
    fn link_from_lower(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let found = self.lowers.iter().find_map(|lower| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let root =
                rustix::fs::open(lower, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            rustix::fs::openat2(root, target, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()
        });
        let Some(source) = found else {
            if self.whiteouts == Whiteouts::None {
                return Err(BuildError::invalid(
                    "archive",
                    format!(
                        "a hard link to `{}`, which is not in the archive before it",
                        String::from_utf8_lossy(target)
                    ),
                ));
            }
            let target = String::from_utf8_lossy(target);
            return Err(BuildError::LinkIntoLower(target.into_owned()));
        };
        let here = self.here.clone();
        let (directory, target_name) = split(target);
        self.enter(directory)?;
        self.copy_up(source.into(), target_name)?;
        let from = rustix::io::fcntl_dupfd_cloexec(self.parent(), 3)?;
        self.enter(&here)?;
        rustix::fs::linkat(&from, target_name, self.parent(), name, AtFlags::empty())?;
        Ok(())
    }

    fn copy_up(&mut self, source: std::fs::File, name: &[u8]) -> Result<()> {
        let stat = rustix::fs::fstat(&source)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(BuildError::invalid(
                "layer",
                "a hard link to something in a lower layer that is not a file",
            ));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.parent(), name, flags, Mode::from(0o600))?;
        let file = std::fs::File::from(fd);
        copy_data(&source, &file, &self.cancel)?;
        if !self.squash {
            chown(&file, (stat.st_uid, stat.st_gid))?;
        }
        chmod(&file, stat.st_mode & 0o7777)?;
        for (name, value) in xattrs_of(&source)? {
            rustix::fs::fsetxattr(&file, &*name, &value, XattrFlags::empty())?;
        }
        let modified = Timestamp {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        };
        rustix::fs::futimens(&file, &times(modified))?;
        Ok(())
    }
}

fn open_inside(root: &OwnedFd, directory: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path: &[u8] = if directory.is_empty() {
        b"."
    } else {
        directory
    };
    rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
}
