//! Starting the process that carries out one plan, from the helper process.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};

use super::device_group::DeviceGroup;
use super::error::{During as _, Result, SandboxError};
use super::limit_watch::{Watch, Watching};
use super::limits::Limits;
use super::network::{self, Connected};
use super::{ARGV0, IsolationMode, Network, Plan};

/// A plan that is being carried out. Dropping it kills everything.
pub struct Running {
    child: Child,
    control: UnixStream,
    pub stdout: ChildStdout,
    /// `None` on a terminal, where everything goes but the set-up's own end of the output.
    pub stderr: Option<ChildStderr>,
    /// Readable once the process that carries the plan out is gone.
    pub gone: OwnedFd,
    watching: Option<Watching>,
    network: Option<Connected>,
    /// Removed when the process is gone.
    devices: Option<DeviceGroup>,
}

/// Starts `program` (imgmake itself) for one plan. The thread that calls must
/// outlive the command, which is killed when this thread ends.
///
/// # Errors
/// The process cannot be started; a limit cannot be enforced here.
pub fn start(program: &Path, plan: &Plan, limits: &Limits) -> Result<Running> {
    let errors = match &plan.terminal {
        None => Stdio::piped(),
        Some(terminal) => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(terminal, flags, Mode::empty());
            Stdio::from(opened.with_during(|| format!("cannot open `{}`", terminal.display()))?)
        }
    };
    let (control, theirs) = UnixStream::pair().during("cannot make a socket")?;
    let mut child = imgmake_guard::program::ourselves(program)
        .arg0(ARGV0)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .during("cannot start the process that sets up a sandbox")?;
    let stdout = child.stdout.take().expect("stdout was asked for");
    let stderr = child.stderr.take();
    let pid = Pid::from_child(&child);
    let gone = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    let mut running = Running {
        child,
        control,
        stdout,
        stderr,
        gone: gone.during("cannot watch a sandbox (pidfd_open needs Linux 5.3)")?,
        watching: None,
        network: None,
        devices: None,
    };
    let mut unified = None;
    if !limits.is_none() {
        // Before it has its plan, so that nothing of the command is outside.
        let watch = Watch::new(plan, limits, pid)?;
        unified = watch.unified_group();
        let (gone, control) = (running.gone.try_clone()?, running.control.try_clone()?);
        running.watching = Some(watch.start(pid, gone, control)?);
    }
    // Where there is no device controller, `nodev` and the capabilities hold alone; `doctor` says so.
    running.devices = DeviceGroup::new(plan, unified).ok();
    let join = running.devices.as_ref().and_then(DeviceGroup::join);
    let encoded = postcard::to_stdvec(&(plan, join)).map_err(|error| SandboxError::Invalid {
        what: "plan",
        reason: error.to_string(),
    })?;
    let length = u32::try_from(encoded.len()).map_err(|_| SandboxError::Limit {
        what: "bytes of a plan",
        limit: u32::MAX as usize,
    })?;
    let begun = running.begin(length, &encoded, plan, pid);
    match (begun, running.watching.take()) {
        (Err(error), Some(watching)) => {
            // A limit may be so small that it ended before it began.
            drop(running);
            watching.verdict()?;
            Err(error)
        }
        (Err(error), None) => Err(error),
        (Ok(()), watching) => {
            running.watching = watching;
            Ok(running)
        }
    }
}

impl Running {
    fn begin(&mut self, length: u32, encoded: &[u8], plan: &Plan, pid: Pid) -> Result<()> {
        self.control.write_all(&length.to_le_bytes())?;
        self.control.write_all(encoded)?;
        if plan.network == Network::Isolated && plan.isolation != IsolationMode::Chroot {
            self.network = Some(network::connect(pid)?);
        }
        Ok(())
    }

    /// A handle by which another thread can kill it.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn killer(&self) -> Result<impl Fn() + Send + use<>> {
        let control = self.control.try_clone()?;
        Ok(move || drop(control.shutdown(Shutdown::Both)))
    }

    /// Whether it was killed before it could clean up; to be asked when it is gone.
    pub fn was_killed(&mut self) -> bool {
        let status = self.child.try_wait().ok().flatten();
        status.is_some_and(|status| status.code().is_none())
    }

    /// Why the program that connects an isolated network has ended, if it has: nobody but
    /// this process ends it, when it is dropped.
    pub fn lost_network(&mut self) -> Option<String> {
        self.network.as_mut().and_then(Connected::lost)
    }

    /// The command's exit code, once all its processes are gone; to be called
    /// when its output has ended.
    ///
    /// # Errors
    /// [`SandboxError::SetUp`]: the sandbox could not be made. [`SandboxError::Exceeded`]: the
    /// command went beyond a limit.
    pub fn wait(mut self) -> Result<i32> {
        let mut report = String::new();
        // A killed sandbox has closed its end already.
        drop((&self.control).take(64 << 10).read_to_string(&mut report));
        let status = self.child.wait().during("cannot wait for the sandbox")?;
        if let Some(watching) = self.watching.take() {
            watching.verdict()?;
        }
        if !report.is_empty() {
            return Err(SandboxError::SetUp(report));
        }
        match status.code() {
            Some(code) => Ok(code),
            None => Err(SandboxError::Killed(status)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.control.shutdown(Shutdown::Both));
        drop(self.child.wait());
        // Nothing is in it any more.
        drop(self.devices.take());
    }
}
