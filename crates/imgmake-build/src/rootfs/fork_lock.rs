//! A lock: nothing of a tree is executed while a child could hold one of its files open for writing. A child
//! holds every descriptor until it has executed its program, and for so long the kernel
//! refuses to execute a file that somebody could still write to (ETXTBSY). So a RUN could
//! fail because another one began while its base was being unpacked.
//!
//! Forks do not wait for a tree, which may be unpacked as slowly as its layer is downloaded: whoever has written
//! one waits for the children that were forked meanwhile.

use std::sync::{Mutex, PoisonError};

static FORKING: Mutex<()> = Mutex::new(());

/// To be called when all files of a tree are closed, before a step may execute any of them: no child has them
/// open afterwards.
pub(super) fn wait_for_children() {
    drop(FORKING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Forks; `fork` returns when the child has executed its program.
pub fn fork_exclusive<T>(fork: impl FnOnce() -> T) -> T {
    let _forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    fork()
}
