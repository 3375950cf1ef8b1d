//! One run per project at a time. The lock goes with its holder: the kernel
//! releases it when the process dies, however it dies.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory::{DIRECTORY, Directory};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    /// The lock itself: it is let go when this is closed.
    _file: File,
    directory: PathBuf,
}

/// What to do while another run holds it.
pub enum Wait<'a> {
    No,
    /// Told once of the holder; asked between tries whether to give up.
    Yes {
        told: &'a dyn Fn(&str),
        give_up: &'a dyn Fn() -> bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another run works in this project ({holder})")]
    Held { holder: String },
    #[error("cancelled")]
    Cancelled,
    #[error("cannot lock the project's state in `{path}`: {error}")]
    Io { path: String, error: std::io::Error },
}

impl Lock {
    /// Makes `.imgmake/` where there is none.
    ///
    /// # Errors
    /// Another run holds it and waiting was not asked for; the directory cannot be written.
    pub fn take(project: &Path, wait: &Wait<'_>) -> Result<Lock, LockError> {
        let directory = project.join(DIRECTORY);
        let io = |error| LockError::Io {
            path: directory.display().to_string(),
            error,
        };
        let opened = Directory::open_or_make(project);
        let mut file = opened.and_then(|d| d.read_or_make("lock")).map_err(io)?;
        let mut told_already = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let Wait::Yes { told, give_up } = wait else {
                return Err(LockError::Held {
                    holder: holder(&mut file),
                });
            };
            if !told_already {
                told(&holder(&mut file));
                told_already = true;
            }
            if give_up() {
                return Err(LockError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let pid = std::process::id();
        let mut write = || {
            // Another name of the file could be anybody's: it is locked, and not written.
            if file.metadata()?.nlink() != 1 {
                return Ok(());
            }
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(format!("{pid}\n").as_bytes())
        };
        write().map_err(io)?;
        Ok(Lock {
            _file: file,
            directory,
        })
    }

    pub fn is_of(&self, directory: &Path) -> bool {
        self.directory == directory
    }
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    drop(file.rewind());
    drop(file.take(20).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "an unknown process".to_string(),
    }
}
