//! Blobs on their way out: hashed while they are read, so that a damaged one is noticed
//! before its last bytes leave. What is damaged is named, removed, and made again.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{OciError, Result};
use sha2::Digest as _;

use super::Store;
use super::checks::{Damaged, Signature};
use crate::image::{Descriptor, Digest};
use imgmake_event::Cancel;

const BLOCK: usize = 256 << 10;

/// A blob that is verified by the time its last byte is given. Whoever may stop earlier
/// calls [`BlobReader::finish`].
pub struct BlobReader {
    file: File,
    store: Store,
    digest: Digest,
    left: u64,
    /// `None` when this process has hashed the file before.
    hash: Option<sha2::Sha256>,
    result: Option<Result<(), Damaged>>,
}

impl BlobReader {
    /// Reads the rest, and says whether all was as it should be.
    ///
    /// # Errors
    /// [`Damaged`]; or it cannot be read.
    pub fn finish(&mut self) -> Result<()> {
        let mut block = vec![0; BLOCK];
        while self.result.is_none() && self.hash.is_some() {
            if let Err(error) = self.read(&mut block)
                && self.result.is_none()
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
        }
        match &self.result {
            Some(Err(damaged)) => Err(damaged.clone().into()),
            _ => Ok(()),
        }
    }

    fn judge(&mut self, hash: sha2::Sha256) {
        let found = Digest::from_sha256(hash.finalize().into());
        let result = match found == self.digest {
            true => {
                self.store.is_sound(&self.digest, &self.file);
                Ok(())
            }
            false => {
                let path = self.store.blob_path(&self.digest);
                let why = format!("its content has the digest {}", found.short());
                Err(self.store.discard(&path, &self.file, why))
            }
        };
        self.result = Some(result);
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(Err(damaged)) = &self.result {
            return Err(io::Error::other(damaged.clone()));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        let Some(hash) = &mut self.hash else {
            return Ok(read);
        };
        hash.update(&buffer[..read]);
        if read == 0 || self.left == 0 {
            let hash = self.hash.take().expect("it was there above");
            self.judge(hash);
        }
        // The last bytes of a damaged blob are given to nobody.
        match &self.result {
            Some(Err(damaged)) => Err(io::Error::other(damaged.clone())),
            _ => Ok(read),
        }
    }
}

impl Store {
    /// A blob to be read to its end, verified on the way.
    ///
    /// # Errors
    /// The blob is not in the store, or has a digest of another kind than SHA-256.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobReader> {
        if digest.algorithm() != "sha256" {
            let help = "the store verifies only SHA-256 digests";
            return Err(OciError::unsupported(format!("the digest {digest}"), help));
        }
        let file = self.raw_blob(digest)?;
        let meta = file.metadata()?;
        let sound = self.inner.checks.sound.lock();
        let sound = sound
            .expect("no thread panics in here")
            .get(digest)
            .copied();
        Ok(BlobReader {
            left: meta.len(),
            hash: (sound != Some(Signature::of(&meta))).then(sha2::Sha256::new),
            file,
            store: self.clone(),
            digest: digest.clone(),
            result: None,
        })
    }

    /// Reads a blob, perhaps not to its end; whatever came of it, a damaged blob is an error.
    ///
    /// # Errors
    /// [`Damaged`]; those of `read`; the blob is not there.
    pub fn with_blob<T, E: From<OciError>>(
        &self,
        digest: &Digest,
        read: impl FnOnce(&mut BlobReader) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut blob = self.open_blob(digest)?;
        let result = read(&mut blob);
        if result.is_err() && self.cancel.is_cancelled() {
            return result;
        }
        blob.finish()?;
        result
    }

    /// A blob as a file whose content is verified: for who reads it in parts, or twice.
    ///
    /// # Errors
    /// [`Damaged`]; the blob is not there.
    pub fn verified_blob(&self, digest: &Digest) -> Result<File> {
        let mut blob = self.open_blob(digest)?;
        blob.finish()?;
        let mut file = blob.file;
        io::Seek::rewind(&mut file)?;
        Ok(file)
    }

    /// Copies a whole blob; by the kernel alone, which may share blocks, once it was verified.
    ///
    /// # Errors
    /// [`Damaged`]; a size that is not the descriptor's; the blob is not there; `out` cannot be written.
    pub fn copy_blob(&self, blob: &Descriptor, out: &mut impl Write) -> Result<()> {
        let mut from = self.open_blob(&blob.digest)?;
        let copied = match from.hash {
            None => copy_sound(&mut from.file, out, &self.cancel)?,
            Some(_) => copy(&mut self.cancel.reader(&mut from), out)?,
        };
        if copied != blob.size {
            let what = format!("the size of {} in the store", blob.digest);
            return Err(OciError::mismatch(what, copied, blob.size));
        }
        Ok(())
    }

    /// The result of who reads [`Store::raw_blob`] and verifies what it unpacks to: if that
    /// failed because the blob is damaged, the error says so.
    ///
    /// # Errors
    /// [`Damaged`], or the error given.
    pub fn blame<T, E: From<OciError>>(
        &self,
        digest: &Digest,
        result: Result<T, E>,
    ) -> Result<T, E> {
        if result.is_err()
            && !self.cancel.is_cancelled()
            && let Ok(mut blob) = self.open_blob(digest)
        {
            blob.finish()?;
        }
        result
    }

    /// This process has hashed this file, which has its name.
    pub(super) fn is_sound(&self, digest: &Digest, file: &File) {
        if let Ok(meta) = file.metadata() {
            let mut sound = self
                .inner
                .checks
                .sound
                .lock()
                .expect("no thread panics in here");
            sound.insert(digest.clone(), Signature::of(&meta));
        }
    }

    /// Removes a damaged file, unless another has taken its place meanwhile, and notes it.
    pub(super) fn discard(&self, path: &Path, file: &File, why: String) -> Damaged {
        let same = |now: &Metadata| {
            let was = file.metadata();
            was.is_ok_and(|was| (was.dev(), was.ino()) == (now.dev(), now.ino()))
        };
        let removed = match fs::symlink_metadata(path) {
            Ok(now) if same(&now) => fs::remove_file(path).is_ok(),
            _ => true,
        };
        let damaged = Damaged {
            path: path.to_path_buf(),
            why,
            removed,
        };
        self.note_damage(damaged.clone());
        damaged
    }

    /// Counts what was found damaged: here, or by a helper process.
    pub fn note_damage(&self, damaged: Damaged) {
        let all = self.inner.checks.damaged.lock();
        let mut all = all.expect("no thread panics in here");
        all.0 += usize::from(damaged.removed);
        all.1.push(damaged);
    }

    /// How many damaged files were removed so far: who failed while it grew may try again.
    pub fn removed_damage(&self) -> usize {
        let all = self.inner.checks.damaged.lock();
        all.expect("no thread panics in here").0
    }

    /// What was found damaged since this was last asked.
    pub fn take_damage(&self) -> Vec<Damaged> {
        let all = self.inner.checks.damaged.lock();
        std::mem::take(&mut all.expect("no thread panics in here").1)
    }
}

/// From file to file, in parts: the kernel may copy a whole one in one call, which no signal ends.
fn copy_sound(from: &mut File, out: &mut impl Write, cancel: &Cancel) -> Result<u64> {
    const PART: u64 = 16 << 20;
    let mut copied = 0;
    loop {
        cancel.check()?;
        let part = io::copy(&mut from.take(PART), out)?;
        copied += part;
        if part < PART {
            return Ok(copied);
        }
    }
}

fn copy(from: &mut impl Read, out: &mut impl Write) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut copied = 0;
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        out.write_all(&block[..read])?;
        copied += read as u64;
    }
}
