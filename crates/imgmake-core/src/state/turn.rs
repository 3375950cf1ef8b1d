//! Whose turn it is to write in `.imgmake/`: several runs work in a project at once, and write
//! one after the other. A turn is short: nothing else is waited for meanwhile.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use super::directory::{DIRECTORY, Directory};

/// In the project's directory for state.
const NAME: &str = "lock";
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Longer than any turn: who keeps it was stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// For who would rather not wait.
const IMPATIENCE: Duration = Duration::from_secs(3);

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

    /// # Errors
    /// Somebody keeps his turn longer than any takes.
    pub(super) fn take(&self) -> io::Result<Turn<'_>> {
        self.take_for(PATIENCE)?.ok_or_else(kept)
    }

    /// `None` soon.
    pub(super) fn take_soon(&self) -> io::Result<Option<Turn<'_>>> {
        self.take_for(IMPATIENCE)
    }

    fn take_for(&self, most: Duration) -> io::Result<Option<Turn<'_>>> {
        let begun = Instant::now();
        self.take_until(&|| begun.elapsed() > most)
    }

    /// `None` once `give_up` says so: somebody who was stopped in his turn keeps it.
    pub(super) fn take_until(&self, give_up: &dyn Fn() -> bool) -> io::Result<Option<Turn<'_>>> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(Some(Turn { file: &self.file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if give_up() {
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn kept() -> io::Error {
    let text = format!(
        "another process has kept `{DIRECTORY}/{NAME}` locked for {} seconds; it may be stopped",
        PATIENCE.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked ends with the process.
        drop(self.file.unlock());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Lock, State, Wait};
    use super::*;
    use crate::error::CoreError;
    use imgmake_guard::mac::MacKey;

    fn project() -> (tempfile::TempDir, Lock) {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path(), &Wait::No).unwrap();
        (directory, lock)
    }

    fn open(project: &std::path::Path, lock: &Lock) -> State {
        State::open(project, &MacKey::checksum(), lock).unwrap()
    }

    #[test]
    fn a_turn_that_somebody_keeps_is_not_waited_for_without_end() {
        let project = tempfile::tempdir().unwrap();
        let directory = Directory::open_or_make(project.path()).unwrap();
        let turns = Turns::of(&directory).unwrap();
        let other = std::fs::File::open(project.path().join(DIRECTORY).join(NAME)).unwrap();
        other.lock().unwrap();
        let wait = Duration::from_millis(50);
        assert!(turns.take_for(wait).unwrap().is_none());
        other.unlock().unwrap();
        assert!(turns.take_for(wait).unwrap().is_some());
    }

    #[test]
    fn what_killed_runs_had_begun_to_write_is_removed() {
        let (directory, lock) = project();
        let state = directory.path().join(".imgmake");
        for name in [
            ".log-1-0",
            ".stat-1-0",
            ".manifest.cache-1-0",
            ".manifest.cache-2-0",
        ] {
            fs::write(state.join(name), "half").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        let old = fs::File::options()
            .write(true)
            .open(state.join(".manifest.cache-1-0"));
        old.unwrap().set_modified(long_ago).unwrap();
        drop(open(directory.path(), &lock));
        let left = |name| state.join(name).exists();
        assert!(!left(".log-1-0") && !left(".stat-1-0") && !left(".manifest.cache-1-0"));
        // Reading commands write it in nobody's turn.
        assert!(left(".manifest.cache-2-0"));
    }

    #[test]
    fn nobody_else_can_lock_what_runs_wait_for() {
        use std::os::unix::fs::PermissionsExt;
        let (directory, lock) = project();
        let state = directory.path().join(".imgmake");
        let open_to_others = || -> Vec<String> {
            let entries = fs::read_dir(&state).unwrap().map(Result::unwrap);
            entries
                .filter(|entry| entry.metadata().unwrap().permissions().mode() & 0o077 != 0)
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        assert_eq!(open_to_others(), [""; 0]);
        // As earlier versions made it.
        let everybody = fs::Permissions::from_mode(0o644);
        fs::set_permissions(state.join("lock"), everybody).unwrap();
        drop(open(directory.path(), &lock));
        assert_eq!(open_to_others(), [""; 0]);
    }

    #[test]
    fn who_does_not_wait_does_not_wait_for_a_turn_either() {
        let (directory, lock) = project();
        drop(lock);
        let other = fs::File::open(directory.path().join(".imgmake/lock")).unwrap();
        other.lock().unwrap();
        let refused = Lock::take(directory.path(), &Wait::No).unwrap_err();
        assert!(matches!(refused, CoreError::Locked { .. }), "{refused:?}");
    }
}
