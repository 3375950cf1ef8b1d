//! How a store is waited for that another process has to itself, or an older one works in.

use std::fmt;
use std::fs::{File, TryLockError};
use std::time::Duration;

use crate::error::{Context, Result};
use imgmake_event::Cancel;

const PAUSE: Duration = Duration::from_millis(50);

/// Why a store cannot be opened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// A garbage collection, or the conversion of an older store, has it alone.
    TakenAlone,
    /// It is of an older version, and somebody works in it.
    OlderInUse,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Busy::TakenAlone => "another process cleans it up",
            Busy::OlderInUse => "it was written by an older version, and another imgmake uses it",
        })
    }
}

/// What to do while a store is busy.
pub struct Waiting<'a> {
    /// Told once of each reason.
    pub on_wait: &'a dyn Fn(Busy),
    /// Asked between tries.
    pub cancel: &'a Cancel,
}

impl Waiting<'_> {
    /// Takes the lock for reading, or, with [`Busy::OlderInUse`], for this process alone.
    /// `false` when `is_over` says that nothing is to be waited for any more.
    pub(super) fn lock(
        &self,
        lock: &File,
        why: Busy,
        is_over: &dyn Fn() -> Result<bool>,
    ) -> Result<bool> {
        let mut is_told = false;
        loop {
            let taken = match why {
                Busy::TakenAlone => lock.try_lock_shared(),
                Busy::OlderInUse => lock.try_lock(),
            };
            match taken {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("cannot lock the store");
                }
            }
            if is_over()? {
                return Ok(false);
            }
            if !is_told {
                (self.on_wait)(why);
                is_told = true;
            }
            self.cancel.check()?;
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn lock_shared(&self, lock: &File) -> Result<()> {
        self.lock(lock, Busy::TakenAlone, &|| Ok(false)).map(drop)
    }
}
