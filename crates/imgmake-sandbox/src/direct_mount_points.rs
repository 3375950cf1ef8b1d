//! Mount points made in a directory that a command changes in place, where no overlay
//! keeps them apart. Whoever owns the directory makes them before the command runs and
//! removes them after it, through descriptors from before: the command may have moved
//! what is above them and put links in its place.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::IsolationMode;
use super::error::{During as _, Result};
use super::overlay_mount_points::Wanted;
use super::plan::{MountKind, Plan, Root};
use imgmake_guard::confined::{Held, keeping_time, make, open_beneath, open_root, resolve};

/// What was made, parents first. A root that is thrown away needs no removal.
pub struct MadePoints(Vec<Held>);

impl MadePoints {
    /// Makes what the mounts of the plan need and its directory lacks; the directories
    /// above keep their times. Nothing for an overlay.
    ///
    /// # Errors
    /// Something cannot be made.
    pub fn make(plan: &Plan) -> Result<MadePoints> {
        let mut points = MadePoints(Vec::new());
        if let Root::Directory(directory) = &plan.root {
            for wanted in mount_points(plan)? {
                points
                    .add(directory, &wanted)
                    .with_during(|| format!("cannot make `/{}`", wanted.path.display()))?;
            }
        }
        Ok(points)
    }

    fn add(&mut self, directory: &Path, wanted: &Wanted) -> Result<()> {
        let root = open_root(directory)?;
        let resolved = resolve(&root, &wanted.path)?;
        if resolved.found.is_some() {
            return Ok(());
        }
        let (path, existing) = (resolved.path.clone(), resolved.existing);
        let above: PathBuf = path.iter().take(existing).collect();
        let above = open_beneath(&root, above.as_os_str().as_bytes())?;
        keeping_time(&above, || make(&root, resolved, wanted.kind))?;
        for length in existing + 1..=path.iter().count() {
            let part: PathBuf = path.iter().take(length).collect();
            self.0.push(Held::beneath(&root, &part)?);
        }
        Ok(())
    }

    /// Removes those that are still what was made, and still empty.
    ///
    /// # Errors
    /// One may not be removed.
    pub fn remove(self) -> Result<()> {
        for point in self.0.iter().rev() {
            point
                .remove_if_empty()
                .during("cannot remove a mount point")?;
        }
        Ok(())
    }
}

/// The device nodes that every command finds in a chroot.
pub(super) const CHROOT_NODES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Everything that is mounted, or stands in for a mount.
pub(super) fn mount_points(plan: &Plan) -> Result<Vec<Wanted>> {
    let directory = |path: &str| Wanted {
        path: path.into(),
        kind: FileType::Directory,
    };
    let mut wanted: Vec<Wanted> = match plan.isolation {
        IsolationMode::Chroot => chroot_device_points(),
        _ => ["proc", "sys", "dev"].map(directory).into(),
    };
    for mount in &plan.mounts {
        wanted.push(Wanted {
            path: mount.target.clone(),
            kind: leaf(&mount.kind)?,
        });
    }
    Ok(wanted)
}

pub(super) fn leaf(kind: &MountKind) -> Result<FileType> {
    Ok(match kind {
        MountKind::Tmpfs { .. } => FileType::Directory,
        MountKind::File(_) => FileType::RegularFile,
        MountKind::Bind { source, .. } => {
            let meta = std::fs::metadata(source)
                .with_during(|| format!("cannot mount `{}`", source.display()))?;
            if meta.is_dir() {
                FileType::Directory
            } else {
                FileType::RegularFile
            }
        }
    })
}

/// [`CHROOT_NODES`], as mount points.
fn chroot_device_points() -> Vec<Wanted> {
    let point = |path: &Path, kind| Wanted {
        path: path.to_path_buf(),
        kind,
    };
    let dev = Path::new("dev");
    let nodes = CHROOT_NODES.map(|name| point(&dev.join(name), FileType::RegularFile));
    [vec![point(dev, FileType::Directory)], nodes.to_vec()].concat()
}
