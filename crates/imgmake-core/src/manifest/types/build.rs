//! `build` targets: recipe, contexts, steps, outputs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::remote::remote_kind;
use super::archive::ArchiveImage;
use super::command::CommandNode;
use super::span::Spanned;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildTarget {
    /// A directory, or what is fetched (`remote_kind`). Without one, the manifest's directory.
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
    /// The path of the context's directory; `None` where the context is fetched.
    pub fn directory(&self) -> Option<&str> {
        match &self.context {
            None => Some("."),
            Some(context) => remote_kind(&context.value)
                .is_none()
                .then_some(context.value.as_str()),
        }
    }

    /// The path of the Dockerfile in the project, where it has one there.
    pub fn dockerfile(&self) -> Option<&Spanned<String>> {
        match &self.recipe {
            RecipeNode::Dockerfile {
                path,
                place: DockerfilePlace::Project,
                ..
            } => Some(path),
            RecipeNode::Dockerfile { .. } | RecipeNode::Steps { .. } => None,
        }
    }

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
        place: DockerfilePlace,
        stage: Option<Spanned<String>>,
    },
    Steps {
        from: Spanned<String>,
        base: BaseKind,
        steps: Vec<Spanned<StepNode>>,
    },
}

/// What the path of a Dockerfile begins at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DockerfilePlace {
    /// The manifest's directory.
    #[default]
    Project,
    /// The context, which is fetched.
    Context,
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
    /// A repository, as `https://host/app.git#ref:directory`.
    Git(Spanned<String>),
    /// An OCI layout or an archive, and which of its images is meant where it holds several.
    Layout {
        path: Spanned<String>,
        pick: Option<ArchiveImage>,
    },
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
