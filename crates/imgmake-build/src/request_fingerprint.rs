//! What of a build's request counts in keys.

use imgmake_core::fingerprint::{Fingerprint, LengthPrefixedHasher};
use imgmake_core::manifest::RemoteKind;

use crate::files::download::redacted;
use crate::request::{AddedLayers, AlsoStages, Command, LayerCount, RemoteContext, Step};

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
            Self::Fetch(context) => hasher.text("fetch").add(context),
        };
    }
}

impl Fingerprint for RemoteContext {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            address,
            kind,
            keep_git_directory,
        } = self;
        // What is fetched decides, and counts; a login does not.
        hasher.add(&*redacted(address));
        hasher.text(match kind {
            RemoteKind::Git => "git",
            RemoteKind::Archive => "archive",
        });
        hasher.add(keep_git_directory);
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
