//! Whiteouts and opaque directories: kept for overlay, or applied to what lies there.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::{Tree, Whiteouts};
use crate::error::{Context, Result};
use imgmake_guard::confined::{Descent, names, remove};
use imgmake_oci::layer::{join, split};

impl Tree<'_> {
    pub(super) fn is_whiteout(&self, name: &[u8]) -> Result<bool> {
        match rustix::fs::statat(self.parent(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(crate::rootfs::diff::is_whiteout(&stat)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn replace_whiteout_by_directory(&mut self, name: &[u8], mode: u32) -> Result<()> {
        rustix::fs::unlinkat(self.parent(), name, AtFlags::empty())?;
        rustix::fs::mkdirat(self.parent(), name, Mode::from_raw_mode(mode))?;
        self.mark_opaque(name)
    }

    fn mark_opaque(&self, name: &[u8]) -> Result<()> {
        let Whiteouts::Kept(marks) = self.whiteouts else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.parent(), name, flags, Mode::empty())?;
        rustix::fs::fsetxattr(fd, marks.opaque(), b"y", XattrFlags::empty())
            .context("cannot mark a directory as opaque")
    }

    /// `.wh.name`: lower layers' `path` is gone, not this layer's own.
    pub(super) fn hide(&mut self, path: &[u8]) -> Result<()> {
        let (directory, name) = split(path);
        self.enter(directory)?;
        if self.whiteouts == Whiteouts::Applied {
            if self.created.contains(&self.actual(name)) {
                return Ok(());
            }
            return self.clear(name);
        }
        match self.kind_of(name)? {
            None => {
                let kind = FileType::CharacterDevice;
                rustix::fs::mknodat(self.parent(), name, kind, Mode::empty(), 0)
                    .context("cannot make a whiteout")
            }
            Some(FileType::Directory) => self.mark_opaque(name),
            Some(_) => Ok(()),
        }
    }

    /// `.wh..wh..opq`.
    pub(super) fn hide_below(&mut self, directory: &[u8]) -> Result<()> {
        self.enter(directory)?;
        if let Whiteouts::Kept(marks) = self.whiteouts {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(self.parent(), ".", flags, Mode::empty())?;
            return rustix::fs::fsetxattr(fd, marks.opaque(), b"y", XattrFlags::empty())
                .context("cannot mark a directory as opaque");
        }
        let start = rustix::io::fcntl_dupfd_cloexec(self.parent(), 3)?;
        let base = self.actual(b"");
        let base = base.strip_suffix(b"/").unwrap_or(&base).to_vec();
        self.remove_unmade(&mut Descent::new(start), &base)
    }

    /// Removes what this layer has not made.
    fn remove_unmade(&mut self, walk: &mut Descent, base: &[u8]) -> Result<()> {
        for name in names(walk.here())? {
            let path = join(base, &name);
            if !self.created.contains(&path) && !self.implied.contains(&path) {
                remove(walk.here(), &name)?;
                continue;
            }
            if walk.enter(&name).is_ok() {
                self.remove_unmade(walk, &path)?;
                walk.leave()?;
            }
        }
        Ok(())
    }
}
