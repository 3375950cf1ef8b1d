//! SKELETON: names resolved; petgraph DAG of targets, cycles reported with their path; frozen afterwards.
use crate::manifest::{Diagnostic, Manifest, Target};
/// Dense id of a target: its place in `Manifest::targets`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TargetId(pub usize);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    Needs,
    Image,
    Context,
    Output,
    Gate,
}
pub struct Graph {
    _p: (),
}
impl Graph {
    /// Edges from references (images, contexts, `run` outputs that a copy, context or input uses) and from `needs`.
    /// Errors: unknown names (did you mean), cycles with the whole path, a push of images no gate it needs covers when it needs a gate.
    pub fn new(manifest: Manifest) -> Result<Graph, Vec<Diagnostic>> {
        todo!()
    }
    pub fn manifest(&self) -> &Manifest {
        todo!()
    }
    pub fn target(&self, id: TargetId) -> &Target {
        todo!()
    }
    pub fn find(&self, name: &str) -> Option<TargetId> {
        todo!()
    }
    /// Direct dependencies in file order.
    pub fn dependencies(&self, id: TargetId) -> &[(TargetId, EdgeKind)] {
        todo!()
    }
    /// The build targets that a scan or push names, globs expanded, in file order.
    pub fn images(&self, id: TargetId) -> Vec<TargetId> {
        todo!()
    }
    /// `run` targets whose declared outputs a path (relative to the manifest's directory) is in.
    pub fn producers(&self, path: &str) -> Vec<TargetId> {
        todo!()
    }
}
