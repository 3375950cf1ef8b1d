//! `--shell-on-fail`: the user's terminal, lent to a shell in the step that failed.
//!
//! The shell gets a pseudo terminal of its own, so that its keys and its job control are
//! its own affair; what is typed here goes there and back while it lasts.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::environment::Environment;
use crate::exit::Exit;
use imgmake_build::worker::{Terminal, TerminalError, Terminals};

pub struct UserTerminal {
    term: Option<String>,
}

impl UserTerminal {
    /// # Errors
    /// Nobody sits before a terminal.
    pub fn of(environment: &Environment) -> Result<UserTerminal, Exit> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Exit::usage(
                "`--shell-on-fail` needs a terminal: standard input and standard error must be terminals",
            )
            .with_help("without a terminal, the error names the log of the failed step"));
        }
        Ok(UserTerminal {
            term: environment.get("TERM").map(str::to_string),
        })
    }
}

impl Terminals for UserTerminal {
    fn open(&self) -> Result<Box<dyn Terminal>, TerminalError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)
            .and_then(|master| {
                grantpt(&master)
                    .and_then(|()| unlockpt(&master))
                    .map(|()| master)
            })
            .context("cannot make a pseudo terminal")?;
        let name = ptsname(&master, Vec::new()).context("a pseudo terminal without a name")?;
        let device = PathBuf::from(std::ffi::OsString::from_vec(name.into_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let kept = rustix::fs::open(&device, flags, Mode::empty())
            .with_context(|| format!("cannot open `{}`", device.display()))?;
        Ok(Box::new(Lent {
            master: Arc::new(master),
            device,
            term: self.term.clone(),
            _kept: kept,
            passing: None,
        }))
    }
}

struct Lent {
    master: Arc<OwnedFd>,
    device: PathBuf,
    term: Option<String>,
    /// While one end is open, the other one never ends.
    _kept: OwnedFd,
    passing: Option<Passing>,
}

impl Terminal for Lent {
    fn device(&self) -> &Path {
        &self.device
    }

    fn environment(&self) -> Vec<(String, String)> {
        let term = self.term.clone();
        term.map(|term| ("TERM".to_string(), term))
            .into_iter()
            .collect()
    }

    fn begin(&mut self, exit: i32) -> Result<(), TerminalError> {
        // The words stand before the terminal is raw, where a line end would not return.
        eprintln!(
            "imgmake: the step failed with exit code {exit}; this is a shell in its root, with its user, \
             environment and mounts. Its changes are discarded; `exit` ends it."
        );
        self.passing = Some(Passing::start(&self.master)?);
        Ok(())
    }
}

/// Both directions, until dropped.
struct Passing {
    before: Termios,
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Passing {
    fn start(master: &Arc<OwnedFd>) -> Result<Passing> {
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).context("cannot set the terminal")?;
        let done = Arc::new(AtomicBool::new(false));
        let spawn = |pass: fn(&OwnedFd, &AtomicBool)| {
            let (master, done) = (Arc::clone(master), Arc::clone(&done));
            std::thread::spawn(move || pass(&master, &done))
        };
        Ok(Passing {
            before,
            threads: vec![spawn(copy_input), spawn(copy_output)],
            done,
        })
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Whether there is something to read within a moment.
fn readable(file: BorrowedFd<'_>) -> bool {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    let mut watched = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    poll(&mut watched, Some(&moment)).is_ok_and(|ready| ready > 0)
}

/// Keys, and the size of the window, which may change.
fn copy_input(master: &OwnedFd, done: &AtomicBool) {
    let stdin = io::stdin();
    let mut buffer = [0; 4096];
    while !done.load(Ordering::Relaxed) {
        if let Ok(size) = tcgetwinsize(&stdin) {
            let _ = tcsetwinsize(master, size);
        }
        if !readable(stdin.as_fd()) {
            continue;
        }
        match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let mut rest = &buffer[..read];
                while let (false, Ok(written)) = (rest.is_empty(), rustix::io::write(master, rest))
                {
                    rest = &rest[written..];
                }
            }
        }
    }
}

/// What the shell writes, to its last byte.
fn copy_output(master: &OwnedFd, done: &AtomicBool) {
    let mut buffer = [0; 4096];
    loop {
        let ending = done.load(Ordering::Relaxed);
        if !readable(master.as_fd()) {
            match ending {
                true => return,
                false => continue,
            }
        }
        match rustix::io::read(master, &mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let mut terminal = io::stderr().lock();
                drop(
                    terminal
                        .write_all(&buffer[..read])
                        .and_then(|()| terminal.flush()),
                );
            }
        }
    }
}
