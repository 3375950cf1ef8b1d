//! Blobs: written to a temporary file while they are hashed, then renamed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Context, OciError, Result};
use sha2::Digest as _;
use tempfile::NamedTempFile;

use super::Store;
use crate::image::{Descriptor, Digest};
use imgmake_guard::modes::{self, PRIVATE};

/// A blob's time is moved forward at most this often: it says "in use" to gc.
pub(super) const TOUCH_AFTER: Duration = Duration::from_secs(3600);

impl Store {
    /// Moves the time of a file or directory of the store forward, so that gc sees it as used; `false`
    /// when it is gone.
    pub fn mark_used(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| touch(path, &meta))
    }

    /// Whether a blob is there.
    pub fn has(&self, digest: &Digest) -> bool {
        let path = self.blob_path(digest);
        fs::metadata(&path).is_ok_and(|meta| meta.is_file() && touch(&path, &meta))
    }

    /// Whether a blob is there in its full length.
    pub fn holds(&self, blob: &Descriptor) -> bool {
        self.has(&blob.digest)
            && fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|m| m.len() == blob.size)
    }

    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root()
            .join("blobs")
            .join(digest.algorithm())
            .join(digest.hex())
    }

    /// A blob that nobody has verified: for who checks what it unpacks to, with [`Store::blame`].
    ///
    /// # Errors
    /// The blob is not in the store.
    pub fn raw_blob(&self, digest: &Digest) -> Result<File> {
        File::open(self.blob_path(digest))
            .with_context(|| format!("the store does not contain {digest}"))
    }

    /// A whole small blob (a manifest, a config).
    ///
    /// # Errors
    /// The blob is not there, is damaged, or is longer than `limit` bytes.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        self.with_blob(digest, |blob| {
            let mut bytes = Vec::new();
            blob.take(limit + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > limit {
                let what = format!("{digest} as a manifest or config");
                return Err(OciError::limit(what, format!("{limit} bytes")));
            }
            Ok(bytes)
        })
    }

    /// Stores bytes that are in memory already.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let whole = Descriptor::new("", digest.clone(), bytes.len() as u64);
        let is_there = self.holds(&whole)
            && self
                .read_blob(&digest, whole.size)
                .is_ok_and(|there| there == bytes);
        if !is_there {
            self.write_file(&self.blob_path(&digest), &[bytes])?;
        }
        Ok(digest)
    }

    /// The same, and what a manifest says of them.
    ///
    /// # Errors
    /// As [`Store::put_bytes`].
    pub fn put_described(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = self.put_bytes(bytes)?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    /// A blob to be written, hashed with SHA-256 on the way.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        let file = self.process_dir()?.file()?;
        if let Some(on_blob) = &self.on_blob {
            on_blob(file.path());
        }
        Ok(BlobWriter {
            file,
            hash: sha2::Sha256::new(),
            size: 0,
            store: self.clone(),
        })
    }

    /// Writes a small file whole: beside, then renamed.
    pub(super) fn write_file(&self, path: &Path, pieces: &[&[u8]]) -> Result<()> {
        let mut file = self.process_dir()?.file()?;
        for piece in pieces {
            file.write_all(piece).with_context(|| self.cannot_write())?;
        }
        self.place(file, path).map(drop)
    }

    pub(super) fn place(&self, file: NamedTempFile, path: &Path) -> Result<File> {
        let parent = path
            .parent()
            .expect("files of the store lie in its folders");
        let failed = match file.persist(path) {
            Ok(file) => return Ok(file),
            Err(failed) => failed,
        };
        if failed.error.kind() != io::ErrorKind::NotFound {
            return Err(failed.error).with_context(|| self.cannot_write());
        }
        modes::make_dirs(parent, PRIVATE).with_context(|| self.cannot_write())?;
        let placed = failed.file.persist(path).map_err(|e| e.error);
        placed.with_context(|| self.cannot_write())
    }

    pub(super) fn cannot_write(&self) -> String {
        format!("cannot write to the store `{}`", self.root().display())
    }
}

/// Moves a file's time forward so that gc sees it as used; `false` when gc was first.
pub(super) fn touch(path: &Path, meta: &fs::Metadata) -> bool {
    let old = meta
        .modified()
        .ok()
        .and_then(|t| t.elapsed().ok())
        .is_some_and(|age| age > TOUCH_AFTER);
    if !old {
        return true;
    }
    // A read-only store still serves; only its gc forgets.
    let touched = filetime::set_file_mtime(path, SystemTime::now().into());
    !touched.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Bytes on their way into the store. Dropped without [`BlobWriter::commit`], they are gone.
pub struct BlobWriter {
    file: NamedTempFile,
    hash: sha2::Sha256,
    size: u64,
    store: Store,
}

impl BlobWriter {
    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Renames the blob into place; one that is there already is fine.
    ///
    /// # Errors
    /// The content is not what `expected` says, in digest or size.
    pub fn commit(self, expected: Option<&Descriptor>) -> Result<(Digest, u64)> {
        let digest = Digest::from_sha256(self.hash.finalize().into());
        if let Some(expected) = expected {
            if self.size != expected.size {
                let what = format!("the size of {}", expected.digest);
                return Err(OciError::mismatch(what, self.size, expected.size));
            }
            // What has another algorithm could not be told from anything else: it is no match.
            if digest != expected.digest {
                let (what, expected) = ("the digest of the content", &expected.digest);
                return Err(OciError::mismatch(what, &digest, expected));
            }
        }
        let file = self
            .store
            .place(self.file, &self.store.blob_path(&digest))?;
        self.store.is_sound(&digest, &file);
        Ok((digest, self.size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.store.cancel.check()?;
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
