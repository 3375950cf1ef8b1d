//! What a RUN may do beyond its files: capabilities, and which filter checks its
//! system calls.

use rustix::thread::CapabilitySet;
use seccompiler::sock_filter;

use super::{IsolationMode, filter, system};

/// Docker's default capabilities.
const DOCKERS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// What would lead out of a directory (a node of the disk, a second chroot) or to the
/// container's network below its sockets. SETFCAP stays: without it `setcap` in a
/// package's script gives other layers.
const NOT_IN_CHROOT: CapabilitySet = CapabilitySet::MKNOD
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::NET_RAW);

/// The most that a RUN of root has.
pub(super) fn capabilities(isolation: IsolationMode) -> CapabilitySet {
    match isolation {
        IsolationMode::Root | IsolationMode::Rootless | IsolationMode::SingleId => DOCKERS,
        IsolationMode::Chroot => DOCKERS - NOT_IN_CHROOT,
    }
}

/// The names of the capabilities that a RUN of root has here, in the kernel's order,
/// without `CAP_`. In a user namespace they hold for what belongs to it.
pub fn capability_names(isolation: IsolationMode) -> Vec<&'static str> {
    let mut kept = capabilities(isolation);
    if let (IsolationMode::Root | IsolationMode::Chroot, Ok(own)) =
        (isolation, rustix::thread::capabilities(None))
    {
        kept &= own.permitted;
    }
    kept.iter_names().map(|(name, _)| name).collect()
}

/// Whose filter refuses system calls that no build needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallFilter {
    /// The list that container runtimes have by default, loaded by imgmake.
    Own,
    /// That of the container that imgmake runs in.
    Containers,
    /// None: imgmake may not load one here without `no_new_privs`, with which `sudo` and
    /// `su` would stop working.
    Missing,
}

pub fn syscall_filter(isolation: IsolationMode) -> SyscallFilter {
    if isolation != IsolationMode::Chroot || can_load_filter() {
        return SyscallFilter::Own;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.lines().any(|line| line == "Seccomp:\t2") {
        true => SyscallFilter::Containers,
        false => SyscallFilter::Missing,
    }
}

/// Tried in a child of its own.
fn can_load_filter() -> bool {
    let allow_all = [sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: filter::RET_ALLOW,
    }];
    let tried = system::in_forked_child(|| i32::from(system::load_filter(&allow_all).is_err()));
    tried.is_ok_and(|code| code == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_dockers_capabilities_and_in_chroot_none_that_lead_out() {
        assert_eq!(capabilities(IsolationMode::Root).bits(), 0xa804_25fb);
        let dropped = capabilities(IsolationMode::Root) - capabilities(IsolationMode::Chroot);
        assert_eq!(dropped, NOT_IN_CHROOT);
        assert!(capabilities(IsolationMode::Chroot).contains(CapabilitySet::SETFCAP));
    }
}
