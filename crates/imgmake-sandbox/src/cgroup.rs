//! A control group for one command: the kernel itself holds its memory, the number of
//! its processes and the devices that it opens. Both versions of the interface, whichever
//! has a controller.
//!
//! A group is a directory beside or below this process's own group. Whoever made it
//! holds a lock on the directory for as long as it lives; one that nobody has locked was
//! left by a process that was killed, and the next run removes it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::limits::{Limit, Limits};
use imgmake_guard::program::process_of;

/// What the name of every group of ours begins with.
const PREFIX: &str = "imgmake-run-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// What a group can hold a command to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    Memory,
    Processes,
    /// With version 2 a program takes its place: any group can have one.
    Devices,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Processes => "pids",
            Controller::Devices => "devices",
        }
    }
}

/// A directory in which groups can be made that have a controller.
pub(super) struct Parent {
    pub(super) version: Version,
    pub(super) path: PathBuf,
    /// It is this process's own: a setting there is nobody else's business.
    pub(super) own: bool,
}

/// One directory of a group: with version 1 each controller has its own; with version 2
/// there is one, as a process is in one alone.
pub(super) struct Member {
    pub(super) version: Version,
    pub(super) path: PathBuf,
    /// Says that this process lives.
    _lock: File,
}

pub(super) struct Cgroup {
    memory: Option<(Arc<Member>, u64)>,
    processes: Option<(Arc<Member>, u64)>,
}

impl Cgroup {
    /// A group with those limits that the system lets this process set; the others are
    /// for somebody else to watch. `own` processes of ours are in it besides the command's.
    pub(super) fn new(limits: &Limits, own: u64) -> Cgroup {
        let memory = limits.memory.and_then(|bytes| {
            let member = member(Controller::Memory, None)?;
            member.limit_memory(bytes).ok()?;
            Some((member, bytes))
        });
        let processes = limits.processes.and_then(|count| {
            let member = member(Controller::Processes, memory.as_ref().map(|(m, _)| m))?;
            member.write("pids.max", count + own).ok()?;
            Some((member, count))
        });
        Cgroup { memory, processes }
    }

    /// Takes a process in, and what it will start. Controllers that do not take it are given up.
    pub(super) fn join(&mut self, pid: Pid) {
        for member in [&mut self.memory, &mut self.processes] {
            let joined =
                |member: &Member| member.write("cgroup.procs", pid.as_raw_nonzero()).is_ok();
            if !member.as_ref().is_some_and(|(member, _)| joined(member)) {
                *member = None;
            }
        }
    }

    pub(super) fn holds(&self, controller: Controller) -> bool {
        match controller {
            Controller::Memory => self.memory.is_some(),
            Controller::Processes => self.processes.is_some(),
            Controller::Devices => false,
        }
    }

    /// The directory of version 2, if a command is in one.
    pub(super) fn unified(&self) -> Option<Arc<Member>> {
        let members = [&self.memory, &self.processes];
        let mut members = members.into_iter().flatten().map(|(member, _)| member);
        members.find(|m| m.version == Version::V2).cloned()
    }

    /// The limit that the kernel had to enforce, if it had to.
    pub(super) fn exceeded(&self) -> Option<Limit> {
        if let Some((member, bytes)) = &self.memory
            && member.ran_out_of_memory(*bytes)
        {
            return Some(Limit::Memory(*bytes));
        }
        if let Some((member, count)) = &self.processes
            && member.counter("pids.events", "max") > 0
        {
            return Some(Limit::Processes(*count));
        }
        None
    }
}

impl Member {
    pub(super) fn write(&self, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
        write(&self.path.join(file), value)
    }

    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        match self.version {
            Version::V1 => {
                self.write("memory.limit_in_bytes", bytes)?;
                // Kernels that do not count swap lack it.
                drop(self.write("memory.memsw.limit_in_bytes", bytes));
            }
            Version::V2 => {
                self.write("memory.max", bytes)?;
                drop(self.write("memory.swap.max", 0));
                drop(self.write("memory.oom.group", 1));
            }
        }
        Ok(())
    }

    /// Whether the kernel killed a process for this group's own limit, and not for one above it.
    fn ran_out_of_memory(&self, limit: u64) -> bool {
        // The kernel charges by batches.
        const NEARLY: u64 = 1 << 20;
        match self.version {
            Version::V1 => {
                self.counter("memory.oom_control", "oom_kill") > 0
                    && self.number("memory.max_usage_in_bytes") + NEARLY > limit
            }
            Version::V2 => {
                self.counter("memory.events", "oom_kill") > 0
                    && self.counter("memory.events", "max") > 0
            }
        }
    }

    /// `name 3` in a file of such lines; zero where it is missing.
    fn counter(&self, file: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    }

    fn number(&self, file: &str) -> u64 {
        let text = std::fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Member {
    /// Without a pid namespace, what a command left outlives a set-up process that the
    /// kernel killed for its memory.
    fn kill_what_is_left(&self) {
        let text = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in text.lines().filter_map(|pid| process_of(pid.parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Member {
    /// The last processes leave a group a moment after they are gone.
    fn drop(&mut self) {
        for _ in 0..500 {
            match std::fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    self.kill_what_is_left();
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
        // Still in use: the next helper removes it.
    }
}

/// Whether groups can be made that have this controller, or why not; for `imgmake doctor`
/// and for whoever has to watch instead.
///
/// # Errors
/// The reason.
pub fn has_controller(controller: Controller) -> Result<(), String> {
    let parents = parents(controller);
    if parents.is_empty() {
        return Err(format!(
            "no control group with `{}` is mounted here",
            controller.name()
        ));
    }
    let mut reason = String::new();
    for parent in &parents {
        match make(parent, controller) {
            Ok(_) => return Ok(()),
            Err(error) => reason = format!("`{}`: {error}", parent.path.display()),
        }
    }
    Err(reason)
}

/// Removes the groups that killed runs left: nobody holds their locks.
pub fn remove_left_groups() {
    for controller in [
        Controller::Memory,
        Controller::Processes,
        Controller::Devices,
    ] {
        for parent in parents(controller) {
            let entries = std::fs::read_dir(&parent.path).into_iter().flatten();
            for entry in entries.flatten() {
                let ours = entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(PREFIX.as_bytes());
                if ours
                    && let Ok(directory) = File::open(entry.path())
                    && directory.try_lock().is_ok()
                {
                    // One with processes is refused, and waits for the next run.
                    drop(std::fs::remove_dir(entry.path()));
                }
            }
        }
    }
}

/// A directory with that controller. `other` is one that the command will be in, too.
fn member(controller: Controller, other: Option<&Arc<Member>>) -> Option<Arc<Member>> {
    let parents = parents(controller);
    if let Some(other) = other.filter(|other| other.version == Version::V2)
        && parents.iter().any(|p| p.version == Version::V2)
    {
        let is_its = |parent: &&Parent| other.path.parent() == Some(&parent.path);
        hand_down(parents.iter().find(is_its)?, controller).ok()?;
        return Some(other.clone());
    }
    let made = parents
        .iter()
        .find_map(|parent| make(parent, controller).ok());
    made.map(Arc::new)
}

pub(super) fn make(parent: &Parent, controller: Controller) -> io::Result<Member> {
    if parent.version == Version::V2 && controller != Controller::Devices {
        hand_down(parent, controller)?;
    }
    for _ in 0..100 {
        let path = parent.path.join(next_name());
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        let lock = File::open(&path);
        // Whoever removes what was left may have been faster.
        match lock.and_then(|lock| lock.try_lock().map(|()| lock).map_err(io::Error::from)) {
            Ok(lock) if path.exists() => {
                return Ok(Member {
                    version: parent.version,
                    path,
                    _lock: lock,
                });
            }
            _ => drop(std::fs::remove_dir(&path)),
        }
    }
    Err(io::Error::other("no name is free"))
}

/// Unlikely to be taken; a name that is taken leads to the next.
fn next_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}", std::process::id())
}

/// With version 2 a group's children have the controllers that it hands down.
fn hand_down(group: &Parent, controller: Controller) -> io::Result<()> {
    let file = group.path.join("cgroup.subtree_control");
    let handed = std::fs::read_to_string(&file)?;
    if handed
        .split_whitespace()
        .any(|name| name == controller.name())
    {
        return Ok(());
    }
    if !group.own {
        let text = format!("it does not hand `{}` down", controller.name());
        return Err(io::Error::other(text));
    }
    write(&file, format_args!("+{}", controller.name()))
}

fn write(path: &Path, value: impl std::fmt::Display) -> io::Result<()> {
    use std::io::Write;
    // Never made: a missing file is a missing controller.
    let mut file = File::options().write(true).open(path)?;
    file.write_all(value.to_string().as_bytes())
}

/// Where groups with a controller may be made, best first: this process's own group, and
/// with version 2 also those above it, since a group with processes hands nothing down.
pub(super) fn parents(controller: Controller) -> Vec<Parent> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let first = own_group(&mounts, &groups, Version::V1, controller.name());
    if let Some((path, _)) = first {
        return vec![Parent {
            version: Version::V1,
            path,
            own: true,
        }];
    }
    let Some((path, mount)) = own_group(&mounts, &groups, Version::V2, "") else {
        return Vec::new();
    };
    if controller == Controller::Devices {
        return vec![Parent {
            version: Version::V2,
            path,
            own: true,
        }];
    }
    let above = path
        .ancestors()
        .take_while(|group| group.starts_with(&mount));
    let has = |group: &&Path| {
        let controllers = std::fs::read_to_string(group.join("cgroup.controllers"));
        let controllers = controllers.unwrap_or_default();
        controllers
            .split_whitespace()
            .any(|name| name == controller.name())
    };
    let parent = |group: &Path| Parent {
        version: Version::V2,
        path: group.to_path_buf(),
        own: group == path,
    };
    above.filter(has).map(parent).collect()
}

/// The directory of this process's group of version 2, and where its hierarchy is mounted.
pub fn own_unified_group() -> Option<(PathBuf, PathBuf)> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    own_group(&mounts, &groups, Version::V2, "")
}

/// The directory of this process's group, and where its hierarchy is mounted.
pub(super) fn own_group(
    mounts: &str,
    groups: &str,
    version: Version,
    controller: &str,
) -> Option<(PathBuf, PathBuf)> {
    let group = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        match version {
            Version::V1 => names.split(',').any(|name| name == controller),
            Version::V2 => names.is_empty(),
        }
        .then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let fits = match (version, kind.next()?) {
            (Version::V1, "cgroup") => kind.nth(1)?.split(',').any(|name| name == controller),
            (Version::V2, "cgroup2") => true,
            _ => false,
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, PathBuf::from(fields.next()?));
        // In a container the mount may show no more than its own part.
        let below = Path::new(group).strip_prefix(root).ok()?;
        (fits && !group.contains("/..")).then(|| (point.join(below), point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 29 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 29 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn found(mounts: &str, groups: &str, version: Version, controller: &str) -> Option<String> {
        let (path, _) = own_group(mounts, groups, version, controller)?;
        Some(path.display().to_string())
    }

    #[test]
    fn each_controller_of_version_1_has_its_own_place() {
        let groups = "8:pids:/\n4:memory:/a/b\n0::/c\n";
        let at = |version, controller| found(HYBRID, groups, version, controller);
        assert_eq!(
            at(Version::V1, "memory").unwrap(),
            "/sys/fs/cgroup/memory/a/b"
        );
        assert_eq!(at(Version::V1, "pids").unwrap(), "/sys/fs/cgroup/pids/");
        assert_eq!(at(Version::V1, "cpu"), None);
        assert_eq!(at(Version::V2, "").unwrap(), "/sys/fs/cgroup/unified/c");
    }

    #[test]
    fn a_container_sees_its_own_part_of_a_hierarchy() {
        let mounts = "40 39 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let at = |groups| found(mounts, groups, Version::V1, "memory");
        assert_eq!(
            at("4:memory:/docker/abc/x\n").unwrap(),
            "/sys/fs/cgroup/memory/x"
        );
        // Neither one that the mount does not show, nor one above a namespace's root.
        assert_eq!(at("4:memory:/elsewhere\n"), None);
        assert_eq!(at("4:memory:/docker/abc/../x\n"), None);
    }
}
