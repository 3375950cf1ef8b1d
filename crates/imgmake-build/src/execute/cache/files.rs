//! The image's own `/etc/passwd` and `/etc/group`, filed under their hash: `COPY --chown=name` needs nothing
//! else of a base.

use std::io::Read;
use std::sync::Arc;

use super::client::Cache;
use super::entry::{Entry, Name};
use super::queue::CacheExport;
use crate::error::Result;
use crate::step_key;
use crate::target::TargetContext;

/// Larger ones are read from their layer.
const MOST: u64 = 1 << 20;

/// The bytes of a small file, by their hash, from the store or a cache; else as `read` finds them, and then
/// they are remembered. Without a cache, just read.
///
/// # Errors
/// Those of `read`.
pub fn remembered_file(
    cx: &TargetContext,
    cache: Option<&Arc<Cache>>,
    hash: Option<[u8; 32]>,
    read: impl FnOnce() -> Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>> {
    let (Some(cache), Some(hash)) = (cache, hash) else {
        return read();
    };
    let key = step_key::of("small file").bytes(&hash).hex();
    let fits = |bytes: &Vec<u8>| *blake3::hash(bytes).as_bytes() == hash;
    let bytes = match cx.store.step(&key).filter(fits) {
        Some(bytes) => bytes,
        None => match cache.file(cx, &hash).filter(fits) {
            Some(bytes) => bytes,
            None => match read()? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        },
    };
    if fits(&bytes) && bytes.len() as u64 <= MOST {
        cx.store.put_step(&key, &bytes)?;
        cache.export(cx, CacheExport::file(hash, bytes.clone()));
    }
    Ok(Some(bytes))
}

impl Cache {
    fn file(&self, cx: &TargetContext, hash: &[u8; 32]) -> Option<Vec<u8>> {
        let name = Name::File(*hash);
        let (at, Entry::Blob(blob)) = self.find(cx, &name)? else {
            return None;
        };
        if blob.size > MOST {
            return None;
        }
        let mut bytes = Vec::new();
        let read = self.blob(cx, &at, &blob).and_then(|()| {
            cx.store.with_blob(&blob.digest, |blob| {
                Ok(blob.take(MOST).read_to_end(&mut bytes)?)
            })
        });
        match read {
            Ok(_) if *blake3::hash(&bytes).as_bytes() == *hash => Some(bytes),
            Ok(_) => {
                self.skip_entry(cx, &at, &name, "it contains another file");
                None
            }
            Err(error) => {
                self.skip_entry(cx, &at, &name, &format!("{error:#}"));
                None
            }
        }
    }
}
