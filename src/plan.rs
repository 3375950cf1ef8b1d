//! SKELETON: requested targets -> actions in dependency order.
use crate::graph::{Graph, TargetId};
pub struct Plan {
    /** Dependencies first; ties in file order. */
    pub order: Vec<TargetId>,
}
/// Names, group names or globs; none = group `default`, else every build target. Unknown names: error with suggestions.
pub fn select(graph: &Graph, requested: &[String]) -> Result<Plan, SelectError> {
    todo!()
}
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SelectError {
    pub message: String,
    pub help: Option<String>,
}
