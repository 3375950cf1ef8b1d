//! Which runs work in a project, and on what. Each has a file that it holds locked; runs whose claims
//! overlap wait for each other. The lock goes with its holders: whatever the run starts inherits the
//! descriptor, so that the kernel releases it when the last of these processes has died, however they
//! die. A run that ends by itself lets go of it for all: what it leaves behind is on its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ancestors;
use super::claim::{Claim, Compare, Holder};
use super::directory::{DIRECTORY, Directory};
use super::turn::Turns;
use crate::error::{CoreError, Overlap, Result};
use crate::files::Signature;

/// What the files of runs begin with, in the project's directory for state.
const PREFIX: &str = "run-";
/// Names of 100,000 targets are shorter.
const LONGEST: u64 = 64 << 20;

/// Held until dropped.
pub struct Lock {
    file: File,
    name: String,
    path: PathBuf,
    directory: Directory,
}

/// What to do while another run works on the same.
pub enum Wait<'a> {
    No,
    Yes {
        /// Called for each run that is waited for.
        on_wait: &'a dyn Fn(&Overlap, &str),
        /// Asked between tries.
        give_up: &'a dyn Fn() -> bool,
    },
}

/// A run that works already.
struct Other {
    name: String,
    /// Device and inode of its file.
    identity: Option<(u64, u64)>,
    holder: Option<Holder>,
    claim: Claim,
}

impl Lock {
    /// The whole project. Makes `.imgmake/` where there is none.
    ///
    /// # Errors
    /// As for [`Lock::claim`].
    pub fn take(project: &Path, wait: &Wait<'_>) -> Result<Lock> {
        Lock::claim(project, &Claim::Project, &|_| Some(Overlap::Project), wait)
    }

    /// What a run works at; `compare` says what it has in common with another one of the same graph.
    ///
    /// # Errors
    /// Another run works on the same and waiting was not asked for; this is a command of a run of the
    /// project; the directory cannot be written.
    pub fn claim(
        project: &Path,
        claim: &Claim,
        compare: &Compare<'_>,
        wait: &Wait<'_>,
    ) -> Result<Lock> {
        let path = project.join(DIRECTORY);
        let io = |source| CoreError::Lock {
            path: path.clone(),
            source,
        };
        let directory = Directory::open_or_make(project).map_err(io)?;
        let turns = Turns::of(&directory).map_err(io)?;
        let give_up = || matches!(wait, Wait::Yes { give_up, .. } if give_up());
        let mut announced = None;
        loop {
            let turn = match wait {
                Wait::No => turns.take_soon(),
                Wait::Yes { .. } => turns.take_until(&give_up),
            };
            let Some(turn) = turn.map_err(io)? else {
                return Err(match wait {
                    Wait::No => CoreError::Locked {
                        overlap: Overlap::Project,
                        holder: "an unknown process".to_string(),
                    },
                    Wait::Yes { .. } => CoreError::Cancelled,
                });
            };
            let others = others(&directory, None).map_err(io)?;
            if let Some(ours) = others.iter().find(|other| other.is_ancestor()) {
                return Err(CoreError::LockedByOurs {
                    holder: ours.holder(),
                });
            }
            let mut overlaps = others.iter().filter_map(|other| {
                let overlap = claim.overlap(&other.claim, compare)?;
                Some((other, overlap))
            });
            let Some((other, overlap)) = overlaps.next() else {
                let (name, file) = write(&directory, claim).map_err(io)?;
                return Ok(Lock {
                    file,
                    name,
                    path,
                    directory,
                });
            };
            drop(turn);
            match wait {
                Wait::No => {
                    let holder = other.holder();
                    return Err(CoreError::Locked { overlap, holder });
                }
                Wait::Yes { on_wait, .. } => {
                    if announced.as_ref() != Some(&other.name) {
                        on_wait(&overlap, &other.holder());
                        announced = Some(other.name.clone());
                    }
                }
            }
            if give_up() {
                return Err(CoreError::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn is_of(&self, directory: &Path) -> bool {
        self.path == directory
    }

    /// Whether no other run works in the project. Of use in a turn only.
    pub(super) fn is_alone(&self) -> bool {
        others(&self.directory, Some(&self.name)).is_ok_and(|others| others.is_empty())
    }

    /// When this run's file was made, by the clock that stamps files there: nanoseconds since the epoch.
    pub(super) fn made(&self) -> Option<i64> {
        Some(Signature::of(&self.file.metadata().ok()?).ctime)
    }

    /// Device and inode of this run's file, by which those who inherited it are found.
    pub fn identity(&self) -> Option<(u64, u64)> {
        let file = self.file.metadata().ok()?;
        Some((file.dev(), file.ino()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What stays is removed by the next run.
        drop(self.directory.remove(&self.name));
        // Closing it lets go of it too, unless somebody inherited it.
        drop(self.file.unlock());
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lock").field(&self.name).finish()
    }
}

/// A new file, locked, that processes inherit.
fn write(directory: &Directory, claim: &Claim) -> io::Result<(String, File)> {
    let own = Holder {
        pid: std::process::id(),
        namespace: pid_namespace(),
    };
    let (name, mut file) = directory.make_new(&format!("{PREFIX}{}", own.pid))?;
    let mut fill = || {
        file.lock()?;
        file.write_all(&claim.encode(&own))?;
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
        Ok(())
    };
    match fill() {
        Ok(()) => Ok((name, file)),
        Err(error) => {
            drop(directory.remove(&name));
            Err(error)
        }
    }
}

/// The runs that work, without the one of this name. What dead ones left is removed.
fn others(directory: &Directory, own: Option<&str>) -> io::Result<Vec<Other>> {
    let mut found = Vec::new();
    for name in directory.names(PREFIX)? {
        if Some(name.as_str()) == own {
            continue;
        }
        // What cannot be opened, or is no file, is nobody's.
        let Ok(file) = directory.read(&name) else {
            continue;
        };
        if file.try_lock_shared().is_ok() {
            drop(directory.remove(&name));
            continue;
        }
        let mut bytes = Vec::new();
        drop((&file).take(LONGEST).read_to_end(&mut bytes));
        let (holder, claim) = Claim::decode(&bytes);
        found.push(Other {
            name,
            identity: file.metadata().ok().map(|file| (file.dev(), file.ino())),
            holder,
            claim,
        });
    }
    Ok(found)
}

impl Other {
    /// The process that claimed it, where its number means something here.
    fn pid(&self) -> Option<u32> {
        let holder = self.holder?;
        (holder.namespace == pid_namespace()).then_some(holder.pid)
    }

    /// Where numbers mean nothing, who was started by a run still has its file open.
    fn is_ancestor(&self) -> bool {
        match self.pid() {
            Some(pid) => ancestors::has(pid),
            None => self.identity.is_some_and(ancestors::is_inherited),
        }
    }

    fn holder(&self) -> String {
        match self.pid() {
            Some(pid) if Path::new("/proc/self").exists() && !ancestors::is_there(pid) => {
                format!("processes that the killed process {pid} started")
            }
            Some(pid) => format!("process {pid}"),
            None => "an unknown process".to_string(),
        }
    }
}

/// The inode of this process's namespace of process numbers; 0 without `/proc`.
fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}
