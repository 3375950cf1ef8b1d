//! The root file system of a sandbox: overlay or directory, what is mounted into
//! it, and the change of root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::image_path::{descriptor_path, make, open_root, resolve};
use super::overlay::Overlay;
use super::plan::{Mount, MountKind, Plan, PlanFile, Root};
use super::stub::{Stubs, Wanted};
use super::{devices, system};
use crate::modes::{self, PRIVATE, VISIBLE};

/// Builds the file system and makes it this process's root.
pub(super) fn build(plan: &Plan) -> Result<()> {
    let at = plan.scratch.join("root");
    modes::make_dir(&at, PRIVATE).context("cannot make a mount point")?;
    let wanted = mount_points(plan)?;
    match &plan.root {
        Root::Overlay { .. } => mount_overlay(plan, &wanted, &at)?,
        Root::Directory(directory) => mount_directory(plan, directory, &wanted, &at)?,
    }
    let root = open_root(&at)?;
    let memory = memory_directory(&plan.scratch)?;
    devices::mount_system(&root, plan)?;
    for (i, mount) in plan.mounts.iter().enumerate() {
        mount_one(&root, mount, &memory.join(i.to_string()))
            .with_context(|| format!("cannot mount `{}`", mount.target.display()))?;
    }
    change_root(&at)
}

fn mount_points(plan: &Plan) -> Result<Vec<Wanted>> {
    let mut wanted: Vec<Wanted> = ["proc", "sys", "dev"]
        .map(|name| Wanted {
            path: name.into(),
            kind: FileType::Directory,
        })
        .into();
    for mount in &plan.mounts {
        wanted.push(Wanted {
            path: mount.target.clone(),
            kind: leaf(mount)?,
        });
    }
    Ok(wanted)
}

fn leaf(mount: &Mount) -> Result<FileType> {
    Ok(match &mount.kind {
        MountKind::Tmpfs { .. } => FileType::Directory,
        MountKind::File(_) => FileType::RegularFile,
        MountKind::Bind { source, .. } => {
            let meta = std::fs::metadata(source)
                .with_context(|| format!("cannot mount `{}`", source.display()))?;
            if meta.is_dir() {
                FileType::Directory
            } else {
                FileType::RegularFile
            }
        }
    })
}

fn mount_overlay(plan: &Plan, wanted: &[Wanted], at: &Path) -> Result<()> {
    let Root::Overlay {
        lowers,
        upper,
        work,
        xattrs,
    } = &plan.root
    else {
        unreachable!("called for overlays alone");
    };
    let mut stubs = Stubs::of(&plan.stubs)?;
    let mount = |stubs: &Stubs, name: &str| -> Result<()> {
        let mut lowers = lowers.clone();
        if !stubs.is_empty() {
            let directory = plan.scratch.join(name);
            modes::make_dir(&directory, VISIBLE)?;
            stubs.write(&directory)?;
            lowers.insert(0, directory);
        }
        let overlay = Overlay {
            lowers: &lowers,
            upper: Some((upper, work)),
            xattrs: *xattrs,
        };
        overlay.mount(&plan.scratch, at)
    };
    mount(&stubs, STUBS)?;
    let missing = stubs.add_missing(open_root(at)?, wanted)?;
    if missing {
        rustix::mount::unmount(at, UnmountFlags::empty())
            .context("cannot unmount the overlay again")?;
        // A volatile mount leaves a mark that forbids the next one.
        std::fs::remove_dir_all(work)?;
        modes::make_dir(work, PRIVATE)?;
        mount(&stubs, ALL_STUBS)?;
    }
    Ok(())
}

const STUBS: &str = "stubs";
const ALL_STUBS: &str = "all-stubs";

/// The directories that the overlay of a finished plan lay on: `lowers`, and what
/// was put on top of them.
pub fn with_stubs(plan: &Plan, lowers: &[PathBuf]) -> Vec<PathBuf> {
    let made = [ALL_STUBS, STUBS].map(|name| plan.scratch.join(name));
    let top = made.into_iter().find(|directory| directory.is_dir());
    top.into_iter().chain(lowers.iter().cloned()).collect()
}

/// What was made in a directory that is no overlay, to be removed by whoever owns it.
const MADE_POINTS: &str = "made-mount-points";

fn mount_directory(plan: &Plan, directory: &Path, wanted: &[Wanted], at: &Path) -> Result<()> {
    record_points(plan, directory, wanted)?;
    // An added attribute: in a user namespace a remount, which sets all of them, fails
    // where the file system of the store is mounted `nosuid` or `noexec`.
    bind(directory, open_root(at)?, system::ATTR_NODEV)
        .with_context(|| format!("cannot mount `{}`", directory.display()))
}

/// Makes mount points and notes which, for [`remove_made_points`].
pub(super) fn record_points(plan: &Plan, directory: &Path, wanted: &[Wanted]) -> Result<()> {
    let made = make_points(directory, wanted)?;
    modes::write_private(
        &plan.scratch.join(MADE_POINTS),
        &postcard::to_stdvec(&made)?,
    )?;
    Ok(())
}

/// Makes what is missing; gives the paths made, parents first. The directories above
/// keep their times.
fn make_points(directory: &Path, wanted: &[Wanted]) -> Result<Vec<PathBuf>> {
    let root = open_root(directory)?;
    let mut made = Vec::new();
    for wanted in wanted {
        let resolved = resolve(&root, &wanted.path)?;
        if resolved.found.is_some() {
            continue;
        }
        let parts: Vec<_> = resolved.path.iter().collect();
        let above: PathBuf = parts[..resolved.existing].iter().collect();
        let (first, count) = (resolved.existing, parts.len());
        made.extend((first..count).map(|i| parts[..=i].iter().collect::<PathBuf>()));
        keeping_time(&directory.join(above), || {
            make(&root, resolved, wanted.kind)?;
            Ok(())
        })?;
    }
    Ok(made)
}

/// Does something in a directory and puts the directory's modification time back.
pub(super) fn keeping_time<T>(directory: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = std::fs::symlink_metadata(directory)?;
    let done = act()?;
    let time = filetime::FileTime::from_last_modification_time(&before);
    filetime::set_file_mtime(directory, time)?;
    Ok(done)
}

/// Removes the mount points that a plan with [`Root::Directory`] made, if they are
/// still empty.
///
/// # Errors
/// The record of them cannot be read.
pub fn remove_made_points(scratch: &Path, directory: &Path) -> Result<()> {
    let made: Vec<PathBuf> = postcard::from_bytes(&std::fs::read(scratch.join(MADE_POINTS))?)?;
    for point in made.iter().rev() {
        let path = directory.join(point);
        let Ok(meta) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let parent = path.parent().expect("a mount point is not the root");
        keeping_time(parent, || {
            if meta.is_dir() {
                // What the command put into it stays.
                drop(std::fs::remove_dir(&path));
            } else if meta.len() == 0 {
                std::fs::remove_file(&path)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A tmpfs of this sandbox alone, for what must not touch a disk.
fn memory_directory(scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join("memory");
    modes::make_dir(&path, PRIVATE)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", &path, "tmpfs", flags, c"mode=700")
        .context("cannot mount a tmpfs")?;
    Ok(path)
}

fn mount_one(root: &OwnedFd, mount: &Mount, memory: &Path) -> Result<()> {
    // Not yet there only beneath another mount of this step, whose business it then is.
    let resolved = resolve(root, &mount.target)?;
    let at = make(root, resolved, leaf(mount)?)?;
    match &mount.kind {
        MountKind::Bind { source, readonly } => {
            let rdonly = if *readonly { system::ATTR_RDONLY } else { 0 };
            bind(source, &at, rdonly | system::ATTR_NODEV)
        }
        MountKind::Tmpfs { size, mode } => {
            let size = size.map_or(String::new(), |s| format!(",size={s}"));
            let options = std::ffi::CString::new(format!("mode={mode:o}{size}"))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount("tmpfs", descriptor_path(&at), "tmpfs", flags, &*options)?;
            Ok(())
        }
        MountKind::File(file) => {
            write_memory_file(memory, file)?;
            bind(
                memory,
                &at,
                system::ATTR_RDONLY | system::ATTR_NODEV | system::ATTR_NOSUID,
            )
        }
    }
}

pub(super) fn write_memory_file(path: &Path, file: &PlanFile) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
    let mut out = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    out.write_all(&file.bytes)?;
    if (file.uid, file.gid) != (0, 0) {
        fchown(&out, Some(file.uid), Some(file.gid))
            .with_context(|| format!("owner {}:{} is not mapped here", file.uid, file.gid))?;
    }
    out.set_permissions(PermissionsExt::from_mode(file.mode))?;
    Ok(())
}

/// Puts `source`, with everything mounted below it, over what `at` names.
pub(super) fn bind(source: &Path, at: impl AsFd, attributes: u64) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, source, flags)
        .with_context(|| format!("cannot take the mount of `{}`", source.display()))?;
    place(&tree, at, attributes)
}

/// Puts a mount of a path over itself, with attributes.
pub(super) fn bind_over(path: &OwnedFd, attributes: u64) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(path, "", flags)?;
    place(&tree, path, attributes)
}

fn place(tree: &OwnedFd, at: impl AsFd, attributes: u64) -> Result<()> {
    if attributes != 0 {
        system::set_mount_attributes(tree.as_fd(), attributes)
            .context("cannot set the attributes of a mount (mount_setattr needs Linux 5.12)")?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", at.as_fd(), "", flags)?;
    Ok(())
}

fn change_root(at: &Path) -> Result<()> {
    rustix::process::chdir(at)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::mount::unmount(".", UnmountFlags::DETACH)
                .context("cannot leave the old root")?;
        }
        // The root of an initial ramdisk cannot be pivoted away from, and the seccomp
        // profile of Docker's containers that may mount does not let anybody pivot.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {
            rustix::mount::mount_move(".", "/").context("cannot move the root")?;
            rustix::process::chroot(".")?;
        }
        Err(error) => bail!("cannot change the root: {error}"),
    }
    rustix::process::chdir("/")?;
    Ok(())
}

/// An open `/dev/null` of the new root, for a command without input.
pub(super) fn open_null() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty()).context("cannot open /dev/null")
}
