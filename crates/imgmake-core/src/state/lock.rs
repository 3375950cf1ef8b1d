//! One run per project at a time. The lock goes with its holders: whatever the run starts inherits
//! the descriptor, so that the kernel releases it when the last of these processes has died, however
//! they die. A run that ends by itself lets go of it for all: what it leaves behind is on its own.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ancestors;
use super::directory::{DIRECTORY, Directory};
use crate::error::{CoreError, Result};

/// In the project's directory for state.
const NAME: &str = "lock";

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    directory: PathBuf,
}

/// What to do while another run holds it.
pub enum Wait<'a> {
    No,
    Yes {
        /// Called once, with the holder.
        on_wait: &'a dyn Fn(&str),
        /// Asked between tries.
        give_up: &'a dyn Fn() -> bool,
    },
}

impl Lock {
    /// Makes `.imgmake/` where there is none.
    ///
    /// # Errors
    /// Another run holds it and waiting was not asked for; the directory cannot be written.
    pub fn take(project: &Path, wait: &Wait<'_>) -> Result<Lock> {
        let directory = project.join(DIRECTORY);
        let io = |source| CoreError::Lock {
            path: directory.clone(),
            source,
        };
        let opened = Directory::open_or_make(project);
        let mut file = opened.and_then(|d| d.read_or_make(NAME)).map_err(io)?;
        let mut announced = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if pid(&mut file).is_some_and(ancestors::has) {
                return Err(CoreError::LockedByOurs {
                    holder: holder(&mut file),
                });
            }
            let Wait::Yes { on_wait, give_up } = wait else {
                return Err(CoreError::Locked {
                    holder: holder(&mut file),
                });
            };
            if !announced {
                on_wait(&holder(&mut file));
                announced = true;
            }
            if give_up() {
                return Err(CoreError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let own = format!("{} {}\n", std::process::id(), pid_namespace());
        let mut write = || {
            // Another name of the file could be anybody's: it is locked, and not written.
            if file.metadata()?.nlink() != 1 {
                return Ok(());
            }
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(own.as_bytes())
        };
        write().map_err(io)?;
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())
            .map_err(|error| io(error.into()))?;
        Ok(Lock { file, directory })
    }

    pub fn is_of(&self, directory: &Path) -> bool {
        self.directory == directory
    }

    /// Device and inode of a project's lock, by which those who inherited it are found.
    pub fn identity(project: &Path) -> Option<(u64, u64)> {
        let file = std::fs::symlink_metadata(project.join(DIRECTORY).join(NAME)).ok()?;
        Some((file.dev(), file.ino()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it lets go of it too, unless somebody inherited it.
        drop(self.file.unlock());
    }
}

/// The process that took the lock. Numbers of another container's processes mean nothing here.
fn pid(file: &mut File) -> Option<u32> {
    let mut text = Vec::new();
    drop(file.rewind());
    drop(file.take(64).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let (pid, namespace) = text.trim().split_once(' ')?;
    (namespace == pid_namespace().to_string())
        .then(|| pid.parse().ok())
        .flatten()
}

/// The inode of this process's namespace of process numbers; 0 without `/proc`.
fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}

fn holder(file: &mut File) -> String {
    match pid(file) {
        Some(pid) if Path::new("/proc/self").exists() && !ancestors::is_there(pid) => {
            format!("what the killed process {pid} started")
        }
        Some(pid) => format!("process {pid}"),
        None => "an unknown process".to_string(),
    }
}
