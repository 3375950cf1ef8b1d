//! Layers that some thread of this run brings: whoever needs one waits for it, instead of reading it a second time.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgmake_event::{Cancel, Cancelled};
use imgmake_oci::image::Digest;

/// How long a wait may go on after somebody cancelled.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub struct Coming {
    layers: Mutex<HashSet<Digest>>,
    fewer: Condvar,
}

/// Layers, by diff id, that one thread brings. Once this is dropped, it brings none of them any more.
#[derive(Debug)]
pub struct Claim<'a> {
    coming: &'a Coming,
    layers: Mutex<HashSet<Digest>>,
}

impl Coming {
    /// Those of the layers that nobody else brings.
    pub fn claim(&self, wanted: impl Iterator<Item = Digest>) -> Claim<'_> {
        let mut layers = self.locked();
        let mine = wanted.filter(|diff_id| layers.insert(diff_id.clone()));
        let mine = mine.collect();
        Claim {
            coming: self,
            layers: Mutex::new(mine),
        }
    }

    /// Until nobody brings the layer: it is there, or it could not be had.
    ///
    /// # Errors
    /// Somebody cancelled.
    pub fn wait_for(&self, diff_id: &Digest, cancel: &Cancel) -> Result<(), Cancelled> {
        let mut layers = self.locked();
        while layers.contains(diff_id) {
            cancel.check()?;
            let waited = self.fewer.wait_timeout(layers, LOOK);
            layers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Held for look-ups only: a panic in between cannot leave half a value.
    fn locked(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    pub fn has(&self, diff_id: &Digest) -> bool {
        self.locked().contains(diff_id)
    }

    /// The layer is there, or could not be had.
    pub fn release(&self, diff_id: &Digest) {
        if self.locked().remove(diff_id) {
            self.coming.locked().remove(diff_id);
            self.coming.fewer.notify_all();
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.locked());
        self.coming
            .locked()
            .retain(|diff_id| !left.contains(diff_id));
        self.coming.fewer.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn layer(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn one_brings_a_layer_and_the_others_wait_until_it_does_so_no_more() {
        let coming = Coming::default();
        let both = || [layer("a"), layer("b")].into_iter();
        let first = coming.claim(both());
        let second = coming.claim(both());
        assert!(first.has(&layer("a")) && !second.has(&layer("a")));
        // What is not mine is not mine to give up.
        second.release(&layer("a"));
        drop(second);
        let is_there = AtomicBool::new(false);
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                coming.wait_for(&layer("a"), &cancel).unwrap();
                assert!(is_there.load(Ordering::SeqCst));
            });
            std::thread::sleep(LOOK * 3);
            is_there.store(true, Ordering::SeqCst);
            first.release(&layer("a"));
        });
        // A thread that ends in the middle leaves nobody waiting.
        drop(first);
        coming.wait_for(&layer("b"), &cancel).unwrap();
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let coming = Coming::default();
        let _claim = coming.claim([layer("a")].into_iter());
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(coming.wait_for(&layer("a"), &cancel).is_err());
    }
}
