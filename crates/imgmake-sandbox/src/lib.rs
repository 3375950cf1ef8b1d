//! Runs one command in a root directory of its own: namespaces, mounts, ids,
//! capabilities, system call filter. The only crate with `unsafe`.
//!
//! Knows paths and numbers; knows no layer, store or Dockerfile. A [`Plan`] says
//! everything; a process made for one plan ([`start`]) carries it out.
//!
//! ```text
//! imgmake ── helper (enter: user and mount namespace) ── set-up process (one per RUN)
//!                                                         └─ init, pid 1: mounts, reaps
//!                                                             └─ the command
//! ```

#![allow(
    unsafe_code,
    reason = "namespaces, fork and seccomp have no safe interface"
)]

pub mod accounts;
mod bind;
mod cgroup;
mod child;
mod chrooted;
mod command;
mod device_group;
mod devices;
mod direct_mount_points;
mod emulator;
mod enter;
mod error;
mod filter;
mod id_map;
mod limit_watch;
mod limits;
mod mount;
mod mount_substitutes;
mod network;
mod overlay;
mod overlay_mount_points;
mod plan;
mod privileges;
mod probe;
mod restrict;
mod start;
mod system;
mod usage;
mod user;

pub use bind::bind_held;
pub use cgroup::{Controller, has_controller, own_unified_group, remove_left_groups};
pub use child::run_plan;
pub use chrooted::{become_subreaper, kill_rooted_in, kill_strays};
pub use device_group::device_controller;
pub use direct_mount_points::MadePoints;
pub use emulator::{Emulation, emulated_architectures, emulation, register_emulator};
pub use enter::{Inside, enter, inside, protected_program};
pub use error::{Result, SandboxError, UnknownIsolationMode};
pub use id_map::{IdMaps, Range};
pub use limits::{Exceeded, Limit, Limits};
pub use mount::with_stubs;
pub use network::{NAME_SERVER, network_program};
pub use overlay::{Overlay, OverlayXattrs, probe_overlay};
pub use overlay_mount_points::write_stubs;
pub use plan::{Mount, MountKind, Network, Plan, PlanFile, Root, Stub};
pub use privileges::{SyscallFilter, capability_names, syscall_filter};
pub use probe::{NoIsolation, Probe, Refusal, first_working, probe};
pub use start::{Running, start};
pub use system::{
    close_other_descriptors, die_with_parent, hide_memory, may_hand_the_terminal_over,
    own_working_directory,
};

/// The name under which a process is re-executed to carry out a plan.
pub const ARGV0: &str = "imgmake-sandbox";

/// How RUN is isolated, strongest first (`imgmake doctor` explains the choice).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum IsolationMode {
    /// Real root with CAP_SYS_ADMIN.
    Root,
    /// A user namespace with ranges of ids from `newuidmap`.
    Rootless,
    /// A user namespace with a single id; ownership is squashed to root.
    SingleId,
    /// Real root that may neither unshare nor mount.
    Chroot,
}

impl IsolationMode {
    pub const ALL: [IsolationMode; 4] = [
        IsolationMode::Root,
        IsolationMode::Rootless,
        IsolationMode::SingleId,
        IsolationMode::Chroot,
    ];

    /// The name that `IMGMAKE_ISOLATION` and the log use.
    pub fn name(self) -> &'static str {
        match self {
            IsolationMode::Root => "root",
            IsolationMode::Rootless => "rootless",
            IsolationMode::SingleId => "single-id",
            IsolationMode::Chroot => "chroot",
        }
    }
}

impl std::fmt::Display for IsolationMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for IsolationMode {
    type Err = UnknownIsolationMode;

    fn from_str(text: &str) -> Result<IsolationMode, UnknownIsolationMode> {
        IsolationMode::ALL
            .into_iter()
            .find(|isolation| isolation.name() == text)
            .ok_or_else(|| UnknownIsolationMode(text.into()))
    }
}
