//! What Dockerfiles say of the files that targets make.

use crate::manifest::BuildTarget;

/// How far a build reads what another target makes in one of its contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nobody can tell before it runs.
    Unknown,
    No,
    /// Along with everything else in a directory, or by a wildcard.
    Along,
    ByName,
}

/// Whoever can read Dockerfiles: the graph knows no files.
pub trait Reads {
    /// Of one context, which is the build's own or the one of that name.
    fn of<'r>(&'r self, build: &'r BuildTarget, context: Option<&'r str>) -> Judge<'r>;
}

/// Says how far one context is read, by paths relative to it: a build is looked at once, whatever
/// number of outputs lies there.
pub type Judge<'r> = Box<dyn Fn(&str) -> Reading + 'r>;

/// Of manifests whose Dockerfiles nobody looks at.
pub(super) struct NoDockerfiles;

impl Reads for NoDockerfiles {
    fn of<'r>(&'r self, _: &'r BuildTarget, _: Option<&'r str>) -> Judge<'r> {
        Box::new(|_| Reading::Unknown)
    }
}
