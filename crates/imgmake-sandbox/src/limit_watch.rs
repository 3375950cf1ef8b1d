//! Holds one command to its limits: a thread reads the kernel's counters, measures itself what no
//! control group enforces, and kills the whole command at a limit.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;
use rustix::thread::LinkNameSpaceType;

use super::IsolationMode;
use super::cgroup::{Cgroup, Controller, Member};
use super::error::{During as _, Result, SandboxError};
use super::limits::{Exceeded, Limit, Limits};
use super::plan::{MountKind, Plan, Root};
use super::usage::{self, Processes, Trees};

/// Everything that a plan's command may grow on disk.
fn writable_directories(plan: &Plan) -> Vec<PathBuf> {
    let mut directories = match &plan.root {
        Root::Overlay { upper, work, .. } => vec![upper.clone(), work.clone()],
        Root::Directory(directory) => vec![directory.clone()],
    };
    for mount in &plan.mounts {
        if let MountKind::Bind {
            source,
            readonly: false,
        } = &mount.kind
        {
            directories.push(source.clone());
        }
    }
    directories
}

/// A command that has limits, before it begins.
pub(super) struct Watch {
    limits: Limits,
    isolation: IsolationMode,
    group: Cgroup,
    trees: Option<Trees>,
}

/// One that is being watched; the thread ends with the command.
pub(super) struct Watching(JoinHandle<Result<()>>);

impl Watch {
    /// `setup` is the process that waits for the plan: it and what it starts is held.
    ///
    /// # Errors
    /// A limit that cannot be enforced here.
    pub(super) fn new(plan: &Plan, limits: &Limits, setup: Pid) -> Result<Watch> {
        let mut group = Cgroup::new(limits, own_processes(plan.isolation));
        group.join(setup);
        let trees = match limits.disk {
            Some(_) => Some(Trees::open(&writable_directories(plan))?),
            None => None,
        };
        Processes::below(setup)?;
        Ok(Watch {
            limits: *limits,
            isolation: plan.isolation,
            group,
            trees,
        })
    }

    /// The directory of version 2 that holds the command, if one does.
    pub(super) fn unified_group(&self) -> Option<Arc<Member>> {
        self.group.unified()
    }

    /// Begins with the clock. `gone` becomes readable when `setup` is gone; closing
    /// `control` has it kill the command.
    ///
    /// # Errors
    /// Out of threads or memory; a tree that cannot be read.
    pub(super) fn start(self, setup: Pid, gone: OwnedFd, control: UnixStream) -> Result<Watching> {
        let before = match &self.trees {
            Some(trees) => trees.bytes()?,
            None => 0,
        };
        let mut observer = Observer {
            deadline: self.limits.time.map(|time| Instant::now() + time),
            own: own_processes(self.isolation) - 1,
            segments_before: match self.isolation {
                IsolationMode::Chroot => usage::shared_segments(),
                _ => 0,
            },
            swap: usage::can_swap(),
            disk: Disk {
                before,
                used: 0,
                free: self.trees.as_ref().map_or(0, Trees::free),
                next: Instant::now(),
            },
            inside: None,
            watch: self,
            setup,
            gone,
            control,
        };
        let thread = std::thread::Builder::new()
            .name("limits".to_string())
            .spawn(move || observer.observe())
            .during("cannot start a thread")?;
        Ok(Watching(thread))
    }
}

impl Watching {
    /// To be called when the command is gone.
    ///
    /// # Errors
    /// [`Exceeded`], or what made watching impossible.
    pub(super) fn verdict(self) -> Result<()> {
        self.0.join().unwrap_or_else(|_| {
            Err(SandboxError::Vanished {
                what: "the thread that watches a command".into(),
            })
        })
    }
}

/// The set-up process, and the init where there is one.
fn own_processes(isolation: IsolationMode) -> u64 {
    match isolation {
        IsolationMode::Chroot => 1,
        _ => 2,
    }
}

struct Observer {
    watch: Watch,
    setup: Pid,
    gone: OwnedFd,
    control: UnixStream,
    deadline: Option<Instant>,
    /// Processes below the set-up process that are not the command's.
    own: u64,
    /// Of others, where the command has no IPC namespace of its own.
    segments_before: u64,
    swap: bool,
    disk: Disk,
    /// The init, once this thread is in its IPC namespace.
    inside: Option<Pid>,
}

struct Disk {
    before: u64,
    /// When the trees were last walked: bytes, and what was free then.
    used: u64,
    free: u64,
    /// Not to be walked again before.
    next: Instant,
}

impl Drop for Observer {
    /// Unwatched, it must not go on.
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.control.shutdown(std::net::Shutdown::Both));
        }
    }
}

/// Between looks at counters of the kernel.
const COUNTERS_EVERY: Duration = Duration::from_millis(100);
/// Between looks at processes; a look takes a tenth of the time at most.
const PROCESSES_EVERY: Duration = Duration::from_millis(10);
const SHARE_OF_TIME: u32 = 10;
/// Trees are walked this often even if nothing else shows that they grow.
const TREES_EVERY: Duration = Duration::from_secs(2);

impl Observer {
    fn observe(&mut self) -> Result<()> {
        let mut pause = self.shortest_pause();
        while !self.is_gone_within(pause)? {
            let begun = Instant::now();
            match self.exceeded() {
                Ok(None) => {}
                Ok(Some(limit)) => {
                    self.kill()?;
                    return Err(Exceeded(limit).into());
                }
                Err(error) => {
                    // Unwatched, it must not go on.
                    self.kill()?;
                    return Err(error);
                }
            }
            pause = self.shortest_pause().max(begun.elapsed() * SHARE_OF_TIME);
        }
        // What it did since the last look.
        if let Some(limit) = self.watch.group.exceeded() {
            return Err(Exceeded(limit).into());
        }
        match (self.watch.limits.disk, &self.watch.trees) {
            (Some(limit), Some(trees))
                if trees.bytes()?.saturating_sub(self.disk.before) > limit =>
            {
                Err(Exceeded(Limit::Disk(limit)).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the kernel holds everything that is not the clock's.
    fn only_counts(&self) -> bool {
        let Limits {
            memory,
            processes,
            disk,
            time: _,
        } = self.watch.limits;
        let group = &self.watch.group;
        disk.is_none()
            && (memory.is_none() || group.holds(Controller::Memory))
            && (processes.is_none() || group.holds(Controller::Processes))
    }

    fn shortest_pause(&self) -> Duration {
        match self.only_counts() {
            true => COUNTERS_EVERY,
            false => PROCESSES_EVERY,
        }
    }

    fn is_gone_within(&self, pause: Duration) -> Result<bool> {
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let pause = left.map_or(pause, |left| pause.min(left));
        let timeout = Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(pause.subsec_nanos()),
        };
        let mut watched = [PollFd::new(&self.gone, PollFlags::IN)];
        match rustix::event::poll(&mut watched, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn exceeded(&mut self) -> Result<Option<Limit>> {
        let limits = self.watch.limits;
        if let Some(time) = limits.time
            && self.deadline.is_some_and(|at| Instant::now() >= at)
        {
            return Ok(Some(Limit::Time(time)));
        }
        if let Some(limit) = self.watch.group.exceeded() {
            return Ok(Some(limit));
        }
        if self.only_counts() {
            return Ok(None);
        }
        let Ok(processes) = Processes::below(self.setup) else {
            // It is gone this moment.
            return Ok(None);
        };
        if let Some(count) = limits.processes
            && !self.watch.group.holds(Controller::Processes)
            && processes.threads() > count + self.own
        {
            return Ok(Some(Limit::Processes(count)));
        }
        let (files, deleted) = self.files(&processes);
        if let Some(bytes) = limits.memory
            && !self.watch.group.holds(Controller::Memory)
            && (self.swap || processes.at_most() + files > bytes)
            && processes.memory(files) > bytes
        {
            return Ok(Some(Limit::Memory(bytes)));
        }
        self.disk_exceeded(files + deleted)
    }

    /// Bytes in memory files of every kind; bytes of deleted files on disk.
    fn files(&mut self, processes: &Processes) -> (u64, u64) {
        let (memory, disk) = processes.deleted_files();
        if self.watch.isolation == IsolationMode::Chroot {
            let segments = usage::shared_segments().saturating_sub(self.segments_before);
            return (memory + segments, disk);
        }
        let Some(init) = processes.pids().next() else {
            return (memory, disk);
        };
        let mut files = memory + usage::memory_file_systems(init);
        if self.inside == Some(init) || enter_ipc(init) {
            self.inside = Some(init);
            files += usage::shared_segments();
        }
        (files, disk)
    }

    /// The trees are walked when as much space is gone as they may still take, and now and then.
    fn disk_exceeded(&mut self, elsewhere: u64) -> Result<Option<Limit>> {
        let (Some(limit), Some(trees)) = (self.watch.limits.disk, &self.watch.trees) else {
            return Ok(None);
        };
        let free = trees.free();
        let disk = &mut self.disk;
        let now = Instant::now();
        let suspected = disk.used + elsewhere + disk.free.saturating_sub(free);
        let due = now >= disk.next + TREES_EVERY;
        if now < disk.next || (suspected <= limit && !due) {
            return Ok(None);
        }
        disk.used = trees.bytes()?.saturating_sub(disk.before);
        disk.free = free;
        disk.next = Instant::now() + now.elapsed() * SHARE_OF_TIME;
        Ok((disk.used + elsewhere > limit).then_some(Limit::Disk(limit)))
    }

    /// Until nothing of it is left.
    fn kill(&self) -> Result<()> {
        drop(self.control.shutdown(std::net::Shutdown::Both));
        loop {
            // No pid namespace ends them all at once: whatever they start meanwhile is
            // killed in the next round.
            if self.watch.isolation == IsolationMode::Chroot
                && let Ok(processes) = Processes::below(self.setup)
            {
                processes.kill(self.setup);
            }
            let pause = Timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            };
            let mut watched = [PollFd::new(&self.gone, PollFlags::IN)];
            match rustix::event::poll(&mut watched, Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Takes this thread to where the shared memory segments of a command are.
fn enter_ipc(pid: Pid) -> bool {
    use std::os::fd::AsFd;
    let path = format!("/proc/{}/ns/ipc", pid.as_raw_nonzero());
    let own = std::fs::read_link("/proc/thread-self/ns/ipc");
    match (own, std::fs::read_link(&path)) {
        (Ok(own), Ok(theirs)) if own != theirs => {}
        _ => return false,
    }
    std::fs::File::open(path).is_ok_and(|file| {
        let kind = Some(LinkNameSpaceType::InterProcessCommunication);
        rustix::thread::move_into_link_name_space(file.as_fd(), kind).is_ok()
    })
}
