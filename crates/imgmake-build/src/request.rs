//! What one build is asked for, values final.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imgmake_core::manifest::RemoteKind;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::{Descriptor, Healthcheck, ManifestFormat, Platform, Reference};
use imgmake_oci::layer::Compression;
use imgmake_sandbox::Limits;

use crate::ignored_paths::IgnoredPaths;

/// Whether the Dockerfile may say `RUN --security=insecure`, which makes it root of this
/// machine: whoever writes the manifest decides, not whoever writes the Dockerfile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insecure {
    #[default]
    Refused,
    Allowed,
}

/// One build target, values final.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub target: String,
    pub definition: BuildDefinition,
    /// Where files of the context are, and what paths of the project are named from; a fetched one takes its place.
    pub context: PathBuf,
    pub fetched: Option<FetchedContext>,
    /// Paths that leave every context unless copied by name: declared outputs, `.imgmake/` (absolute).
    pub excluded: Vec<PathBuf>,
    /// Where the Dockerfile and ignore files may lie as links, and not lead out.
    pub checkout: Checkout,
    pub contexts: BTreeMap<String, NamedContext>,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub platforms: Vec<Platform>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub ssh: BTreeMap<String, PathBuf>,
    /// Names that RUN finds in `/etc/hosts`; they are in no layer.
    pub add_hosts: BTreeMap<String, String>,
    /// Whom RUN asks for names.
    pub resolver: Resolver,
    /// Certificates in PEM that RUN trusts; they are in no layer and no key.
    pub authorities: Vec<u8>,
    /// Of every RUN that does not say its own.
    pub network: DefaultNetwork,
    /// What each RUN may use.
    pub limits: Limits,
    pub insecure: Insecure,
    /// SOURCE_DATE_EPOCH, seconds.
    pub epoch: Option<i64>,
    pub compression: Compression,
    pub format: ManifestFormat,
    /// Stages that are built although the image does not need them.
    pub also: AlsoStages,
    /// What becomes of the layers that are added to the base.
    pub added: AddedLayers,
    pub no_cache: bool,
    pub pull: bool,
    pub jobs: usize,
}
/// Who is asked for names, and in which domains; empty ones are the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resolver {
    /// Addresses.
    pub servers: Vec<String>,
    pub search: Vec<String>,
}

/// The network of every RUN that does not say its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultNetwork {
    #[default]
    Host,
    None,
    /// Neither the host's nor, by a Dockerfile's own word, to be had as the host's.
    Isolated,
}
#[derive(Clone, Debug)]
pub enum BuildDefinition {
    Dockerfile {
        /// In the fetched context where that holds it.
        path: PathBuf,
        stage: Option<String>,
    },
    Steps {
        base: String,
        steps: Vec<Step>,
    },
}
/// Stages to build beside those that the target's stage needs: one that runs tests, say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AlsoStages {
    #[default]
    None,
    Named(Vec<String>),
    /// Every one before the target's.
    Earlier,
}
/// One step of a build without a Dockerfile (manifest.md); paths relative to `context`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Copy {
        sources: Vec<String>,
        to: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Layer(Vec<Step>),
    File {
        path: String,
        content: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Symlink {
        path: String,
        to: String,
    },
    Mkdir {
        path: String,
        mode: Option<String>,
        owner: Option<String>,
    },
    Run {
        command: Command,
    },
    Env(Vec<(String, String)>),
    User(String),
    Workdir(String),
    Expose(Vec<String>),
    Entrypoint(Vec<String>),
    Cmd(Vec<String>),
    Label(Vec<(String, String)>),
    Volume(Vec<String>),
    StopSignal(String),
    Healthcheck(Healthcheck),
    /// All files of a context that is fetched. No manifest has it: contexts become stages of it.
    Fetch(RemoteContext),
}
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Shell(String),
    Argv(Vec<String>),
}
#[derive(Clone, Debug)]
pub enum NamedContext {
    Target(Descriptor),
    Image(Reference),
    Path(PathBuf),
    Remote(RemoteContext),
}

/// A context that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// `REMOTE[#REF[:DIR]]` of a repository, or the URL of an archive. May hold a login.
    pub address: String,
    pub kind: RemoteKind,
    pub keep_git_directory: bool,
}

/// What takes the place of the context's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedContext {
    pub context: RemoteContext,
    /// Whether the path of the Dockerfile is one of the context.
    pub holds_dockerfile: bool,
}
#[derive(Clone, Debug)]
pub enum SecretSource {
    Value(Vec<u8>),
    /// Declared by a variable that is not set, where that is an empty secret: a step that requires it fails.
    Empty {
        /// "the variable `TOKEN` is not set".
        why: String,
    },
    /// Declared, and not to be had: a step that needs it fails.
    Absent {
        /// "the variable `TOKEN` is not set".
        why: String,
    },
}

/// The form of what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedLayers {
    pub count: LayerCount,
    pub without: IgnoredPaths,
}

/// How many layers a build adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerCount {
    #[default]
    OnePerStep,
    /// All that is added becomes one; the base keeps its own.
    One,
}

impl BuildRequest {
    /// The context that is fetched and holds the Dockerfile, and the path in it.
    pub fn fetched_dockerfile(&self) -> Option<(&RemoteContext, &Path)> {
        let fetched = self.fetched.as_ref().filter(|one| one.holds_dockerfile)?;
        match &self.definition {
            BuildDefinition::Dockerfile { path, .. } => Some((&fetched.context, path)),
            BuildDefinition::Steps { .. } => None,
        }
    }

    /// Those asked for, else this machine's.
    pub fn platforms(&self) -> Vec<Platform> {
        match self.platforms.is_empty() {
            true => vec![Platform::host()],
            false => self.platforms.clone(),
        }
    }
}
