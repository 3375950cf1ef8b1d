//! The process made for one plan, its init, and the command itself.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::device_group::{self, Join};
use super::plan::{Network, Plan, Root};
use super::system::{self, Forked};
use super::user::{self, Identity};
use super::{Tier, chrooted, emulator, filter, mount, network, privileges};
use imgmake_guard::confined;
use imgmake_guard::modes::{self, VISIBLE};

const FAILED: i32 = 125;
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Reads a plan from descriptor 0, carries it out and exits as its command does.
/// A failure of the set-up is written back as text.
pub fn run_plan() -> ! {
    let code = match take_over() {
        Ok((control, plan, join)) => match carry_out(&plan, join.as_ref(), &control) {
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
    let (plan, join) = postcard::from_bytes(&plan)?;
    Ok((control, plan, join))
}

fn carry_out(plan: &Plan, join: Option<&Join>, control: &UnixStream) -> Result<i32> {
    if plan.tier == Tier::Chroot {
        return chrooted::carry_out(plan, join, control);
    }
    let mut flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if plan.network.is_own() {
        flags |= UnshareFlags::NEWNET;
    }
    system::unshare(flags).context("cannot make the namespaces of a sandbox")?;
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
        .context("cannot watch the command (pidfd_open needs Linux 5.3)")?;
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

pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => FAILED,
    }
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
    rustix::system::sethostname(plan.hostname.as_bytes()).context("cannot set the host name")?;
    if plan.network == Network::None {
        system::loopback_up();
    }
    system::join_new_keyring();
    match system::fork()? {
        Forked::Child => system::exit_now(command(plan, control)),
        Forked::Parent(pid) => reap_until(pid),
    }
}

fn reap_until(command: Pid) -> Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => return Ok(exit_code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => bail!("lost the command: {error}"),
        }
    }
}

/// Becomes the command; gives an exit code only if it cannot.
pub(super) fn command(plan: &Plan, control: &UnixStream) -> i32 {
    match prepare_command(plan) {
        Ok(Prepared { program, argv, env }) => {
            let error = system::execute(&program, &argv, &env);
            let why = emulator::why_not(&program, &error).unwrap_or_else(|| error.to_string());
            complain(&format!("cannot execute `{}`: {why}", program.display()));
            // As shells have it: found, and not executable.
            match program.exists() {
                true => 126,
                false => 127,
            }
        }
        Err(Refused::NotFound(text)) => {
            complain(&text);
            127
        }
        Err(Refused::SetUp(error)) => {
            drop((&mut &*control).write_all(format!("{error:#}").as_bytes()));
            FAILED
        }
    }
}

pub(super) fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "imgmake: {text}"));
}

struct Prepared {
    program: PathBuf,
    argv: Vec<CString>,
    env: Vec<CString>,
}

enum Refused {
    /// The image's fault: an exit code, not a failure of the sandbox.
    NotFound(String),
    SetUp(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Refused {
    fn from(error: E) -> Refused {
        Refused::SetUp(error.into())
    }
}

fn prepare_command(plan: &Plan) -> Result<Prepared, Refused> {
    let identity = identify(plan)?;
    let _ = rustix::process::setsid();
    system::default_signals();
    match plan.terminal {
        Some(_) => connect_terminal()?,
        None => connect_input(plan.stdin.as_deref())?,
    }
    make_workdir(Path::new(&plan.workdir))?;
    let environment = environment(plan, &identity);
    restrict(plan, &identity)?;
    rustix::process::chdir(&*plan.workdir)
        .with_context(|| format!("cannot enter the working directory `{}`", plan.workdir))?;
    let name = plan.argv.first().context("the command is empty")?;
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let program = find_program(name, path.map_or("", |(_, path)| path))
        .ok_or_else(|| Refused::NotFound(format!("`{name}` is not in the image's PATH")))?;
    let c_string = |text: String| CString::new(text).context("a NUL byte in the command");
    Ok(Prepared {
        program,
        argv: plan
            .argv
            .iter()
            .cloned()
            .map(c_string)
            .collect::<Result<_>>()?,
        env: environment
            .into_iter()
            .map(|(name, value)| c_string(format!("{name}={value}")))
            .collect::<Result<_>>()?,
    })
}

fn identify(plan: &Plan) -> Result<Identity> {
    const LIMIT: u64 = 16 << 20;
    let root = confined::open_root(Path::new("/"))?;
    let text = |path: &str| -> Result<String> {
        let bytes = confined::read_file(&root, Path::new(path), LIMIT).unwrap_or(None);
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    user::identify(&plan.user, &text("/etc/passwd")?, &text("/etc/group")?)
}

fn environment(plan: &Plan, identity: &Identity) -> Vec<(String, String)> {
    let mut env = plan.env.clone();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", &identity.home)] {
        if !env.iter().any(|(n, _)| n == name) {
            env.push((name.to_string(), value.to_string()));
        }
    }
    env
}

/// The terminal came as the standard error; it becomes the session's own.
fn connect_terminal() -> Result<()> {
    let terminal = rustix::stdio::stderr();
    rustix::stdio::dup2_stdin(terminal)
        .and_then(|()| rustix::stdio::dup2_stdout(terminal))
        .and_then(|()| rustix::process::ioctl_tiocsctty(terminal))
        .context("cannot connect the terminal")
}

fn connect_input(stdin: Option<&[u8]>) -> Result<()> {
    let input = match stdin {
        None => mount::open_null()?,
        Some(bytes) => {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let mut file = std::fs::File::from(rustix::fs::memfd_create("stdin", flags)?);
            file.write_all(bytes)?;
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
            file.into()
        }
    };
    rustix::stdio::dup2_stdin(input.as_fd()).context("cannot connect the input")
}

/// Resolved by hand: `mkdir -p` through the image's links must stay in it, which
/// after the change of root it does by itself.
fn make_workdir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    modes::make_dirs(path, VISIBLE)
        .with_context(|| format!("cannot make the working directory `{}`", path.display()))
}

fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let executable = |path: &PathBuf| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    path.split(':')
        .map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(name))
        .find(executable)
}

/// Filter, ids, capabilities. The filter comes first: without `no_new_privs` loading
/// it needs a capability that the command does not get.
fn restrict(plan: &Plan, identity: &Identity) -> Result<()> {
    if plan.tier == Tier::Chroot {
        return chrooted::restrict(identity);
    }
    if plan.tier == Tier::SingleId {
        become_single(identity)?;
    }
    if !plan.insecure {
        filter::load_default().context("cannot load the system call filter")?;
        let mut keep = privileges::capabilities(plan.tier);
        if plan.network == Network::Isolated {
            // Packets of its own making would pass the routes.
            keep -= CapabilitySet::NET_RAW;
        }
        drop_capabilities(keep)?;
    }
    if plan.tier == Tier::SingleId {
        if identity.uid != 0 {
            set_capabilities(CapabilitySet::empty())?;
        }
        return Ok(());
    }
    become_user(identity)
}

/// The one id that there is gets the number that the command asks for.
fn become_single(identity: &Identity) -> Result<()> {
    if (identity.uid, identity.gid) != (0, 0) {
        system::unshare(UnshareFlags::NEWUSER).context("cannot make a user namespace")?;
        super::enter::map_single_id(identity.uid, 0, identity.gid, 0)?;
    }
    filter::load_single_id_answers().context("cannot load the single-id filter")
}

pub(super) fn become_user(identity: &Identity) -> Result<()> {
    use rustix::process::{Gid, Uid};
    let groups: Vec<Gid> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    let told = || {
        format!(
            "cannot become user {}:{} (are these ids mapped here?)",
            identity.uid, identity.gid
        )
    };
    rustix::thread::set_thread_groups(&groups).with_context(told)?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).with_context(told)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).with_context(told)?;
    Ok(())
}

pub(super) fn drop_capabilities(keep: CapabilitySet) -> Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one that this kernel has.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).context("cannot drop capabilities"),
        }
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let have = rustix::thread::capabilities(None)?.permitted;
    set_capabilities(keep & have)
}

fn set_capabilities(set: CapabilitySet) -> Result<()> {
    let sets = CapabilitySets {
        effective: set,
        permitted: set,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).context("cannot set capabilities")
}

/// The directory that a plan without overlay changes in place.
pub(super) fn own_directory(plan: &Plan) -> Result<&Path> {
    match &plan.root {
        Root::Directory(directory) => Ok(directory),
        Root::Overlay { .. } => bail!("this isolation cannot mount an overlay"),
    }
}
