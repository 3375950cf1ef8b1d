//! What of a project counts, and for whom; and where it lies.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::args::{Global, RunArgs};
use super::super::project;
use super::gathering::Gathering;
use super::interest::{Interest, Taken, Tree, Wanted};
use super::linked::Linked;
use super::tracked::Tracked;
use crate::exit::Exit;
use crate::file_notices::{Places, Wanted as Watching, as_told};
use crate::targets::git_ignore::{GitIgnore, Ignored};
use crate::targets::{Dockerfiles, GitIndex, LockedPins, Project};
use imgmake_core::manifest::glob::{Progress, clean};
use imgmake_core::manifest::{Glob, PushFrom, TargetKind};

/// Entries that are looked at for links and directories: a tree that has more is watched all the
/// same, and only what its links lead to is not.
const MOST_ENTRIES: usize = 400_000;

/// How far the time of a file may be behind.
const TICK: Duration = Duration::from_millis(10);

pub struct Watched {
    root: PathBuf,
    /// The manifest and what it is read with: whatever changes there is read again.
    manifest: Interest,
    interests: Vec<Interest>,
    /// Of every target that is run: they change with each run.
    outputs: HashSet<PathBuf>,
    /// Per target: what its own inputs leave out.
    left_out: BTreeMap<String, Vec<Glob>>,
    /// Targets whose inputs are without what git ignores.
    git_ignore: BTreeSet<String>,
    git_index: Arc<GitIndex>,
    /// Where a target leaves out what git ignores.
    tracked: Option<Tracked>,
    ignored: Vec<Glob>,
    places: RefCell<Places>,
    /// The trees that are named, without those that links lead to.
    trees: BTreeSet<PathBuf>,
    linked: RefCell<Linked>,
    /// What is known to be a directory: of one that is gone, nobody can tell any more.
    directories: RefCell<HashSet<PathBuf>>,
    /// Those above what is named and was there: of what goes with them nobody is told.
    above: RefCell<HashSet<PathBuf>>,
    /// Those of them that are above the manifest's.
    above_manifest: RefCell<HashSet<PathBuf>>,
    /// What a run writes into it starts none.
    lock: Option<Arc<LockedPins>>,
    pub targets: Vec<String>,
    pub debounce: Duration,
    pub longest: Duration,
}

impl Watched {
    pub fn of(
        project: &Project,
        args: &RunArgs,
        variables: &BTreeMap<String, String>,
    ) -> Result<Watched, Exit> {
        let settings = &project.graph.manifest().settings.watch;
        let declared = settings.targets.iter().map(|target| target.value.clone());
        let targets = match args.targets.is_empty() {
            true => declared.collect(),
            false => args.targets.clone(),
        };
        Watched::of_targets(project, &targets, variables)
    }

    /// The same for targets, groups and patterns.
    pub fn of_targets(
        project: &Project,
        targets: &[String],
        variables: &BTreeMap<String, String>,
    ) -> Result<Watched, Exit> {
        let settings = &project.graph.manifest().settings.watch;
        let plan = project::select(project, targets)?;
        let ignored = settings.ignore.iter().map(|pattern| {
            Glob::new(pattern)
                .map_err(|error| Exit::usage(format!("watch ignore `{pattern}`: {error}")))
        });
        let mut gathering = Gathering {
            root: &project.directory,
            graph: &project.graph,
            dockerfiles: Dockerfiles::of(&project.directory, project.graph.manifest()),
            variables,
            manifest: Interest::default(),
            left_out: BTreeMap::new(),
            git_ignore: BTreeSet::new(),
            outputs: HashSet::from([project.directory.join(imgmake_core::state::DIRECTORY)]),
            places: Places {
                within: Some(as_told(&project.directory)),
                ..Places::default()
            },
        };
        gathering.manifest(project);
        let mut interests = Vec::new();
        for id in plan.order {
            let target = project.graph.target(id);
            let mut interest = Interest {
                target: target.name.value.clone(),
                ..Interest::default()
            };
            match &target.kind {
                TargetKind::Build(build) => gathering.build(build, &mut interest),
                TargetKind::Run(run) => gathering.run(run, &mut interest),
                TargetKind::Scan(scan) => gathering.scan(scan, &mut interest),
                TargetKind::Push(push) => {
                    if let PushFrom::Tar { path, .. } = &push.from {
                        gathering.tree_or_file(&path.value, &mut interest);
                    }
                }
            }
            let outputs = project.graph.outputs(id).into_iter();
            gathering
                .outputs
                .extend(outputs.map(|path| project.directory.join(clean(path))));
            interests.push(interest);
        }
        let Gathering {
            manifest,
            left_out,
            git_ignore,
            outputs,
            mut places,
            ..
        } = gathering;
        let tracked = match git_ignore.is_empty() {
            true => None,
            false => Tracked::of(&project.directory, &project.git_index),
        };
        if let Some(tracked) = &tracked {
            places.names(tracked.index());
        }
        let watched = Watched {
            root: project.directory.clone(),
            manifest,
            interests,
            outputs,
            left_out,
            git_ignore,
            git_index: Arc::clone(&project.git_index),
            tracked,
            ignored: ignored.collect::<Result<_, _>>()?,
            trees: places.trees.clone(),
            places: RefCell::new(places),
            linked: RefCell::default(),
            directories: RefCell::default(),
            above: RefCell::default(),
            above_manifest: RefCell::default(),
            lock: project.lock.clone(),
            targets: targets.to_vec(),
            debounce: settings.debounce,
            longest: settings.max,
        };
        watched.look_again();
        Ok(watched)
    }

    /// Of a manifest that cannot be read: everything beside it may be what is wrong with it.
    pub fn manifest_only(global: &Global) -> Watched {
        let manifest = project::manifest_path(global);
        let directory = manifest
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let root = directory.unwrap_or(Path::new(".")).to_path_buf();
        let root = root.canonicalize().unwrap_or(root);
        let mut places = Places::default();
        places.trees.insert(root.clone());
        let tree = Tree {
            root: root.clone(),
            taken: Taken::All,
        };
        Watched {
            manifest: Interest {
                trees: vec![tree],
                files: HashSet::from([root.join(manifest.file_name().unwrap_or_default())]),
                ..Interest::default()
            },
            interests: Vec::new(),
            outputs: HashSet::from([root.join(imgmake_core::state::DIRECTORY)]),
            left_out: BTreeMap::new(),
            git_ignore: BTreeSet::new(),
            git_index: Arc::default(),
            tracked: None,
            ignored: Vec::new(),
            trees: places.trees.clone(),
            places: RefCell::new(places),
            linked: RefCell::default(),
            directories: RefCell::default(),
            above: RefCell::default(),
            above_manifest: RefCell::default(),
            root,
            lock: None,
            targets: Vec::new(),
            debounce: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        }
    }

    pub fn places(&self) -> Places {
        self.places.borrow().clone()
    }

    /// Links among the inputs, and what they lead to; directories.
    pub fn look_again(&self) {
        let mut places = self.places.borrow_mut();
        let (mut directories, mut linked) = (HashSet::new(), Linked::default());
        let mut followed = HashSet::new();
        let mut left = MOST_ENTRIES;
        // As the notices name them, and as they are reached.
        let trees = self.trees.iter().cloned();
        let mut todo: Vec<(PathBuf, PathBuf)> = trees.map(|tree| (tree.clone(), tree)).collect();
        while let Some((directory, name)) = todo.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                left = left.saturating_sub(1);
                if left == 0 {
                    break;
                }
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                let name = name.join(entry.file_name());
                if kind.is_dir()
                    && !is_passed_over(&entry.path())
                    && !self.is_ignored(&entry.path())
                {
                    todo.push((entry.path(), name));
                } else if kind.is_symlink()
                    && let Some(real) = led_to(&entry.path())
                {
                    if !real.is_dir() && self.counts_by_name(&name) {
                        places.names(&real);
                        places.behind.insert(real.clone(), name.clone());
                    }
                    if real.is_file() {
                        continue;
                    }
                    // Where it leads to nothing, a directory may come.
                    if !self.is_left_out(&entry.path())
                        && !self.is_left_out(&real)
                        && let wanted = self.wanted_behind(&name)
                        && !wanted.is_empty()
                        && followed.insert((real.clone(), wanted))
                    {
                        places.names(&real);
                        linked.add(&real, &name);
                        todo.push((real, name));
                    }
                }
            }
            directories.insert(directory);
        }
        places.trees = self.trees.clone();
        places.trees.extend(linked.directories().cloned());
        *self.linked.borrow_mut() = linked;
        *self.directories.borrow_mut() = directories;
        let mut above = HashSet::new();
        self.manifest.add_above(&mut above);
        *self.above_manifest.borrow_mut() = above.clone();
        for interest in &self.interests {
            interest.add_above(&mut above);
        }
        *self.above.borrow_mut() = above;
    }

    /// What of a directory is wanted that a link of this name leads to.
    fn wanted_behind(&self, link: &Path) -> Vec<WantedBy> {
        let name = self.shown(link);
        let interests = std::iter::once(&self.manifest).chain(&self.interests);
        let wanted = interests.enumerate().filter_map(|(at, one)| {
            let wanted = one.wanted_behind(link);
            if wanted.is_empty() || self.takes_out(one, link) {
                return None;
            }
            let taken_out = self.left_out.get(&one.target).into_iter().flatten();
            let taken_out = taken_out.map(|glob| glob.progress(&name)).collect();
            Some(WantedBy {
                interest: at,
                wanted,
                taken_out,
            })
        });
        wanted.collect()
    }

    pub fn display(&self) -> String {
        let places = self.places.borrow();
        let directories = places.trees.union(&places.flat);
        match directories.filter(|path| path.is_dir()).count() {
            0 | 1 => format!("`{}`", self.root.display()),
            n => format!("{n} directories"),
        }
    }

    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// A link to a directory that is followed, or was.
    fn is_way(&self, path: &Path) -> bool {
        let names = self.linked.borrow().names(path);
        let mut names = names.iter().map(PathBuf::as_path).chain([path]);
        match path.is_symlink() {
            true => path.is_dir() && names.any(|name| !self.wanted_behind(name).is_empty()),
            false => !path.exists() && names.any(|name| self.linked.borrow().has(name)),
        }
    }

    pub fn is_of_manifest(&self, path: &Path) -> bool {
        let is_one = |path: &Path| {
            let names = self.names(path);
            names.iter().any(|name| self.manifest.counts(name))
        };
        is_one(path)
            || match path.exists() {
                true => path.is_dir() && self.holds(path, &is_one),
                false => self.above_manifest.borrow().contains(path),
            }
    }

    /// Whether somebody wrote a file of the manifest since then; clocks of files are coarse.
    pub fn has_moved_since(&self, since: SystemTime) -> bool {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = since.saturating_sub(TICK);
        self.manifest.files.iter().any(|path| {
            let changed = path.symlink_metadata().map(|meta| {
                let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
                let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
                Duration::new(seconds, nanos)
            });
            changed.is_ok_and(|changed| changed > since)
        })
    }

    /// Who reads it.
    pub fn readers(&self, path: &Path) -> Vec<String> {
        let is_directory = path.is_dir() || !path.exists();
        let reads = |one: &&Interest| {
            self.reads(one, path)
                || (self.is_git_index(path) && self.git_ignore.contains(&one.target))
                || (is_directory && (self.may_have_held(one, path) || one.lies_below(path)))
        };
        self.interests
            .iter()
            .filter(reads)
            .map(|one| one.target.clone())
            .collect()
    }

    /// Who reads a file, which may be gone.
    pub fn readers_of_file(&self, path: &Path) -> Vec<String> {
        let interests = self.interests.iter().filter(|one| self.reads(one, path));
        interests.map(|one| one.target.clone()).collect()
    }

    /// Under what it may count: the link to a file that lies elsewhere, a link to a directory
    /// above it, or itself.
    fn names(&self, path: &Path) -> Vec<PathBuf> {
        let mut names = self.linked.borrow().names(path);
        names.extend(self.places.borrow().behind.get(path).cloned());
        names.push(path.to_path_buf());
        names
    }

    fn reads(&self, interest: &Interest, path: &Path) -> bool {
        self.reads_any(interest, &self.names(path))
    }

    fn reads_any(&self, interest: &Interest, names: &[PathBuf]) -> bool {
        let reads = |name: &PathBuf| interest.counts(name) && !self.takes_out(interest, name);
        names.iter().any(reads)
    }

    fn may_have_held(&self, interest: &Interest, directory: &Path) -> bool {
        let names = self.names(directory);
        names.iter().any(|name| interest.may_have_counted(name))
    }

    /// Whether a target leaves it out of its own inputs.
    fn takes_out(&self, interest: &Interest, path: &Path) -> bool {
        // Read each time: the files may be what has changed.
        if self.git_ignore.contains(&interest.target)
            && GitIgnore::of(&self.root, &self.git_index).judge(&self.shown(path), || path.is_dir())
                == Ignored::Yes
        {
            return true;
        }
        let own = self.left_out.get(&interest.target);
        own.is_some_and(|globs| {
            let name = self.shown(path);
            let above = name.match_indices('/').map(|(at, _)| &name[..at]);
            above
                .chain([name.as_str()])
                .any(|name| globs.iter().any(|glob| glob.matches(name)))
        })
    }

    fn counts_as_file(&self, path: &Path) -> bool {
        self.count_any(&self.names(path))
    }

    fn counts_by_name(&self, path: &Path) -> bool {
        self.count_any(&[path.to_path_buf()])
    }

    fn count_any(&self, names: &[PathBuf]) -> bool {
        names.iter().any(|name| self.manifest.counts(name))
            || self.interests.iter().any(|one| self.reads_any(one, names))
    }

    /// A directory came, perhaps with files in it: who made them is not told of each.
    fn holds(&self, directory: &Path, counts: &dyn Fn(&Path) -> bool) -> bool {
        let mut todo = vec![directory.to_path_buf()];
        let mut left = 10_000;
        while let Some(directory) = todo.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                left -= 1;
                if left == 0 {
                    return true;
                }
                if self.is_left_out(&path) {
                    continue;
                }
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => todo.push(path),
                    false if counts(&path) => return true,
                    false => {}
                }
            }
        }
        false
    }

    fn is_git_index(&self, path: &Path) -> bool {
        let tracked = self.tracked.as_ref();
        tracked.is_some_and(|tracked| tracked.index() == path)
    }

    fn is_left_out(&self, path: &Path) -> bool {
        if path.ancestors().any(|above| self.outputs.contains(above)) || is_passed_over(path) {
            return true;
        }
        self.is_ignored(path)
    }

    /// Whether `watch { ignore … }` names it or a directory above it.
    fn is_ignored(&self, path: &Path) -> bool {
        if self.ignored.is_empty() {
            return false;
        }
        let name = self.shown(path);
        let above = name.match_indices('/').map(|(at, _)| &name[..at]);
        let mut names = above.chain([name.as_str()]);
        names.any(|name| self.ignored.iter().any(|glob| glob.matches(name)))
    }
}

impl Watching for Watched {
    fn counts(&self, path: &Path) -> bool {
        if self.is_git_index(path) {
            return self.tracked.as_ref().is_some_and(Tracked::has_changed);
        }
        let own = |lock: &Arc<LockedPins>| lock.path() == path && lock.is_on_disk();
        if self.is_left_out(path) || self.lock.as_ref().is_some_and(own) {
            return false;
        }
        if self.is_way(path) {
            return true;
        }
        if path.is_dir() {
            self.directories.borrow_mut().insert(path.to_path_buf());
            return self.holds(path, &|path| self.counts_as_file(path));
        }
        if self.counts_as_file(path) {
            return true;
        }
        if path.exists() {
            return false;
        }
        let was_directory = self.directories.borrow().contains(path);
        let may_have_held = |one| self.may_have_held(one, path);
        self.above.borrow().contains(path)
            || (was_directory && self.interests.iter().any(may_have_held))
    }

    fn enters(&self, directory: &Path) -> bool {
        !self.outputs.contains(directory)
            && directory.file_name() != Some(".git".as_ref())
            // What nobody wants to hear of costs no watch.
            && !self.is_ignored(directory)
    }
}

/// What one target wants of a directory: two that are alike are told of the same changes.
#[derive(PartialEq, Eq, Hash)]
struct WantedBy {
    interest: usize,
    /// By the tree that the link is in.
    wanted: Vec<(usize, Wanted)>,
    taken_out: Vec<Progress>,
}

/// What a link leads to, or would.
fn led_to(link: &Path) -> Option<PathBuf> {
    if let Ok(real) = link.canonicalize() {
        return Some(real);
    }
    let target = std::fs::read_link(link).ok()?;
    Some(as_told(&link.parent()?.join(target)))
}

/// Git's own files, and what is being written beside its final name.
fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".tmp")
        || name.starts_with(b".imgmake")
        || path
            .components()
            .any(|part| part == Component::Normal(".git".as_ref()))
}
