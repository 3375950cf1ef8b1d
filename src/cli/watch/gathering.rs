//! What each target reads, gathered from the manifest and its Dockerfiles.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::interest::{Interest, Taken, Tree, copied};
use crate::file_notices::{Places, as_told};
use crate::targets::{Dockerfiles, Project, file_of_secret};
use imgmake_core::graph::Graph;
use imgmake_core::manifest::glob::{clean, excluded, is_pattern};
use imgmake_core::manifest::{
    BuildTarget, ContextNode, Glob, Manifest, RecipeNode, RunTarget, ScanFrom, ScanTarget,
};

pub(super) struct Gathering<'a> {
    pub root: &'a Path,
    pub graph: &'a Graph,
    pub dockerfiles: Dockerfiles<'a>,
    pub variables: &'a BTreeMap<String, String>,
    pub manifest: Interest,
    pub left_out: BTreeMap<String, Vec<Glob>>,
    /// Targets whose inputs are without what git ignores.
    pub git_ignore: BTreeSet<String>,
    pub outputs: HashSet<PathBuf>,
    pub places: Places,
}

impl Gathering<'_> {
    pub fn manifest(&mut self, project: &Project) {
        let manifest: &Manifest = self.graph.manifest();
        let file = Path::new(&project.file).file_name();
        let own = file.map(|name| self.root.join(name));
        let read = manifest
            .read_files
            .iter()
            .map(|path| self.root.join(clean(path)));
        let lock = project.lock.iter().map(|lock| lock.path().to_path_buf());
        for path in own.into_iter().chain(read).chain(lock).collect::<Vec<_>>() {
            self.file_of_manifest(&path);
        }
        for pattern in &manifest.read_patterns {
            let mut interest = std::mem::take(&mut self.manifest);
            self.pattern(pattern, &mut interest);
            self.manifest = interest;
        }
    }

    fn file_of_manifest(&mut self, path: &Path) {
        let mut interest = std::mem::take(&mut self.manifest);
        self.absolute(path, &mut interest);
        self.manifest = interest;
    }

    /// A file by its name, and by the one that it really has.
    fn absolute(&mut self, path: &Path, interest: &mut Interest) {
        self.places.names(path);
        interest.files.insert(real_parent(path));
        if let Ok(real) = path.canonicalize() {
            self.places.names(&real);
            interest.files.insert(real);
        }
    }

    fn file(&mut self, path: &str, interest: &mut Interest) {
        self.absolute(&self.root.join(clean(path)), interest);
    }

    fn tree(&mut self, path: &str, taken: Taken, interest: &mut Interest) {
        let path = self.root.join(clean(path));
        // It may be exchanged for another.
        self.absolute(&path, interest);
        // Where there is none, one may come.
        let root = as_told(&path);
        self.places.trees.insert(root.clone());
        interest.trees.push(Tree { root, taken });
    }

    pub fn tree_or_file(&mut self, path: &str, interest: &mut Interest) {
        let there = self.root.join(clean(path));
        match there.is_dir() || !there.exists() {
            true => self.tree(path, Taken::All, interest),
            false => self.file(path, interest),
        }
    }

    fn pattern(&mut self, pattern: &str, interest: &mut Interest) {
        if !is_pattern(pattern) {
            return self.tree_or_file(pattern, interest);
        }
        let Ok(glob) = Glob::new(pattern) else {
            return;
        };
        for root in glob.roots() {
            let taken = Taken::Matching {
                prefix: root.clone(),
                glob: glob.clone(),
            };
            self.tree(&root, taken, interest);
        }
    }

    pub fn run(&mut self, run: &RunTarget, interest: &mut Interest) {
        let mut left_out = Vec::new();
        for input in &run.inputs {
            match excluded(&input.value) {
                Some(pattern) => left_out.extend(Glob::new(pattern)),
                None => self.pattern(&input.value, interest),
            }
        }
        self.left_out.insert(interest.target.clone(), left_out);
        if run.git_ignore {
            self.git_ignore.insert(interest.target.clone());
            let wanted = run.inputs.iter().map(|input| input.value.as_str());
            for pattern in wanted.filter(|pattern| excluded(pattern).is_none()) {
                self.git_ignore_files(pattern, interest);
            }
        }
    }

    /// In the directories that are above all that a pattern selects; others are among what it selects.
    fn git_ignore_files(&mut self, pattern: &str, interest: &mut Interest) {
        let Ok(glob) = Glob::new(pattern) else {
            return;
        };
        for root in glob.roots() {
            for directory in Path::new(&root).ancestors() {
                let file = directory.join(".gitignore");
                self.file(&file.to_string_lossy(), interest);
            }
        }
    }

    pub fn scan(&mut self, scan: &ScanTarget, interest: &mut Interest) {
        if let ScanFrom::Tar { path, .. } = &scan.from {
            self.tree_or_file(&path.value, interest);
        }
        for path in scan.files() {
            self.file(&path.value, interest);
        }
        for path in &scan.advisories {
            self.tree_or_file(&path.value, interest);
        }
    }

    pub fn build(&mut self, build: &BuildTarget, interest: &mut Interest) {
        if let Some(path) = build.dockerfile() {
            // What it copies, and so what needs what, is read again with the manifest.
            let file = self.root.join(clean(&path.value));
            self.file_of_manifest(&file);
            self.absolute(&file, interest);
        }
        for (_, context) in &build.contexts {
            if let ContextNode::Layout { path, .. } = context {
                self.tree_or_file(&path.value, interest);
            }
        }
        let named = build
            .contexts
            .iter()
            .filter_map(|(name, context)| match context {
                ContextNode::Path(path) => Some((Some(name.value.as_str()), path.value.as_str())),
                ContextNode::Target(_)
                | ContextNode::Image(_)
                | ContextNode::Git(_)
                | ContextNode::Layout { .. } => None,
            });
        let own = build.directory().map(|directory| (None, directory));
        for (name, path) in named.chain(own).collect::<Vec<_>>() {
            let reads = match &build.recipe {
                RecipeNode::Dockerfile { .. } => self.dockerfiles.reads(build, name),
                RecipeNode::Steps { steps, .. } if name.is_none() => Some(copied(steps)),
                RecipeNode::Steps { .. } => None,
            };
            for candidate in self.dockerfiles.ignore_files(build, name) {
                self.file_of_manifest(&candidate);
                self.absolute(&candidate, interest);
            }
            let ignore = self.dockerfiles.ignore_of(build, name);
            // Nothing of a context that nobody copies from.
            if reads.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            self.tree(path, Taken::Copied { reads, ignore }, interest);
        }
        for path in &build.trust_ca {
            self.file(&path.value, interest);
        }
        for name in &build.secrets {
            let secrets = &self.graph.manifest().secrets;
            if let Some(path) = file_of_secret(secrets, name, self.root, self.variables) {
                self.absolute(&path, interest);
            }
        }
    }
}

/// As the notices name it: the directory that is watched, and the name in it.
fn real_parent(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => as_told(parent).join(name),
        _ => path.to_path_buf(),
    }
}
