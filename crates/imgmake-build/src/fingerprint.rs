//! What of a build's request counts in keys.

use imgmake_core::fingerprint::{Bytes, Fingerprint, LengthPrefixedHasher};

use imgmake_dockerfile::{Access, Mount, Ownership};

use crate::request::{AddedLayers, AlsoStages, Command, LayerCount, Step};
use crate::run::worker::{Network, RunRequest};

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

impl Fingerprint for AlsoStages {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::None => hasher.text("none"),
            Self::Named(stages) => hasher.text("named").add(stages),
            Self::Earlier => hasher.text("earlier"),
        };
    }
}

impl Fingerprint for Command {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::Shell(text) => hasher.text("shell").add(text),
            Self::Argv(words) => hasher.text("argv").add(words),
        };
    }
}

impl Fingerprint for Step {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::Copy {
                sources,
                to,
                mode,
                owner,
            } => {
                hasher.text("copy").add(sources).add(to);
                hasher.add(mode).add(owner)
            }
            Self::Layer(steps) => hasher.text("layer").add(steps),
            Self::File {
                path,
                content,
                mode,
                owner,
            } => {
                hasher.text("file").add(path).add(content);
                hasher.add(mode).add(owner)
            }
            Self::Symlink { path, to } => hasher.text("symlink").add(path).add(to),
            Self::Mkdir { path, mode, owner } => {
                hasher.text("mkdir").add(path).add(mode).add(owner)
            }
            Self::Run { command } => hasher.text("run").add(command),
            Self::Env(pairs) => hasher.text("env").add(pairs),
            Self::User(user) => hasher.text("user").add(user),
            Self::Workdir(path) => hasher.text("workdir").add(path),
            Self::Expose(ports) => hasher.text("expose").add(ports),
            Self::Entrypoint(words) => hasher.text("entrypoint").add(words),
            Self::Cmd(words) => hasher.text("cmd").add(words),
            Self::Label(pairs) => hasher.text("label").add(pairs),
            Self::Volume(paths) => hasher.text("volume").add(paths),
            Self::StopSignal(signal) => hasher.text("stopsignal").add(signal),
            Self::Healthcheck(check) => hasher.text("healthcheck").add(check),
        };
    }
}

impl Fingerprint for AddedLayers {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { count, without } = self;
        hasher.add(count).add(without);
    }
}

impl Fingerprint for LayerCount {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::OnePerStep => "one per step",
            Self::One => "one",
        });
    }
}
