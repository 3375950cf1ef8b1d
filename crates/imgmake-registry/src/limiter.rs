//! How many transfers one registry sees at once, whoever asks for them: several
//! images pushed to it share its connections.

use std::sync::{Condvar, Mutex, PoisonError};

pub(super) struct ConnectionLimiter {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to one transfer; given back when dropped.
pub(super) struct Permit<'g>(&'g ConnectionLimiter);

impl ConnectionLimiter {
    pub(super) fn new(at_once: usize) -> ConnectionLimiter {
        ConnectionLimiter {
            free: Mutex::new(at_once.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Waits for a permit. Whoever holds one asks for no other one, of any limiter.
    pub(super) fn acquire(&self) -> Permit<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free += 1;
        self.0.freed.notify_one();
    }
}
