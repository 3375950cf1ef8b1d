//! What Dockerfiles read of the files that targets make, for the edges of the graph.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use imgmake_core::graph::{Judge, Reading, Reads};
use imgmake_core::manifest::{
    BuildTarget, ContextNode, DockerfilePlace, Manifest, RecipeNode, TargetKind,
};
use imgmake_dockerfile::ignore::Ignore;
use imgmake_dockerfile::{Dockerfile, Extent, Read, hides_all};
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::Reference;

/// The Dockerfiles beneath a manifest's directory, each read once and only when somebody asks.
/// One that cannot be read or has mistakes is told of when it is built.
pub struct Dockerfiles<'a> {
    directory: &'a Path,
    /// Of the builds, by their names: what images that others begin with are made of.
    recipes: HashMap<String, RecipeNode>,
    parsed: RefCell<HashMap<PathBuf, Option<Rc<Dockerfile>>>>,
    ignored: RefCell<HashMap<PathBuf, Option<Rc<Ignore>>>>,
}

impl Dockerfiles<'_> {
    pub fn of<'a>(directory: &'a Path, manifest: &Manifest) -> Dockerfiles<'a> {
        let builds = manifest.targets.iter().filter_map(|target| {
            let TargetKind::Build(build) = &target.kind else {
                return None;
            };
            Some((target.name.value.clone(), build.recipe.clone()))
        });
        Dockerfiles {
            directory,
            recipes: builds.collect(),
            parsed: RefCell::default(),
            ignored: RefCell::default(),
        }
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        Checkout::new([self.directory]).read(path).ok()
    }

    fn parsed(&self, path: &Path) -> Option<Rc<Dockerfile>> {
        let mut parsed = self.parsed.borrow_mut();
        let file = parsed.entry(path.to_path_buf()).or_insert_with(|| {
            let parsed = Dockerfile::parse(&self.read(path)?);
            parsed.ok().map(Rc::new)
        });
        file.clone()
    }

    /// The first of the files that exists; `None` where it cannot be read.
    fn ignore(&self, candidates: &[PathBuf]) -> Option<Rc<Ignore>> {
        let Some(path) = candidates.iter().find(|path| path.exists()) else {
            return Some(Rc::default());
        };
        let mut ignored = self.ignored.borrow_mut();
        let rules = ignored.entry(path.clone()).or_insert_with(|| {
            let text = self.read(path)?;
            let rules = Ignore::parse(&String::from_utf8_lossy(&text));
            rules.ok().map(Rc::new)
        });
        rules.clone()
    }

    /// The ignore files of a context: the first that exists counts.
    pub fn ignore_files(&self, build: &BuildTarget, context: Option<&str>) -> Vec<PathBuf> {
        let mut candidates = Vec::new();
        // Docker reads none of a context that is fetched.
        if context.is_none() && build.directory().is_none() {
            return candidates;
        }
        if let (None, Some(path)) = (context, build.dockerfile()) {
            let mut beside = self.directory.join(&path.value).into_os_string();
            beside.push(".dockerignore");
            candidates.push(beside.into());
        }
        let directory = self.context(build, context);
        candidates.extend(directory.map(|directory| directory.join(".dockerignore")));
        candidates
    }

    /// What the ignore file of a context says; `None` where it cannot be read.
    pub fn ignore_of(&self, build: &BuildTarget, context: Option<&str>) -> Option<Rc<Ignore>> {
        self.ignore(&self.ignore_files(build, context))
    }

    /// What the Dockerfile of a build reads from one of its contexts; `None` where nobody can tell.
    pub fn reads(&self, build: &BuildTarget, context: Option<&str>) -> Option<Vec<Read>> {
        let RecipeNode::Dockerfile { stage, .. } = &build.recipe else {
            return None;
        };
        let file = build.dockerfile()?;
        let dockerfile = self.parsed(&self.directory.join(&file.value))?;
        let stage = stage.as_ref().map(|stage| stage.value.as_str());
        let stages: Vec<usize> = match build.also_stages.is_empty() {
            true => vec![dockerfile.target(stage).ok()?],
            false => (0..dockerfile.stages.len()).collect(),
        };
        let args: BTreeMap<String, String> = build
            .args
            .iter()
            .map(|(name, value)| (name.clone(), value.value.clone()))
            .collect();
        let reads = stages.iter().flat_map(|at| dockerfile.reads(*at, &args));
        let bases = || stages.iter().flat_map(|at| dockerfile.bases(*at, &args));
        let of_context = |read: &Read| match (&read.from, context) {
            (None, None) => true,
            (Some(from), Some(name)) => from.eq_ignore_ascii_case(name),
            _ => false,
        };
        let mut reads: Vec<Read> = reads.filter(of_context).collect();
        let reads_more = context.is_none() && bases().any(|image| self.has_triggers(build, &image));
        let directory = self.context(build, context);
        if reads_more || directory.is_some_and(|at| reads.iter().any(|read| is_linked(&at, read))) {
            reads.push(Read::of_context("."));
        }
        Some(reads)
    }

    /// Whether a target or an image of the manifest, which a build begins with, may leave something for it to do.
    fn has_triggers(&self, build: &BuildTarget, image: &str) -> bool {
        let mut contexts = build.contexts.iter();
        let named = contexts.find(|(name, _)| is_same_image(&name.value, image));
        let target = match named {
            None | Some((_, ContextNode::Path(_))) => return false,
            Some((_, ContextNode::Git(_))) => return false,
            Some((_, ContextNode::Image(_) | ContextNode::Layout { .. })) => return true,
            Some((_, ContextNode::Target(target))) => &target.value,
        };
        let Some(RecipeNode::Dockerfile { path, place, stage }) = self.recipes.get(target) else {
            return false;
        };
        if *place == DockerfilePlace::Context {
            return true;
        }
        let Some(dockerfile) = self.parsed(&self.directory.join(&path.value)) else {
            return true;
        };
        let stage = dockerfile.target(stage.as_ref().map(|stage| stage.value.as_str()));
        stage.map_or(true, |stage| dockerfile.stages[stage].has_triggers())
    }

    fn context(&self, build: &BuildTarget, name: Option<&str>) -> Option<PathBuf> {
        let Some(name) = name else {
            let directory = build.directory()?;
            return Some(match build.context {
                Some(_) => self.directory.join(directory),
                None => self.directory.to_path_buf(),
            });
        };
        let mut contexts = build.contexts.iter();
        let (_, context) = contexts.find(|(known, _)| known.value == name)?;
        match context {
            ContextNode::Path(path) => Some(self.directory.join(&path.value)),
            ContextNode::Target(_)
            | ContextNode::Image(_)
            | ContextNode::Git(_)
            | ContextNode::Layout { .. } => None,
        }
    }
}

/// `alpine`, `alpine:latest` and `docker.io/library/alpine` are one.
fn is_same_image(one: &str, other: &str) -> bool {
    let familiar = |text: &str| {
        let full = text.parse::<Reference>().ok()?.familiar();
        Some(full.strip_suffix(":latest").unwrap_or(&full).to_string())
    };
    one.eq_ignore_ascii_case(other)
        || familiar(one).is_some_and(|one| familiar(other).as_ref() == Some(&one))
}

/// Entries of a directory that are looked at for links.
const MOST_ENTRIES: usize = 10_000;

/// Whether a symlink stands on the way to what is read, so that other files are read than are named. Of a pattern,
/// all that lies in the directory where it begins is on the way.
fn is_linked(context: &Path, read: &Read) -> bool {
    let Some(path) = read.path.as_deref().filter(|path| !path.is_empty()) else {
        return false;
    };
    let mut at = context.to_path_buf();
    for part in path.split('/') {
        if part.contains(['*', '?', '[', '\\']) {
            let entries = at.read_dir().into_iter().flatten().take(MOST_ENTRIES);
            let mut kinds = entries.filter_map(|entry| entry.ok()?.file_type().ok());
            return kinds.any(|kind| kind.is_symlink());
        }
        at.push(part);
        if at.is_symlink() {
            return true;
        }
    }
    false
}

impl Reads for Dockerfiles<'_> {
    fn of<'r>(&'r self, build: &'r BuildTarget, context: Option<&'r str>) -> Judge<'r> {
        let Some(ignore) = self.ignore_of(build, context) else {
            return Box::new(|_| Reading::Unknown);
        };
        let reads = self.reads(build, context);
        Box::new(move |path| {
            if hides_all(&ignore, path) {
                return Reading::No;
            }
            let Some(reads) = &reads else {
                return Reading::Unknown;
            };
            match reads.iter().map(|read| read.extent(path)).max() {
                None | Some(Extent::No) => Reading::No,
                Some(Extent::Along) => Reading::Along,
                Some(Extent::ByName) => Reading::ByName,
            }
        })
    }
}
