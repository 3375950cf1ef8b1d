//! Names in registries, looked up once in a run: what a target records as its input is what it works on, also
//! where the tag is moved meanwhile. The next run sees that it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imgmake_oci::image::{Digest, Reference};

/// By names with a tag or a digest.
#[derive(Clone, Default)]
pub struct RemoteNames(Arc<Mutex<BTreeMap<String, Digest>>>);

impl RemoteNames {
    pub fn digest(&self, name: &Reference) -> Option<Digest> {
        self.held().get(&key(name)).cloned()
    }

    /// What the name stands for in this run: another thread may have been first.
    pub fn set(&self, name: &Reference, digest: Digest) -> Digest {
        let mut names = self.held();
        names.entry(key(name)).or_insert(digest).clone()
    }

    /// This run has moved the tag, or tried to.
    pub fn forget(&self, name: &Reference) {
        self.held().remove(&key(name));
    }

    /// The name with the digest that it stands for, if it was looked up.
    pub fn pinned(&self, name: &Reference) -> Reference {
        match (&name.digest, self.digest(name)) {
            (None, Some(digest)) => name.with_digest(&digest),
            _ => name.clone(),
        }
    }

    /// Held for look-ups only: a panic in between cannot leave half a value.
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &Reference) -> String {
    match (&name.tag, &name.digest) {
        (None, None) => name.with_tag("latest").to_string(),
        _ => name.to_string(),
    }
}
