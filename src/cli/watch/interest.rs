//! Which files one target reads, so that others may change.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use imgmake_core::manifest::glob::Progress;
use imgmake_core::manifest::{Glob, Spanned, StepNode};
use imgmake_dockerfile::ignore::Ignore;
use imgmake_dockerfile::{Extent, Read};

#[derive(Default)]
pub struct Interest {
    pub target: String,
    /// By name, wherever they lie.
    pub files: HashSet<PathBuf>,
    pub trees: Vec<Tree>,
}

/// A directory of which some files count.
pub struct Tree {
    /// As the notices name it.
    pub root: PathBuf,
    pub taken: Taken,
}

/// What is wanted of a directory: everything, or what a pattern selects from there on.
pub type Wanted = Option<Progress>;

pub enum Taken {
    All,
    /// What a pattern selects, whose names begin with this.
    Matching {
        prefix: String,
        glob: Glob,
    },
    /// What a Dockerfile or steps copy; everything where nobody can tell.
    Copied {
        reads: Option<Vec<Read>>,
        ignore: Option<Rc<Ignore>>,
    },
}

impl Interest {
    pub fn counts(&self, path: &Path) -> bool {
        self.files.contains(path)
            || self.trees.iter().any(|tree| {
                let inside = path.strip_prefix(&tree.root);
                inside.is_ok_and(|inside| tree.taken.has(&inside.to_string_lossy()))
            })
    }

    /// What is wanted of a directory that a link of this name leads to, tree by tree.
    pub fn wanted_behind(&self, link: &Path) -> Vec<(usize, Wanted)> {
        let trees = self.trees.iter().enumerate();
        let wanted = trees.filter_map(|(at, tree)| {
            let inside = link.strip_prefix(&tree.root).ok()?;
            Some((at, tree.taken.wanted_behind(&inside.to_string_lossy())?))
        });
        wanted.collect()
    }

    /// Whether it names something in a directory.
    pub fn lies_below(&self, directory: &Path) -> bool {
        self.named().any(|path| path.starts_with(directory))
    }

    /// The directories above what it names and is there.
    pub fn add_above(&self, above: &mut HashSet<PathBuf>) {
        for path in self.named() {
            if path.symlink_metadata().is_err() {
                continue;
            }
            for directory in path.ancestors().skip(1) {
                if !above.insert(directory.to_path_buf()) {
                    break;
                }
            }
        }
    }

    /// Files, and roots of trees.
    fn named(&self) -> impl Iterator<Item = &Path> {
        let trees = self.trees.iter().map(|tree| tree.root.as_path());
        self.files.iter().map(PathBuf::as_path).chain(trees)
    }

    /// Whether files in a directory that is gone may have counted.
    pub fn may_have_counted(&self, directory: &Path) -> bool {
        self.trees.iter().any(|tree| {
            let inside = directory.strip_prefix(&tree.root);
            inside.is_ok_and(|inside| match &tree.taken {
                Taken::Matching { prefix, glob } => {
                    glob.may_match_under(&name(prefix, &inside.to_string_lossy()))
                }
                taken => taken.has(&inside.to_string_lossy()),
            })
        })
    }
}

fn name(prefix: &str, inside: &str) -> String {
    match (prefix, inside) {
        ("", inside) => inside.to_string(),
        (prefix, "") => prefix.to_string(),
        (prefix, inside) => format!("{prefix}/{inside}"),
    }
}

impl Taken {
    /// `None` where nobody follows the link.
    fn wanted_behind(&self, inside: &str) -> Option<Wanted> {
        match self {
            Taken::All => Some(None),
            Taken::Matching { .. } if self.has(inside) => Some(None),
            Taken::Matching { prefix, glob } => {
                let name = name(prefix, inside);
                let leads_on = glob.may_match_under(&name);
                leads_on.then(|| Some(glob.progress(&name)))
            }
            // Links are copied as such, but for those on the way to a source.
            Taken::Copied { reads, .. } => {
                let is_way = |read: &Read| read.extent(inside) == Extent::ByName;
                let reads = reads.as_ref();
                reads
                    .is_none_or(|reads| reads.iter().any(is_way))
                    .then_some(None)
            }
        }
    }

    fn has(&self, inside: &str) -> bool {
        match self {
            Taken::All => true,
            Taken::Matching { prefix, glob } => {
                let name = name(prefix, inside);
                // What lies in a directory that matches is selected too.
                let above = name.match_indices('/').map(|(at, _)| &name[..at]);
                glob.matches(&name) || above.into_iter().any(|above| glob.matches(above))
            }
            Taken::Copied { reads, ignore } => {
                let is_hidden = ignore
                    .as_ref()
                    .is_some_and(|ignore| ignore.is_hidden(inside));
                let is_read = |reads: &Vec<Read>| {
                    let mut extents = reads.iter().map(|read| read.extent(inside));
                    extents.any(|extent| extent != Extent::No)
                };
                !is_hidden && reads.as_ref().is_none_or(is_read)
            }
        }
    }
}

/// What the steps of a manifest copy.
pub fn copied(steps: &[Spanned<StepNode>]) -> Vec<Read> {
    let of = |step: &Spanned<StepNode>| match &step.value {
        StepNode::Copy { sources, .. } => sources
            .iter()
            .map(|source| Read::of_context(&source.value))
            .collect(),
        StepNode::Layer(steps) => copied(steps),
        _ => Vec::new(),
    };
    steps.iter().flat_map(of).collect()
}
