//! Layers as bytes: tar with PAX written and read by us, whiteouts, compression,
//! diff ids, and the index and merged view of what layers hold.
//! Ours rather than the crate `tar`'s, which reads PAX records up to the next newline:
//! an extended attribute with one in it, as a capability may have, would be lost. It
//! also expands no sparse file of PAX, and takes names and numbers as they come.
//! The tar around an image (`archive`) has no attributes; there that crate reads and writes.
//!
//! Bytes in, bytes out. Knows digests and the media types of layers. Knows no
//! store, registry or directory tree: whoever calls brings the readers and files.
//!
//! ```text
//! Entry + content ─LayerWriter→ tar ─sha256→ diff id ─compress→ sha256 → digest, file
//!                       └─blake3→ Index              (blocks of about 1 MiB, in parallel)
//! file ─decompress→ tar ─LayerReader→ Entry + content
//! Index, Index, Index ─View→ the merged tree
//! ```

mod assembly;
mod blocks;
mod bounds;
mod chmod;
mod compress;
mod content;
mod cut;
mod decompress;
mod entry;
mod header;
mod incompressible;
mod index;
mod pax;
mod reader;
mod record;
mod sparse;
#[cfg(test)]
mod tests;
mod view;
mod whiteout;
mod writer;

pub use blocks::{Block, KnownBlocks, LayerBlocks, MOST_BLOCKS, Output};
pub(crate) use bounds::Claimed;
pub use bounds::{
    FREE_PLAIN, MOST_ENTRIES, MOST_FILE, MOST_HOLES, MOST_LAYER, MOST_NAMES, MOST_RATIO,
};
pub use chmod::Chmod;
pub use compress::Compression;
pub use content::{Content, is_zero, write_content};
pub use decompress::{Packing, decompress, looks_like_tar};
pub(crate) use entry::clean_inside;
pub use entry::{Entry, EntryKind, Timestamp, clean, is_clean, join, split};
pub use index::{Index, IndexEntry};
pub use reader::LayerReader;
pub use record::Layer;
pub use view::{FollowLast, View};
pub use whiteout::{OPAQUE, WHITEOUT_PREFIX, Whiteout, is_reserved, opaque_path, whiteout_path};
pub use writer::{LayerWriter, pack};
