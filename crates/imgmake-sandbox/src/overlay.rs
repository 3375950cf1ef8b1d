//! Mounting an overlay of many directories.
//!
//! The options of a mount fit one page, so the directories are named by short
//! links in a scratch directory, which is the working directory of the call.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use super::error::{During as _, Result, SandboxError};
use imgmake_guard::modes::{self, PRIVATE};

/// Where overlay keeps its marks: `trusted.*` needs the initial user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OverlayXattrs {
    Trusted,
    User,
}

impl OverlayXattrs {
    /// The mark of a directory that hides what lies below it.
    pub fn opaque(self) -> &'static str {
        match self {
            OverlayXattrs::Trusted => "trusted.overlay.opaque",
            OverlayXattrs::User => "user.overlay.opaque",
        }
    }
}

pub struct Overlay<'a> {
    /// Top first; at least one.
    pub lowers: &'a [PathBuf],
    /// Upper and work directory.
    pub upper: Option<(&'a Path, &'a Path)>,
    pub xattrs: OverlayXattrs,
}

/// As many lower directories as one mount takes here; the kernel's own limit is 500.
pub const MAX_LOWERS: usize = 400;

impl Overlay<'_> {
    /// Mounts it at `at`, with links in `scratch` that stay until that is removed.
    /// Changes the working directory of the calling thread: callers have a private
    /// one (a process of one thread, or `unshare(CLONE_FS)`).
    ///
    /// # Errors
    /// The kernel refuses; the message names the first directories.
    pub fn mount(&self, scratch: &Path, at: &Path) -> Result<()> {
        if let ([only], None) = (self.lowers, self.upper) {
            return bind_readonly(only, at);
        }
        if self.lowers.len() > MAX_LOWERS + 8 {
            return Err(SandboxError::Limit {
                what: "directories of one overlay",
                limit: MAX_LOWERS + 8,
            });
        }
        let links = tempfile::Builder::new()
            .prefix("l")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(PRIVATE))
            .tempdir_in(scratch)
            .during("cannot make the links of an overlay")?
            .keep();
        let mut names = Vec::new();
        for (i, lower) in self.lowers.iter().enumerate() {
            symlink(lower, links.join(i.to_string()))?;
            names.push(i.to_string());
        }
        // `nofollow` and not `off`, which turns into `follow` on kernels built so.
        let mut options = format!(
            "lowerdir={},index=off,redirect_dir=nofollow,metacopy=off",
            names.join(":")
        );
        if let Some((upper, work)) = self.upper {
            symlink(upper, links.join("u"))?;
            symlink(work, links.join("w"))?;
            options.push_str(",upperdir=u,workdir=w");
        }
        if self.xattrs == OverlayXattrs::User {
            options.push_str(",userxattr");
        }
        rustix::process::chdir(&links)?;
        let done = self.mount_with(&options, at);
        rustix::process::chdir("/")?;
        done.with_during(|| {
            format!(
                "cannot mount an overlay of {} directories at `{}`",
                self.lowers.len(),
                at.display()
            )
        })
    }

    /// `volatile` spares package managers their fsyncs: an upper directory of a
    /// machine that crashed is never used again.
    fn mount_with(&self, options: &str, at: &Path) -> std::io::Result<()> {
        let mount = |options: String| {
            let options = std::ffi::CString::new(options).expect("options hold no NUL");
            rustix::mount::mount("overlay", at, "overlay", MountFlags::NODEV, &*options)
        };
        if self.upper.is_some() && mount(format!("{options},volatile")).is_ok() {
            return Ok(());
        }
        Ok(mount(options.to_string())?)
    }
}

fn bind_readonly(source: &Path, at: &Path) -> Result<()> {
    rustix::mount::mount_bind(source, at)
        .and_then(|()| {
            rustix::mount::mount_remount(
                at,
                MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV,
                "",
            )
        })
        .with_during(|| format!("cannot mount `{}` at `{}`", source.display(), at.display()))
}

/// Whether overlays with an upper directory work on the file system of `scratch`.
///
/// # Errors
/// Why they do not.
pub fn probe_overlay(scratch: &Path, xattrs: OverlayXattrs) -> Result<()> {
    let make = |name: &str| -> Result<PathBuf> {
        let path = scratch.join(name);
        modes::make_dirs(&path, PRIVATE)?;
        Ok(path)
    };
    let (lower, upper, work, at) = (make("lo")?, make("up")?, make("wo")?, make("at")?);
    modes::make_dirs(&lower.join("d"), PRIVATE)?;
    let lowers = [lower];
    let overlay = Overlay {
        lowers: &lowers,
        upper: Some((&upper, &work)),
        xattrs,
    };
    overlay.mount(scratch, &at)?;
    // Removing and making again must leave an opaque mark: some file systems
    // mount well and then cannot keep whiteouts or marks.
    let tried =
        std::fs::remove_dir(at.join("d")).and_then(|()| modes::make_dir(&at.join("d"), PRIVATE));
    let _ = rustix::mount::unmount(&at, UnmountFlags::DETACH);
    tried.during("overlay cannot keep whiteouts on this file system")?;
    let marked = xattr::get(upper.join("d"), xattrs.opaque())?;
    if marked.as_deref() != Some(b"y") {
        return Err(SandboxError::Unsupported(
            "overlay cannot mark opaque directories on this file system".into(),
        ));
    }
    Ok(())
}
