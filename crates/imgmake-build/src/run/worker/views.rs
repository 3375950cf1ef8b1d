//! What layers give together, as a directory to read from.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::mount::UnmountFlags;

use super::helper_state::Server;
use crate::error::{Context, Result};
use crate::rootfs::{self, Stack};
use imgmake_event::Cancel;
use imgmake_guard::modes::{self, VISIBLE};
use imgmake_oci::layer::Layer;
use imgmake_sandbox::{self as sandbox, Overlay};

/// More lower directories than one mount takes are merged first.
const MAX_LAYERS: usize = 400;

/// Unmounted and removed when dropped.
pub(super) struct View {
    path: PathBuf,
    temporary: Option<PathBuf>,
    _merged: Option<rootfs::Merged>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Refused,
    /// Taken, and thrown away with the view.
    Discarded,
}

impl View {
    pub(super) fn of_layers(server: &Server, layers: &[Layer], cancel: &Cancel) -> Result<View> {
        if layers.is_empty() {
            return View::empty(server);
        }
        if !uses_overlay(server, layers)? {
            let merged = rootfs::merged_directory(&server.trees, layers, cancel)?;
            return Ok(View {
                path: merged.path().to_path_buf(),
                temporary: None,
                _merged: Some(merged),
            });
        }
        let stack = server.trees.stack(layers, cancel)?;
        let temporary = server.store.temporary_dir()?;
        let lowers = with_corrections(&stack, &temporary)?;
        View::mount(server, &lowers, Writes::Refused, temporary)
    }

    /// The same, of directories (top first).
    pub(super) fn of_directories(
        server: &Server,
        lowers: &[PathBuf],
        writes: Writes,
        cancel: &Cancel,
    ) -> Result<View> {
        let temporary = server.store.temporary_dir()?;
        if !server.has_overlay()? {
            let path = temporary.join("copy");
            modes::make_dir(&path, VISIBLE)?;
            for lower in lowers.iter().rev() {
                rootfs::copy_directory(lower, &path, server.trees.devices(), cancel)?;
            }
            return Ok(View {
                path,
                temporary: Some(temporary),
                _merged: None,
            });
        }
        View::mount(server, lowers, writes, temporary)
    }

    pub(super) fn empty(server: &Server) -> Result<View> {
        let temporary = server.store.temporary_dir()?;
        let path = temporary.join("empty");
        modes::make_dir(&path, VISIBLE)?;
        Ok(View {
            path,
            temporary: Some(temporary),
            _merged: None,
        })
    }

    /// What a descriptor holds, with all that is mounted there, at a path of the store. What
    /// is reached by a path of somebody else's directory may be another thing by then.
    pub(super) fn pinned(server: &Server, held: &OwnedFd, kind: FileType) -> Result<View> {
        let temporary = server.store.temporary_dir()?;
        let path = temporary.join("pinned");
        match kind {
            FileType::Directory => modes::make_dir(&path, VISIBLE)?,
            _ => drop(modes::private_file(&path)?),
        }
        let view = View {
            path,
            temporary: Some(temporary),
            _merged: None,
        };
        sandbox::bind_held(held, &view.path).context("cannot take the mount of a context")?;
        Ok(view)
    }

    fn mount(
        server: &Server,
        lowers: &[PathBuf],
        writes: Writes,
        temporary: PathBuf,
    ) -> Result<View> {
        let make = |name: &str| -> Result<PathBuf> {
            let path = temporary.join(name);
            // The merged root has the attributes of the upper directory.
            modes::make_dir(&path, VISIBLE)?;
            Ok(path)
        };
        let (path, upper, work) = (make("view")?, make("upper")?, make("work")?);
        let overlay = Overlay {
            lowers,
            upper: (writes == Writes::Discarded).then_some((&*upper, &*work)),
            xattrs: server.xattrs,
        };
        overlay.mount(&temporary, &path)?;
        Ok(View {
            path,
            temporary: Some(temporary),
            _merged: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
            drop(imgmake_guard::confined::remove_tree(temporary));
        }
    }
}

/// Whether these layers can be stacked here.
pub(super) fn uses_overlay(server: &Server, layers: &[Layer]) -> Result<bool> {
    Ok(layers.len() <= MAX_LAYERS && server.has_overlay()?)
}

/// The layers' trees, with a directory on top that puts right what they show wrongly.
fn with_corrections(stack: &Stack, temporary: &Path) -> Result<Vec<PathBuf>> {
    let mut lowers = stack.lowers.clone();
    let mut corrections = stubs(stack);
    if let Some(root) = &stack.root_like {
        corrections.push(sandbox::Stub {
            path: PathBuf::new(),
            like: root.clone(),
        });
    }
    if stack.corrections.is_empty() && stack.root_like.as_ref() == stack.lowers.first() {
        return Ok(lowers);
    }
    let directory = temporary.join("corrections");
    modes::make_dir(&directory, VISIBLE)?;
    sandbox::write_stubs(&directory, &corrections)
        .context("cannot correct the attributes of directories")?;
    lowers.insert(0, directory);
    Ok(lowers)
}

pub(super) fn stubs(stack: &Stack) -> Vec<sandbox::Stub> {
    let stub = |c: &rootfs::Correction| sandbox::Stub {
        path: c.path.clone(),
        like: c.like.clone(),
    };
    stack.corrections.iter().map(stub).collect()
}
