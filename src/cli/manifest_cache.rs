//! Decoded manifests, kept with the state: used while nothing changes that they depend on.

use std::path::Path;

use super::manifest_files::Disk;
use super::trust::Trust;
use imgmake_core::fingerprint::{LengthPrefixedHasher, Semantics};
use imgmake_core::manifest::glob::Glob;
use imgmake_core::manifest::{Facts, Files, Manifest};
use imgmake_core::state::{self, Ignored, Sealed};
use imgmake_guard::checkout::Checkout;

/// What a cached manifest depends on; the manifest itself follows it.
#[derive(serde::Serialize, serde::Deserialize)]
struct CachedHead {
    fixed: [u8; 32],
    environment: Vec<(String, Option<[u8; 32]>)>,
    files: Vec<(String, Option<[u8; 32]>)>,
    patterns: Vec<(String, Vec<String>)>,
}

/// What a decoded manifest depends on.
pub(super) struct Source<'a> {
    pub directory: &'a Path,
    pub text: &'a str,
    pub facts: &'a Facts,
    pub trust: &'a Trust,
}

impl Source<'_> {
    /// The decoded manifest, if what is kept still holds.
    pub fn cached(&self) -> Option<Manifest> {
        let bytes = match state::cached_manifest(self.directory, &self.trust.key) {
            Sealed::Ours(bytes) => bytes,
            Sealed::Absent => return None,
            Sealed::Foreign => {
                self.trust.tell_ignored(Ignored::Foreign);
                return None;
            }
        };
        let (head, manifest): (CachedHead, &[u8]) = postcard::take_from_bytes(&bytes).ok()?;
        let sound = head.fixed == self.fixed()
            && head
                .environment
                .iter()
                .all(|(name, hash)| self.variable(name) == *hash)
            && head
                .files
                .iter()
                .all(|(path, hash)| self.file(path) == *hash)
            && head
                .patterns
                .iter()
                .all(|(pattern, names)| self.names(pattern).as_ref() == Some(names));
        if sound {
            postcard::from_bytes(manifest).ok()
        } else {
            None
        }
    }

    /// Keeps a decoded manifest.
    pub fn cache(&self, manifest: &Manifest) {
        // Nobody could read it.
        if !self.trust.has_key() {
            return;
        }
        let head = CachedHead {
            fixed: self.fixed(),
            environment: manifest
                .read_environment
                .iter()
                .map(|name| (name.clone(), self.variable(name)))
                .collect(),
            files: manifest
                .read_files
                .iter()
                .map(|path| (path.clone(), self.file(path)))
                .collect(),
            patterns: manifest
                .read_patterns
                .iter()
                .filter_map(|p| Some((p.clone(), self.names(p)?)))
                .collect(),
        };
        let encoded =
            postcard::to_stdvec(&head).and_then(|head| postcard::to_extend(manifest, head));
        if let Ok(bytes) = encoded {
            state::cache_manifest(self.directory, &self.trust.key, &bytes);
        }
    }

    /// Everything that is the same for the whole file.
    fn fixed(&self) -> [u8; 32] {
        let mut hasher = LengthPrefixedHasher::new();
        hasher
            .bytes(env!("CARGO_PKG_VERSION").as_bytes())
            .number(Semantics::DecodedManifest.version())
            .bytes(self.text.as_bytes());
        for (name, value) in &self.facts.vars {
            hasher.bytes(name.as_bytes()).bytes(value.as_bytes());
        }
        hasher.bytes(b"git");
        for (name, value) in &self.facts.git {
            hasher.bytes(name.as_bytes()).bytes(value.as_bytes());
        }
        hasher.bytes(b"sets");
        for set in &self.facts.sets {
            hasher.bytes(set.as_bytes());
        }
        hasher.finish()
    }

    fn variable(&self, name: &str) -> Option<[u8; 32]> {
        let value = self.facts.environment.get(name)?;
        Some(*blake3::hash(value.as_bytes()).as_bytes())
    }

    fn file(&self, path: &str) -> Option<[u8; 32]> {
        let checkout = Checkout::new([self.directory]);
        let bytes = checkout.read(&self.directory.join(path)).ok()?;
        Some(*blake3::hash(&bytes).as_bytes())
    }

    fn names(&self, pattern: &str) -> Option<Vec<String>> {
        let mut names = Disk {
            directory: self.directory,
            left_out: &[],
        }
        .matching(&Glob::new(pattern).ok()?)
        .ok()?;
        names.sort();
        Some(names)
    }
}
