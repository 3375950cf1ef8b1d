//! Turns a process of a finished sandbox into the command that the plan names: user,
//! input, working directory, environment, program.
//!
//! Knows the plan and the root that it runs in. Knows nothing of how either was made.

use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::WaitStatus;

use super::error::{During as _, Result, SandboxError};
use super::plan::Plan;
use super::restrict::restrict;
use super::user::{self, Identity};
use super::{emulator, system};
use imgmake_guard::confined;
use imgmake_guard::modes::{self, VISIBLE};

pub(super) const FAILED: i32 = 125;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => FAILED,
    }
}

/// Becomes the command; gives an exit code only if it cannot.
pub(super) fn run_command(plan: &Plan, control: &UnixStream) -> i32 {
    match prepare_command(plan) {
        Ok(Prepared { program, argv, env }) => {
            let error = system::execute(&program, &argv, &env);
            let why = emulator::why_not(&program, &error).unwrap_or_else(|| error.to_string());
            let help = match program == Path::new("/bin/sh") && !program.exists() {
                true => {
                    "; the image has no shell: use a base image with one, or `RUN [\"PROGRAM\"]`"
                }
                false => "",
            };
            complain(&format!(
                "cannot execute `{}`: {why}{help}",
                program.display()
            ));
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
    SetUp(SandboxError),
}

impl<E: Into<SandboxError>> From<E> for Refused {
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
        .with_during(|| format!("cannot enter the working directory `{}`", plan.workdir))?;
    let invalid = |reason: &str| SandboxError::Invalid {
        what: "command",
        reason: reason.into(),
    };
    let name = plan.argv.first().ok_or_else(|| invalid("it is empty"))?;
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let program = find_program(name, path.map_or("", |(_, path)| path))
        .ok_or_else(|| Refused::NotFound(format!("`{name}` is not in the image's PATH")))?;
    let c_string = |text: String| CString::new(text).map_err(|_| invalid("a NUL byte in it"));
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
    // As runc has it: an empty one counts as none.
    env.retain(|(name, value)| name != "HOME" || !value.is_empty());
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
        .during("cannot connect the terminal")
}

fn connect_input(stdin: Option<&[u8]>) -> Result<()> {
    let input = match stdin {
        None => open_null()?,
        Some(bytes) => {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let mut file = std::fs::File::from(rustix::fs::memfd_create("stdin", flags)?);
            file.write_all(bytes)?;
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
            file.into()
        }
    };
    rustix::stdio::dup2_stdin(input.as_fd()).during("cannot connect the input")
}

/// Resolved by hand: `mkdir -p` through the image's links must stay in it, which
/// after the change of root it does by itself.
fn make_workdir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    modes::make_dirs(path, VISIBLE)
        .with_during(|| format!("cannot make the working directory `{}`", path.display()))
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

/// An open `/dev/null` of the new root, for a command without input.
fn open_null() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty()).during("cannot open /dev/null")
}
