//! Whose turn it is to write in `.imgmake/`: several runs work in a project at once, and write
//! one after the other. A turn is short: nothing else is waited for meanwhile.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use super::directory::Directory;

/// In the project's directory for state.
const NAME: &str = "lock";
const PAUSE: Duration = Duration::from_millis(20);

/// Where a turn is asked for.
#[derive(Debug)]
pub(super) struct Turns {
    file: File,
}

/// Ends when dropped, and with the process.
pub(super) struct Turn<'a> {
    file: &'a File,
}

impl Turns {
    pub(super) fn of(directory: &Directory) -> io::Result<Turns> {
        let file = directory.read_or_make(NAME)?;
        Ok(Turns { file })
    }

    pub(super) fn take(&self) -> io::Result<Turn<'_>> {
        loop {
            match self.file.lock() {
                Ok(()) => return Ok(Turn { file: &self.file }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` once `give_up` says so: somebody who was stopped in his turn keeps it.
    pub(super) fn take_until(&self, give_up: &dyn Fn() -> bool) -> io::Result<Option<Turn<'_>>> {
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(Some(Turn { file: &self.file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if give_up() {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked ends with the process.
        drop(self.file.unlock());
    }
}
