//! A lock: no child is forked while a file of a tree is open for writing. A child
//! holds every descriptor until it has executed its program, and for so long the kernel
//! refuses to execute a file that somebody could still write to (ETXTBSY). So a RUN could
//! fail because another one began while its base was being unpacked.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

static WRITING: RwLock<()> = RwLock::new(());

/// To be held while a file that a step may execute is open for writing.
pub(super) fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Forks while nothing is open for writing. `fork` returns when the child has executed its program.
pub fn fork_exclusive<T>(fork: impl FnOnce() -> T) -> T {
    let _quiet = WRITING.write().unwrap_or_else(PoisonError::into_inner);
    fork()
}
