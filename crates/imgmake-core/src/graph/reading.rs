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
    /// `path` is relative to the context, which is the build's own or the one of that name.
    fn reading(&self, build: &BuildTarget, context: Option<&str>, path: &str) -> Reading;
}

/// Of manifests whose Dockerfiles nobody looks at.
pub(super) struct NoDockerfiles;

impl Reads for NoDockerfiles {
    fn reading(&self, _: &BuildTarget, _: Option<&str>, _: &str) -> Reading {
        Reading::Unknown
    }
}
