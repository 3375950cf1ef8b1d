//! The mounts of a step, from what the Dockerfile says to host paths that a sandbox
//! takes; and what has to stay for as long as the step runs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::helper_state::{Server, Task};
use super::request::{CacheScope, RunMount, Sharing, TreeSource};
use super::ssh::Agent;
use super::views::{View, Writes};
use crate::error::{BuildError, Context, Result};
use crate::rootfs::{self, Devices};
use imgmake_event::Cancel;
use imgmake_guard::confined;
use imgmake_guard::modes::{self, PRIVATE, VISIBLE};
use imgmake_oci::store::describe_cache_mount;
use imgmake_sandbox::{IsolationMode, Mount, MountKind, PlanFile};

/// Mounts, and what they need while they are in use.
#[derive(Default)]
pub(super) struct Prepared {
    pub mounts: Vec<Mount>,
    views: Vec<View>,
    /// What `/proc/self/fd/` paths among the sources name.
    held: Vec<OwnedFd>,
    locks: Vec<File>,
    agents: Vec<Agent>,
    /// Ends what takes long while they are prepared.
    pub cancel: Cancel,
}

impl Prepared {
    /// `temporary` is the step's own directory.
    pub(super) fn new(
        server: &Server,
        mounts: &[RunMount],
        scope: &CacheScope,
        temporary: &Path,
        task: &Task,
    ) -> Result<Prepared> {
        let mut prepared = Prepared {
            cancel: task.cancel.clone(),
            ..Prepared::default()
        };
        let caches = prepared.lock_caches(server, mounts, scope, task)?;
        for (i, mount) in mounts.iter().enumerate() {
            task.cancel.check()?;
            let (target, kind) = prepared
                .one(server, mount, caches.get(&i), temporary, i)
                .with_context(|| format!("cannot prepare the mount at `{}`", target(mount)))?;
            prepared.mounts.push(Mount {
                target: PathBuf::from(target),
                kind,
            });
        }
        Ok(prepared)
    }

    fn one(
        &mut self,
        server: &Server,
        mount: &RunMount,
        cache: Option<&PathBuf>,
        temporary: &Path,
        number: usize,
    ) -> Result<(String, MountKind)> {
        Ok(match mount {
            RunMount::Bind {
                from,
                source,
                target,
                writable,
            } => {
                // Nothing can be mounted in the chroot isolation mode: a copy, which takes writes.
                let writes = if *writable && server.isolation != IsolationMode::Chroot {
                    Writes::Discarded
                } else {
                    Writes::Refused
                };
                let path = source;
                let mut source = self.source(server, from, path, writes)?;
                if server.isolation == IsolationMode::Chroot {
                    let to = temporary.join(format!("bind-{number}"));
                    source = copied(&source, &to, server.trees.devices(), &self.cancel)
                        .with_context(|| format!("cannot copy {}", named(from, path)))?;
                }
                let readonly = !writable;
                (target.clone(), MountKind::Bind { source, readonly })
            }
            RunMount::Cache {
                target,
                readonly,
                mode,
                uid,
                gid,
                seed,
                ..
            } => {
                let directory = cache.expect("every cache was locked").join("data");
                if fs::symlink_metadata(&directory).is_err() {
                    let seeded = self.seeded(server, seed.as_ref(), temporary, number)?;
                    own(&seeded, *mode, (*uid, *gid), server.isolation)?;
                    fs::rename(&seeded, &directory).context("cannot make a cache")?;
                }
                let kind = MountKind::Bind {
                    source: directory,
                    readonly: *readonly,
                };
                (target.clone(), kind)
            }
            RunMount::Tmpfs { target, size } => {
                let kind = MountKind::Tmpfs {
                    size: *size,
                    mode: 0o1777,
                };
                (target.clone(), kind)
            }
            RunMount::Secret {
                target,
                bytes,
                mode,
                uid,
                gid,
            } => {
                let (uid, gid) = ids_here((*uid, *gid), server.isolation);
                let kind = MountKind::File(PlanFile {
                    bytes: bytes.clone(),
                    mode: *mode,
                    uid,
                    gid,
                });
                (target.clone(), kind)
            }
            RunMount::Ssh {
                socket,
                target,
                mode,
                uid,
                gid,
            } => {
                let owner = ids_here((*uid, *gid), server.isolation);
                let name = format!("ssh-{number}");
                let agent = Agent::forward(temporary, &name, socket, (*mode, owner.0, owner.1))?;
                let source = agent.path().to_path_buf();
                self.agents.push(agent);
                let kind = MountKind::Bind {
                    source,
                    readonly: false,
                };
                (target.clone(), kind)
            }
        })
    }

    /// A host path of `source` inside a tree.
    fn source(
        &mut self,
        server: &Server,
        from: &TreeSource,
        source: &str,
        writes: Writes,
    ) -> Result<PathBuf> {
        let view = self.view(server, from, writes)?;
        let root = confined::open_root(&view)?;
        let resolved = confined::resolve(root, Path::new(source))?;
        let Some((found, kind)) = resolved.found else {
            let help = "it is not in what is mounted";
            return Err(BuildError::not_found(format!("`{source}`"), help));
        };
        match from {
            // Nobody else writes there.
            TreeSource::Layers(_) | TreeSource::Empty => Ok(view.join(resolved.path)),
            TreeSource::Host { .. } if server.isolation == IsolationMode::Chroot => {
                Ok(self.hold(found))
            }
            TreeSource::Host { .. } => {
                let view = View::pinned(server, &found, kind)?;
                let path = view.path().to_path_buf();
                self.views.push(view);
                Ok(path)
            }
        }
    }

    /// A path of what a descriptor holds, which stays open as long as the mounts.
    fn hold(&mut self, found: OwnedFd) -> PathBuf {
        let path = confined::descriptor_path(&found);
        self.held.push(found);
        path
    }

    fn view(&mut self, server: &Server, from: &TreeSource, writes: Writes) -> Result<PathBuf> {
        let view = match from {
            TreeSource::Empty => View::empty(server)?,
            TreeSource::Layers(layers) => {
                let view = View::of_layers(server, layers, &self.cancel)?;
                if writes == Writes::Refused {
                    view
                } else {
                    let lower = view.path().to_path_buf();
                    self.views.push(view);
                    View::of_directories(server, &[lower], writes, &self.cancel)?
                }
            }
            TreeSource::Host { dir, only } => {
                let root = confined::open_real(Path::new(dir))
                    .with_context(|| format!("cannot read the context `{dir}`"))?;
                match only {
                    Some(only) => {
                        let view = View::empty(server)?;
                        for path in only {
                            copy_chosen(&root, Path::new(path), view.path(), &self.cancel)
                                .with_context(|| format!("cannot read `{path}` of `{dir}`"))?;
                        }
                        view
                    }
                    None if writes == Writes::Refused => {
                        return Ok(self.hold(root));
                    }
                    None => {
                        let lower = self.hold(root);
                        View::of_directories(server, &[lower], writes, &self.cancel)?
                    }
                }
            }
        };
        let path = view.path().to_path_buf();
        self.views.push(view);
        Ok(path)
    }

    /// Where each cache is, by the mount's number. Taken in the order of their paths:
    /// two steps that lock the same two caches must not wait for each other.
    fn lock_caches(
        &mut self,
        server: &Server,
        mounts: &[RunMount],
        scope: &CacheScope,
        task: &Task,
    ) -> Result<std::collections::BTreeMap<usize, PathBuf>> {
        let mut wanted: Vec<(PathBuf, usize, &str, Sharing)> = Vec::new();
        for (i, mount) in mounts.iter().enumerate() {
            if let RunMount::Cache { id, sharing, .. } = mount {
                let path = cache_path(server, scope, id);
                wanted.push((path, i, id, *sharing));
            }
        }
        wanted.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut places: std::collections::BTreeMap<usize, PathBuf> = Default::default();
        for at in 0..wanted.len() {
            let (path, i, id, sharing) = &wanted[at];
            let earlier = wanted[..at].iter().find(|(p, ..)| p == path);
            // The same cache at two targets of one step is one lock.
            if let Some((_, first, ..)) = earlier {
                let place = places[first].clone();
                places.insert(*i, place);
                continue;
            }
            let place = self.lock_cache(server, path, (scope, id), *sharing, task)?;
            describe_cache_mount(&place, scope.project(), id).context("cannot describe a cache")?;
            places.insert(*i, place);
        }
        Ok(places)
    }

    fn lock_cache(
        &mut self,
        server: &Server,
        path: &Path,
        (scope, id): (&CacheScope, &str),
        sharing: Sharing,
        task: &Task,
    ) -> Result<PathBuf> {
        if server.isolation == IsolationMode::Chroot || sharing == Sharing::Locked {
            let lock = open_lock(path)?;
            while lock.try_lock().is_err() {
                task.cancel.check()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            self.locks.push(lock);
            return Ok(path.to_path_buf());
        }
        if sharing == Sharing::Private {
            // A user of its own: the first instance that nobody has.
            for n in 0.. {
                let path = if n == 0 {
                    path.to_path_buf()
                } else {
                    let id = format!("{id}\0{n}");
                    cache_path(server, scope, &id)
                };
                let lock = open_lock(&path)?;
                if lock.try_lock().is_ok() {
                    self.locks.push(lock);
                    return Ok(path);
                }
            }
        }
        let lock = open_lock(path)?;
        while lock.try_lock_shared().is_err() {
            task.cancel.check()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        self.locks.push(lock);
        Ok(path.to_path_buf())
    }

    /// What a new cache begins with.
    fn seeded(
        &mut self,
        server: &Server,
        seed: Option<&(TreeSource, String)>,
        temporary: &Path,
        number: usize,
    ) -> Result<PathBuf> {
        let directory = temporary.join(format!("cache-{number}"));
        modes::make_dir(&directory, PRIVATE)?;
        if let Some((from, source)) = seed {
            let source = self.source(server, from, source, Writes::Refused)?;
            rootfs::copy_directory(&source, &directory, server.trees.devices(), &self.cancel)?;
        }
        Ok(directory)
    }
}

fn cache_path(server: &Server, scope: &CacheScope, id: &str) -> PathBuf {
    let map = server.trees.id_map();
    server.store.cache_mount_path(map, scope.project(), id)
}

fn named(from: &TreeSource, source: &str) -> String {
    match from {
        TreeSource::Host { dir, .. } => format!("`{source}` of `{dir}`"),
        TreeSource::Layers(_) | TreeSource::Empty => format!("`{source}`"),
    }
}

fn copied(source: &Path, to: &Path, devices: Devices, cancel: &Cancel) -> Result<PathBuf> {
    let meta = fs::metadata(source)?;
    if meta.is_dir() {
        modes::make_dir(to, PRIVATE)?;
        rootfs::copy_directory(source, to, devices, cancel)?;
    } else if !meta.is_file() {
        // Read as a file, a device node of the context would give the host's disk.
        return Err(BuildError::unsupported(
            "a mount of something that is not a file or directory",
            "other isolation modes than chroot can bind it",
        ));
    } else {
        rootfs::copy_file(source, to, cancel)?;
        chown(to, Some(meta.uid()), Some(meta.gid()))?;
        fs::set_permissions(to, meta.permissions())?;
        filetime::set_file_mtime(to, filetime::FileTime::from_last_modification_time(&meta))?;
    }
    Ok(to.to_path_buf())
}

fn target(mount: &RunMount) -> &str {
    match mount {
        RunMount::Bind { target, .. }
        | RunMount::Cache { target, .. }
        | RunMount::Tmpfs { target, .. }
        | RunMount::Secret { target, .. }
        | RunMount::Ssh { target, .. } => target,
    }
}

fn open_lock(cache: &Path) -> Result<File> {
    modes::make_dirs(cache, PRIVATE).context("cannot make a cache")?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(cache.join("lock"))
        .context("cannot lock a cache")?;
    // For gc, which removes what has not been used for long.
    drop(lock.set_modified(std::time::SystemTime::now()));
    Ok(lock)
}

/// With a single id everything belongs to it, whatever number it goes by.
fn ids_here(ids: (u32, u32), isolation: IsolationMode) -> (u32, u32) {
    if isolation == IsolationMode::SingleId {
        (0, 0)
    } else {
        ids
    }
}

fn own(path: &Path, mode: u32, ids: (u32, u32), isolation: IsolationMode) -> Result<()> {
    let (uid, gid) = ids_here(ids, isolation);
    chown(path, Some(uid), Some(gid))
        .with_context(|| format!("cannot give a cache to {uid}:{gid}"))?;
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// One chosen file of a context, with the directories above it. Nothing in the context is
/// followed: what was a directory when it was chosen may be a link by now.
fn copy_chosen(root: &OwnedFd, path: &Path, to: &Path, cancel: &Cancel) -> Result<()> {
    if path
        .components()
        .any(|c| !matches!(c, std::path::Component::Normal(_)))
    {
        return Err(BuildError::invalid(
            format!("path `{}` of a context", path.display()),
            "",
        ));
    }
    let (directory, name) = match path.as_os_str().is_empty() {
        // The context itself, which an ignore file leaves in.
        true => (root.try_clone()?, b".".to_vec()),
        false => confined::open_parent(root, path)?,
    };
    let source = confined::descriptor_path(&directory).join(OsStr::from_bytes(&name));
    let target = to.join(path);
    let meta = fs::symlink_metadata(&source)?;
    if let Some(parent) = target.parent() {
        modes::make_dirs(parent, VISIBLE)?;
    }
    if meta.is_dir() {
        modes::make_dirs(&target, VISIBLE)?;
        fs::set_permissions(&target, meta.permissions())?;
    } else if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        return Ok(());
    } else if meta.is_file() {
        // NONBLOCK: what became a fifo meanwhile must not hang the build.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, &*name, flags, Mode::empty())?;
        rootfs::copy_file(&confined::descriptor_path(&file), &target, cancel)?;
        fs::set_permissions(&target, meta.permissions())?;
    } else {
        return Ok(());
    }
    let time = filetime::FileTime::from_last_modification_time(&meta);
    Ok(filetime::set_file_mtime(&target, time)?)
}
