//! The way to an entry's directory, component by component, with descriptors.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Tree, Whiteouts};
use crate::error::{BuildError, Result};
use imgmake_guard::confined::check_length;
use imgmake_oci::layer::{Timestamp, join};

/// As many as the kernel's own walk would need a reason for.
const MOST_LINKS: usize = 255;

impl Tree<'_> {
    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.walk.here()
    }

    /// Makes `directory` the current one, following its links inside the root and
    /// making what is missing.
    pub(super) fn enter(&mut self, directory: &[u8]) -> Result<()> {
        if self.here == directory {
            return Ok(());
        }
        let parts: Vec<&[u8]> = directory
            .split(|b| *b == b'/')
            .filter(|p| !p.is_empty())
            .collect();
        let shared = if self.followed_links {
            0
        } else {
            let same = |(part, name): &(&&[u8], &Vec<u8>)| **part == name.as_slice();
            parts.iter().zip(&self.trail).take_while(same).count()
        };
        while self.trail.len() > shared {
            self.climb()?;
        }
        self.followed_links = false;
        // Wrong until the walk has succeeded.
        self.here = vec![0];
        let mut pending: VecDeque<Vec<u8>> = parts[shared..].iter().map(|p| p.to_vec()).collect();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                self.climb()?;
                continue;
            }
            if let Some(target) = self.step_into(name)? {
                links += 1;
                if links > MOST_LINKS {
                    return Err(BuildError::limit("links on the way", MOST_LINKS, ""));
                }
                self.followed_links = true;
                if target.starts_with(b"/") {
                    self.trail.clear();
                    self.walk.restart();
                }
                for part in target.split(|b| *b == b'/').rev() {
                    if !part.is_empty() && part != b"." {
                        pending.push_front(part.to_vec());
                    }
                }
            }
        }
        self.here = directory.to_vec();
        Ok(())
    }

    /// One component further; gives the target if it is a link.
    fn step_into(&mut self, name: Vec<u8>) -> Result<Option<Vec<u8>>> {
        // Links of the layer may lead deeper than any name in it.
        check_length(&self.actual(&name))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            |parent: BorrowedFd<'_>| rustix::fs::openat(parent, &*name, flags, Mode::empty());
        let fd = match open(self.parent()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(self.parent(), &*name, Mode::from(0o755))?;
                self.implied.insert(self.actual(&name));
                open(self.parent())?
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                match rustix::fs::readlinkat(self.parent(), &*name, Vec::new()) {
                    Ok(target) => return Ok(Some(target.into_bytes())),
                    Err(_) if self.is_whiteout(&name)? => {
                        self.replace_whiteout_by_directory(&name, 0o755)?;
                        self.implied.insert(self.actual(&name));
                        open(self.parent())?
                    }
                    Err(_) => {
                        let path = self.actual(&name);
                        let what = format!("path `{}`", String::from_utf8_lossy(&path));
                        let why = "a component is not a directory";
                        return Err(BuildError::invalid(what, why));
                    }
                }
            }
            Err(error) => return Err(error.into()),
        };
        if self.whiteouts == Whiteouts::Applied {
            self.keep_time(self.actual(&name), &fd)?;
        }
        self.trail.push(name);
        self.walk.push(fd)?;
        Ok(None)
    }

    fn climb(&mut self) -> Result<()> {
        self.trail.pop();
        Ok(self.walk.leave()?)
    }

    pub(super) fn keep_time(&mut self, path: Vec<u8>, directory: impl AsFd) -> Result<()> {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.filled.entry(path) {
            let stat = rustix::fs::statat(directory, "", AtFlags::EMPTY_PATH)?;
            let time = Timestamp {
                seconds: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            };
            vacant.insert(time);
        }
        Ok(())
    }

    /// The path of something in the current directory, without links.
    pub(super) fn actual(&self, name: &[u8]) -> Vec<u8> {
        let parts = self.trail.iter().map(Vec::as_slice);
        let directory: Vec<&[u8]> = parts.collect();
        join(&directory.join(&b'/'), name)
    }
}
