//! What travels between machines by way of a registry, as bytes: formats alone, read with the distrust that
//! strangers deserve. Who sends and fetches it is the program's business.
//!
//! ```text
//! source       a project's manifest and the files that keys are made of
//!   path_text    paths, which are bytes, as text
//! ```

mod path_text;
mod source;
#[cfg(test)]
mod tests;

pub use path_text::{decode_path, encode_path};
pub use source::{
    Chunk, ContentPlace, Entry, InvalidSource, LARGEST_CHUNK, LARGEST_LIST, LONGEST_TEXT,
    MOST_ENTRIES, MOST_TEXT, SourceFacts, SourceList, VERSION,
};
