//! What would become of a target, and why.

/// Of one target.
pub struct State {
    pub kind: StateKind,
    pub reasons: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    UpToDate,
    Stale,
    /// A `run` without inputs.
    Always,
}

impl StateKind {
    pub fn word(self) -> &'static str {
        match self {
            StateKind::UpToDate => "up to date",
            StateKind::Stale => "stale",
            StateKind::Always => "always run",
        }
    }

    /// As a class of an element.
    pub fn class(self) -> &'static str {
        match self {
            StateKind::UpToDate => "fresh",
            StateKind::Stale => "stale",
            StateKind::Always => "always",
        }
    }
}
