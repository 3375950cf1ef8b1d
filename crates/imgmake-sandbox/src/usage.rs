//! What the processes of a command use, as seen from outside: how many there are, their
//! memory, what they have on disk. For limits that no control group enforces.
//!
//! Everything here looks at hostile processes and at trees that they change meanwhile:
//! nothing is opened through a link, and what vanishes is not there.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::error::{During as _, Result, SandboxError};
use imgmake_guard::program::{group_of, process_of};

/// A process and what `/proc/PID/stat` says of it.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    threads: u64,
    /// Bytes in memory, shared ones included.
    resident: u64,
}

/// The processes below one, itself not counted.
pub(super) struct Processes {
    list: Vec<Process>,
}

impl Processes {
    /// # Errors
    /// `/proc` does not show the process.
    pub(super) fn below(ancestor: Pid) -> Result<Processes> {
        let ancestor = ancestor.as_raw_nonzero().get();
        let cannot = "cannot watch a command: /proc does not show its processes";
        process(ancestor).ok_or_else(|| SandboxError::Unsupported(cannot.into()))?;
        let mut list: Vec<Process> = Vec::new();
        let mut at = ancestor;
        let everybody = match children(ancestor) {
            Some(_) => HashMap::new(),
            None => by_parent().during(cannot)?,
        };
        for next in 0.. {
            match children(at) {
                Some(pids) => list.extend(pids.into_iter().filter_map(process)),
                None => list.extend(everybody.get(&at).into_iter().flatten()),
            }
            match list.get(next) {
                Some(process) => at = process.pid,
                None => break,
            }
        }
        Ok(Processes { list })
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.list
            .iter()
            .filter_map(|process| process_of(process.pid))
    }

    /// Ends them. A whole process group at a time, which nothing that it starts meanwhile
    /// escapes; groups of `ours` are spared.
    pub(super) fn kill(&self, ours: Pid) {
        let spared = [Some(ours), Some(rustix::process::getpid())].map(|pid| {
            rustix::process::getpgid(pid).map_or(0, |group| group.as_raw_nonzero().get())
        });
        let groups: HashSet<i32> = self.list.iter().map(|process| process.group).collect();
        for group in groups.into_iter().filter(|group| !spared.contains(group)) {
            if let Some(group) = group_of(group) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        for pid in self.pids() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Threads, as a control group counts them.
    pub(super) fn threads(&self) -> u64 {
        self.list.iter().map(|process| process.threads).sum()
    }

    /// No less than what they use, at little cost: what they share counts for each.
    pub(super) fn at_most(&self) -> u64 {
        self.list.iter().map(|process| process.resident).sum()
    }

    /// Bytes of memory that nothing but these processes needs: without programs and other
    /// files, which the kernel can read again. `files` is what lies in memory file systems.
    pub(super) fn memory(&self, files: u64) -> u64 {
        let parts: Vec<Parts> = self.list.iter().map(|process| parts(process.pid)).collect();
        let private: u64 = parts.iter().map(|part| part.private).sum();
        let shared: u64 = parts.iter().map(|part| part.shared).sum();
        // What is mapped of a memory file is in both.
        private + shared.max(files)
    }

    /// Files that no directory has any more and a process holds open: bytes in memory, bytes on disk.
    pub(super) fn deleted_files(&self) -> (u64, u64) {
        let mut seen = HashSet::new();
        let (mut memory, mut disk) = (0, 0);
        for process in &self.list {
            let directory = format!("/proc/{}/fd", process.pid);
            let entries = std::fs::read_dir(directory).into_iter().flatten();
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(stat) = rustix::fs::stat(&path) else {
                    continue;
                };
                let file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
                if !file || stat.st_nlink > 0 || !seen.insert((stat.st_dev, stat.st_ino)) {
                    continue;
                }
                let bytes = blocks(&stat);
                match rustix::fs::statfs(&path) {
                    Ok(system) if system.f_type == TMPFS => memory += bytes,
                    _ => disk += bytes,
                }
            }
        }
        (memory, disk)
    }
}

const TMPFS: rustix::fs::FsWord = 0x0102_1994;

fn process(pid: i32) -> Option<Process> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    described(pid, &String::from_utf8_lossy(&text))
}

/// Of one that just ended the kernel writes group -1 and parent 0.
fn described(pid: i32, text: &str) -> Option<Process> {
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let resident: u64 = fields.get(21)?.parse().ok()?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        resident: resident * rustix::param::page_size() as u64,
    })
}

/// `None` where the kernel has no such list (CONFIG_PROC_CHILDREN).
fn children(pid: i32) -> Option<Vec<i32>> {
    let mut pids = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("children")).ok()?;
        pids.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    Some(pids)
}

fn by_parent() -> io::Result<HashMap<i32, Vec<Process>>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(process) = pid.and_then(process) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    Ok(children)
}

/// Bytes of one process: its share of what several have.
#[derive(Default)]
struct Parts {
    private: u64,
    shared: u64,
}

fn parts(pid: i32) -> Parts {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kilobytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    match (kilobytes("Pss_Anon:"), kilobytes("Pss_Shmem:")) {
        (Some(private), Some(shared)) => Parts {
            private: (private + kilobytes("SwapPss:").unwrap_or(0)) << 10,
            shared: shared << 10,
        },
        // Of another user where this process may not look, or an old kernel.
        _ => Parts {
            private: unshared(pid).unwrap_or(0),
            shared: 0,
        },
    }
}

fn unshared(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text
        .split(' ')
        .skip(1)
        .map(|number| number.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Whether memory can be where `resident` does not count it.
pub(super) fn can_swap() -> bool {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps.lines().count() > 1
}

/// Bytes in the memory file systems that a process sees and this one does not: those of
/// its own sandbox.
pub(super) fn memory_file_systems(of: Pid) -> u64 {
    let root = Path::new("/proc").join(of.as_raw_nonzero().to_string());
    let Ok(mounts) = std::fs::read_to_string(root.join("mountinfo")) else {
        return 0;
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(root.join("root"), flags, Mode::empty()) else {
        return 0;
    };
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for line in mounts.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = mount.split(' ').collect();
        let (Some(device), Some(point)) = (fields.get(2), fields.get(4)) else {
            continue;
        };
        // One file system may be mounted at many places.
        if !kind.starts_with("tmpfs ") || seen.contains(device) {
            continue;
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let point = unescaped(point);
        let Ok(point) = rustix::fs::openat2(&directory, &point, flags, Mode::empty(), resolve)
        else {
            continue;
        };
        if let Ok(system) = rustix::fs::fstatfs(&point)
            && system.f_type == TMPFS
        {
            seen.insert(*device);
            let used = system.f_blocks.saturating_sub(system.f_bfree);
            bytes += used * u64::try_from(system.f_bsize).unwrap_or(0);
        }
    }
    bytes
}

/// Octal escapes of white space, as mountinfo has them.
fn unescaped(path: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(path.to_string(), |path, (code, text)| {
        path.replace(code, text)
    })
}

/// Bytes of shared memory segments in this thread's IPC namespace, attached or not.
pub(super) fn shared_segments() -> u64 {
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let used = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(number(14)? + number(15)?)
    };
    text.lines().skip(1).filter_map(used).sum()
}

fn blocks(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// Directories whose growth counts, opened before the command may change where they are.
pub(super) struct Trees {
    roots: Vec<OwnedFd>,
    ids: HashSet<(u64, u64)>,
}

/// Deeper trees than any build has; each level holds a descriptor.
const DEEPEST: usize = 200;

impl Trees {
    /// What is no directory holds nothing.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Trees> {
        let mut trees = Trees {
            roots: Vec::new(),
            ids: HashSet::new(),
        };
        for path in paths {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let root = match rustix::fs::open(path, flags, Mode::empty()) {
                Err(Errno::NOTDIR | Errno::LOOP) => continue,
                opened => opened.with_during(|| format!("cannot open `{}`", path.display()))?,
            };
            let stat = rustix::fs::fstat(&root)?;
            if trees.ids.insert((stat.st_dev, stat.st_ino)) {
                trees.roots.push(root);
            }
        }
        Ok(trees)
    }

    /// Bytes that are free where they lie, the least of them.
    pub(super) fn free(&self) -> u64 {
        let free = self.roots.iter().filter_map(|root| {
            let system = rustix::fs::fstatvfs(root).ok()?;
            Some(system.f_bavail * system.f_frsize)
        });
        free.min().unwrap_or(u64::MAX)
    }

    /// Bytes on disk: holes count for nothing, a file with several names once.
    ///
    /// # Errors
    /// Directories nested beyond measure.
    pub(super) fn bytes(&self) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for root in &self.roots {
            bytes += self.bytes_of(root, &mut seen)?;
        }
        Ok(bytes)
    }

    fn bytes_of(&self, root: &OwnedFd, seen: &mut HashSet<(u64, u64)>) -> Result<u64> {
        let mut bytes = 0;
        let mut levels: Vec<(OwnedFd, Vec<CString>)> = Vec::new();
        let mut enter = Some(open_directory(root, c".")?);
        loop {
            if let Some(directory) = enter.take() {
                if levels.len() == DEEPEST {
                    return Err(SandboxError::Limit {
                        what: "depth of directories in which `limits` measures `disk`",
                        limit: DEEPEST,
                    });
                }
                let mut below = Vec::new();
                for name in names(&directory)? {
                    let Ok(stat) = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
                    else {
                        continue;
                    };
                    let id = (stat.st_dev, stat.st_ino);
                    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
                        // A tree that was moved into another is counted as what it was.
                        if !self.ids.contains(&id) {
                            bytes += blocks(&stat);
                            below.push(name);
                        }
                    } else if stat.st_nlink < 2 || seen.insert(id) {
                        bytes += blocks(&stat);
                    }
                }
                levels.push((directory, below));
            }
            let Some((directory, below)) = levels.last_mut() else {
                return Ok(bytes);
            };
            match below.pop() {
                None => drop(levels.pop()),
                Some(name) => enter = open_directory(directory, &name).ok(),
            }
        }
    }
}

fn open_directory(at: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn names(directory: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let Ok(entry) = entry else { break };
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_disk(trees: &Trees) -> u64 {
        trees.bytes().unwrap()
    }

    #[test]
    fn a_tree_weighs_what_its_files_have_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let trees = Trees::open(&[dir.path().to_path_buf()]).unwrap();
        let before = on_disk(&trees);
        let file = dir.path().join("a/b/c");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
        std::fs::File::open(&file).unwrap().sync_all().unwrap();
        let grown = on_disk(&trees) - before;
        assert!(
            (1 << 20..(1 << 20) + (64 << 10)).contains(&grown),
            "{grown}"
        );
        // A second name, a hole and a link to elsewhere weigh nothing.
        std::fs::hard_link(&file, dir.path().join("again")).unwrap();
        std::fs::File::create(dir.path().join("hole"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        assert!(on_disk(&trees) - before < (1 << 20) + (64 << 10));
    }

    #[test]
    fn a_tree_that_moved_into_another_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, cache) = (dir.path().join("outer"), dir.path().join("cache"));
        for directory in [&outer, &cache] {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::write(cache.join("file"), vec![1; 1 << 20]).unwrap();
        let trees = Trees::open(&[outer.clone(), cache.clone(), cache.clone()]).unwrap();
        let before = on_disk(&trees);
        std::fs::rename(&cache, outer.join("moved")).unwrap();
        assert!(on_disk(&trees).abs_diff(before) < 64 << 10);
    }

    #[test]
    fn a_tree_beyond_measure_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", DEEPEST + 1).collect();
        std::fs::create_dir_all(dir.path().join(deep)).unwrap();
        let trees = Trees::open(&[dir.path().to_path_buf()]).unwrap();
        let error = trees.bytes().unwrap_err();
        let limit = DEEPEST;
        assert!(matches!(error, SandboxError::Limit { limit: l, .. } if l == limit));
    }

    #[test]
    fn a_process_that_just_ended_has_no_group_to_kill() {
        let text = "0 (a) b) X 0 -1 -1 0 -1 4227084 0 0 0 0 1 2 0 0 20 0 0 0 99 0 0 184467";
        // Its number is free for others: this one is nobody's.
        let gone = described(i32::MAX, text).unwrap();
        assert_eq!((gone.parent, gone.group, gone.threads), (0, -1, 0));
        let processes = Processes { list: vec![gone] };
        processes.kill(rustix::process::getpid());
        assert_eq!(processes.threads(), 0);
    }

    #[test]
    fn processes_below_this_one_are_found_with_their_memory() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let own = rustix::process::getpid();
        let pid = Pid::from_child(&child);
        // A process that is just being started has no memory of its own yet.
        let below = std::iter::repeat_with(|| Processes::below(own).unwrap())
            .take(10_000)
            .find(|below| below.at_most() > 0)
            .expect("a program that runs has memory");
        assert!(below.pids().any(|found| found == pid));
        assert!(below.threads() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            !Processes::below(own)
                .unwrap()
                .pids()
                .any(|found| found == pid)
        );
    }
}
