//! Tokens of GNU make's jobserver: each target holds one while it works. They come from the make that
//! started imgmake, which also gives one to each of its commands; else imgmake serves them, and the makes
//! among its commands take theirs from the same pipe.
//!
//! Knows no target. Who returns the tokens of a run that was killed: `watchdog`.

mod makeflags;
mod pipe;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rustix::event::{PollFd, PollFlags, poll};

use imgmake_event::Cancel;
use makeflags::Auth;
use pipe::{Ends, TOKEN};

/// A pipe holds this many in any case.
const MOST: usize = 4096;

/// The jobserver of the make that started this process.
#[derive(Debug)]
pub struct Parent {
    ends: Ends,
    /// By which a helper process reaches it.
    write_path: PathBuf,
}

impl Parent {
    /// The one that MAKEFLAGS names, if there is one. Before this process opens anything: a number
    /// that was not inherited would soon be that of another pipe.
    ///
    /// # Errors
    /// It is not there: the recipe of the makefile has no `+`.
    pub fn of(makeflags: &str) -> Option<io::Result<Parent>> {
        let auth = makeflags::auth(makeflags)?;
        let of_descriptor = |number: i32| PathBuf::from(format!("/proc/self/fd/{number}"));
        let (read_path, write_path) = match auth {
            Auth::Pipe(read, write) => (of_descriptor(read), of_descriptor(write)),
            Auth::Fifo(path) => (path.clone(), path),
        };
        let ends = Ends::open(&read_path, &write_path);
        Some(ends.map(|ends| Parent { ends, write_path }))
    }
}

/// Where this run's tokens are.
pub struct Jobserver {
    /// All that are served here; of a client the one that make gives to whatever it starts.
    own: Ends,
    source: Source,
    work: Mutex<Work>,
}

enum Source {
    Parent(std::sync::Arc<Parent>),
    Served {
        count: usize,
        /// What commands inherit.
        _inherited: (OwnedFd, OwnedFd),
        makeflags: String,
    },
}

#[derive(Default)]
struct Work {
    /// Tokens of `own` that targets hold.
    held: usize,
    /// Commands that may hold some.
    commands: usize,
}

/// Given back when dropped.
pub struct Token<'a> {
    jobserver: &'a Jobserver,
    /// What was read from the parent's; make wants the same byte back.
    of_parent: Option<u8>,
}

/// A command that may take tokens.
pub struct Command<'a>(&'a Jobserver);

impl Jobserver {
    /// # Errors
    /// No pipe can be made.
    pub fn client(parent: std::sync::Arc<Parent>) -> io::Result<Jobserver> {
        let (own, _) = pipe::filled(1)?;
        Ok(Jobserver {
            own,
            source: Source::Parent(parent),
            work: Mutex::default(),
        })
    }

    /// Serves this many; `makeflags` is the variable as it is around this process.
    ///
    /// # Errors
    /// No pipe can be made.
    pub fn serve(jobs: usize, makeflags: &str) -> io::Result<Jobserver> {
        let count = jobs.clamp(1, MOST);
        let (own, inherited) = pipe::filled(count)?;
        for end in [&inherited.0, &inherited.1] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::empty())?;
        }
        let (read, write) = (inherited.0.as_raw_fd(), inherited.1.as_raw_fd());
        Ok(Jobserver {
            own,
            source: Source::Served {
                count,
                _inherited: inherited,
                makeflags: makeflags::with_pipe(makeflags, count, read, write),
            },
            work: Mutex::default(),
        })
    }

    /// MAKEFLAGS of commands, where it is another than that of this process.
    pub fn makeflags(&self) -> Option<&str> {
        match &self.source {
            Source::Parent(_) => None,
            Source::Served { makeflags, .. } => Some(makeflags),
        }
    }

    /// Whether make decides how much works at once.
    pub fn is_client(&self) -> bool {
        matches!(self.source, Source::Parent(_))
    }

    /// Where a helper process gives tokens of the parent back.
    pub fn parent_path(&self) -> Option<&Path> {
        match &self.source {
            Source::Parent(parent) => Some(&parent.write_path),
            Source::Served { .. } => None,
        }
    }

    /// Waits for a token.
    ///
    /// # Errors
    /// Somebody cancelled.
    pub fn take(&self, cancel: &Cancel) -> io::Result<Token<'_>> {
        let cancelled = cancel.descriptor()?;
        loop {
            cancel.check()?;
            if let Some(token) = self.try_take()? {
                return Ok(token);
            }
            let mut waited = vec![
                PollFd::from_borrowed_fd(cancelled.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.own.read.as_fd(), PollFlags::IN),
            ];
            if let Source::Parent(parent) = &self.source {
                waited.push(PollFd::from_borrowed_fd(
                    parent.ends.read.as_fd(),
                    PollFlags::IN,
                ));
            }
            match poll(&mut waited, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn try_take(&self) -> io::Result<Option<Token<'_>>> {
        let mut work = self.work();
        self.restore(&work);
        if self.own.take()?.is_some() {
            work.held += 1;
            return Ok(Some(Token {
                jobserver: self,
                of_parent: None,
            }));
        }
        drop(work);
        let Source::Parent(parent) = &self.source else {
            return Ok(None);
        };
        let taken = parent.ends.take()?;
        Ok(taken.map(|byte| Token {
            jobserver: self,
            of_parent: Some(byte),
        }))
    }

    /// While a command runs, tokens may be its own.
    pub fn command(&self) -> Command<'_> {
        let mut work = self.work();
        self.restore(&work);
        work.commands += 1;
        Command(self)
    }

    /// While no command is left that could hold one, all are here but those of targets. Those of commands
    /// that were killed come back; those that come twice, since an imgmake among them was killed and its
    /// watchdog gives back what it held, do not count.
    fn restore(&self, work: &Work) {
        let Source::Served { count, .. } = &self.source else {
            return;
        };
        if work.commands == 0 {
            while self.own.take().is_ok_and(|taken| taken.is_some()) {}
            self.own.give(&vec![TOKEN; count.saturating_sub(work.held)]);
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().expect("no thread panics with the tokens")
    }
}

impl Token<'_> {
    /// What was taken from the make that started this process.
    pub fn of_parent(&self) -> Option<u8> {
        self.of_parent
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        match (self.of_parent, &self.jobserver.source) {
            (Some(byte), Source::Parent(parent)) => parent.ends.give(&[byte]),
            _ => {
                let mut work = self.jobserver.work();
                work.held -= 1;
                self.jobserver.own.give(&[TOKEN]);
            }
        }
    }
}

impl Drop for Command<'_> {
    fn drop(&mut self) {
        let mut work = self.0.work();
        work.commands -= 1;
        self.0.restore(&work);
    }
}

/// Gives tokens back for a process that was killed.
pub fn give_back(write_path: &Path, tokens: &[u8]) {
    if let Ok(write) = pipe::open_write(write_path) {
        pipe::give(&write, tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(jobserver: &Jobserver) -> usize {
        let mut tokens = Vec::new();
        while let Some(token) = jobserver.try_take().unwrap() {
            tokens.push(token);
        }
        tokens.len()
    }

    #[test]
    fn as_many_work_at_once_as_there_are_tokens() {
        let jobserver = Jobserver::serve(3, "").unwrap();
        let first = jobserver.take(&Cancel::default()).unwrap();
        assert_eq!(left(&jobserver), 2);
        drop(first);
        assert_eq!(left(&jobserver), 3);
    }

    #[test]
    fn a_wait_for_a_token_ends_with_a_cancellation() {
        let jobserver = Jobserver::serve(1, "").unwrap();
        let _token = jobserver.take(&Cancel::default()).unwrap();
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| jobserver.take(&cancel).is_err());
            std::thread::sleep(std::time::Duration::from_millis(50));
            cancel.cancel();
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn what_a_killed_command_held_is_there_again_after_the_last_command() {
        let jobserver = Jobserver::serve(4, "").unwrap();
        let own = jobserver.take(&Cancel::default()).unwrap();
        let (killed, other) = (jobserver.command(), jobserver.command());
        // As its make does.
        jobserver.own.take().unwrap().unwrap();
        jobserver.own.take().unwrap().unwrap();
        drop(killed);
        assert_eq!(left(&jobserver), 1);
        drop(other);
        assert_eq!(left(&jobserver), 3);
        drop(own);
        assert_eq!(left(&jobserver), 4);
    }

    #[test]
    fn what_comes_back_twice_counts_once() {
        let jobserver = Jobserver::serve(3, "").unwrap();
        let command = jobserver.command();
        jobserver.own.take().unwrap().unwrap();
        drop(command);
        // The watchdog of an imgmake that was killed is slower than the end of its command.
        jobserver.own.give(&[TOKEN]);
        assert_eq!(left(&jobserver), 3);
        jobserver.own.give(&[TOKEN]);
        let _command = jobserver.command();
        assert_eq!(left(&jobserver), 3);
    }

    #[test]
    fn a_client_has_one_token_and_gives_back_the_bytes_that_it_took() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let ends = Ends::open(&path, &path).unwrap();
        ends.give(b"xy");
        let flags = format!(" -j3 --jobserver-auth=fifo:{}", path.display());
        let parent = Parent::of(&flags).unwrap().unwrap();
        let jobserver = Jobserver::client(std::sync::Arc::new(parent)).unwrap();
        assert!(jobserver.is_client() && jobserver.makeflags().is_none());
        let tokens: Vec<Token<'_>> = (0..3)
            .map(|_| jobserver.take(&Cancel::default()).unwrap())
            .collect();
        assert!(jobserver.try_take().unwrap().is_none());
        let taken: Vec<Option<u8>> = tokens.iter().map(Token::of_parent).collect();
        assert_eq!(taken, [None, Some(b'x'), Some(b'y')]);
        drop(tokens);
        assert_eq!(
            (ends.take().unwrap(), ends.take().unwrap()),
            (Some(b'x'), Some(b'y'))
        );
    }

    #[test]
    fn a_jobserver_that_is_not_there_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fifo = format!(" --jobserver-auth=fifo:{}", file.path().display());
        for flags in [
            " --jobserver-auth=-2,-2",
            " --jobserver-auth=977,978",
            &fifo,
        ] {
            assert!(Parent::of(flags).unwrap().is_err(), "{flags}");
        }
        assert!(Parent::of("ks").is_none());
    }
}
