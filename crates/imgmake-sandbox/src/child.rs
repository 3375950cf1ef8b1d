//! The process made for one plan, and its init.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::command::{FAILED, exit_code, run_command};
use super::device_group::{self, Join};
use super::error::{During as _, Result, SandboxError};
use super::plan::{Network, Plan};
use super::system::{self, Forked};
use super::{IsolationMode, chrooted, mount, network};

/// Reads a plan from descriptor 0, carries it out and exits as its command does.
/// A failure of the set-up is written back as text.
pub fn run_plan() -> ! {
    let code = match take_over() {
        Ok((control, plan, join)) => match exec_plan(&plan, join.as_ref(), &control) {
            Ok(code) => code,
            Err(error) => {
                drop((&control).write_all(format!("{error:#}").as_bytes()));
                FAILED
            }
        },
        Err(_) => FAILED,
    };
    system::exit_now(code)
}

fn take_over() -> Result<(UnixStream, Plan, Option<Join>)> {
    system::die_with_parent()?;
    system::hide_memory()?;
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    system::close_other_descriptors(3);
    let mut control = UnixStream::from(control);
    let mut length = [0; 4];
    control.read_exact(&mut length)?;
    let mut plan = vec![0; u32::from_le_bytes(length) as usize];
    control.read_exact(&mut plan)?;
    let (plan, join) = postcard::from_bytes(&plan).map_err(|error| SandboxError::Invalid {
        what: "plan",
        reason: error.to_string(),
    })?;
    Ok((control, plan, join))
}

fn exec_plan(plan: &Plan, join: Option<&Join>, control: &UnixStream) -> Result<i32> {
    if plan.isolation == IsolationMode::Chroot {
        return chrooted::exec_plan(plan, join, control);
    }
    let mut flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if plan.network.is_own() {
        flags |= UnshareFlags::NEWNET;
    }
    system::unshare(flags).during("cannot make the namespaces of a sandbox")?;
    let (gate, opener) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match device_group::fork(join)? {
        Forked::Child => {
            drop(opener);
            let code = match init(plan, gate, control) {
                Ok(code) => code,
                Err(error) => {
                    drop((&mut &*control).write_all(format!("{error:#}").as_bytes()));
                    FAILED
                }
            };
            system::exit_now(code)
        }
        Forked::Parent(init) => {
            drop(gate);
            rustix::io::write(&opener, b"g")?;
            supervise(init, control)
        }
    }
}

/// Waits for `child`, and kills it when the other end of `control` closes.
fn supervise(child: Pid, control: &UnixStream) -> Result<i32> {
    let exited = rustix::process::pidfd_open(child, PidfdFlags::empty())
        .during("cannot watch the command (pidfd_open needs Linux 5.3)")?;
    loop {
        let mut watched = [
            PollFd::new(&exited, PollFlags::IN),
            PollFd::new(control, PollFlags::IN | PollFlags::HUP),
        ];
        match rustix::event::poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !watched[0].revents().is_empty() {
            break;
        }
        if !watched[1].revents().is_empty() {
            let _ = rustix::process::pidfd_send_signal(&exited, Signal::KILL);
            break;
        }
    }
    // The init of a pid namespace is gone only after everything in it.
    Ok(exit_code(system::wait_for(child)?))
}

/// Process 1 of the sandbox: makes the file system, starts the command, reaps what
/// is left to it; the kernel kills everything else as it exits.
fn init(plan: &Plan, gate: OwnedFd, control: &UnixStream) -> Result<i32> {
    system::die_with_parent()?;
    // If the parent died before the line above, the gate is closed without a word.
    let mut word = [0; 1];
    if rustix::io::read(&gate, &mut word)? == 0 {
        return Ok(FAILED);
    }
    drop(gate);
    if plan.network == Network::Isolated {
        network::close_off()?;
    }
    rustix::process::umask(Mode::empty());
    mount::build(plan)?;
    rustix::process::umask(Mode::from(0o022));
    rustix::system::sethostname(plan.hostname.as_bytes()).during("cannot set the host name")?;
    if plan.network == Network::None {
        system::loopback_up();
    }
    system::join_new_keyring();
    match system::fork()? {
        Forked::Child => system::exit_now(run_command(plan, control)),
        Forked::Parent(pid) => reap_until(pid),
    }
}

fn reap_until(command: Pid) -> Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => return Ok(exit_code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).during("cannot wait for the command"),
        }
    }
}
