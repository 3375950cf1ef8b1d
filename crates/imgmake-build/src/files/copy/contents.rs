//! Where the bytes of copied files come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::entries::Content;
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

/// One file of the store, whatever source is asked for. A failure to read it is kept: whoever only tries whether
/// bytes are an archive takes every error for a no.
pub struct StoredFile {
    path: PathBuf,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl StoredFile {
    pub fn new(path: &Path) -> StoredFile {
        StoredFile {
            path: path.to_path_buf(),
            failure: Arc::default(),
        }
    }

    /// # Errors
    /// The file could not be opened or read.
    pub fn check(&self) -> Result<()> {
        match locked(&self.failure).take() {
            Some(error) => {
                Err(error).with_context(|| format!("cannot read `{}`", self.path.display()))
            }
            None => Ok(()),
        }
    }
}

impl Contents for StoredFile {
    fn open(&mut self, _: &[u8]) -> Result<Box<dyn Read + Send + '_>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Box::new(Noting {
                file,
                failure: self.failure.clone(),
            })),
            Err(error) => {
                let kind = error.kind();
                *locked(&self.failure) = Some(error);
                Err(io::Error::from(kind).into())
            }
        }
    }
}

struct Noting {
    file: File,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let kept = error.raw_os_error().map(io::Error::from_raw_os_error);
                *locked(&self.failure) = Some(kept.unwrap_or(error.kind().into()));
            }
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
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
