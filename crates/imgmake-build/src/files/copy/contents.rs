//! Where the bytes of copied files come from.

use std::fs::File;
use std::io::{self, Read};

use super::plan::Content;
use crate::error::{BuildError, Context, Result};
use crate::files::tree::show;

/// Gives the bytes of source files.
pub trait Contents {
    /// # Errors
    /// The file is gone, or no regular file any more.
    fn open(&mut self, source: &[u8]) -> Result<Box<dyn Read + Send + '_>>;
}

/// For plans that have no source tree.
pub struct NoContents;

impl Contents for NoContents {
    fn open(&mut self, source: &[u8]) -> Result<Box<dyn Read + Send + '_>> {
        let promise = format!("`{}` has no source tree", show(source));
        Err(BuildError::internal(promise))
    }
}

/// The bytes that a content stands for; archives' own entries are read elsewhere.
pub fn open_content<'a>(
    content: &'a Content,
    contents: &'a mut dyn Contents,
) -> Result<Box<dyn Read + Send + 'a>> {
    Ok(match content {
        Content::Source(path) => contents.open(path)?,
        Content::Bytes(bytes) => Box::new(bytes.as_slice()),
        Content::File(path) => {
            Box::new(File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?)
        }
        Content::None | Content::Archive { .. } => Box::new(io::empty()),
    })
}
