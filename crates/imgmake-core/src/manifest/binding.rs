//! What a name in `${…}` stands for, and why it stands for nothing.

use crate::error::ExpressionProblem;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Binding {
    Text(String),
    List(Vec<String>),
}

impl Binding {
    pub fn text(self) -> Result<String, Refusal> {
        match self {
            Binding::Text(text) => Ok(text),
            Binding::List(_) => Err(Refusal::new(ExpressionProblem::ListInText)
                .with_help("join it: `${join(NAME, ',')}`")),
        }
    }

    /// How a variable's value is shown and keyed.
    pub fn shown(&self) -> String {
        match self {
            Binding::Text(text) => text.clone(),
            Binding::List(items) => items.join(","),
        }
    }
}

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub problem: ExpressionProblem,
    pub help: Option<String>,
}

impl Refusal {
    pub fn new(problem: ExpressionProblem) -> Refusal {
        Refusal {
            problem,
            help: None,
        }
    }
    pub fn syntax(problem: impl Into<String>) -> Refusal {
        Refusal::new(ExpressionProblem::Syntax(problem.into()))
    }
    pub fn with_help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}
