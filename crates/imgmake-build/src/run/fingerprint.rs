//! What of a RUN counts in keys: its command, its mounts and what they show, what its caches begin with.

use imgmake_core::fingerprint::{Bytes, Fingerprint, LengthPrefixedHasher};
use imgmake_dockerfile::{Access, Mount, Ownership};

use super::mounted::Mounted;
use super::worker::{Network, RunRequest};
use crate::define::state::ImageState;
use crate::error::{BuildError, Result};
use crate::files::tree::{Node, relative};
use crate::step_key;

impl Fingerprint for Network {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Host => "host",
            Self::None => "none",
            Self::Isolated => "isolated",
        });
    }
}

/// What the command of a RUN is and sees. Layers, the platform and mounts are added by whoever has them.
impl Fingerprint for RunRequest {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            argv,
            env,
            workdir,
            user,
            stdin,
            files,
            network,
            insecure,
            hostname,
            add_hosts,
            compression,
            epoch,
            // By their diff IDs.
            layers: _,
            // Each adds itself.
            mounts: _,
            // The platform says more.
            architecture: _,
            // How the machine does it says nothing about the image.
            cache_scope: _,
            limits: _,
            resolver: _,
            authorities: _,
        } = self;
        hasher.add(argv).add(env).add(workdir).add(user);
        hasher.add(&stdin.as_deref().map(Bytes));
        hasher.number(files.len() as u64);
        for (path, bytes, mode) in files {
            hasher.add(path).bytes(bytes).add(mode);
        }
        hasher.add(network).add(insecure).add(hostname);
        hasher.add(add_hosts).add(compression).add(epoch);
    }
}

/// The state that a command runs in, and the command.
pub fn add_command(key: &mut LengthPrefixedHasher, request: &RunRequest, state: &ImageState) {
    key.list(state.layers.iter().map(|layer| &layer.diff_id));
    key.add(request).add(&state.platform);
}

/// A mount of a RUN as the Dockerfile has it. What it shows is added by whoever reads that; the bytes
/// of a secret and what a cache holds count nowhere.
pub struct WrittenMount<'m>(pub &'m Mount);

impl Fingerprint for WrittenMount<'_> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self(mount) = self;
        match mount {
            Mount::Bind {
                target,
                access,
                // By the content that they lead to.
                from: _,
                source: _,
            } => {
                hasher.text("bind").add(target);
                add_access(hasher, *access);
            }
            Mount::Cache {
                id,
                target,
                access,
                ownership,
                // What an empty cache begins with: by its content.
                from: _,
                source: _,
                // Who else uses it meanwhile says nothing about the result.
                sharing: _,
            } => {
                hasher.text("cache").add(id).add(target);
                add_access(hasher, *access);
                add_ownership(hasher, *ownership);
            }
            Mount::Tmpfs { target, size } => {
                hasher.text("tmpfs").add(target).add(size);
            }
            Mount::Secret {
                id,
                target,
                env,
                ownership,
                // Without what is required nothing is run.
                required: _,
            } => {
                hasher.text("secret").add(id).add(target).add(env);
                add_ownership(hasher, *ownership);
            }
            Mount::Ssh {
                id,
                target,
                ownership,
                required: _,
            } => {
                hasher.text("ssh").add(id).add(target);
                add_ownership(hasher, *ownership);
            }
        }
    }
}

fn add_access(hasher: &mut LengthPrefixedHasher, access: Access) {
    hasher.text(match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    });
}

fn add_ownership(hasher: &mut LengthPrefixedHasher, ownership: Ownership) {
    let Ownership { uid, gid, mode } = ownership;
    hasher.add(&uid).add(&gid).add(&mode);
}

/// What a mount shows, by content.
pub fn add_tree(key: &mut LengthPrefixedHasher, mounted: &Mounted, source: &str) -> Result<()> {
    let path = mounted.tree.resolve(&relative(source))?;
    let Some(node) = mounted.tree.get(&path)? else {
        let hint = mounted.tree.hint(&path).unwrap_or_default();
        return Err(BuildError::not_found(
            format!("source `{source}` of the mount"),
            hint,
        ));
    };
    let mut nodes = vec![node];
    if nodes[0].is_directory() {
        nodes.extend(mounted.tree.walk(&path)?);
    }
    if let Some(context) = &mounted.context {
        mounted.hashes.of_nodes(&mut nodes, context)?;
    }
    key.number(nodes.len() as u64);
    for node in &nodes {
        let Node {
            path: below,
            kind,
            mode,
            uid,
            gid,
            // Commands are not keyed by times, attributes and further names of what they are shown.
            mtime: _,
            xattrs: _,
            identity: _,
            content,
            stat: _,
        } = node;
        key.bytes(&below[path.len()..]).add(kind);
        key.add(mode).add(uid).add(gid).add(content);
    }
    Ok(())
}

/// What a cache mount begins with. Caches that begin with something else are other caches.
pub struct CacheBeginning {
    hasher: LengthPrefixedHasher,
    /// Empty, and root's.
    is_plain: bool,
}

impl CacheBeginning {
    pub fn new(uid: u32, gid: u32, mode: u32) -> CacheBeginning {
        let mut hasher = step_key::of("cache beginning");
        for number in [uid, gid, mode] {
            hasher.number(u64::from(number));
        }
        CacheBeginning {
            hasher,
            is_plain: (uid, gid, mode) == (0, 0, 0o755),
        }
    }

    /// The tree that is copied into it.
    ///
    /// # Errors
    /// The source is not there, or cannot be read.
    pub fn add_seed(&mut self, mounted: &Mounted, source: &str) -> Result<()> {
        self.is_plain = false;
        add_tree(&mut self.hasher, mounted, source)
    }

    /// The name of the cache: a user who may not write into root's has one of its own.
    pub fn cache_id(self, id: &str) -> String {
        match self.is_plain {
            true => id.to_owned(),
            false => format!("{id}\0{}", self.hasher.hex()),
        }
    }
}
