//! What callers hand in and get back: settings per registry, the environment as
//! values, push jobs and their results.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::connection::SettingNames;
use imgmake_event::{Cancel, Events};
use imgmake_oci::image::{Descriptor, Digest, Reference};

/// How to speak to one registry; from `registry` nodes, flags or PLUGIN_
/// variables. The longest prefix of `host/path` wins.
#[derive(Clone, Debug, Default)]
pub struct HostSettings {
    /// `host[:port][/path]`.
    pub prefix: String,
    pub auth: Auth,
    pub insecure: bool,
    pub skip_tls_verify: bool,
    /// A PEM file of certificates that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// PEM files: certificate chain, private key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Connections at once.
    pub concurrency: Option<usize>,
    pub create_repository: bool,
    /// `[http[s]://]host[:port][/path]`, asked in order before the registry itself.
    pub mirrors: Vec<String>,
    pub mirror_fallback: MirrorFallback,
}

/// Whether the registry itself is asked when no mirror has the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorFallback {
    #[default]
    Allowed,
    Off,
}

#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Whatever the user's docker and podman credentials say.
    #[default]
    DockerConfig,
    Anonymous,
    Basic {
        user: String,
        password: Secret,
        /// Named in errors: `PLUGIN_PASSWORD`, `imgmake.kdl:14`.
        source: String,
    },
    Bearer {
        token: Secret,
    },
    /// Options (`-` and `_` are one): `region`, `access-key`, `secret-key`,
    /// `session-token`, `profile`, `role` (or `assume-role`), `external-id`,
    /// `session-name`, `web-identity-token`, `endpoint` (ECR), `sts-endpoint`;
    /// for new repositories `scan-on-push`, `lifecycle-policy`,
    /// `repository-policy` (JSON or a file). What is missing comes from the
    /// environment, profiles, the container or the machine, as the AWS tools do.
    AwsEcr {
        options: BTreeMap<String, Secret>,
    },
    /// Options: `key` (JSON or base64 of it), `key-file`, `access-token`,
    /// `endpoint` (token server), `metadata-endpoint`. Without any,
    /// GOOGLE_APPLICATION_CREDENTIALS, then the metadata server.
    Gcp {
        options: BTreeMap<String, Secret>,
    },
    /// Options: `tenant`, `client-id` (or `client`) and one of `client-secret`
    /// (or `secret`), `client-certificate` (or `certificate`; PEM with its key,
    /// base64 of that, or a file), `federated-token`; `authority-host` (or
    /// `endpoint`), `metadata-endpoint`. Without any, AZURE_* and the managed
    /// identity.
    Azure {
        options: BTreeMap<String, Secret>,
    },
}

/// A string that never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub hosts: Vec<HostSettings>,
    /// A docker `config.json`, or the directory that holds one.
    pub docker_config: Option<PathBuf>,
    /// Of one request or one blob, the first included.
    pub attempts: u32,
    /// The first and the longest pause between attempts.
    pub backoff: (Duration, Duration),
    /// How long a connection may stay silent.
    pub idle_timeout: Duration,
    pub user_agent: String,
    /// For messages.
    pub names: SettingNames,
    /// Environment facts (proxies, AWS_*, HOME, REGISTRY_AUTH_FILE, DOCKER_CONFIG …): the cli is the only reader of the environment.
    pub environment: BTreeMap<String, String>,
    /// Who listens to what is done on no target's behalf, and what ends every
    /// connection at once.
    pub work: OperationContext,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            hosts: Vec::new(),
            docker_config: None,
            attempts: 5,
            backoff: (Duration::from_millis(300), Duration::from_secs(20)),
            idle_timeout: Duration::from_secs(90),
            user_agent: concat!("imgmake/", env!("CARGO_PKG_VERSION")).to_string(),
            names: SettingNames::default(),
            environment: BTreeMap::new(),
            work: OperationContext::background(),
        }
    }
}

/// The target of an operation, the receiver of its events, and its cancellation.
#[derive(Clone)]
pub struct OperationContext {
    pub target: String,
    pub events: Events,
    pub cancel: Cancel,
}

impl fmt::Debug for OperationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationContext({:?})", self.target)
    }
}

impl OperationContext {
    /// For callers that nobody listens to.
    pub fn background() -> OperationContext {
        OperationContext {
            target: String::new(),
            events: Events::discard(),
            cancel: Cancel::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Fetched {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the tag named: a manifest or an index.
    pub named: Descriptor,
    /// The chosen platform's manifest, in the store.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// With the tag; with the digest alone when there was no tag.
    pub reference: Reference,
    pub digest: Digest,
}
