//! Checked out repositories: where each lies, and those of contexts that wait for the step which copies them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use imgmake_event::Cancel;
use imgmake_guard::confined::remove_unfinished;
use imgmake_oci::store::Store;

/// A checkout that goes away with this value.
pub struct Checkout {
    directory: PathBuf,
    cancel: Cancel,
    /// What is to be copied.
    pub root: PathBuf,
}

impl Checkout {
    /// # Errors
    /// The file system is full or read-only.
    pub fn empty(store: &Store, cancel: &Cancel) -> Result<Checkout> {
        let directory = store.temporary_dir()?;
        Ok(Checkout {
            root: directory.clone(),
            cancel: cancel.clone(),
            directory,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(remove_unfinished(&self.directory, &self.cancel));
    }
}

/// Checkouts by what decides about their files.
#[derive(Clone, Default)]
pub struct Checkouts(Arc<Mutex<BTreeMap<String, Arc<Checkout>>>>);

impl Checkouts {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Checkout>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that waits, or a new one, which then does.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn kept(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Checkout>,
    ) -> Result<Arc<Checkout>> {
        if let Some(kept) = self.held().get(name) {
            return Ok(kept.clone());
        }
        let made = Arc::new(make()?);
        self.held().insert(name.to_string(), made.clone());
        Ok(made)
    }

    /// The one that waits, if one does: it waits no longer.
    pub fn take(&self, name: &str) -> Option<Arc<Checkout>> {
        self.held().remove(name)
    }
}
