//! SKELETON: signatures that other rooms rely on.
use crate::event::{Cancel, Events};
use crate::image::{Descriptor, Digest, Platform, Reference};
use crate::store::Store;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to speak to one registry; from `registry` nodes, flags or PLUGIN_ variables. Longest prefix of `host/path` wins.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    pub prefix: String,
    pub auth: Auth,
    pub insecure: bool,
    pub skip_tls_verify: bool,
    pub ca: Option<PathBuf>,
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    pub concurrency: Option<usize>,
    pub create_repository: bool,
    pub mirrors: Vec<String>,
}
#[derive(Clone, Debug, Default)]
pub enum Auth {
    #[default]
    DockerConfig,
    Anonymous,
    Basic {
        user: String,
        password: Secret,
        source: String,
    },
    Bearer {
        token: Secret,
    },
    AwsEcr {
        options: BTreeMap<String, Secret>,
    },
    Gcp {
        options: BTreeMap<String, Secret>,
    },
    Azure {
        options: BTreeMap<String, Secret>,
    },
}
/// A string that never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub hosts: Vec<HostSettings>,
    pub docker_config: Option<PathBuf>,
    pub attempts: u32,
    pub backoff: (std::time::Duration, std::time::Duration),
    pub idle_timeout: std::time::Duration,
    pub user_agent: String,
    /// Environment facts (proxies, AWS_*, HOME, REGISTRY_AUTH_FILE, DOCKER_CONFIG …): the cli is the only reader of the environment.
    pub environment: BTreeMap<String, String>,
}

/// One client for pull, push, retag, cache and referrers. Cheap to clone; blocking; thread-safe.
#[derive(Clone)]
pub struct Client {
    _p: (),
}
impl Client {
    pub fn new(options: ClientOptions) -> Result<Client, RegistryError> {
        todo!()
    }
    /// GET of a manifest or index by tag or digest, verified against the digest when there is one.
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        todo!()
    }
    /// HEAD; `None` when it does not exist.
    pub fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        todo!()
    }
    /// Streams a blob of the repository into the store, verified, resumed with Range; nothing to do when it is there.
    pub fn pull_blob(
        &self,
        from: &Reference,
        blob: &Descriptor,
        store: &Store,
        work: &Work,
    ) -> Result<(), RegistryError> {
        todo!()
    }
    /// Several blobs in parallel.
    pub fn pull_blobs(
        &self,
        from: &Reference,
        blobs: &[Descriptor],
        store: &Store,
        work: &Work,
    ) -> Result<(), RegistryError> {
        todo!()
    }
    /// Manifest and config of the image for a platform into the store; layers stay remote.
    pub fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &Store,
        work: &Work,
    ) -> Result<Resolved, RegistryError> {
        todo!()
    }
    /// One push of several images and tags to one registry's repositories (see `PushJob`); blobs by digest first, then manifests, tags last.
    pub fn push(
        &self,
        job: &PushJob,
        store: &Store,
        work: &Work,
    ) -> Result<Vec<Pushed>, RegistryError> {
        todo!()
    }
}
#[derive(Clone)]
pub struct Work {
    pub target: String,
    pub events: Events,
    pub cancel: Cancel,
}
#[derive(Clone, Debug)]
pub struct Fetched {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
}
#[derive(Clone, Debug)]
pub struct Resolved {
    /** What the tag named: a manifest or an index. */
    pub named: Descriptor,
    /** The chosen platform's manifest, in the store. */
    pub manifest: Descriptor,
}
/// What goes to one repository.
#[derive(Clone, Debug)]
pub struct PushJob {
    /// Registry and repository; tag and digest are ignored.
    pub to: Reference,
    /// Manifest or index in the store; children and blobs are found from it.
    pub root: Descriptor,
    pub tags: Vec<String>,
    /// Blobs that are not in the store but can be had from there (lazy bases, retag): pulled or mounted.
    pub sources: Vec<Reference>,
    pub phase: PushPhase,
}
/// `publish together` pushes content everywhere first and tags afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushPhase {
    All,
    ContentOnly,
    TagsOnly,
}
#[derive(Clone, Debug)]
pub struct Pushed {
    pub reference: Reference,
    pub digest: Digest,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RegistryError(pub String);
