//! How the helper process gets its namespaces, before it starts any thread.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MountPropagationFlags, OpenTreeFlags};
use rustix::thread::UnshareFlags;

use super::error::{During as _, Result, SandboxError};
use super::{IsolationMode, OverlayXattrs, system};

/// What the helper found once inside.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    pub xattrs: OverlayXattrs,
    /// Real device nodes can be made.
    pub devices: bool,
}

/// Takes this process, which has one thread, into the namespaces of `isolation`. In the
/// rootless isolation mode `ask_for_ids` has the parent apply the id maps.
///
/// # Errors
/// What the system refuses.
pub fn enter<E: From<SandboxError>>(
    isolation: IsolationMode,
    ask_for_ids: impl FnOnce() -> Result<(), E>,
) -> Result<Inside, E> {
    match isolation {
        IsolationMode::Chroot => return Ok(inside()),
        IsolationMode::Root => {}
        IsolationMode::Rootless => {
            system::unshare(UnshareFlags::NEWUSER).during("cannot make a user namespace")?;
            ask_for_ids()?;
            become_root(Groups::Clear)?;
        }
        IsolationMode::SingleId => {
            let uid = rustix::process::geteuid().as_raw();
            let gid = rustix::process::getegid().as_raw();
            system::unshare(UnshareFlags::NEWUSER).during("cannot make a user namespace")?;
            map_single_id(0, uid, 0, gid)?;
            become_root(Groups::Keep)?;
        }
    }
    system::unshare(UnshareFlags::NEWNS).during("cannot make a mount namespace")?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    rustix::mount::mount_change("/", flags).during("cannot make the mounts private")?;
    system::die_with_parent().during("cannot end with the parent")?;
    Ok(inside())
}

enum Groups {
    Clear,
    /// With one id the kernel refuses setgroups.
    Keep,
}

fn become_root(groups: Groups) -> Result<()> {
    use rustix::process::{Gid, Uid};
    if matches!(groups, Groups::Clear) {
        rustix::thread::set_thread_groups(&[]).during("cannot drop groups")?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .during("cannot become group 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .during("cannot become user 0")?;
    Ok(())
}

/// Writes maps of one id each for this very process.
pub(super) fn map_single_id(uid: u32, outer_uid: u32, gid: u32, outer_gid: u32) -> Result<()> {
    std::fs::write("/proc/self/setgroups", "deny").during("cannot write setgroups")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {outer_uid} 1"))
        .during("cannot map the user id")?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {outer_gid} 1"))
        .during("cannot map the group id")?;
    Ok(())
}

/// What this process, once inside, can do.
pub fn inside() -> Inside {
    // The kernel numbers the initial user namespace so, always.
    let initial = std::fs::read_link("/proc/self/ns/user")
        .is_ok_and(|name| name == Path::new("user:[4026531837]"));
    Inside {
        xattrs: if initial {
            OverlayXattrs::Trusted
        } else {
            OverlayXattrs::User
        },
        devices: initial
            && rustix::thread::capabilities(None)
                .is_ok_and(|c| c.effective.contains(rustix::thread::CapabilitySet::MKNOD)),
    }
}

/// Goes on as the same program, reached through a read-only mount: a command in a
/// sandbox that gets hold of `/proc/self/exe` before it has executed its own
/// program must not be able to write to imgmake's file. Returns only if that is
/// not possible here.
pub fn protected_program(argv: &[CString], env: &[CString]) {
    let Ok(program) = read_only_program() else {
        return;
    };
    drop(system::execute_descriptor(program.as_fd(), argv, env));
}

fn read_only_program() -> Result<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, &path, flags)?;
    system::set_mount_attributes(tree.as_fd(), system::ATTR_RDONLY)?;
    let same =
        |a: &rustix::fs::Stat, b: &rustix::fs::Stat| a.st_ino == b.st_ino && a.st_dev == b.st_dev;
    let (mounted, running) = (
        rustix::fs::fstat(&tree)?,
        rustix::fs::stat("/proc/self/exe")?,
    );
    match same(&mounted, &running) {
        true => Ok(tree),
        false => Err(SandboxError::Vanished {
            what: path.display().to_string(),
        }),
    }
}
