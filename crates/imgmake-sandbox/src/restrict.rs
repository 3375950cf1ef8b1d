//! Takes from a process what a command is not to have: filter, ids, capabilities.
//!
//! Knows identities and capability sets. Knows no file system and no command.

use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::error::{During as _, Result};
use super::plan::{Network, Plan};
use super::user::Identity;
use super::{IsolationMode, filter, privileges, system};

/// Filter, ids, capabilities. The filter comes first: without `no_new_privs` loading
/// it needs a capability that the command does not get.
pub(super) fn restrict(plan: &Plan, identity: &Identity) -> Result<()> {
    if plan.isolation == IsolationMode::Chroot {
        return restrict_in_chroot(identity);
    }
    if plan.isolation == IsolationMode::SingleId {
        become_single(identity)?;
    }
    if !plan.insecure {
        filter::load_default().during("cannot load the system call filter")?;
        let mut keep = privileges::capabilities(plan.isolation);
        if plan.network == Network::Isolated {
            // Packets of its own making would pass the routes.
            keep -= CapabilitySet::NET_RAW;
        }
        drop_capabilities(keep)?;
    }
    if plan.isolation == IsolationMode::SingleId {
        if identity.uid != 0 {
            set_capabilities(CapabilitySet::empty())?;
        }
        return Ok(());
    }
    switch_user(identity)
}

/// As in the other isolation modes, with fewer capabilities and the filter that can be had.
fn restrict_in_chroot(identity: &Identity) -> Result<()> {
    match filter::load_default() {
        // Without CAP_SYS_ADMIN it would take `no_new_privs`, which breaks `sudo`: the
        // container's filter is in force, or the log says that there is none.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        done => done.during("cannot load the system call filter")?,
    }
    drop_capabilities(privileges::capabilities(IsolationMode::Chroot))?;
    switch_user(identity)?;
    // The change of ids has made the kernel forget it.
    Ok(system::die_with_parent()?)
}

/// The one id that there is gets the number that the command asks for.
fn become_single(identity: &Identity) -> Result<()> {
    if (identity.uid, identity.gid) != (0, 0) {
        system::unshare(UnshareFlags::NEWUSER).during("cannot make a user namespace")?;
        super::enter::map_single_id(identity.uid, 0, identity.gid, 0)?;
    }
    filter::load_single_id_answers().during("cannot load the single-id filter")
}

fn switch_user(identity: &Identity) -> Result<()> {
    use rustix::process::{Gid, Uid};
    let groups: Vec<Gid> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    let message = || {
        format!(
            "cannot become user {}:{} (are these ids mapped here?)",
            identity.uid, identity.gid
        )
    };
    rustix::thread::set_thread_groups(&groups).with_during(message)?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).with_during(message)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).with_during(message)?;
    Ok(())
}

fn drop_capabilities(keep: CapabilitySet) -> Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one that this kernel has.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).during("cannot drop capabilities"),
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let have = rustix::thread::capabilities(None)?.permitted;
    set_capabilities(keep & have)
}

fn set_capabilities(set: CapabilitySet) -> Result<()> {
    let sets = CapabilitySets {
        effective: set,
        permitted: set,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).during("cannot set capabilities")
}
