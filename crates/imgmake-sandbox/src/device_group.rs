//! The devices that a command may open, by its control group: a second layer, behind
//! mounts that are `nodev` and capabilities that are missing. Where it cannot be had a
//! command runs without.
//!
//! As in Docker's containers `mknod` is allowed; opening the device is what is restricted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags};

use super::IsolationMode;
use super::cgroup::{self, Controller, Member, Parent, Version};
use super::plan::Plan;
use super::system::{self, Forked};

/// Character devices: major, and minor unless it is all of them.
const OPENED: [(u32, Option<u32>); 8] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(2)), // ptmx
    // Terminals.
    (136, None),
];

/// A group whose processes open nothing else. Dropping it removes it.
pub(super) struct DeviceGroup {
    member: Arc<Member>,
    /// Its processes are in it already.
    joined: bool,
}

/// How the process that sets a command up gets the command into its group.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Join {
    /// Version 1: it goes there itself, one thread, which the kernel does at once.
    ByItself(PathBuf),
    /// Version 2: its child begins there.
    ByFork(PathBuf),
}

impl DeviceGroup {
    /// `unified` is the group of version 2 that the command will be in, if it has one.
    ///
    /// # Errors
    /// The system does not let this process make one, or this command may open devices.
    pub(super) fn new(plan: &Plan, unified: Option<Arc<Member>>) -> io::Result<DeviceGroup> {
        if plan.insecure || !can_be_set(plan.isolation) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // This process stays where it is, as do the mounts.
        static PARENT: OnceLock<Option<Parent>> = OnceLock::new();
        let parent = PARENT.get_or_init(parent).as_ref();
        DeviceGroup::below(parent.ok_or(io::ErrorKind::NotFound)?, unified)
    }

    fn below(parent: &Parent, unified: Option<Arc<Member>>) -> io::Result<DeviceGroup> {
        let unified = unified.filter(|_| parent.version == Version::V2);
        let joined = unified.is_some();
        let member = match unified {
            Some(member) => member,
            None => Arc::new(cgroup::make(parent, Controller::Devices)?),
        };
        match member.version {
            Version::V1 => deny_others(&member)?,
            Version::V2 => attach_program(&member.path)?,
        }
        Ok(DeviceGroup { member, joined })
    }

    pub(super) fn join(&self) -> Option<Join> {
        let path = self.member.path.clone();
        (!self.joined).then(|| match self.member.version {
            Version::V1 => Join::ByItself(path),
            Version::V2 => Join::ByFork(path),
        })
    }
}

/// Whether a command in `isolation` is held by a device controller here, and by which version
/// of control groups; for `imgmake doctor`.
///
/// # Errors
/// Why not.
pub fn device_controller(isolation: IsolationMode) -> Result<u8, String> {
    if !can_be_set(isolation) {
        return Err("it cannot be set from a user namespace".to_string());
    }
    let parent = parent().ok_or("no control groups are mounted here")?;
    match DeviceGroup::below(&parent, None) {
        Ok(_) => Ok(match parent.version {
            Version::V1 => 1,
            Version::V2 => 2,
        }),
        Err(error) => Err(format!("`{}`: {error}", parent.path.display())),
    }
}

/// Both versions ask for capabilities in the first user namespace.
fn can_be_set(isolation: IsolationMode) -> bool {
    matches!(isolation, IsolationMode::Root | IsolationMode::Chroot)
}

fn parent() -> Option<Parent> {
    cgroup::parents(Controller::Devices).into_iter().next()
}

fn deny_others(member: &Member) -> io::Result<()> {
    use std::io::Write;
    member.write("devices.deny", "a")?;
    let mut allow = File::options()
        .write(true)
        .open(member.path.join("devices.allow"))?;
    let opened = OPENED.iter().map(|(major, minor)| match minor {
        Some(minor) => format!("c {major}:{minor} rwm"),
        None => format!("c {major}:* rwm"),
    });
    for rule in ["c *:* m", "b *:* m"]
        .map(str::to_string)
        .into_iter()
        .chain(opened)
    {
        match allow.write_all(rule.as_bytes()) {
            // What the group above does not allow was not allowed before either.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
            done => done?,
        }
    }
    Ok(())
}

fn attach_program(group: &Path) -> io::Result<()> {
    static LOADED: OnceLock<OwnedFd> = OnceLock::new();
    let program = match LOADED.get() {
        Some(program) => program,
        None => {
            let loaded = system::load_device_program(&program())?;
            LOADED.get_or_init(|| loaded)
        }
    };
    system::attach_device_program(open(group)?.as_fd(), program.as_fd())
}

fn open(group: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(group, flags, Mode::empty())?)
}

/// Forks a child that is in the group, as far as that can be had.
pub(super) fn fork(join: Option<&Join>) -> io::Result<Forked> {
    match join {
        None => {}
        // Refused, the other layers are still there.
        Some(Join::ByItself(group)) => drop(enter(&group.join("tasks"))),
        Some(Join::ByFork(group)) => {
            if let Ok(forked) = open(group).and_then(|group| system::fork_into(group.as_fd())) {
                return Ok(forked);
            }
            // Before Linux 5.7.
            drop(enter(&group.join("cgroup.procs")));
        }
    }
    system::fork()
}

fn enter(list: &Path) -> io::Result<()> {
    use std::io::Write;
    File::options().write(true).open(list)?.write_all(b"0")
}

/// The kernel asks it with what is to be done, and with which device (`struct
/// bpf_cgroup_dev_ctx`); it answers 1 if that is allowed.
fn program() -> Vec<u64> {
    use bpf::{Register::*, *};
    const CHARACTER: i32 = 2;
    const MAKE_NODE: i32 = 1;
    let answer = |yes: bool| [set(R0, i32::from(yes)), exit()];
    let mut program = vec![
        load(R2, R1, 0),
        copy(R3, R2),
        and(R3, 0xffff),
        shift_right(R2, 16),
        load(R4, R1, 4),
        load(R5, R1, 8),
        // Making alone, of any kind.
        unless_equal(R2, MAKE_NODE, 2),
    ];
    program.extend(answer(true));
    program.push(if_equal(R3, CHARACTER, 2));
    program.extend(answer(false));
    for (major, minor) in OPENED {
        let minor = minor.map(|minor| unless_equal(R5, minor.cast_signed(), 2));
        let rest = 2 + i16::from(minor.is_some());
        program.push(unless_equal(R4, major.cast_signed(), rest));
        program.extend(minor);
        program.extend(answer(true));
    }
    program.extend(answer(false));
    program
}

/// Instructions of eight bytes: code, registers, how many to leap over, a number.
mod bpf {
    #[derive(Clone, Copy)]
    pub enum Register {
        R0,
        R1,
        R2,
        R3,
        R4,
        R5,
    }

    fn instruction(code: u8, to: Register, from: Register, offset: i16, number: i32) -> u64 {
        let registers = (from as u8) << 4 | to as u8;
        let [o0, o1] = offset.to_ne_bytes();
        let [n0, n1, n2, n3] = number.to_ne_bytes();
        u64::from_ne_bytes([code, registers, o0, o1, n0, n1, n2, n3])
    }

    /// Four bytes at an offset from an address.
    pub fn load(to: Register, address: Register, offset: i16) -> u64 {
        instruction(0x61, to, address, offset, 0)
    }

    pub fn copy(to: Register, from: Register) -> u64 {
        instruction(0xbf, to, from, 0, 0)
    }

    pub fn set(to: Register, number: i32) -> u64 {
        instruction(0xb7, to, Register::R0, 0, number)
    }

    pub fn and(to: Register, number: i32) -> u64 {
        instruction(0x57, to, Register::R0, 0, number)
    }

    pub fn shift_right(to: Register, bits: i32) -> u64 {
        instruction(0x77, to, Register::R0, 0, bits)
    }

    pub fn if_equal(what: Register, number: i32, leap: i16) -> u64 {
        instruction(0x15, what, Register::R0, leap, number)
    }

    pub fn unless_equal(what: Register, number: i32, leap: i16) -> u64 {
        instruction(0x55, what, Register::R0, leap, number)
    }

    pub fn exit() -> u64 {
        instruction(0x95, Register::R0, Register::R0, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::FileType;

    /// What a process of the group is answered: which of the nodes, that it may all make, it
    /// may open.
    fn opened(group: &DeviceGroup, nodes: &[(FileType, u32, u32)]) -> Vec<bool> {
        let directory = tempfile::tempdir().unwrap();
        let at = open(directory.path()).unwrap();
        let path = &group.member.path;
        let tasks = File::options().write(true).open(path.join("tasks"));
        let path = open(path).unwrap();
        let attempt = || {
            let mut answers = 0;
            for (i, (kind, major, minor)) in nodes.iter().enumerate() {
                let device = rustix::fs::makedev(*major, *minor);
                let made = rustix::fs::mknodat(&at, c"node", *kind, Mode::from(0o600), device);
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                match rustix::fs::openat(&at, c"node", flags, Mode::empty()) {
                    Err(rustix::io::Errno::PERM) => {}
                    // Whether there is such a device is no matter of the group's.
                    _ => answers |= 1 << i,
                }
                let removed = rustix::fs::unlinkat(&at, c"node", rustix::fs::AtFlags::empty());
                if made.is_err() || removed.is_err() {
                    return 255;
                }
            }
            answers
        };
        let answers = system::in_forked_child(|| match &tasks {
            Ok(tasks) if rustix::io::write(tasks, b"0") == Ok(1) => attempt(),
            Ok(_) => 255,
            Err(_) => match system::fork_into(path.as_fd()) {
                Ok(Forked::Child) => system::exit_now(attempt()),
                Ok(Forked::Parent(pid)) => {
                    let status = system::wait_for(pid);
                    status.ok().and_then(|s| s.exit_status()).unwrap_or(255)
                }
                Err(_) => 255,
            },
        });
        let answers = answers.unwrap();
        assert_ne!(answers, 255);
        (0..nodes.len()).map(|i| answers & (1 << i) != 0).collect()
    }

    #[test]
    fn a_process_of_a_group_makes_every_node_and_opens_few() {
        use FileType::{BlockDevice as Block, CharacterDevice as Character};
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        for (version, controller) in [(Version::V1, "devices"), (Version::V2, "")] {
            let Some((path, _)) = cgroup::own_group(&mounts, &groups, version, controller) else {
                continue;
            };
            let own = true;
            let parent = Parent { version, path, own };
            let group = match DeviceGroup::below(&parent, None) {
                Ok(group) => group,
                // Users, and root of most containers, may make none.
                Err(error)
                    if error.kind() != io::ErrorKind::ReadOnlyFilesystem
                        && rustix::thread::capabilities(None).is_ok_and(can_administrate) =>
                {
                    panic!("{version:?}: {error}")
                }
                Err(_) => continue,
            };
            let path = group.member.path.clone();
            let answers = opened(
                &group,
                &[
                    (Character, 1, 3),
                    (Character, 1, 9),
                    (Character, 5, 0),
                    (Character, 136, 7),
                    (Character, 1, 11),
                    (Block, 1, 3),
                    (Block, 7, 0),
                ],
            );
            let expected = [true, true, true, true, false, false, false];
            assert_eq!(answers, expected, "{version:?}");
            drop(group);
            assert!(!path.exists());
        }
    }

    fn can_administrate(sets: rustix::thread::CapabilitySets) -> bool {
        sets.effective
            .contains(rustix::thread::CapabilitySet::SYS_ADMIN)
    }
}
