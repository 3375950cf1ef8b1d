//! Sources: a manifest with exactly the files that its targets read, as an artifact of a registry. Whoever has its
//! digest and imgmake needs no checkout.
//!
//! ```text
//! pack       files that keys are made of → the entries of a list
//! chunks     contents → chunks, cut where content says, and compressed into the store
//! artifact   the list and its chunks → a registry; what was sent last is remembered
//! opened     a registry → the list, checked
//! tree       a list → files: all of them, or places for them that are filled when they are needed
//!   place      where it lies in the store
//!   names      directories, links, and files without content
//!   filling    a content takes the place of an empty file
//!   record     what is in place
//! ```

mod artifact;
mod chunks;
mod filling;
mod names;
mod opened;
mod pack;
mod place;
mod record;
mod tree;

pub use artifact::{ARTIFACT, Sent, send};
pub use opened::{Opened, open};
pub use pack::{Packed, pack};
pub use place::{Sources, kept, remove};
pub use tree::{Tree, write_all};
