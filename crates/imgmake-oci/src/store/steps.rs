//! Step records: what a step with this key made. The store does not look inside.

use std::fs;

use crate::error::Result;

use super::{Store, blob::touch};

impl Store {
    /// The record filed under a step key (hex), if there is one.
    pub fn step(&self, key: &str) -> Option<Vec<u8>> {
        let record = self.record("steps", name_of(key))?;
        let path = self.record_path("steps", key);
        touch(&path, &fs::metadata(&path).ok()?).then_some(record)
    }

    /// A record that says no more than where content may be had, which its digest proves:
    /// in the store of a pipeline's workspace from whoever wrote it.
    pub fn hint(&self, key: &str) -> Option<Vec<u8>> {
        match self.believes_names() {
            true => self.record_of_anybody("steps", name_of(key)),
            false => self.step(key),
        }
    }

    /// Whether anything is filed, of whomever.
    pub fn has_steps(&self) -> bool {
        fs::read_dir(self.root().join("steps")).is_ok_and(|mut steps| steps.next().is_some())
    }

    /// # Errors
    /// The file system is full or read-only.
    pub fn put_step(&self, key: &str, record: &[u8]) -> Result<()> {
        self.put_record("steps", name_of(key), record)
    }
}

fn name_of(key: &str) -> &str {
    let is_name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric());
    assert!(is_name, "step keys are hex");
    key
}
