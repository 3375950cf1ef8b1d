//! What a name in `${…}` stands for, and why it stands for nothing.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Binding {
    Text(String),
    List(Vec<String>),
}

impl Binding {
    pub fn text(self) -> Result<String, Refusal> {
        match self {
            Binding::Text(text) => Ok(text),
            Binding::List(_) => Err(Refusal::new("a list cannot be part of a string")
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
    pub message: String,
    pub help: Option<String>,
}

impl Refusal {
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            help: None,
        }
    }
    /// Uses something that is broken: its error has been told.
    pub fn told_before() -> Refusal {
        Refusal::new("")
    }
    pub fn with_help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }
}
