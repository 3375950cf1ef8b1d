//! The chroot isolation: real root that may neither unshare nor mount. The command runs
//! in a directory of its own; isolation is weaker, and the log says so.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::command::{exit_code, run_command};
use super::device_group::{self, Join};
use super::direct_mount_points::CHROOT_NODES;
use super::error::{During as _, Result, SandboxError};
use super::mount_substitutes::PlacedAll;
use super::plan::{Network, Plan, Root};
use super::system::{self, Forked};
use imgmake_guard::program::process_of;

pub(super) fn exec_plan(plan: &Plan, join: Option<&Join>, control: &UnixStream) -> Result<i32> {
    // Without a pid namespace the kernel ends nobody but the processes that ask for
    // it, so this one has to outlive whoever is killed above it, and clean up: it
    // learns of that by the end of `control`. A signal for the whole group, or for
    // the terminal's, is not for it.
    system::outlive_parent()?;
    let _ = rustix::process::setsid();
    let directory = own_directory(plan)?;
    if plan.network == Network::Isolated {
        return Err(SandboxError::Unsupported(
            "`network isolated` needs namespaces, which the chroot isolation does not have; \
             `imgmake doctor` says how to get another"
                .into(),
        ));
    }
    if plan.network == Network::None {
        return Err(SandboxError::Unsupported(
            "`--network=none` needs namespaces, which the chroot isolation does not have".into(),
        ));
    }
    let mut placed = PlacedAll::new(plan)?;
    placed.place(directory, plan, &CHROOT_NODES)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let code = match device_group::fork(join)? {
        Forked::Child => system::exit_now(enter(directory, plan, control)),
        Forked::Parent(pid) => supervise(pid, control),
    };
    kill_everything(Strays::All);
    let removed = placed.remove();
    let code = code?;
    removed?;
    Ok(code)
}

/// The directory that a plan without overlay changes in place.
fn own_directory(plan: &Plan) -> Result<&Path> {
    match &plan.root {
        Root::Directory(directory) => Ok(directory),
        Root::Overlay { .. } => Err(SandboxError::Unsupported(
            "the chroot isolation cannot mount an overlay".into(),
        )),
    }
}

/// Waits for the command and reaps what it leaves on the way; kills it when the
/// other end of `control` closes.
fn supervise(command: Pid, control: &UnixStream) -> Result<i32> {
    const REAP_EVERY: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 300_000_000,
    };
    let exited = rustix::process::pidfd_open(command, PidfdFlags::empty())
        .during("cannot watch the command (pidfd_open needs Linux 5.3)")?;
    let mut killed = false;
    loop {
        let mut watched = vec![PollFd::new(&exited, PollFlags::IN)];
        if !killed {
            watched.push(PollFd::new(control, PollFlags::IN | PollFlags::HUP));
        }
        match rustix::event::poll(&mut watched, Some(&REAP_EVERY)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !killed && !watched[1].revents().is_empty() {
            let _ = rustix::process::pidfd_send_signal(&exited, Signal::KILL);
            killed = true;
        }
        while let Some((pid, status)) = rustix::process::wait(WaitOptions::NOHANG)? {
            if pid == command {
                return Ok(exit_code(status));
            }
        }
    }
}

fn enter(directory: &Path, plan: &Plan, control: &UnixStream) -> i32 {
    use std::io::Write;
    let entered = || -> Result<()> {
        system::die_with_parent()?;
        rustix::process::umask(rustix::fs::Mode::from(0o022));
        rustix::process::chroot(directory).during("cannot chroot")?;
        rustix::process::chdir("/")?;
        // Where the container forbids it, it forbids looking into keyrings as well.
        system::join_new_keyring();
        Ok(())
    };
    if let Err(error) = entered() {
        drop((&mut &*control).write_all(format!("{error:#}").as_bytes()));
        return 125;
    }
    run_command(plan, control)
}

/// Which of this process's children are processes that a command left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strays {
    All,
    /// Those that run another program than this process.
    OfOtherPrograms,
}

/// Kills what fell to the helper process because the process that looked after a
/// command was itself killed. For helpers that are their processes' subreaper.
pub fn kill_strays() {
    kill_everything(Strays::OfOtherPrograms);
}

/// The helper process of this isolation is where orphans end up.
///
/// # Errors
/// Never on Linux.
pub fn become_subreaper() -> Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// Kills processes that have their root at or below `directory`: those of a run whose
/// every process that could have cleaned up was killed.
pub fn kill_rooted_in(directory: &Path) {
    loop {
        let rooted = |pid: &Pid| {
            let root = std::fs::read_link(format!("/proc/{}/root", pid.as_raw_nonzero()));
            root.is_ok_and(|root| root.starts_with(directory))
        };
        let found: Vec<Pid> = all_processes().filter(rooted).collect();
        let killed = |pid: &Pid| rustix::process::kill_process(*pid, Signal::KILL).is_ok();
        if !found.iter().any(killed) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Processes that a command left behind are this one's children now.
fn kill_everything(which: Strays) {
    let own = rustix::process::getpid();
    loop {
        // Nobody there, which is the rule, is known without a look at every process.
        // The helper's other children are for its threads to wait for.
        if which == Strays::All
            && matches!(
                rustix::process::wait(WaitOptions::NOHANG),
                Err(rustix::io::Errno::CHILD)
            )
        {
            return;
        }
        let strays = match which {
            Strays::All => children_of(own),
            Strays::OfOtherPrograms => left_below(own),
        };
        if strays.is_empty() && which == Strays::OfOtherPrograms {
            return;
        }
        for pid in &strays {
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
        match which {
            // Thousands may have ended at once: a look at every process for each would
            // take as long as they are many, squared.
            Strays::All => {
                let _ = rustix::process::wait(WaitOptions::empty());
                while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
            }
            Strays::OfOtherPrograms => {
                for pid in strays {
                    // Those that are not yet this process's children are waited for when
                    // they are found again.
                    drop(system::wait_for(pid));
                }
            }
        }
    }
}

/// Processes that run another program than this one, and fell to it, or are about to:
/// below dead processes and below each other. What is below a living process of this
/// program is looked after by that.
fn left_below(own: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = all_processes()
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = Vec::new();
    let mut above = vec![own];
    while let Some(parent) = above.pop() {
        for (pid, _) in parents.iter().filter(|(_, of)| *of == parent) {
            match state(*pid) {
                State::Dead => above.push(*pid),
                State::OtherProgram => {
                    above.push(*pid);
                    found.push(*pid);
                }
                State::OurProgram => {}
            }
        }
    }
    found
}

enum State {
    /// A zombie, which is for others to wait for, or gone.
    Dead,
    OurProgram,
    OtherProgram,
}

fn state(pid: Pid) -> State {
    let program = |of: &str| std::fs::metadata(format!("/proc/{of}/exe"));
    let pid = pid.as_raw_nonzero().to_string();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    if status.is_empty() || status.contains("\nState:\tZ") {
        return State::Dead;
    }
    match (program("self"), program(&pid)) {
        (Ok(own), Ok(theirs)) if (own.dev(), own.ino()) == (theirs.dev(), theirs.ino()) => {
            State::OurProgram
        }
        // Of another user, whose program may not be looked at, too.
        _ => State::OtherProgram,
    }
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:\t"))?;
    process_of(parent.trim().parse().ok()?)
}

fn all_processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| process_of(entry.ok()?.file_name().to_str()?.parse().ok()?))
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &Pid| parent_of(*pid) == Some(parent);
    all_processes().filter(is_child).collect()
}
