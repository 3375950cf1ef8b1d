//! What a build depends on, found without building: the recipe, bases, arguments, and the files that
//! COPY, ADD and bind mounts of the reached stages select.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;

use crate::define::definition::{Loaded, mistake};
use crate::define::evaluate::{self, FileWork, Todo};
use crate::define::graph::{Origin, Program, Start};
use crate::define::state::ImageState;
use crate::define::steps::describe;
use crate::files::context::ContextTree;
use crate::files::copy::tree::{FileStat, relative};
use crate::files::copy::{Node, Tree};
use crate::files::download as add;
use crate::files::operation::{Operation, selected};
use crate::{AddedLayers, AlsoStages, BuildRequest, Engine, LayerCount, NamedContext, Recipe};
use imgmake_core::fingerprint::{Bytes, Fingerprint, Inputs, LengthPrefixedHasher, fingerprint_of};
use imgmake_dockerfile::{Mount, Run};

/// blake3 of a file of a context, which is opened only if its hash is not known.
pub type HashFile<'a> =
    &'a (dyn Fn(&FileStat, &dyn Fn() -> io::Result<File>) -> io::Result<[u8; 32]> + Sync);

/// Gathers everything once.
pub struct Gathering<'a> {
    pub request: &'a BuildRequest,
    pub engine: &'a Engine,
    pub hash_file: HashFile<'a>,
    found: BTreeMap<(&'static str, String), [u8; 32]>,
    taken_args: BTreeSet<String>,
    contexts: BTreeMap<std::path::PathBuf, Arc<ContextTree>>,
}

impl<'a> Gathering<'a> {
    pub fn new(request: &'a BuildRequest, engine: &'a Engine, hash_file: HashFile<'a>) -> Self {
        Gathering {
            request,
            engine,
            hash_file,
            found: BTreeMap::new(),
            taken_args: BTreeSet::new(),
            contexts: BTreeMap::new(),
        }
    }

    pub fn recipe(&mut self, loaded: &Loaded) {
        if let (Some((_, bytes)), Recipe::Dockerfile { path, .. }) =
            (&loaded.text, &self.request.recipe)
        {
            let name = self.named(path);
            self.add("dockerfile", name, *blake3::hash(bytes).as_bytes());
        }
        self.settings(loaded);
    }

    /// What the target itself says: all of it reaches the image.
    fn settings(&mut self, loaded: &Loaded) {
        let BuildRequest {
            recipe,
            contexts,
            labels,
            annotations,
            format,
            compression,
            also,
            added: AddedLayers { count, without },
            // With the build host's for none, below.
            platforms: _,
            // Those that instructions take, in `finish`; the one that steps see, in `loaded`.
            args: _,
            epoch: _,
            // By the files that are read.
            context: _,
            excluded: _,
            checkout: _,
            // Inputs of the target, which knows them as they are written.
            add_hosts: _,
            network: _,
            insecure: _,
            // Say nothing about the image.
            target: _,
            secrets: _,
            ssh: _,
            resolver: _,
            authorities: _,
            limits: _,
            no_cache: _,
            pull: _,
            jobs: _,
        } = self.request;
        match recipe {
            Recipe::Dockerfile { path: _, stage } => self.add_setting("setting", "stage", stage),
            Recipe::Steps { base, steps } => {
                self.add_setting("setting", "from", base);
                for (at, step) in steps.iter().enumerate() {
                    let whole = describe(step);
                    let kind = whole.split(' ').next().unwrap_or_default();
                    self.add_setting("step", &format!("{} {kind}", at + 1), step);
                }
            }
        }
        for (name, value) in labels {
            self.add_setting("label", name, value);
        }
        for (name, value) in annotations {
            self.add_setting("annotation", name, value);
        }
        for (name, context) in contexts {
            match context {
                NamedContext::Target(image) => self.add_setting("context", name, &image.digest),
                NamedContext::Image(image) => self.add_setting("context", name, image),
                NamedContext::Path(path) => self.add_setting("context", name, &self.named(path)),
            }
        }
        self.add_setting("setting", "platforms", &crate::platforms(self.request));
        self.add_setting("setting", "format", format);
        self.add_setting("setting", "compression", compression);
        self.add_setting("setting", "epoch", &loaded.epoch);
        if *also != AlsoStages::None {
            self.add_setting("setting", "also-stages", also);
        }
        if *count != LayerCount::default() {
            self.add_setting("setting", "squash", count);
        }
        if !without.is_empty() {
            self.add_setting("setting", "ignore-paths", without);
        }
    }

    fn add_setting(&mut self, kind: &'static str, name: &str, value: &impl Fingerprint) {
        self.add(kind, name.to_string(), fingerprint_of(value));
    }

    /// Walks the stages of one platform.
    ///
    /// # Errors
    /// Everything that is wrong before a build would run anything: missing sources, mistakes in words.
    pub fn program(&mut self, program: &Program, loaded: &Loaded) -> Result<()> {
        self.taken_args.extend(program.taken_args.iter().cloned());
        let mut states: Vec<ImageState> = Vec::new();
        for stage in &program.stages {
            let base = match &stage.start {
                Start::Stage(n) => states.get(*n),
                _ => None,
            };
            let mut state = evaluate::start(stage, base, None);
            match &stage.start {
                Start::Image(image) => {
                    let hash = *blake3::hash(image.named.as_str().as_bytes()).as_bytes();
                    self.add("base", image.name.clone(), hash);
                }
                Start::Directory(directory) => self.whole(directory, loaded)?,
                Start::Scratch | Start::Stage(_) => {}
            }
            for step in &stage.steps {
                let done = self.step(&mut state, step, program, loaded);
                done.map_err(|e| step.at(&program.file, e))?;
            }
            states.push(state);
        }
        Ok(())
    }

    fn step(
        &mut self,
        state: &mut ImageState,
        step: &crate::define::graph::ProgramStep,
        program: &Program,
        loaded: &Loaded,
    ) -> Result<()> {
        match evaluate::step(state, step, program, self.request, &mut self.taken_args)? {
            Todo::Nothing => Ok(()),
            Todo::Files(work) => self.files(&work, loaded),
            Todo::Run(run) => self.run(&run, step, loaded),
        }
    }

    fn files(&mut self, work: &FileWork, loaded: &Loaded) -> Result<()> {
        for (_, download) in &work.downloads {
            let fetched = add::fetch(download, self.engine, self.request)?;
            self.add("url", download.url.clone(), fetched.hash);
        }
        for (_, source) in &work.checkouts {
            let commit = crate::files::git::resolve(source, self.engine, self.request)?;
            let name = format!("{}#{}", source.remote.address, source.subdirectory);
            self.add("git", name, *blake3::hash(commit.as_bytes()).as_bytes());
        }
        let directory = match &work.from {
            None => None,
            Some(Origin::Directory(directory)) => Some(directory.clone()),
            Some(Origin::Stage(_)) => return Ok(()), // What stages hold follows from their own inputs.
        };
        for (step, _) in &work.steps {
            let (sources, parents) = match &step.operation {
                Operation::Copy { sources, .. } | Operation::Unpack { sources, .. } => {
                    (sources, false)
                }
                Operation::Parents { sources, .. } => (sources, true),
                _ => continue,
            };
            if sources.is_empty() {
                continue;
            }
            let tree = self.context(directory.as_deref(), loaded)?;
            let nodes = selected(&*tree, sources, &step.exclude, parents)?;
            self.nodes(&tree, nodes, directory.as_deref())?;
        }
        Ok(())
    }

    fn run(
        &mut self,
        run: &Run,
        step: &crate::define::graph::ProgramStep,
        loaded: &Loaded,
    ) -> Result<()> {
        for spec in &run.mounts {
            let (from, source) = match spec.mount().map_err(|e| anyhow!(mistake(&e)))? {
                Mount::Bind { from, source, .. } => (from, source),
                Mount::Cache {
                    from: Some(from),
                    source,
                    ..
                } => (Some(from), source),
                _ => continue,
            };
            let directory = match from.and_then(|f| step.origins.get(&f)) {
                Some(Origin::Stage(_)) => continue,
                Some(Origin::Directory(directory)) => Some(directory.clone()),
                None => None,
            };
            let tree = self.context(directory.as_deref(), loaded)?;
            let path = tree.resolve(&relative(&source))?;
            let node = crate::files::copy::select::existing(&*tree, &path, &source)?;
            let mut nodes = vec![node];
            if nodes[0].is_directory() {
                nodes.extend(tree.walk(&path)?);
            }
            self.nodes(&tree, nodes, directory.as_deref())?;
        }
        Ok(())
    }

    fn whole(&mut self, directory: &Path, loaded: &Loaded) -> Result<()> {
        let tree = self.context(Some(directory), loaded)?;
        let nodes = tree.walk(b"")?;
        self.nodes(&tree, nodes, Some(directory))
    }

    fn context(&mut self, directory: Option<&Path>, loaded: &Loaded) -> Result<Arc<ContextTree>> {
        let place = directory.unwrap_or(&self.request.context).to_path_buf();
        if let Some(known) = self.contexts.get(&place) {
            return Ok(known.clone());
        }
        let tree = loaded.context(self.request, directory)?;
        let tree = Arc::new(tree.stopped_by(&self.engine.cancel));
        if let (Some(file), Some(hash)) = (&tree.ignore_file, tree.ignore_hash) {
            let name = self.named(file);
            self.add("ignore file", name, hash);
        }
        self.contexts.insert(place, tree.clone());
        Ok(tree)
    }

    fn nodes(
        &mut self,
        tree: &ContextTree,
        mut nodes: Vec<Node>,
        named: Option<&Path>,
    ) -> Result<()> {
        let prefix = match named {
            Some(directory) => format!("{}/", self.named(directory)),
            None => String::new(),
        };
        nodes.retain(|n| {
            let name = format!("{prefix}{}", name_of(&n.path));
            !self.found.contains_key(&("file", name))
        });
        hash_nodes(&mut nodes, tree, self.hash_file)?;
        for node in nodes {
            let hash = context_file(&node);
            let name = match node.path.is_empty() {
                true => format!("{prefix}."),
                false => format!("{prefix}{}", name_of(&node.path)),
            };
            self.add("file", name, hash);
        }
        Ok(())
    }

    /// A path as seen from the context, wherever the project lies and imgmake is called.
    fn named(&self, path: &Path) -> String {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        relative_to(&real(&self.request.context), &real(path))
    }

    fn add(&mut self, kind: &'static str, name: String, hash: [u8; 32]) {
        self.found.insert((kind, name), hash);
    }

    pub fn finish(mut self) -> Inputs {
        for name in std::mem::take(&mut self.taken_args) {
            if let Some(value) = self.request.args.get(&name) {
                self.add("arg", name, *blake3::hash(value.as_bytes()).as_bytes());
            }
        }
        let mut inputs = Inputs::default();
        for ((kind, name), hash) in self.found {
            inputs.hashed(kind, name, hash);
        }
        inputs
    }
}

/// A file as the build sees it: owners and times of a context never count.
fn context_file(node: &Node) -> [u8; 32] {
    let Node {
        path: _,
        kind,
        mode,
        uid: _,
        gid: _,
        mtime: _,
        xattrs,
        identity: _,
        content,
        stat: _,
    } = node;
    let mut key = LengthPrefixedHasher::new();
    key.add(kind).add(mode).add(content);
    key.list(
        xattrs
            .iter()
            .map(|(name, value)| (Bytes(name), Bytes(value))),
    );
    key.finish()
}

/// `../shared/proto` for `/p/shared/proto` seen from `/p/app`.
fn relative_to(base: &Path, path: &Path) -> String {
    let common = base
        .components()
        .zip(path.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = base
        .components()
        .skip(common)
        .map(|_| std::path::Component::ParentDir);
    let down = path.components().skip(common);
    let relative: std::path::PathBuf = up.chain(down).collect();
    relative.display().to_string()
}

/// Two names must not look alike: odd bytes are escaped, not replaced.
fn name_of(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_string(),
        Err(_) => path.escape_ascii().to_string(),
    }
}

/// Content hashes of regular files, in parallel.
///
/// # Errors
/// A file that cannot be read.
pub fn hash_nodes(
    nodes: &mut [Node],
    context: &ContextTree,
    hash_file: HashFile<'_>,
) -> Result<()> {
    nodes.par_iter_mut().try_for_each(|node| {
        let (None, Some(stat)) = (node.content, node.stat) else {
            return Ok(());
        };
        let hash = hash_file(&stat, &|| context.open_file(&node.path));
        let at = || format!("cannot read `{}`", context.path_of(&node.path).display());
        node.content = Some(hash.with_context(at)?);
        Ok(())
    })
}
