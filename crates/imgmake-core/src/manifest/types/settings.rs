//! The project's settings, variables, secrets and registries.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::signer::SignerNode;
use super::span::{Span, Spanned};

/// The `imgmake` node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub jobs: Option<usize>,
    pub epoch: Option<i64>,
    pub watch: WatchSettings,
    pub retry: Retry,
    pub cache: CacheNode,
    pub cache_mounts: CacheMounts,
    pub bases: Option<BasesNode>,
    /// How many targets of each pool work at the same time.
    pub pools: BTreeMap<String, usize>,
    /// The lock file.
    pub lock: Option<Spanned<String>>,
    /// Where `every-push needs-gate` is written.
    pub every_push_needs_gate: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchSettings {
    pub debounce: Duration,
    pub max: Duration,
    pub on_busy: OnBusy,
    pub ignore: Vec<String>,
    /// Names, groups or globs; `plan::select` judges them when `watch` begins.
    pub targets: Vec<Spanned<String>>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        WatchSettings {
            debounce: Duration::from_millis(200),
            max: Duration::from_secs(5),
            on_busy: OnBusy::Restart,
            ignore: Vec::new(),
            targets: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBusy {
    #[default]
    Restart,
    Queue,
    Ignore,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    pub backoff: (Duration, Duration),
    pub attempts: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            backoff: (Duration::from_secs(1), Duration::from_secs(30)),
            attempts: 5,
        }
    }
}

/// Where steps' results are shared with other machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheNode {
    pub registries: Vec<CacheRegistry>,
    /// How old an entry may be.
    pub ttl: Option<Duration>,
    pub steps: CacheSteps,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheRegistry {
    /// `host/repository`.
    pub reference: Spanned<String>,
    pub access: CacheAccess,
    pub mode: CacheDepth,
    pub on_error: OnCacheError,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheAccess {
    #[default]
    ReadWrite,
    Read,
    Write,
    Off,
}

/// `min` is what the image is made of, `max` every stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheDepth {
    Min,
    #[default]
    Max,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnCacheError {
    #[default]
    Warn,
    Fail,
}

/// Which steps are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSteps {
    pub run: bool,
    pub copy: bool,
}

impl Default for CacheSteps {
    fn default() -> Self {
        CacheSteps {
            run: true,
            copy: true,
        }
    }
}

/// A declared variable with its final value (for `list`, keys and `why`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    pub name: Spanned<String>,
    pub value: String,
    pub source: VariableSource,
    pub description: Option<String>,
}

/// Where a variable has its value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VariableSource {
    /// `--var`
    CommandLine,
    Environment,
    EnvFile,
    /// What the manifest says, or git where it says so.
    Default,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretNode {
    pub name: Spanned<String>,
    pub source: SecretFrom,
    pub absence: Absence,
}

/// What a secret is whose source is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absence {
    /// An error in whatever needs it.
    Fails,
    /// As if it were not declared: `optional=#true`.
    Undeclared,
    /// For a variable that is not set, an empty secret, as with Docker's `--secret id=x,env=NAME`: `unset="empty"`.
    Empty,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SecretFrom {
    Env(String),
    File(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryNode {
    pub name: Spanned<String>,
    /// `host[:port][/path]`.
    pub prefix: Spanned<String>,
    pub auth: AuthNode,
    pub insecure: bool,
    pub skip_tls_verify: bool,
    pub ca: Option<String>,
    pub client_cert: Option<(String, String)>,
    pub concurrency: Option<usize>,
    pub create_repo: bool,
    pub mirrors: Vec<String>,
    /// Whether the registry itself is never asked for what a mirror lacks.
    pub mirrors_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum AuthNode {
    #[default]
    DockerConfig,
    Anonymous,
    Basic {
        user: String,
        password: PasswordFrom,
    },
    Bearer {
        token: PasswordFrom,
    },
    AwsEcr(BTreeMap<String, PasswordFrom>),
    Gcp(BTreeMap<String, PasswordFrom>),
    Azure(BTreeMap<String, PasswordFrom>),
}

/// A credential: `"text"` or `(secret)NAME`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum PasswordFrom {
    Literal(String),
    Secret(Spanned<String>),
}

impl std::fmt::Debug for PasswordFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PasswordFrom::Literal(_) => f.write_str("Literal(…)"),
            PasswordFrom::Secret(name) => write!(f, "Secret({})", name.value),
        }
    }
}

/// Who sees what a RUN wrote into a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheMounts {
    /// Builds of the same project directory.
    #[default]
    Project,
    /// Every build of this user.
    User,
}

/// `bases { allow "registry.example.com/*"; require-signature key="base.pub" }`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasesNode {
    pub span: Span,
    /// Patterns of whole names, each of which is an [`ImagePattern`]; none allows every name.
    pub allow: Vec<Spanned<String>>,
    /// One of them must have signed a base; none asks for no signature.
    pub signers: Vec<SignerNode>,
}
