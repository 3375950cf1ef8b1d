//! Mount points that an image does not have. They lie in a lower directory on top
//! of the image's, so that nothing of them can reach the layer.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Timespec, Timestamps};

use super::Stub;
use super::error::{During as _, Result, SandboxError};
use imgmake_guard::confined::{self, descriptor_path, resolve};
use imgmake_guard::modes::{self, VISIBLE};

/// A mount point in the image and what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub path: PathBuf,
    pub kind: FileType,
}

struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Timespec,
    xattrs: Vec<(std::ffi::OsString, Vec<u8>)>,
}

/// What goes into the stub directory. Directories that the image has keep its attributes.
#[derive(Default)]
pub(super) struct Stubs {
    existing: BTreeMap<PathBuf, Attributes>,
    missing: BTreeMap<PathBuf, FileType>,
}

impl Stubs {
    pub(super) fn of(corrections: &[Stub]) -> Result<Stubs> {
        let mut stubs = Stubs::default();
        for stub in corrections {
            let like = confined::open_root(&stub.like)
                .with_during(|| format!("cannot open `{}`", stub.like.display()))?;
            stubs.existing.insert(stub.path.clone(), attributes(&like)?);
        }
        Ok(stubs)
    }

    /// Notes what of the mount points is missing below the merged `root`.
    pub(super) fn add_missing(&mut self, root: impl AsFd, wanted: &[Wanted]) -> Result<bool> {
        let mut any = false;
        for wanted in wanted {
            let resolved = resolve(&root, &wanted.path)
                .with_during(|| format!("cannot look up `{}`", wanted.path.display()))?;
            if resolved.found.is_some() {
                continue;
            }
            any = true;
            let parts: Vec<_> = resolved.path.iter().collect();
            let mut path = PathBuf::new();
            for (i, part) in parts.iter().enumerate() {
                path.push(part);
                if i >= resolved.existing {
                    let leaf = i + 1 == parts.len();
                    let kind = if leaf {
                        wanted.kind
                    } else {
                        FileType::Directory
                    };
                    self.missing.entry(path.clone()).or_insert(kind);
                } else if !self.existing.contains_key(&path) {
                    let there = resolve(&root, &path)?.found;
                    let there = there.ok_or_else(|| SandboxError::Vanished {
                        what: path.display().to_string(),
                    })?;
                    self.existing.insert(path.clone(), attributes(&there.0)?);
                }
            }
        }
        Ok(any)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.existing.is_empty() && self.missing.is_empty()
    }

    /// Writes the stub directory anew.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        for path in self.existing.keys() {
            modes::make_dirs(&directory.join(path), VISIBLE)?;
        }
        for (path, kind) in &self.missing {
            let path = directory.join(path);
            if *kind == FileType::Directory {
                modes::make_dirs(&path, VISIBLE)?;
            } else if !path.exists() {
                modes::write_private(&path, b"")?;
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
            }
        }
        // Deepest first: filling a directory moves its time.
        for (path, attributes) in self.existing.iter().rev() {
            apply(&directory.join(path), attributes)
                .with_during(|| format!("cannot copy the attributes of `{}`", path.display()))?;
        }
        Ok(())
    }
}

fn attributes(directory: impl AsFd) -> Result<Attributes> {
    let stat = rustix::fs::fstat(&directory)?;
    let path = descriptor_path(directory.as_fd());
    let own = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        !name.starts_with("trusted.overlay.") && !name.starts_with("user.overlay.")
    };
    let xattrs = xattr::list_deref(&path)
        .map(|names| {
            names
                .filter(own)
                .filter_map(|name| Some((name.clone(), xattr::get_deref(&path, &name).ok()??)))
                .collect()
        })
        .unwrap_or_default();
    Ok(Attributes {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.cast_signed(),
        },
        xattrs,
    })
}

fn apply(path: &Path, attributes: &Attributes) -> Result<()> {
    chown(path, Some(attributes.uid), Some(attributes.gid))?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(attributes.mode))?;
    for (name, value) in &attributes.xattrs {
        // Best effort: some are the file system's own (labels).
        drop(xattr::set(path, name, value));
    }
    let times = Timestamps {
        last_access: attributes.modified,
        last_modification: attributes.modified,
    };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Makes directories with the attributes of others in `directory`, whose own they
/// become for the empty path.
///
/// # Errors
/// Something cannot be read or made.
pub fn write_stubs(directory: &Path, stubs: &[Stub]) -> Result<()> {
    Stubs::of(stubs)?.write(directory)
}
