//! Who uses whom, and why.

use crate::manifest::Span;

/// Dense id of a target: its place in `Manifest::targets`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TargetId(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    Needs,
    Image,
    Context,
    Output,
    /// A push's `needs` of a scan that covers an image of it.
    Gate,
}

/// A reference as written: who uses whom, why, and where that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub from: TargetId,
    pub to: TargetId,
    pub kind: EdgeKind,
    pub span: Span,
    pub strength: Strength,
}

/// Whether somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// A context happens to hold an output, or a wildcard reaches it. It gives way where it would
    /// make a circle: a `run` that needs a build may well write its report into that build's context.
    Guessed,
    Written,
}
