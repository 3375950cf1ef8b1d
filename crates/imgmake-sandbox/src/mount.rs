//! The root file system of a sandbox: overlay or directory, what is mounted into
//! it, and the change of root.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use super::bind::bind;
use super::direct_mount_points::{leaf, mount_points};
use super::error::{During as _, Result};
use super::overlay::Overlay;
use super::overlay_mount_points::{Stubs, Wanted};
use super::plan::{Mount, MountKind, Plan, PlanFile, Root};
use super::{devices, system};
use imgmake_guard::confined::{descriptor_path, make, open_root, remove_tree, resolve};
use imgmake_guard::modes::{self, PRIVATE, VISIBLE};

/// Builds the file system and makes it this process's root.
pub(super) fn build(plan: &Plan) -> Result<()> {
    let at = plan.scratch.join("root");
    modes::make_dir(&at, PRIVATE).during("cannot make a mount point")?;
    match &plan.root {
        Root::Overlay { .. } => mount_overlay(plan, &mount_points(plan)?, &at)?,
        // Its mount points are there: see `MadePoints`.
        Root::Directory(directory) => mount_directory(directory, &at)?,
    }
    let root = open_root(&at)?;
    let memory = memory_directory(&plan.scratch)?;
    devices::mount_system(&root, plan)?;
    for (i, mount) in plan.mounts.iter().enumerate() {
        mount_one(&root, mount, &memory.join(i.to_string()))
            .with_during(|| format!("cannot mount `{}`", mount.target.display()))?;
    }
    change_root(&at)
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
            .during("cannot unmount the overlay again")?;
        // A volatile mount leaves a mark that forbids the next one.
        remove_tree(work)?;
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
    let stubs = [ALL_STUBS, STUBS].map(|name| plan.scratch.join(name));
    let top = stubs.into_iter().find(|directory| directory.is_dir());
    top.into_iter().chain(lowers.iter().cloned()).collect()
}

fn mount_directory(directory: &Path, at: &Path) -> Result<()> {
    // An added attribute: in a user namespace a remount, which sets all of them, fails
    // where the file system of the store is mounted `nosuid` or `noexec`.
    bind(directory, open_root(at)?, system::ATTR_NODEV)
        .with_during(|| format!("cannot mount `{}`", directory.display()))
}

/// A tmpfs of this sandbox alone, for what must not touch a disk.
fn memory_directory(scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join("memory");
    modes::make_dir(&path, PRIVATE)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", &path, "tmpfs", flags, c"mode=700")
        .during("cannot mount a tmpfs")?;
    Ok(path)
}

fn mount_one(root: &OwnedFd, mount: &Mount, memory: &Path) -> Result<()> {
    // Not yet there only beneath another mount of this step, whose business it then is.
    let resolved = resolve(root, &mount.target)?;
    let at = make(root, resolved, leaf(&mount.kind)?)?;
    match &mount.kind {
        MountKind::Bind { source, readonly } => {
            let rdonly = if *readonly { system::ATTR_RDONLY } else { 0 };
            bind(source, &at, rdonly | system::ATTR_NODEV)
        }
        MountKind::Tmpfs { size, mode } => {
            let size = size.map_or(String::new(), |s| format!(",size={s}"));
            let options =
                std::ffi::CString::new(format!("mode={mode:o}{size}")).expect("digits hold no NUL");
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

fn write_memory_file(path: &Path, file: &PlanFile) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let out = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    fill_memory_file(&out, file)
}

/// Bytes, owner and mode, in this order: nobody else reads it before it is whole.
pub(super) fn fill_memory_file(mut out: &std::fs::File, file: &PlanFile) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, fchown};
    out.write_all(&file.bytes)?;
    if (file.uid, file.gid) != (0, 0) {
        fchown(out, Some(file.uid), Some(file.gid)).with_during(|| {
            format!(
                "cannot give it to {}:{} (is the owner mapped?)",
                file.uid, file.gid
            )
        })?;
    }
    out.set_permissions(PermissionsExt::from_mode(file.mode))?;
    Ok(())
}

fn change_root(at: &Path) -> Result<()> {
    rustix::process::chdir(at)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::mount::unmount(".", UnmountFlags::DETACH)
                .during("cannot leave the old root")?;
        }
        // The root of an initial ramdisk cannot be pivoted away from, and the seccomp
        // profile of Docker's containers that may mount does not let anybody pivot.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {
            rustix::mount::mount_move(".", "/").during("cannot move the root")?;
            rustix::process::chroot(".")?;
        }
        Err(error) => return Err(error).during("cannot change the root"),
    }
    rustix::process::chdir("/")?;
    Ok(())
}
