//! Which image of an archive is meant.

use serde::{Deserialize, Serialize};

/** Which image of several in an archive. */
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveImage {
    /** A name, a tag, a digest or a platform. */
    Named(String),
    /** Its place, from 1. */
    Numbered(usize),
}
