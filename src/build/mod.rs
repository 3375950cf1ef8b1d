//! SKELETON: signatures that other rooms rely on.
use crate::event::{Cancel, Events};
use crate::image::{Descriptor, Platform, Reference};
use crate::layer::Compression;
use crate::registry::Client;
use crate::store::Store;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub mod copy;
pub mod worker;

/// Everything that a build works with.
#[derive(Clone)]
pub struct Engine {
    pub store: Store,
    pub registry: Client,
    pub worker: std::sync::Arc<worker::Worker>,
    pub events: Events,
    pub cancel: Cancel,
    pub pins: std::sync::Arc<dyn Pins>,
}

/// FROM tags and ADD URLs resolved once and remembered in the project's state; moves only with `--pull`.
pub trait Pins: Send + Sync {
    fn get(&self, name: &str) -> Option<String>;
    fn set(&self, name: &str, value: &str);
}

/// One build target, values final.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub target: String,
    pub recipe: Recipe,
    /// Directory; `None` for steps-only builds without a context.
    pub context: PathBuf,
    /// Paths that leave every context unless copied by name: declared outputs, `.imgmake/` (absolute).
    pub excluded: Vec<PathBuf>,
    pub contexts: BTreeMap<String, NamedContext>,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub platforms: Vec<Platform>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub ssh: BTreeMap<String, PathBuf>,
    /// SOURCE_DATE_EPOCH, seconds.
    pub epoch: Option<i64>,
    pub compression: Compression,
    pub format: crate::image::ManifestFormat,
    pub no_cache: bool,
    pub pull: bool,
    pub jobs: usize,
}
#[derive(Clone, Debug)]
pub enum Recipe {
    Dockerfile {
        path: PathBuf,
        stage: Option<String>,
    },
    Steps {
        base: String,
        steps: Vec<Step>,
    },
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
    Healthcheck(crate::image::Healthcheck),
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
}
#[derive(Clone, Debug)]
pub enum SecretSource {
    Value(Vec<u8>),
    File(PathBuf),
}

/// What the build reads, for the target's key: (label, hash) pairs with names for `why`.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub entries: Vec<Input>,
}
/// `name` is what `why` shows: `file src/main.c`, `base debian:12`, `arg VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub kind: &'static str,
    pub name: String,
    pub hash: [u8; 32],
}

/// The files, bases and settings that this build depends on. Uses `hash_file` (the stat cache) for contents.
pub fn inputs(
    request: &BuildRequest,
    engine: &Engine,
    hash_file: &(dyn Fn(&std::path::Path, &std::fs::Metadata) -> std::io::Result<[u8; 32]> + Sync),
) -> Result<Inputs> {
    todo!()
}

#[derive(Clone, Debug)]
pub struct Built {
    /// Manifest (one platform) or index, in the store.
    pub root: Descriptor,
    /// Where layers that were never pulled can be had.
    pub sources: Vec<Reference>,
    pub steps_run: usize,
    pub steps_cached: usize,
}
pub fn build(request: &BuildRequest, engine: &Engine) -> Result<Built> {
    todo!()
}
