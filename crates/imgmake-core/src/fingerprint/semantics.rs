//! The versions of what keys mean.

/// What a key is made for. Its version is raised when the same inputs would be treated differently
/// than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semantics {
    /// A target of a project: inputs to outcome.
    Targets,
    /// A step of a build: inputs to layer.
    Steps,
    /// The decoded manifest that is kept beside the project: raised with every change of the
    /// manifest's types between releases, since what was kept before means something else.
    DecodedManifest,
}

impl Semantics {
    pub const fn version(self) -> u64 {
        match self {
            Semantics::Targets => 9,
            Semantics::Steps => 5,
            Semantics::DecodedManifest => 15,
        }
    }
}
