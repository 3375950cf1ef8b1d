//! What a build depends on, found without building: the definition, bases, arguments, and the files that
//! COPY, ADD and bind mounts of the reached stages select. For keys as hashes, for provenances as facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::define::base::BaseImage;
use crate::define::compile::compile;
use crate::define::definition::ParsedDefinition;
use crate::define::evaluate::{self, Todo};
use crate::define::graph::{StageGraph, StageStep, Start};
use crate::define::state::ImageState;
use crate::define::steps::describe;
use crate::error::Result;
use crate::execute::{Engine, of_misspelled_stages};
use crate::files::context::ContextTree;
use crate::files::copy::select::existing;
use crate::files::download::Fetched;
use crate::files::hash::FileHashes;
use crate::files::layer_plan::selected;
use crate::files::patterns::Patterns;
use crate::files::source::{CopyMode, FileWork, Operation, Origin, Source};
use crate::files::tree::{Node, Tree, relative};
use crate::files::{download, git};
use crate::materials::{Material, Materials};
use crate::prepared::prepare;
use crate::request::{
    AddedLayers, AlsoStages, BuildDefinition, BuildRequest, FetchedContext, LayerCount,
    NamedContext,
};
use crate::target::TargetContext;
use imgmake_core::files::{ReadAs, ReadFiles};
use imgmake_core::fingerprint::{Bytes, Fingerprint, Inputs, LengthPrefixedHasher, fingerprint_of};
use imgmake_dockerfile::{Mount, Run};
use imgmake_oci::image::{Digest, Platform};
use imgmake_oci::layer::Timestamp;

/// The kind of the inputs that are files of a context.
const FILE: &str = "file";

/// How a URL is called among the inputs, which `why` shows: queries can be secret, and tell URLs apart.
fn name_of_url(url: &str) -> String {
    let shown = download::redacted(url);
    if shown == url {
        return url.to_string();
    }
    let hash = blake3::hash(url.as_bytes()).to_hex();
    format!("{shown} (blake3 {})", &hash[..12])
}

/// The files, bases and settings that this build depends on.
///
/// # Errors
/// Whatever a build would refuse before running anything, with file and line.
pub fn inputs(request: &BuildRequest, engine: &Engine) -> Result<Inputs> {
    inputs_of(request, engine, None)
}

/// Where it is told which files make the key.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    pub files: &'a ReadFiles,
    /// The context that stands for the images of targets that are not built yet: of what is in it nothing is known.
    /// What they and other targets write may be missing, too.
    pub unbuilt: Option<&'a Path>,
}

/// The same, told which files these are.
///
/// # Errors
/// As [`inputs`].
pub fn inputs_and_files(
    request: &BuildRequest,
    engine: &Engine,
    recorded: Recorded<'_>,
) -> Result<Inputs> {
    inputs_of(request, engine, Some(recorded))
}

fn inputs_of(
    request: &BuildRequest,
    engine: &Engine,
    recorded: Option<Recorded<'_>>,
) -> Result<Inputs> {
    let cx = engine.for_target(&request.target);
    let (definition, request) = &prepare(request, &cx)?;
    let bases = engine.bases(&cx, request.pull);
    let mut gathering = Gathering::new(request, &cx);
    gathering.recorded = recorded;
    gathering.definition(definition);
    of_misspelled_stages(request, &cx, definition)?;
    for platform in request.platforms() {
        let graph = compile(definition, request, &bases, &platform)?;
        gathering.graph(&graph, definition)?;
    }
    Ok(gathering.finish())
}

/// The same as facts, per platform.
///
/// # Errors
/// As [`inputs`].
pub fn materials(request: &BuildRequest, engine: &Engine) -> Result<Vec<Materials>> {
    let cx = engine.for_target(&request.target);
    let (definition, request) = &prepare(request, &cx)?;
    let bases = engine.bases(&cx, request.pull);
    let mut gathering = Gathering::new(request, &cx);
    let mut found = Vec::new();
    for platform in request.platforms() {
        gathering.taken_args.clear();
        gathering.materials.clear();
        let graph = compile(definition, request, &bases, &platform)?;
        gathering.graph(&graph, definition)?;
        let taken = |(name, _): &(&String, &String)| gathering.taken_args.contains(*name);
        let args = request.args.iter().filter(taken);
        found.push(Materials {
            platform,
            args: args.map(|(n, v)| (n.clone(), v.clone())).collect(),
            epoch: definition.epoch.seconds,
            materials: std::mem::take(&mut gathering.materials),
        });
    }
    // Of all platforms: what one reads is not looked at again.
    let shared = gathering.of_the_project(definition);
    for one in &mut found {
        one.materials.extend(shared.iter().cloned());
    }
    Ok(found)
}

/// Resolves the bases, URLs and git references that this build names, and reads no file of its contexts.
///
/// # Errors
/// As [`inputs`]; what does not answer.
pub fn resolve(request: &BuildRequest, engine: &Engine) -> Result<()> {
    let cx = engine.for_target(&request.target);
    let (definition, request) = &prepare(request, &cx)?;
    let bases = engine.bases(&cx, request.pull);
    let mut gathering = Gathering::new(request, &cx);
    gathering.contexts_read = ContextsRead::None;
    for platform in request.platforms() {
        let graph = compile(definition, request, &bases, &platform)?;
        gathering.graph(&graph, definition)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContextsRead {
    All,
    None,
}

/// Gathers everything once.
struct Gathering<'a> {
    contexts_read: ContextsRead,
    request: &'a BuildRequest,
    cx: &'a TargetContext,
    recorded: Option<Recorded<'a>>,
    hashes: FileHashes,
    found: BTreeMap<(&'static str, String), [u8; 32]>,
    /// From outside of the project.
    materials: BTreeSet<Material>,
    taken_args: BTreeSet<String>,
    contexts: BTreeMap<PathBuf, Arc<ContextTree>>,
}

impl<'a> Gathering<'a> {
    fn new(request: &'a BuildRequest, cx: &'a TargetContext) -> Self {
        Gathering {
            contexts_read: ContextsRead::All,
            request,
            cx,
            recorded: None,
            hashes: FileHashes::new(cx, &cx.cancel),
            found: BTreeMap::new(),
            materials: BTreeSet::new(),
            taken_args: BTreeSet::new(),
            contexts: BTreeMap::new(),
        }
    }

    fn definition(&mut self, definition: &ParsedDefinition) {
        if let (Some((_, bytes)), BuildDefinition::Dockerfile { path, .. }) =
            (&definition.text, &self.request.definition)
        {
            let name = self.dockerfile(path);
            self.add("dockerfile", name, *blake3::hash(bytes).as_bytes());
            if self.request.fetched_dockerfile().is_none() {
                self.record(path, ReadAs::Text);
            }
        }
        self.settings(definition);
    }

    /// What the target itself says: all of it reaches the image.
    fn settings(&mut self, parsed: &ParsedDefinition) {
        let BuildRequest {
            definition,
            contexts,
            labels,
            annotations,
            format,
            compression,
            also,
            added: AddedLayers { count, without },
            // With the build host's for none, below.
            platforms: _,
            // Those that instructions take, in `finish`; the one that steps see, in `parsed`.
            args: _,
            epoch: _,
            // By the files that are read.
            context: _,
            fetched,
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
        match definition {
            BuildDefinition::Dockerfile { path: _, stage } => {
                self.add_setting("setting", "stage", stage)
            }
            BuildDefinition::Steps { base, steps } => {
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
                NamedContext::Remote(remote) => self.add_setting("context", name, remote),
            }
        }
        if let Some(FetchedContext {
            context,
            holds_dockerfile,
        }) = fetched
        {
            self.add_setting("setting", "context", context);
            self.add_setting("setting", "dockerfile of the context", holds_dockerfile);
        }
        self.add_setting("setting", "platforms", &self.request.platforms());
        self.add_setting("setting", "format", format);
        self.add_setting("setting", "compression", compression);
        self.add_setting("setting", "epoch", &parsed.epoch.seconds);
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
    fn graph(&mut self, graph: &StageGraph, definition: &ParsedDefinition) -> Result<()> {
        self.taken_args.extend(graph.taken_args.iter().cloned());
        let mut states: Vec<ImageState> = Vec::new();
        for stage in &graph.stages {
            let base = match &stage.start {
                Start::Stage(n) => states.get(*n),
                _ => None,
            };
            let mut state = evaluate::start(stage, base, None);
            match &stage.start {
                Start::Image(image) => {
                    let hash = *blake3::hash(image.named.as_str().as_bytes()).as_bytes();
                    self.add("base", image.name.clone(), hash);
                    let material = self.base(image, &stage.platform);
                    self.materials.insert(material);
                }
                Start::Directory(directory) => self.whole(directory, definition)?,
                Start::Scratch | Start::Stage(_) => {}
            }
            for step in &stage.steps {
                let done = self.step(&mut state, step, graph, definition);
                done.map_err(|e| step.at(&graph.file, e))?;
            }
            states.push(state);
        }
        Ok(())
    }

    fn step(
        &mut self,
        state: &mut ImageState,
        step: &StageStep,
        graph: &StageGraph,
        definition: &ParsedDefinition,
    ) -> Result<()> {
        match evaluate::step(state, step, graph, self.request, &mut self.taken_args)? {
            Todo::Nothing => Ok(()),
            Todo::Files(work) => self.files(&work, definition),
            Todo::Run(run) => self.run(&run, step, definition),
        }
    }

    fn files(&mut self, work: &FileWork, definition: &ParsedDefinition) -> Result<()> {
        for step in &work.steps {
            let Operation::Copy { source, .. } = &step.operation else {
                continue;
            };
            let tree_source = match source {
                Source::Tree(tree) => tree,
                Source::Download(download) => {
                    let fetched = download::fetch(download, self.cx, self.request)?;
                    self.add("url", name_of_url(&download.url), fetched_file(&fetched));
                    self.materials.insert(Material::Url {
                        address: download::redacted(&download.url).into_owned(),
                        digest: fetched.digest,
                    });
                    continue;
                }
                Source::Git(source) => {
                    let commit = git::resolve(source, self.cx, self.request)?;
                    // Two references of one repository are two inputs.
                    self.add(
                        "git",
                        source.to_string(),
                        *blake3::hash(commit.as_bytes()).as_bytes(),
                    );
                    self.materials.insert(Material::Git {
                        address: source.remote.address.to_string(),
                        subdirectory: source.subdirectory.clone(),
                        commit,
                    });
                    continue;
                }
                Source::Inline(_) => continue,
            };
            let directory = match &tree_source.from {
                Origin::Context => None,
                Origin::Directory(directory) => Some(directory.clone()),
                // What stages hold follows from their own inputs.
                Origin::Stage(_) => continue,
            };
            if tree_source.paths.is_empty()
                || self.contexts_read == ContextsRead::None
                || self.is_unbuilt(directory.as_deref())
            {
                continue;
            }
            let tree = self.context(directory.as_deref(), definition)?;
            let parents = match tree_source.mode {
                CopyMode::Parents => true,
                CopyMode::Plain | CopyMode::Unpack => false,
            };
            let paths = self.made_already(&tree, &tree_source.paths);
            if paths.is_empty() {
                continue;
            }
            let nodes = selected(&*tree, &paths, &step.exclude, parents)?;
            self.nodes(&tree, nodes, directory.as_deref())?;
        }
        Ok(())
    }

    fn run(&mut self, run: &Run, step: &StageStep, definition: &ParsedDefinition) -> Result<()> {
        if self.contexts_read == ContextsRead::None {
            return Ok(());
        }
        for spec in &run.mounts {
            let (from, source) = match spec.mount()? {
                Mount::Bind { from, source, .. } => (from, source),
                Mount::Cache {
                    from: Some(from),
                    source,
                    ..
                } => (Some(from), source),
                _ => continue,
            };
            let directory = match step.origin(from.as_deref()) {
                Origin::Stage(_) => continue,
                Origin::Directory(directory) => Some(directory.clone()),
                Origin::Context => None,
            };
            if self.is_unbuilt(directory.as_deref()) {
                continue;
            }
            let tree = self.context(directory.as_deref(), definition)?;
            if self
                .made_already(&tree, std::slice::from_ref(&source))
                .is_empty()
            {
                continue;
            }
            let path = tree.resolve(&relative(&source))?;
            let node = existing(&*tree, &path, &source)?;
            let mut nodes = vec![node];
            if nodes[0].is_directory() {
                nodes.extend(tree.walk(&path)?);
            }
            self.nodes(&tree, nodes, directory.as_deref())?;
        }
        Ok(())
    }

    fn whole(&mut self, directory: &Path, definition: &ParsedDefinition) -> Result<()> {
        if self.contexts_read == ContextsRead::None || self.is_unbuilt(Some(directory)) {
            return Ok(());
        }
        let tree = self.context(Some(directory), definition)?;
        let nodes = tree.walk(b"")?;
        self.nodes(&tree, nodes, Some(directory))
    }

    fn context(
        &mut self,
        directory: Option<&Path>,
        definition: &ParsedDefinition,
    ) -> Result<Arc<ContextTree>> {
        let place = directory.unwrap_or(&self.request.context).to_path_buf();
        if let Some(tree) = self.contexts.get(&place) {
            return Ok(tree.clone());
        }
        let tree = definition.context(self.request, directory)?;
        let mut tree = tree.stopped_by(&self.cx.cancel);
        if let Some(recorded) = self.recorded {
            tree = tree.recorded_in(recorded.files);
        }
        let tree = Arc::new(tree);
        self.record(&place, ReadAs::Followed);
        if let Some(file) = &tree.ignore_file {
            self.record(file, ReadAs::Text);
        }
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
        let name_of = |node: &Node| match node.path.is_empty() {
            true => format!("{prefix}."),
            false => format!("{prefix}{}", name_of(&node.path)),
        };
        let files = (FILE, String::new())..;
        let has_files = self.found.range(files).next();
        if has_files.is_some_and(|((kind, _), _)| *kind == FILE) {
            nodes.retain(|node| !self.found.contains_key(&(FILE, name_of(node))));
        }
        if let Some(recorded) = self.recorded {
            for node in &nodes {
                recorded.files.add(tree.path_of(&node.path), ReadAs::Itself);
            }
        }
        self.hashes.of_nodes(&mut nodes, tree)?;
        let hashed = |node: &Node| ((FILE, name_of(node)), context_file(node));
        // Made at once of all that is sorted, not name by name.
        let hashed: Vec<_> = nodes.par_iter().map(hashed).collect();
        self.found.append(&mut hashed.into_iter().collect());
        Ok(())
    }

    fn record(&self, path: &Path, how: ReadAs) {
        if let Some(recorded) = self.recorded {
            recorded.files.add(path, how);
        }
    }

    fn is_unbuilt(&self, directory: Option<&Path>) -> bool {
        let unbuilt = self.recorded.and_then(|recorded| recorded.unbuilt);
        directory.is_some() && directory == unbuilt
    }

    /// The sources without those that a target is yet to make.
    fn made_already(&self, tree: &ContextTree, paths: &[String]) -> Vec<String> {
        let recorded = self.recorded.filter(|recorded| recorded.unbuilt.is_some());
        let Some(Recorded { files, .. }) = recorded else {
            return paths.to_vec();
        };
        let is_made = |source: &&String| {
            let path = tree.path_of(&relative(source));
            if files.is_output(&path) {
                return false;
            }
            let whole = path.to_string_lossy().into_owned();
            let Some(at) = whole.find(['*', '?', '[']) else {
                return path.symlink_metadata().is_ok() || !files.has_output_beneath(&path);
            };
            // A pattern that matches nothing yet.
            let above = whole[..at].rfind('/').map_or("", |end| &whole[..end]);
            let is_there = selected(
                tree,
                std::slice::from_ref(*source),
                &Patterns::default(),
                false,
            )
            .is_ok();
            is_there || !files.has_output_beneath(Path::new(above))
        };
        paths.iter().filter(is_made).cloned().collect()
    }

    fn dockerfile(&self, path: &Path) -> String {
        match self.request.fetched_dockerfile() {
            Some((_, path)) => path.display().to_string(),
            None => self.named(path),
        }
    }

    /// A path as seen from the context, wherever the project lies and imgmake is called.
    fn named(&self, path: &Path) -> String {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        relative_to(&real(&self.request.context), &real(path))
    }

    fn base(&self, image: &BaseImage, platform: &Platform) -> Material {
        let (name, digest) = (image.name.clone(), image.named.clone());
        let is_built = matches!(self.request.contexts.get(&name),
            Some(NamedContext::Target(root)) if root.digest == digest);
        match is_built {
            true => Material::Built { name, digest },
            false => Material::Base {
                name,
                digest,
                platform: platform.to_string(),
            },
        }
    }

    /// The Dockerfile, and the directories with what was read of them.
    fn of_the_project(&self, definition: &ParsedDefinition) -> BTreeSet<Material> {
        let mut found = BTreeSet::new();
        if let (Some((_, bytes)), BuildDefinition::Dockerfile { path, .. }) =
            (&definition.text, &self.request.definition)
        {
            found.insert(Material::Dockerfile {
                path: self.dockerfile(path),
                digest: Digest::of(bytes),
            });
        }
        let named = |path: &PathBuf| (path != &self.request.context).then(|| self.named(path));
        let named: Vec<String> = self.contexts.keys().filter_map(named).collect();
        // The longest first: a directory may lie in another one.
        let owner = |file: &str| {
            let holds = |directory: &&String| {
                let below = file.strip_prefix(directory.as_str());
                below.is_some_and(|below| below.starts_with('/'))
            };
            let longest = named.iter().filter(holds).max_by_key(|name| name.len());
            longest.cloned().unwrap_or_default()
        };
        let mut directories: BTreeMap<String, LengthPrefixedHasher> = BTreeMap::new();
        for ((kind, name), hash) in &self.found {
            if *kind == FILE {
                let hasher = directories.entry(owner(name)).or_default();
                hasher.text(name).bytes(hash);
            }
        }
        let directories = directories.into_iter();
        found.extend(directories.map(|(path, hasher)| Material::Directory {
            path,
            hash: hasher.finish(),
        }));
        found
    }

    fn add(&mut self, kind: &'static str, name: String, hash: [u8; 32]) {
        self.found.insert((kind, name), hash);
    }

    fn finish(mut self) -> Inputs {
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

/// A download as the build sees it: the layer has the server's time.
fn fetched_file(fetched: &Fetched) -> [u8; 32] {
    let Fetched {
        path: _,
        size: _,
        // Of the same content as the hash.
        digest: _,
        hash,
        mtime,
    } = fetched;
    let Timestamp { seconds, nanos } = mtime;
    let mut key = LengthPrefixedHasher::new();
    key.add(hash).add(seconds).add(nanos);
    key.finish()
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

/// Two names must not look alike: odd bytes are escaped, not replaced, and so is what escapes them.
fn name_of(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) => text.replace('\\', "\\\\"),
        Err(_) => path.escape_ascii().to_string(),
    }
}
