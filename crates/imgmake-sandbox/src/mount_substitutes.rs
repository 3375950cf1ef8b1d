//! Substitutes for mounts where nothing can be mounted: they replace what the image has
//! at the place, and are removed when the command has ended.
//!
//! The command runs as root and may do anything to the names around: move the directory
//! away and put a link in its place, remove it, put something else where the thing was.
//! So nothing is found by its path again. The directories are held open from before, and
//! what goes back into the store has to be the inode that came from there.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::command::complain;
use super::error::{During as _, Result, SandboxError};
use super::mount::fill_memory_file;
use super::plan::{Mount, MountKind, Plan};
use imgmake_guard::confined::{
    Held, keeping_time, make, open_child, open_directory, open_parent, open_root, remove, resolve,
};

/// Undone when dropped, so that a failure half way loses no cache and leaves no secret.
pub(super) struct PlacedAll {
    scratch: OwnedFd,
    placed: Vec<Placed>,
}

struct Placed {
    thing: Held,
    /// The name of the image's own in the scratch directory.
    aside: String,
    put: Put,
    /// In the image, for messages.
    target: String,
}

enum Put {
    /// Made here, and nothing that outlives the step.
    Made,
    /// Bytes that must not outlive the step, under whatever name. Not held open for
    /// writing meanwhile: the command could not execute it.
    File,
    /// Goes back to where it came from: a directory and the name in it.
    Moved(OwnedFd, Vec<u8>),
}

impl PlacedAll {
    pub(super) fn new(plan: &Plan) -> Result<PlacedAll> {
        let scratch = open_directory(&plan.scratch)
            .with_during(|| format!("cannot open `{}`", plan.scratch.display()))?;
        Ok(PlacedAll {
            scratch,
            placed: Vec::new(),
        })
    }

    /// Puts the plan's mounts, and the device nodes of these names, into the directory.
    pub(super) fn place(&mut self, directory: &Path, plan: &Plan, nodes: &[&str]) -> Result<()> {
        let root = open_root(directory)?;
        for mount in &plan.mounts {
            self.replace(&root, &mount.target, |parent, name| {
                place(mount, parent, name)
            })?;
        }
        for node in nodes {
            self.replace(&root, &Path::new("dev").join(node), |parent, name| {
                place_node(node, parent, name)
            })?;
        }
        Ok(())
    }

    /// Sets what is there aside and puts something else in its place.
    fn replace(
        &mut self,
        root: &OwnedFd,
        target: &Path,
        put: impl FnOnce(&OwnedFd, &[u8]) -> Result<Put>,
    ) -> Result<()> {
        let action = || format!("cannot put something at `{}`", target.display());
        let resolved = resolve(root, target).with_during(action)?;
        let (parent, name) = {
            let path = resolved.path.clone();
            if resolved.found.is_none() {
                // Beneath a directory that an earlier mount of this step has brought.
                make(root, resolved, FileType::Directory).with_during(action)?;
            }
            open_parent(root, &path).with_during(action)?
        };
        let aside = format!("aside-{}", self.placed.len());
        let put = keeping_time(&parent, || {
            rustix::fs::renameat(&parent, &*name, &self.scratch, &*aside)?;
            put(&parent, &name)
        });
        self.placed.push(Placed {
            put: put.with_during(action)?,
            thing: Held::new(parent, name).with_during(action)?,
            aside,
            target: target.display().to_string(),
        });
        Ok(())
    }

    /// In the opposite order, everything even if something fails.
    pub(super) fn remove(&mut self) -> Result<()> {
        let mut done = Ok(());
        while let Some(placed) = self.placed.pop() {
            let removed = placed.remove(&self.scratch);
            done = done.and(
                removed.with_during(|| format!("cannot put back what `{}` had", placed.target)),
            );
        }
        done
    }
}

impl Drop for PlacedAll {
    fn drop(&mut self) {
        drop(self.remove());
    }
}

impl Placed {
    fn remove(&self, scratch: &OwnedFd) -> Result<()> {
        let (parent, name) = (self.thing.parent(), self.thing.name());
        keeping_time(parent, || {
            match &self.put {
                Put::Moved(home, own_name) if self.thing.is_there()? => {
                    rustix::fs::renameat(parent, name, home, &**own_name)?;
                }
                Put::Moved(..) => {
                    complain(&format!(
                        "warning: the command moved or removed what was mounted at `{}`; the \
                         cache starts empty",
                        self.target
                    ));
                    remove(parent, name)?;
                }
                Put::File => {
                    // Moved away or linked, it is in the tree under another name as well.
                    self.thing.truncate()?;
                    remove(parent, name)?;
                }
                Put::Made => remove(parent, name)?,
            }
            match rustix::fs::renameat(scratch, &*self.aside, parent, name) {
                // The command has removed the directory, and so what the image had in it.
                Err(Errno::NOENT) if is_removed(parent)? => Ok(()),
                done => Ok(done?),
            }
        })
    }
}

fn is_removed(directory: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(directory)?.st_nlink == 0)
}

/// What comes from outside is a directory or socket of the store, on the same file
/// system: a cache, a copy made for this step, the forwarded agent.
fn place(mount: &Mount, parent: &OwnedFd, name: &[u8]) -> Result<Put> {
    Ok(match &mount.kind {
        MountKind::Tmpfs { mode, .. } => {
            rustix::fs::mkdirat(parent, name, Mode::from(0o700))?;
            rustix::fs::fchmod(open_child(parent, name)?, Mode::from_raw_mode(*mode))?;
            Put::Made
        }
        MountKind::File(file) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let out = rustix::fs::openat(parent, name, flags, Mode::from(0o600))?;
            fill_memory_file(&File::from(out), file)?;
            Put::File
        }
        MountKind::Bind { source, .. } => {
            let action = || format!("cannot move `{}`", source.display());
            let (home, own_name) = match (source.parent(), source.file_name()) {
                (Some(parent), Some(name)) => (open_directory(parent).with_during(action)?, name),
                _ => {
                    return Err(SandboxError::Invalid {
                        what: "source of a mount",
                        reason: format!("`{}` has no name", source.display()),
                    });
                }
            };
            rustix::fs::renameat(&home, own_name, parent, name).with_during(action)?;
            Put::Moved(home, own_name.as_bytes().to_vec())
        }
    })
}

/// A device where the system permits it, a file with the same beginning where not.
fn place_node(device: &str, parent: &OwnedFd, name: &[u8]) -> Result<Put> {
    let node = rustix::fs::stat(Path::new("/dev").join(device))?;
    let mode = Mode::from(0o666);
    let kind = FileType::CharacterDevice;
    if rustix::fs::mknodat(parent, name, kind, mode, node.st_rdev).is_err() {
        if device != "null" {
            return Err(SandboxError::Unsupported(format!(
                "cannot make the device /dev/{device} (CAP_MKNOD is missing)"
            )));
        }
        rustix::fs::mknodat(parent, name, FileType::RegularFile, mode, 0)?;
    }
    rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
    Ok(Put::Made)
}
