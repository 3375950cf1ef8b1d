//! Findings and inventories that were made before, in `findings/` of [`Store::database`]:
//! a gate never reads them from a store inside a checkout.
//! Entries carry their own checksum: a damaged one is made again.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Store;

/// Changes with everything that makes findings: readers, orders, structures.
const SEMANTICS: &str = "findings 1";

pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub fn of(store: &Store) -> Result<Cache> {
        Ok(Cache {
            directory: store.database()?.join("findings"),
        })
    }

    pub fn get<T: DeserializeOwned>(&self, key: &[&str]) -> Option<T> {
        let bytes = fs::read(self.path(key)).ok()?;
        let (sum, value) = bytes.split_at_checked(32)?;
        (blake3::hash(value).as_bytes() == sum).then(|| postcard::from_bytes(value).ok())?
    }

    pub fn put<T: Serialize>(&self, key: &[&str], value: &T) -> Result<()> {
        let context = || format!("cannot write `{}`", self.directory.display());
        fs::create_dir_all(&self.directory).with_context(context)?;
        let value = postcard::to_stdvec(value)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).with_context(context)?;
        file.write_all(blake3::hash(&value).as_bytes())
            .with_context(context)?;
        file.write_all(&value).with_context(context)?;
        file.persist(self.path(key)).with_context(context)?;
        Ok(())
    }

    fn path(&self, key: &[&str]) -> PathBuf {
        let mut hash = blake3::Hasher::new();
        for part in [SEMANTICS].iter().chain(key) {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        self.directory.join(hash.finalize().to_hex().as_str())
    }
}
