//! Layers ↔ directory trees: unpacking a layer into the directory that an overlay
//! stacks, merging layers into one directory, and reading back what changed.
//!
//! Knows layers and the store. Mounts nothing and runs nothing; works in the helper
//! process, as root of whatever namespace that is in.
//!
//! ```text
//! trees/<id map>/<diff id>/fs        the tree; whiteouts and opaque marks as overlay has them
//!                         /implied   directories that the layer is silent about
//!               /<chain>/fs          what several layers give together, for where there is no overlay
//! ```

mod archive;
mod arriving;
mod attributes;
mod baseline;
mod data;
mod diff;
mod fork_lock;
mod inflate;
mod inode;
mod kept_layers;
mod merge;
mod placeholder;
mod snapshot;
mod stack;
#[cfg(test)]
mod tests;
mod times;
mod tree;

pub use archive::{unpack_archive, unpack_files};
pub use arriving::Blob;
pub use data::copy_file;
pub use diff::{Changes, DiffOptions, Owners, write_layer};
pub use fork_lock::fork_exclusive;
pub use kept_layers::{Indexing, Trees};
pub use merge::{Merged, copy_directory, keep_merged, merged_directory, take_merged};
pub use snapshot::Snapshot;
pub use stack::{Correction, Stack};

/// Where overlay keeps its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`, in the initial user namespace.
    Trusted,
    /// `user.overlay.*`.
    User,
}

impl Marks {
    pub fn opaque(self) -> &'static str {
        match self {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        }
    }
}

/// What becomes of the device nodes of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Only where every mount of a RUN is `nodev`: elsewhere a layer could bring a node
    /// that opens the host's disk.
    Real,
    /// An empty file stands for a device node; a warning says so.
    Placeholders,
}
