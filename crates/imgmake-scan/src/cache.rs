//! Findings and inventories that were made before, in `findings/` of [`Store::database`]:
//! a gate never reads them from a store inside a checkout.
//! Entries carry a checksum that holds their name: a damaged one, or one under the name of
//! another, is made again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Context, Result};
use imgmake_oci::store::Store;

/// Changes with everything that makes findings: readers, orders, structures.
pub const SEMANTICS: &str = "findings 19";

/// How long an entry stays that nobody asks for.
const UNUSED: Duration = Duration::from_secs(30 * 86400);
/// Of all entries: an image's have some hundred KB.
const MOST_BYTES: u64 = 512 << 20;

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
        Store::mark_used(&path);
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
        self.stay_small(SystemTime::now(), MOST_BYTES);
        Ok(())
    }

    /// Removes what nobody asked for in a long time, and then the oldest of what is too much: every image and every
    /// database makes entries of its own.
    fn stay_small(&self, now: SystemTime, most: u64) {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let mut entries: Vec<_> = entries
            .filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                let used = meta.modified().ok()?;
                meta.is_file().then(|| (used, meta.len(), entry.path()))
            })
            .collect();
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (used, size, path) in entries {
            let is_old = now.duration_since(used).unwrap_or_default() > UNUSED;
            if !is_old && bytes <= most {
                break;
            }
            // Losing the race against another run that removes it is fine: it is made again.
            let _ = fs::remove_file(path);
            bytes = bytes.saturating_sub(size);
        }
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
    #[test]
    fn what_is_not_asked_for_goes_and_the_oldest_of_what_is_too_much() {
        let keep = tempfile::tempdir().unwrap();
        let cache = Cache {
            directory: keep.path().to_path_buf(),
        };
        let now = SystemTime::now();
        let has = |name| cache.path(&[name]).exists();
        let used = |name, at| {
            let file = fs::File::open(cache.path(&[name])).unwrap();
            file.set_modified(at).unwrap();
        };
        for name in ["a", "b", "c"] {
            cache.put(&[name], &vec![1_u8; 1000]).unwrap();
        }
        for name in ["a", "b"] {
            used(name, now - UNUSED * 2);
        }
        // Of what is asked for, the time is moved forward.
        assert!(cache.get::<Vec<u8>>(&["a"]).is_some());
        cache.put(&["d"], &1_u8).unwrap();
        assert!(has("a") && !has("b") && has("c"));
        used("c", now - UNUSED / 2);
        cache.stay_small(now, 1500);
        assert!(has("a") && !has("c"));
    }
}
