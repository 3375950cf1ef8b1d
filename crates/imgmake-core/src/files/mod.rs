//! Files on this machine, as keys and layers see them: one walker, one hash of a file, one memory of hashes
//! by what `lstat` says. Directories are held open and nothing beneath them is opened by a path from outside.
//!
//! Knows no pattern, ignore file or project; where the memory is kept is the state's business.

mod evidence;
mod file_at;
mod read_files;
mod sightings;
mod signature;
mod stat_cache;
mod storage_full;
#[cfg(test)]
mod tests;
mod tree_signature;
mod walk;

pub use evidence::Evidence;
pub use file_at::FileAt;
pub use read_files::{ReadAs, ReadFiles};
pub use sightings::Sightings;
pub use signature::{CONTENT_MISSING, Signature};
pub use stat_cache::StatCache;
pub use storage_full::is_storage_full;
pub use tree_signature::tree_signature;
pub use walk::{Entry, Visited, Visitor, base_name, tree_order, walk, walk_opened};
