//! What a report is to look like, and facts about where it goes.

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A view that is redrawn in place.
    Live,
    /// Lines, for pipes and logs.
    Plain,
    /// One JSON object a line.
    Json,
    /// Warnings and errors only.
    Quiet,
}

/// Parts of a log that a CI system can fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    None,
    /// `::group::`
    Github,
    /// `section_start:`
    Gitlab,
}

/// Facts about where the reports go.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub style: Style,
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// GitHub's workflow commands beside the messages.
    pub annotations: bool,
    /// How the log folds what belongs to a target.
    pub folding: Folding,
    /// Results are read by people: digests have 12 digits.
    pub short_digests: bool,
    /// Also what a run without trouble need not say: cached steps, fresh targets.
    pub verbose: bool,
    /// `imgmake logs` shows what a target printed.
    pub keeps_logs: bool,
    /// Lines of progress begin with the time, in UTC.
    pub timestamps: bool,
}
