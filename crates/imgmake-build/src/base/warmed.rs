//! Base images that kaniko's warmer left in a directory: `<digest>` is an archive whose members are named by their
//! digests, `<digest>.json` the manifest. What such a file holds need not come from a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{BuildError, Context, Result};
use imgmake_oci::image::{Descriptor, Digest, ManifestOrIndex};
use imgmake_oci::layer::LayerReader;
use imgmake_oci::store::Store;

const MOST_MANIFEST: u64 = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    pub directory: PathBuf,
    /// Older files are left alone.
    pub ttl: Option<Duration>,
}

impl Warmed {
    /// Brings the blobs of an image into the store; those that are there are not read again. `None` where the
    /// directory does not have the image, else the file that has it.
    ///
    /// # Errors
    /// The file is damaged, or is not what its name says.
    pub fn bring(&self, image: &Digest, store: &Store) -> Result<Option<PathBuf>> {
        let path = self.directory.join(image.as_str());
        let Ok(meta) = std::fs::metadata(&path) else {
            return Ok(None);
        };
        let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
        let expired = self.ttl.is_some_and(|ttl| age.is_some_and(|age| age > ttl));
        if expired || !meta.is_file() {
            return Ok(None);
        }
        let Some(mut missing) = self.missing(image, store)? else {
            return Ok(None);
        };
        if missing.is_empty() {
            return Ok(None);
        }
        let action = || format!("cannot read `{}`", path.display());
        let mut archive =
            LayerReader::new(File::open(&path).with_context(action)?).stopped_by(store.cancel());
        while let Some(entry) = archive.next_entry().with_context(action)? {
            let Some(blob) = missing.remove(&hex(&entry.path)) else {
                continue;
            };
            let mut writer = store.blob_writer()?;
            io::copy(&mut archive, &mut writer).with_context(action)?;
            writer.commit(Some(&blob)).with_context(action)?;
        }
        Ok(Some(path))
    }

    /// Config and layers that the store lacks; `None` where no manifest of the image is to be had here.
    fn missing(
        &self,
        image: &Digest,
        store: &Store,
    ) -> Result<Option<BTreeMap<String, Descriptor>>> {
        let bytes = match store.read_blob(image, MOST_MANIFEST) {
            Ok(bytes) => bytes,
            Err(_) => {
                let path = self.directory.join(format!("{image}.json"));
                let Ok(bytes) = imgmake_guard::bounded::read(&path) else {
                    return Ok(None);
                };
                let right = Digest::of(&bytes) == *image;
                if !right {
                    let what = format!("`{}`", path.display());
                    let why = format!("it is not the manifest of {image}");
                    return Err(BuildError::invalid(what, why));
                }
                bytes
            }
        };
        let ManifestOrIndex::Manifest(manifest) = ManifestOrIndex::parse(&bytes, None)? else {
            return Ok(None);
        };
        store.put_bytes(&bytes)?;
        let blobs = manifest.layers.into_iter().chain([manifest.config]);
        let missing = blobs.filter(|blob| !store.holds(blob));
        let named = missing.map(|blob| (blob.digest.hex().to_string(), blob));
        Ok(Some(named.collect()))
    }
}

/// `sha256:<hex>.tar.gz`, `<hex>.tar.gz`, `sha256:<hex>`.
fn hex(path: &[u8]) -> String {
    let name = String::from_utf8_lossy(path);
    let name = name.strip_prefix("sha256:").unwrap_or(&name);
    name.split('.').next().unwrap_or_default().to_string()
}
