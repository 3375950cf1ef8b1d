//! The helper process in which everything happens that needs namespaces: unpacking,
//! overlay mounts, RUN, diffs, reading trees, deleting them. One per imgmake run,
//! started with the first request by re-executing the program; this process, the
//! parent, never touches those trees.
//!
//! Parent and helper talk over a socket (`protocol`): requests carry ids, so that
//! several run at a time. When the parent process has ended, however it went, the kernel kills
//! the helper and everything below it; the mounts go with their namespaces.
//!
//! ```text
//! client ── parent's side        helper ── helper's side, helper_state ── what its requests share
//!                                 ├─ step     one RUN
//!                                 │   └─ mounts, authorities, ssh, names
//!                                 └─ views    merged layers to read from
//! ```

mod authorities;
mod client;
mod helper;
mod helper_state;
mod mounts;
mod names;
mod protocol;
mod request;
mod shell;
mod ssh;
mod step;
mod views;

pub use authorities::variables as authority_variables;
pub use client::Worker;
pub use request::{CacheScope, Network, RunMount, RunRequest, Sharing, TreeSource};
pub use shell::{Terminal, TerminalError, Terminals};

use imgmake_oci::layer::Layer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    pub exit: i32,
    /// `None` when the command failed. The layer, its index and its tree are in the store.
    pub layer: Option<Layer>,
}

/// Called first thing in `main`: when this process was re-executed as a helper, does
/// that work and never returns.
pub fn reexec_entry() {
    let name = std::env::args_os().next().unwrap_or_default();
    if name == imgmake_sandbox::ARGV0 {
        imgmake_sandbox::run_plan();
    }
    if name == protocol::ARGV0 {
        helper::main(helper::Stage::Outside);
    }
    if name == protocol::ARGV0_INSIDE {
        helper::main(helper::Stage::Inside);
    }
}

/// Why each kind of isolation works here or does not, for `imgmake doctor`.
pub fn isolation() -> Vec<imgmake_sandbox::Probe> {
    imgmake_sandbox::probe()
}
