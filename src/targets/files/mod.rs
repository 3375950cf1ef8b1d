//! Files on the host: patterns expanded, files and trees hashed.
//!
//! ```text
//! gather      the files that patterns name, for a key
//!   walk        beneath one directory
//!   found       one of them
//! tree        what is in an output
//! hash        type, mode and content of one entry
//! ```

mod found;
mod gather;
mod hash;
mod tree;
mod walk;

pub(super) use gather::add;
pub(super) use tree::tree_hash;
