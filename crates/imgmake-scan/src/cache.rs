//! Findings and inventories that were made before, in `findings/` of [`Store::database`]:
//! a gate never reads them from a store inside a checkout.
//! Entries carry a checksum that holds their name: a damaged one, or one under the name of
//! another, is made again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Context, Result};
use imgmake_oci::store::Store;

/// Changes with everything that makes findings: readers, orders, structures.
pub const SEMANTICS: &str = "findings 14";

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
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        let (sum, value) = bytes.split_at_checked(32)?;
        (checksum(&path, value).as_bytes() == sum).then(|| postcard::from_bytes(value).ok())?
    }

    pub fn put<T: Serialize>(&self, key: &[&str], value: &T) -> Result<()> {
        let context = || format!("cannot write `{}`", self.directory.display());
        fs::create_dir_all(&self.directory).with_context(context)?;
        let value = postcard::to_stdvec(value)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).with_context(context)?;
        let path = self.path(key);
        file.write_all(checksum(&path, &value).as_bytes())
            .with_context(context)?;
        file.write_all(&value).with_context(context)?;
        file.persist(path).with_context(context)?;
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

/// Of an entry's value under its own name: the findings of another image are no findings.
fn checksum(path: &Path, value: &[u8]) -> blake3::Hash {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    blake3::Hasher::new()
        .update(blake3::hash(name).as_bytes())
        .update(value)
        .finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_damaged_or_another_ones_is_none() {
        let keep = tempfile::tempdir().unwrap();
        let cache = Cache {
            directory: keep.path().to_path_buf(),
        };
        cache.put(&["a"], &1_u32).unwrap();
        cache.put(&["b"], &2_u32).unwrap();
        assert_eq!(cache.get::<u32>(&["a"]), Some(1));
        fs::copy(cache.path(&["b"]), cache.path(&["a"])).unwrap();
        assert_eq!(cache.get::<u32>(&["a"]), None);
        let mut bytes = fs::read(cache.path(&["b"])).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(cache.path(&["b"]), bytes).unwrap();
        assert_eq!(cache.get::<u32>(&["b"]), None);
    }
}
