//! `/proc`, `/sys` and `/dev` of a sandbox.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountFlags;

use super::bind::{bind, bind_over};
use super::error::{During as _, Result, SandboxError};
use super::plan::{Mount, Network, Plan};
use super::{IsolationMode, system};
use imgmake_guard::confined::{descriptor_path, make, resolve};

const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const SHARED_MEMORY: &str = "/dev/shm";
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    KEYS,
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/kernel/debug",
];
/// The kernel shows the keys of everybody with the same user id here, whatever the session.
const KEYS: &str = "/proc/keys";
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

pub(super) fn mount_system(root: &OwnedFd, plan: &Plan) -> Result<()> {
    mount_proc(root)?;
    mount_sys(root, plan.network)?;
    mount_dev(root, plan).during("cannot set up /dev")?;
    let masked: &[&str] = match plan.insecure {
        true => &[KEYS],
        false => &MASKED,
    };
    for path in masked {
        mask(root, Path::new(path)).with_during(|| format!("cannot hide {path}"))?;
    }
    if !plan.insecure {
        for path in READ_ONLY {
            if let Some((fd, _)) = resolve(root, Path::new(path))?.found {
                bind_over(&fd, system::ATTR_RDONLY)
                    .with_during(|| format!("cannot make {path} read-only"))?;
            }
        }
    }
    Ok(())
}

/// [`restricted`], for mounts that are taken over from outside.
const RESTRICTED: u64 = system::ATTR_NOSUID | system::ATTR_NODEV | system::ATTR_NOEXEC;

fn restricted() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

fn point(root: &OwnedFd, path: &str) -> Result<OwnedFd> {
    let resolved = resolve(root, Path::new(path))?;
    make(root, resolved, FileType::Directory).with_during(|| format!("cannot make {path}"))
}

fn mount_proc(root: &OwnedFd) -> Result<()> {
    let at = point(root, "/proc")?;
    let at_path = descriptor_path(&at);
    match rustix::mount::mount("proc", &at_path, "proc", restricted(), c"") {
        // Where the outer /proc is partly hidden (nested containers), the kernel gives no fresh one.
        Err(rustix::io::Errno::PERM) => bind(Path::new("/proc"), &at, RESTRICTED),
        done => done.map_err(SandboxError::from),
    }
    .during("cannot mount /proc")
}

/// A fresh one belongs to a network namespace; the host's is shared where that is shared.
fn mount_sys(root: &OwnedFd, network: Network) -> Result<()> {
    let at = point(root, "/sys")?;
    if network.is_own() {
        let flags = restricted() | MountFlags::RDONLY;
        if rustix::mount::mount("sysfs", descriptor_path(&at), "sysfs", flags, c"").is_ok() {
            return Ok(());
        }
    }
    // A sandbox works without /sys as well.
    drop(bind(
        Path::new("/sys"),
        &at,
        RESTRICTED | system::ATTR_RDONLY,
    ));
    Ok(())
}

fn mount_dev(root: &OwnedFd, plan: &Plan) -> Result<()> {
    // Nodes that a command makes here open nothing; those below are mounts of their own.
    mount_new(
        root,
        "/dev",
        ("tmpfs", "tmpfs"),
        restricted(),
        "mode=755,size=64k",
    )?;
    let dev = resolve(root, Path::new("/dev"))?
        .found
        .ok_or_else(|| SandboxError::Vanished {
            what: "/dev".into(),
        })?
        .0;
    for name in NODES {
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
        drop(rustix::fs::openat(&dev, name, flags, Mode::from(0o666))?);
        let node = rustix::fs::openat(&dev, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let outside = Path::new("/dev").join(name);
        match bind(&outside, &node, 0) {
            // Containers without a controlling terminal may lack it.
            Err(_) if name == "tty" => {}
            done => done?,
        }
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        rustix::fs::mkdirat(&dev, name, Mode::from(0o755))?;
    }
    let tty_group = if plan.isolation == IsolationMode::SingleId {
        ""
    } else {
        ",gid=5"
    };
    let options = format!("newinstance,ptmxmode=0666,mode=0620{tty_group}");
    // Terminals are devices: the one file system here that has to open them. Nobody can
    // make nodes in it.
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_new(root, "/dev/pts", ("devpts", "devpts"), flags, &options)?;
    // A mount of the command's own takes its place.
    let is_shared_memory = |mount: &Mount| mount.target == Path::new(SHARED_MEMORY);
    if !plan.mounts.iter().any(is_shared_memory) {
        mount_new(
            root,
            SHARED_MEMORY,
            ("tmpfs", "shm"),
            restricted(),
            "mode=1777,size=64m",
        )?;
    }
    // Kernels without message queues exist.
    let queues = ("mqueue", "mqueue");
    drop(mount_new(root, "/dev/mqueue", queues, restricted(), ""));
    Ok(())
}

fn mount_new(
    root: &OwnedFd,
    path: &str,
    (kind, source): (&str, &str),
    flags: MountFlags,
    options: &str,
) -> Result<()> {
    let at = point(root, path)?;
    let options = std::ffi::CString::new(options).expect("options hold no NUL");
    rustix::mount::mount(source, descriptor_path(&at), kind, flags, &*options)
        .with_during(|| format!("cannot mount {path}"))
}

fn mask(root: &OwnedFd, path: &Path) -> Result<()> {
    let Some((fd, kind)) = resolve(root, path)?.found else {
        return Ok(());
    };
    if kind == FileType::Directory {
        let flags = restricted() | MountFlags::RDONLY;
        rustix::mount::mount(
            "tmpfs",
            descriptor_path(fd.as_fd()),
            "tmpfs",
            flags,
            c"size=0",
        )?;
        return Ok(());
    }
    bind(Path::new("/dev/null"), &fd, 0)
}
