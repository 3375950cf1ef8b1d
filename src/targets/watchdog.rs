//! Nothing that a run started outlives it, however it ends.
//!
//! Commands on the host run in process groups of their own, which a killed run
//! could no longer stop. A helper process hears of each group over a pipe; when
//! the pipe closes without a word, the run was killed: the helper stops the groups that it
//! left, and every process that has inherited the run's lock, which it holds until they are gone.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;

use super::{jobserver, lock_holders};

use rustix::process::{Pid, Signal, kill_process_group};

/// No target can have this name.
const ARGUMENT: &str = "__watchdog";

/// The run's end of the pipe.
pub struct Watchdog {
    pipe: Mutex<Option<ChildStdin>>,
    helper: Option<Child>,
}

/// One group that is watched until this is dropped.
pub struct Guard<'a> {
    watchdog: &'a Watchdog,
    group: Pid,
}

impl Watchdog {
    /// Without a helper (no `/proc`, no room for processes) commands still run;
    /// only a killed run may then leave them.
    ///
    /// `lock`: device and inode of the file that the run holds locked. `tokens`: where those of a jobserver
    /// are given back.
    pub fn start(lock: Option<(u64, u64)>, tokens: Option<&Path>) -> Watchdog {
        let started = imgmake_guard::program::ourselves("/proc/self/exe".as_ref())
            .arg(ARGUMENT)
            .args(
                lock.map_or(["-".to_string(), "-".to_string()], |(device, inode)| {
                    [device.to_string(), inode.to_string()]
                }),
            )
            .args(tokens)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the run, not for who cleans up after it.
            .process_group(0)
            .spawn();
        let mut helper = started.ok();
        let pipe = helper.as_mut().and_then(|helper| helper.stdin.take());
        Watchdog {
            pipe: Mutex::new(pipe),
            helper,
        }
    }

    pub fn guard(&self, group: Pid) -> Guard<'_> {
        self.tell('+', group.as_raw_nonzero());
        Guard {
            watchdog: self,
            group,
        }
    }

    /// A token of a jobserver that is given back when this is dropped, or the run is killed.
    pub fn hold_token(&self, byte: u8) -> HeldToken<'_> {
        self.tell('t', byte);
        HeldToken {
            watchdog: self,
            byte,
        }
    }

    fn tell(&self, sign: char, what: impl std::fmt::Display) {
        let mut pipe = self.pipe.lock().expect("no thread panics while telling");
        if let Some(pipe) = pipe.as_mut() {
            // A helper that is gone can no longer be told.
            drop(pipe.write_all(format!("{sign}{what}\n").as_bytes()));
        }
    }
}

/// The run has ended by itself: what its commands left behind was meant to stay. The helper does not.
impl Drop for Watchdog {
    fn drop(&mut self) {
        let pipe = self.pipe.get_mut();
        if let Some(pipe) = pipe.ok().and_then(Option::as_mut) {
            drop(pipe.write_all(GOODBYE));
        }
        self.pipe = Mutex::default();
        if let Some(helper) = &mut self.helper {
            // One that cannot be waited for is somebody else's.
            drop(helper.wait());
        }
    }
}

const GOODBYE: &[u8] = b".\n";

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.watchdog.tell('-', self.group.as_raw_nonzero());
    }
}

/// One token that is watched until this is dropped.
pub struct HeldToken<'a> {
    watchdog: &'a Watchdog,
    byte: u8,
}

impl Drop for HeldToken<'_> {
    fn drop(&mut self) {
        self.watchdog.tell('g', self.byte);
    }
}

/// Does the helper's work, and never returns, when this process is one.
pub fn entry() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|a| a == ARGUMENT) {
        let mut number = || arguments.next()?.to_str()?.parse().ok();
        let (device, inode) = (number(), number());
        let tokens = arguments.next().map(PathBuf::from);
        watch(
            std::io::stdin().lock(),
            device.zip(inode),
            tokens.as_deref(),
        );
        std::process::exit(0);
    }
}

/// `lock`: device and inode of the run's. `tokens`: where those of a jobserver are given back.
fn watch(orders: impl BufRead, lock: Option<(u64, u64)>, tokens: Option<&Path>) {
    let mut groups: BTreeSet<i32> = BTreeSet::new();
    let mut held: Vec<u8> = Vec::new();
    for line in orders.lines().map_while(Result::ok) {
        match (line.get(..1), line.get(1..).and_then(|id| id.parse().ok())) {
            (Some("+"), Some(id)) => groups.insert(id),
            (Some("-"), Some(id)) => groups.remove(&id),
            (Some("t"), Some(byte)) => {
                held.extend(u8::try_from(byte));
                true
            }
            (Some("g"), Some(byte)) => {
                let at = held.iter().position(|one| i32::from(*one) == byte);
                at.map(|at| held.swap_remove(at)).is_some()
            }
            (Some("."), _) => return,
            _ => false,
        };
    }
    for group in groups
        .into_iter()
        .filter_map(imgmake_guard::program::group_of)
    {
        // A group that is gone already is what was wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Some(lock) = lock {
        lock_holders::stop(lock);
    }
    // Last: what held them no longer works.
    if let Some(path) = tokens {
        jobserver::give_back(path, &held);
    }
}
