//! Starts programs of others: git, ssh, credential helpers, scanners, id map
//! programs. Each starts in an empty directory of its own, found in absolute
//! entries of `PATH` alone, with the variables that its kind may see.
//!
//! The working directory of a run is a checkout, which strangers write: git takes a
//! directory that looks like a repository for one and runs what its `config`
//! names, others look for their settings there. Knows no program's protocol. `run`
//! targets are the user's own commands and are not started here.

mod environment;
mod kind;
mod process_id;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

pub use kind::Kind;
pub use process_id::{group_of, process_of};

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`{0}` is not in PATH")]
    NotFound(String),
    #[error("the program's path `{0}` is relative: write an absolute path, or a name in PATH")]
    Relative(String),
    #[error(
        "cannot make a directory to start `{program}` in: {error}; set TMPDIR to a directory that can be written"
    )]
    Directory { program: String, error: io::Error },
    #[error("cannot run `{program}`: {error}")]
    Spawn { program: String, error: io::Error },
}

/// A program that is ready to be started.
pub struct Program {
    command: Command,
    name: String,
    directory: TempDir,
}

impl Program {
    /// A program by its name in `PATH` or by an absolute path. It is given no input
    /// unless [`configure`](Self::configure) says so.
    ///
    /// # Errors
    /// It is not there, or no directory can be made for it.
    pub fn new<K, V>(
        kind: Kind,
        program: impl AsRef<OsStr>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Program, StartError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut environment = environment::allowed(kind, environment);
        let program = program.as_ref();
        let name = program.to_string_lossy().into_owned();
        let path = located(program, environment.get(OsStr::new("PATH")))?;
        let directory = directory_of_ours().map_err(|error| StartError::Directory {
            program: name.clone(),
            error,
        })?;
        // Without the variable, programs ask the system where their home is.
        if environment::finds_no_settings(kind) {
            environment
                .entry("HOME".into())
                .or_insert_with(|| directory.path().into());
        }
        let mut command = Command::new(path);
        command
            .env_clear()
            .envs(environment)
            // Git looks upwards from where it is, and the temporary directory may lie anywhere.
            .env(
                "GIT_CEILING_DIRECTORIES",
                directory.path().parent().unwrap_or(Path::new("/")),
            )
            .current_dir(directory.path())
            .stdin(Stdio::null())
            // A signal to our group is for us; what we started is ended by us.
            .process_group(0);
        Ok(Program {
            command,
            name,
            directory,
        })
    }

    /// A line for the shell.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn shell<K, V>(
        kind: Kind,
        line: &str,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Program, StartError>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let program = Program::new(kind, "/bin/sh", environment)?;
        Ok(program.configure(|command| command.arg("-c").arg(line)))
    }

    /// Arguments, pipes and further variables; the directory and the group stay what they are.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> Program {
        change(&mut self.command);
        self
    }

    /// # Errors
    /// The program cannot be executed.
    pub fn spawn(mut self) -> Result<Started, StartError> {
        // Whatever `configure` did.
        self.command
            .current_dir(self.directory.path())
            .process_group(0);
        let child = self.command.spawn().map_err(|error| StartError::Spawn {
            program: self.name,
            error,
        })?;
        Ok(Started {
            child,
            _directory: self.directory,
        })
    }
}

/// A running program. What is left of it and of its group when this is dropped is killed.
pub struct Started {
    child: Child,
    _directory: TempDir,
}

impl Started {
    /// Waits, and reads what was piped.
    ///
    /// # Errors
    /// A pipe cannot be read.
    pub fn output(mut self) -> io::Result<Output> {
        drop(self.child.stdin.take());
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (stdout, stderr) = std::thread::scope(|scope| {
            let errors = scope.spawn(move || read_all(stderr));
            (read_all(stdout), errors.join())
        });
        Ok(Output {
            status: self.child.wait()?,
            stdout: stdout?,
            stderr: stderr.unwrap_or_else(|_| Ok(Vec::new()))?,
        })
    }

    fn kill_group(&self) {
        // A group that is gone already is what was wanted.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Only while it is not reaped is the group's number certainly its own.
        if let Ok(None) = self.child.try_wait() {
            self.kill_group();
            drop(self.child.wait());
        }
    }
}

fn read_all(pipe: Option<impl io::Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Whether a program may have been ended by a signal that was meant for us, too.
pub fn may_be_stopped(status: ExitStatus) -> bool {
    const HUP_INT_TERM: [i32; 3] = [1, 2, 15];
    let signal = status.signal().or(status.code().map(|code| code - 128));
    signal.is_some_and(|signal| HUP_INT_TERM.contains(&signal))
}

/// imgmake itself, as a helper process: it keeps its directory, and its environment
/// unless the caller clears it.
pub fn ourselves(program: &Path) -> Command {
    Command::new(program)
}

/// What a program of this kind is given of an environment.
pub fn seen(
    kind: Kind,
    environment: &BTreeMap<OsString, OsString>,
) -> BTreeMap<OsString, OsString> {
    environment::allowed(kind, environment)
}

/// Where a program of this name is, by absolute entries of `PATH` alone.
pub fn find(name: &str, environment: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let path = environment.get(OsStr::new("PATH"));
    located(OsStr::new(name), environment::search_path(path).as_ref()).ok()
}

/// `path` holds absolute entries only.
fn located(program: &OsStr, path: Option<&OsString>) -> Result<PathBuf, StartError> {
    let as_path = Path::new(program);
    if as_path.is_absolute() {
        return Ok(as_path.to_path_buf());
    }
    let name = program.to_string_lossy().into_owned();
    if as_path.components().count() != 1 || name.contains('/') {
        return Err(StartError::Relative(name));
    }
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let mut entries = path.into_iter().flat_map(std::env::split_paths);
    entries
        .find_map(|entry| Some(entry.join(program)).filter(is_program))
        .ok_or(StartError::NotFound(name))
}

/// Empty, for the owner alone, under a name that nobody could guess; elsewhere where
/// there is no temporary directory, as in the smallest images.
fn directory_of_ours() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("imgmake-")
        .permissions(fs::Permissions::from_mode(0o700));
    let directory = builder.tempdir().or_else(|error| {
        let elsewhere = ["/dev/shm", "/var/tmp", "/run"];
        let mut directories = elsewhere
            .iter()
            .filter_map(|place| builder.tempdir_in(place).ok());
        directories.next().ok_or(error)
    })?;
    // The ceiling of git's search is compared with the real path.
    let real = fs::canonicalize(directory.path())?;
    if real == directory.path() {
        return Ok(directory);
    }
    drop(directory);
    builder.tempdir_in(real.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests;
