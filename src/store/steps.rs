//! Step records: what a step with this key made. The store does not look inside.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{Store, blob::touch};

impl Store {
    /// The record filed under a step key (hex), if there is one.
    pub fn step(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.step_path(key);
        let record = fs::read(&path).ok()?;
        touch(&path, &fs::metadata(&path).ok()?);
        Some(record)
    }

    /// # Errors
    /// The file system is full or read-only.
    pub fn put_step(&self, key: &str, record: &[u8]) -> Result<()> {
        self.write_file(&self.step_path(key), record)
    }

    fn step_path(&self, key: &str) -> PathBuf {
        assert!(
            key.bytes().all(|b| b.is_ascii_alphanumeric()),
            "step keys are hex"
        );
        self.root().join("steps").join(key)
    }
}
