//! Bind mounts by descriptors: a tree of mounts, cloned and put over something else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use super::error::{During as _, Result};
use super::system;

/// Puts `source`, with everything mounted below it, over what `at` names.
pub(super) fn bind(source: &Path, at: impl AsFd, attributes: u64) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, source, flags)
        .with_during(|| format!("cannot take the mount of `{}`", source.display()))?;
    place(&tree, at, attributes)
}

/// Puts a mount of a path over itself, with attributes.
pub(super) fn bind_over(path: &OwnedFd, attributes: u64) -> Result<()> {
    place(&tree_of(path)?, path, attributes)
}

/// Puts what a descriptor holds, with everything mounted below it, over what is at a path
/// that nobody else can change.
///
/// # Errors
/// The process may not mount.
pub fn bind_held(held: &OwnedFd, at: &Path) -> Result<()> {
    let at = rustix::fs::open(at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    place(&tree_of(held)?, at, 0)
}

fn tree_of(held: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(held, "", flags)?)
}

fn place(tree: &OwnedFd, at: impl AsFd, attributes: u64) -> Result<()> {
    if attributes != 0 {
        system::set_mount_attributes(tree.as_fd(), attributes)
            .during("cannot set the attributes of a mount (mount_setattr needs Linux 5.12)")?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", at.as_fd(), "", flags)?;
    Ok(())
}
