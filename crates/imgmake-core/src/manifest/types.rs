//! The decoded manifest: every string interpolated, every number checked, in
//! the order of the file. Paths are as written, relative to the manifest's directory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::attempts::Attempts;
pub use super::policy::{BasesNode, CacheMounts};

/// Bytes `start..end` of the manifest's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}
impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub settings: Settings,
    pub variables: Vec<Variable>,
    pub secrets: Vec<SecretNode>,
    pub registries: Vec<RegistryNode>,
    /// Targets in file order.
    pub targets: Vec<Target>,
    /// A matrix makes a group of its members, under its own name.
    pub groups: Vec<Group>,
    /// Targets whose `if` is false: groups and globs pass them by.
    pub disabled: Vec<Spanned<String>>,
    /// Files that `include` brought in, in the order of their spans.
    pub included: Vec<String>,
    /// Patterns of `include`: a cache depends on which files they match.
    pub read_patterns: Vec<String>,
    /// Other files that were read (includes, env-files), found or not: a cache of this value depends on them.
    pub read_files: Vec<String>,
    /// Environment variables that were looked at, set or not: a cache depends on their values.
    pub read_environment: Vec<String>,
}

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
    /// For a variable that is not set, an empty secret, as with Docker's `--secret id=x,env=NAME`.
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub name: Spanned<String>,
    pub description: Option<String>,
    pub members: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub name: Spanned<String>,
    pub description: Option<String>,
    pub needs: Vec<Spanned<String>>,
    pub kind: TargetKind,
    pub attempts: Attempts,
    /// The pool in which it takes a place.
    pub pool: Option<Spanned<String>>,
    /// Names of the variables and `env.…` that interpolation used inside this target.
    pub used_variables: Vec<String>,
}
impl Target {
    /// The repository it is pushed to unless the push says another: `services/api:app` → `services/api/app`.
    pub fn default_repository(&self) -> String {
        self.name.value.replace(':', "/").to_lowercase()
    }
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TargetKind {
    Build(Box<BuildTarget>),
    Scan(ScanTarget),
    Push(PushTarget),
    Run(RunTarget),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildTarget {
    /// Without one, the manifest's directory.
    pub context: Option<Spanned<String>>,
    pub recipe: RecipeNode,
    pub contexts: Vec<(Spanned<String>, ContextNode)>,
    pub args: BTreeMap<String, Spanned<String>>,
    pub labels: BTreeMap<String, Spanned<String>>,
    pub annotations: BTreeMap<String, Spanned<String>>,
    pub platforms: Vec<Spanned<String>>,
    pub secrets: Vec<Spanned<String>>,
    /// id, then a socket path or `None` for the agent of the environment.
    pub ssh: Vec<(Spanned<String>, Option<String>)>,
    pub tags: Vec<Spanned<String>>,
    pub tar: Option<TarOutput>,
    pub layout: Option<Spanned<String>>,
    /// Where the image's files go, without the image.
    pub exports: Vec<ExportNode>,
    /// Daemons whose own stores get the image.
    pub load: Vec<LoadNode>,
    pub format: ImageFormat,
    /// `gzip`, `zstd` or `none`.
    pub compression: Option<Spanned<String>>,
    pub compression_level: Option<i32>,
    /// `default`, `host`, `none` or `isolated`: of every RUN that does not say its own.
    pub network: Option<Spanned<String>>,
    /// What each RUN may use; in no key.
    pub limits: LimitsNode,
    /// What a Dockerfile may take only where it is allowed here: `security.insecure`.
    pub allow: Vec<Spanned<String>>,
    /// Names that RUN finds in `/etc/hosts`, with their addresses.
    pub add_hosts: BTreeMap<String, Spanned<String>>,
    /// Servers that RUN asks for names, and domains that it looks in.
    pub dns: Vec<Spanned<String>>,
    pub dns_search: Vec<Spanned<String>>,
    /// Files with certificates that RUN trusts, and no layer has.
    pub trust_ca: Vec<Spanned<String>>,
    pub epoch: Option<i64>,
    /// Stages that are built although the image does not need them; `*` is every one before its own.
    pub also_stages: Vec<Spanned<String>>,
    /// What is added to the base becomes one layer.
    pub squash: bool,
    /// Absolute paths: what the build changes there is in no layer of the image.
    pub ignore_paths: Vec<Spanned<String>>,
    pub no_cache: bool,
}

impl BuildTarget {
    /// A build that says nothing but what it is made of.
    pub fn new(context: Option<Spanned<String>>, recipe: RecipeNode) -> BuildTarget {
        BuildTarget {
            context,
            recipe,
            contexts: Vec::new(),
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            tags: Vec::new(),
            tar: None,
            layout: None,
            exports: Vec::new(),
            load: Vec::new(),
            format: ImageFormat::default(),
            compression: None,
            compression_level: None,
            network: None,
            limits: LimitsNode::default(),
            allow: Vec::new(),
            add_hosts: BTreeMap::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            trust_ca: Vec::new(),
            epoch: None,
            also_stages: Vec::new(),
            squash: false,
            ignore_paths: Vec::new(),
            no_cache: false,
        }
    }
}

/// Limits of a RUN: bytes, processes and threads, bytes, wall time; each above zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsNode {
    pub memory: Option<Spanned<u64>>,
    pub processes: Option<Spanned<u64>>,
    pub disk: Option<Spanned<u64>>,
    pub time: Option<Spanned<Duration>>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadNode {
    pub into: LoadInto,
    pub without: WithoutDaemon,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadInto {
    Docker,
    Podman,
}
/// What it means that there is no daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithoutDaemon {
    Fail,
    /// CI steps only: one line.
    Note,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecipeNode {
    Dockerfile {
        path: Spanned<String>,
        stage: Option<Spanned<String>>,
    },
    Steps {
        from: Spanned<String>,
        base: BaseKind,
        steps: Vec<Spanned<StepNode>>,
    },
}
/// What the `from` of steps names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaseKind {
    /// `"alpine:3.22"`, `(image)"alpine:3.22"` or `scratch`.
    #[default]
    Image,
    /// `(target)base`
    Target,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContextNode {
    Target(Spanned<String>),
    Image(Spanned<String>),
    Path(Spanned<String>),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TarOutput {
    pub path: Spanned<String>,
    pub format: TarFormat,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportNode {
    pub path: Spanned<String>,
    pub form: ExportForm,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportForm {
    /// Files of a directory, owned by whoever builds.
    #[default]
    Directory,
    /// A tar archive, with the image's owners.
    Tar,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TarFormat {
    #[default]
    Docker,
    Oci,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageFormat {
    #[default]
    Oci,
    Docker,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepNode {
    Copy {
        sources: Vec<Spanned<String>>,
        to: Spanned<String>,
        mode: Option<String>,
        owner: Option<String>,
    },
    Layer(Vec<Spanned<StepNode>>),
    File {
        path: Spanned<String>,
        content: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Symlink {
        path: Spanned<String>,
        to: String,
    },
    Mkdir {
        path: Spanned<String>,
        mode: Option<String>,
        owner: Option<String>,
    },
    Run(CommandNode),
    Env(Vec<(String, String)>),
    User(String),
    Workdir(String),
    Expose(Vec<String>),
    Entrypoint(Vec<String>),
    Cmd(Vec<String>),
    Label(Vec<(String, String)>),
    Volume(Vec<String>),
    StopSignal(String),
    Healthcheck {
        test: HealthcheckTest,
        interval: Option<Duration>,
        timeout: Option<Duration>,
        start_period: Option<Duration>,
        start_interval: Option<Duration>,
        retries: Option<u32>,
    },
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HealthcheckTest {
    None,
    Shell(String),
    Argv(Vec<String>),
}
/// One string alone runs under `sh -ec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandNode {
    Shell(String),
    Argv(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunTarget {
    pub command: Spanned<CommandNode>,
    pub dir: Option<Spanned<String>>,
    pub env: BTreeMap<String, String>,
    pub inputs: Vec<Spanned<String>>,
    pub outputs: Vec<Spanned<String>>,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanTarget {
    pub from: ScanFrom,
    pub scanner: ScannerNode,
    pub fail_on: FailOn,
    pub ignores: Vec<IgnoreNode>,
    pub ignore_files: Vec<Spanned<String>>,
    pub vex_files: Vec<Spanned<String>>,
    /// Directory of OSV JSON files for the built-in scanner.
    pub advisories: Vec<Spanned<String>>,
    pub max_db_age: Option<Duration>,
    /// What nobody has judged passes.
    pub allow_unjudged: bool,
    pub reports: BTreeMap<String, Spanned<String>>,
    pub timeout: Option<Duration>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ScanFrom {
    /** Globs over target names. */
    Images(Vec<Spanned<String>>),
    Tar {
        path: Spanned<String>,
        pick: Option<ArchiveImage>,
    },
    Image(Spanned<String>),
    Index(IndexNode),
}
/** Which image of several in an archive. */
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveImage {
    /** A name, a tag, a digest or a platform. */
    Named(String),
    /** Its place, from 1. */
    Numbered(usize),
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ScannerNode {
    #[default]
    Builtin,
    Trivy,
    Grype,
    Command(String),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailOn {
    pub severity: Option<String>,
    pub fixable: bool,
    /// Whether findings that nobody rates refuse.
    pub unknown: bool,
}
impl Default for FailOn {
    fn default() -> Self {
        FailOn {
            severity: None,
            fixable: false,
            unknown: true,
        }
    }
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IgnoreNode {
    pub id: Spanned<String>,
    /** YYYY-MM-DD */
    pub until: Option<Spanned<String>>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushTarget {
    pub from: PushFrom,
    pub to: Vec<Destination>,
    pub publish: Publish,
    pub write_digests: Option<Spanned<String>>,
    pub sign: Option<SignNode>,
    /// What is attached to each image, each once.
    pub attest: Vec<Attestation>,
}
/// A private key, as cosign has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignNode {
    pub key: SignKey,
    /// The name of a secret; without it the variable `COSIGN_PASSWORD` is read, if the key is encrypted.
    pub password: Option<Spanned<String>>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SignKey {
    File(Spanned<String>),
    /// By the name of the secret.
    Secret(Spanned<String>),
}
/// A document about an image that is attached to it in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attestation {
    CycloneDx,
    Spdx,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushFrom {
    Images(Vec<Spanned<String>>),
    Tar {
        path: Spanned<String>,
        pick: Option<ArchiveImage>,
    },
    Image(Spanned<String>),
    /// Published as one image of several platforms.
    Index(IndexNode),
    /// An image of the store, by its name; only CI steps say this.
    Stored(Spanned<String>),
}
/// Images of one platform each, mostly, that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexNode {
    /// Globs over target names.
    pub images: Vec<Spanned<String>>,
    /// Images of registries.
    pub from: Vec<Spanned<String>>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    pub registries: Vec<Spanned<String>>,
    /** Default: the build target's name. */
    pub repository: Option<Spanned<String>>,
    pub tags: Vec<Spanned<String>>,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publish {
    #[default]
    Each,
    Together,
}
