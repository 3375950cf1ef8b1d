//! What of a RUN counts in keys: its command and its mounts.

use imgmake_core::fingerprint::{Bytes, Fingerprint, LengthPrefixedHasher};
use imgmake_dockerfile::{Access, Mount, Ownership};

use super::worker::{Network, RunRequest};

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
