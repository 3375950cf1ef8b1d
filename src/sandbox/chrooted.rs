//! The chroot tier: real root that may neither unshare nor mount. The command runs
//! in a directory of its own; isolation is weaker, and the log says so.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FileType;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::CapabilitySet;

use super::child::{command, own_directory, supervise};
use super::image_path::{make, open_root, resolve};
use super::mount::{keeping_time, record_points, write_memory_file};
use super::plan::{Mount, MountKind, Network, Plan};
use super::stub::Wanted;
use super::system::{self, Forked};
use super::{child, user};

pub(super) fn carry_out(plan: &Plan, control: &UnixStream) -> Result<i32> {
    let directory = own_directory(plan)?;
    if plan.network == Network::None {
        bail!("`--network=none` needs namespaces, which the chroot isolation does not have");
    }
    let wanted: Vec<Wanted> = wanted(plan)?;
    record_points(plan, directory, &wanted)?;
    let placed = place_all(directory, plan)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let code = match system::fork()? {
        Forked::Child => system::exit_now(enter(directory, plan, control)),
        Forked::Parent(pid) => supervise(pid, control),
    };
    kill_everything();
    let removed = remove_all(placed);
    let code = code?;
    removed?;
    Ok(code)
}

fn enter(directory: &Path, plan: &Plan, control: &UnixStream) -> i32 {
    use std::io::Write;
    let entered = || -> Result<()> {
        system::die_with_parent()?;
        rustix::process::umask(rustix::fs::Mode::from(0o022));
        rustix::process::chroot(directory).context("cannot chroot")?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    if let Err(error) = entered() {
        drop((&mut &*control).write_all(format!("{error:#}").as_bytes()));
        return 125;
    }
    command(plan, control)
}

/// As in the other tiers, but for devices and further chroots, which would lead out.
pub(super) fn restrict(identity: &user::Identity) -> Result<()> {
    let keep = child::default_capabilities() - CapabilitySet::MKNOD - CapabilitySet::SYS_CHROOT;
    child::drop_capabilities(keep)?;
    child::become_user(identity)
}

/// Processes that the command left behind are this one's children now.
fn kill_everything() {
    let own = rustix::process::getpid();
    loop {
        for pid in children_of(own) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parent_line = format!("PPid:\t{}", parent.as_raw_nonzero());
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status
                .lines()
                .any(|line| line == parent_line)
                .then_some(())?;
            Pid::from_raw(pid)
        })
        .collect()
}

fn wanted(plan: &Plan) -> Result<Vec<Wanted>> {
    let mut wanted = vec![Wanted {
        path: "dev".into(),
        kind: FileType::Directory,
    }];
    for name in NODES {
        wanted.push(Wanted {
            path: Path::new("dev").join(name),
            kind: FileType::RegularFile,
        });
    }
    for mount in &plan.mounts {
        let directory = match &mount.kind {
            MountKind::Tmpfs { .. } => true,
            MountKind::File(_) => false,
            MountKind::Bind { source, .. } => std::fs::metadata(source)
                .with_context(|| format!("cannot read `{}`", source.display()))?
                .is_dir(),
        };
        wanted.push(Wanted {
            path: mount.target.clone(),
            kind: if directory {
                FileType::Directory
            } else {
                FileType::RegularFile
            },
        });
    }
    Ok(wanted)
}

const NODES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What stands where something was, and how to undo it.
struct Placed {
    at: PathBuf,
    /// The image's own, set aside.
    aside: PathBuf,
    /// A cache goes back to where it came from.
    back: Option<PathBuf>,
}

fn place_all(directory: &Path, plan: &Plan) -> Result<Vec<Placed>> {
    let root = open_root(directory)?;
    let mut placed = Vec::new();
    for (i, mount) in plan.mounts.iter().enumerate() {
        // Made beneath a directory that an earlier mount of this step has brought.
        let resolved = resolve(&root, &mount.target)?;
        let at = directory.join(&resolved.path);
        if resolved.found.is_none() {
            make(&root, resolved, FileType::Directory)?;
        }
        let aside = plan.scratch.join(format!("aside-{i}"));
        let back = replace(&at, &aside, || place(mount, &at))
            .with_context(|| format!("cannot put something at `{}`", mount.target.display()))?;
        placed.push(Placed { at, aside, back });
    }
    for name in NODES {
        let at = directory.join("dev").join(name);
        let aside = plan.scratch.join(format!("aside-dev-{name}"));
        replace(&at, &aside, || place_node(name, &at))?;
        let back = None;
        placed.push(Placed { at, aside, back });
    }
    Ok(placed)
}

/// Sets what is there aside and puts something else in its place.
fn replace<T>(at: &Path, aside: &Path, put: impl FnOnce() -> Result<T>) -> Result<T> {
    let parent = at.parent().context("the root cannot be replaced")?;
    keeping_time(parent, || {
        std::fs::rename(at, aside)?;
        put()
    })
}

/// A device where the system permits it, a file with the same beginning where not.
fn place_node(name: &str, at: &Path) -> Result<()> {
    let node = rustix::fs::stat(Path::new("/dev").join(name))?;
    let mode = rustix::fs::Mode::from(0o666);
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        at,
        FileType::CharacterDevice,
        mode,
        node.st_rdev,
    );
    if made.is_ok() {
        std::fs::set_permissions(at, Permissions::from_mode(0o666))?;
        return Ok(());
    }
    if name != "null" {
        bail!("cannot make the device /dev/{name} (CAP_MKNOD is missing)");
    }
    std::fs::write(at, "")?;
    Ok(std::fs::set_permissions(at, Permissions::from_mode(0o666))?)
}

fn place(mount: &Mount, at: &Path) -> Result<Option<PathBuf>> {
    match &mount.kind {
        MountKind::Tmpfs { mode, .. } => {
            std::fs::create_dir(at)?;
            std::fs::set_permissions(at, Permissions::from_mode(*mode))?;
        }
        MountKind::File(file) => write_memory_file(at, file)?,
        MountKind::Bind {
            source,
            readonly: false,
        } if source.is_dir() => {
            std::fs::rename(source, at)?;
            return Ok(Some(source.clone()));
        }
        MountKind::Bind { source, .. } => copy(source, at)?,
    }
    Ok(None)
}

fn copy(source: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, lchown, symlink};
    let meta = std::fs::symlink_metadata(source)?;
    if meta.is_symlink() {
        symlink(std::fs::read_link(source)?, to)?;
        return Ok(lchown(to, Some(meta.uid()), Some(meta.gid()))?);
    }
    if meta.is_dir() {
        std::fs::create_dir(to)?;
        for entry in std::fs::read_dir(source)? {
            let name = entry?.file_name();
            copy(&source.join(&name), &to.join(&name))?;
        }
    } else if meta.is_file() {
        std::fs::copy(source, to)?;
    } else {
        bail!("`{}` cannot be copied", source.display());
    }
    lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    std::fs::set_permissions(to, meta.permissions())?;
    filetime::set_file_mtime(to, filetime::FileTime::from_last_modification_time(&meta))?;
    Ok(())
}

fn remove_all(placed: Vec<Placed>) -> Result<()> {
    for placed in placed.into_iter().rev() {
        let parent = placed.at.parent().context("the root was replaced")?;
        keeping_time(parent, || {
            match &placed.back {
                Some(back) => std::fs::rename(&placed.at, back)?,
                None if placed.at.is_dir() && !placed.at.is_symlink() => {
                    std::fs::remove_dir_all(&placed.at)?;
                }
                None => drop(std::fs::remove_file(&placed.at)),
            }
            Ok(std::fs::rename(&placed.aside, &placed.at)?)
        })?;
    }
    Ok(())
}
