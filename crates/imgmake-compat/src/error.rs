//! Why a step is refused: the fact, and what to do about it.

use std::fmt;
use std::io;

use crate::import::bake::Mistake;

/// Why a step is refused, in the words of its variables or flags. Never holds a secret.
#[derive(Debug)]
pub struct Refusal {
    pub fact: Fact,
    /// What to do; empty where the fact says it.
    pub help: String,
}

#[derive(Debug)]
pub enum Fact {
    /// A value that is not of its kind: what it should be, and what was written.
    Invalid {
        what: String,
        written: String,
    },
    /// A setting whose text cannot be repeated, or has a part that is wrong: which, and why.
    Malformed {
        setting: String,
        why: String,
    },
    /// Settings that exclude each other.
    Conflict {
        one: String,
        other: String,
        why: Option<String>,
    },
    /// A setting that is needed, and what for.
    Missing {
        setting: String,
        why: String,
    },
    /// A flag, an option or a word that nothing is called.
    Unknown {
        what: &'static str,
        name: String,
    },
    Duplicate(String),
    Unsupported(String),
    /// A file that a setting names, and where it was looked for.
    NotFound {
        setting: String,
        place: String,
    },
    Unreadable {
        setting: String,
        path: String,
        source: io::Error,
    },
    Bake(Mistake),
}

impl Refusal {
    pub(crate) fn new(fact: Fact, help: impl Into<String>) -> Refusal {
        Refusal {
            fact,
            help: help.into(),
        }
    }
}

pub(crate) fn invalid(what: impl Into<String>, written: impl Into<String>) -> Fact {
    Fact::Invalid {
        what: what.into(),
        written: written.into(),
    }
}

pub(crate) fn malformed(setting: impl Into<String>, why: impl Into<String>) -> Fact {
    Fact::Malformed {
        setting: setting.into(),
        why: why.into(),
    }
}

pub(crate) fn conflict(one: impl Into<String>, other: impl Into<String>) -> Fact {
    Fact::Conflict {
        one: one.into(),
        other: other.into(),
        why: None,
    }
}

pub(crate) fn missing(setting: impl Into<String>, why: impl Into<String>) -> Fact {
    Fact::Missing {
        setting: setting.into(),
        why: why.into(),
    }
}

pub(crate) fn unknown(what: &'static str, name: impl Into<String>) -> Fact {
    let name = name.into();
    Fact::Unknown { what, name }
}

pub(crate) fn unreadable(setting: &str, path: &str, source: io::Error) -> Fact {
    Fact::Unreadable {
        setting: setting.to_string(),
        path: path.to_string(),
        source,
    }
}

impl Fact {
    /// A conflict with its reason.
    pub(crate) fn because(self, reason: impl Into<String>) -> Fact {
        match self {
            Fact::Conflict { one, other, .. } => Fact::Conflict {
                one,
                other,
                why: Some(reason.into()),
            },
            fact => fact,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Invalid { what, written } => write!(f, "invalid {what} {written}"),
            Fact::Malformed { setting, why } => write!(f, "{setting}: {why}"),
            Fact::Conflict { one, other, why } => {
                write!(f, "{one} and {other} contradict each other")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Fact::Missing { setting, why } => write!(f, "{setting} is not set: {why}"),
            Fact::Unknown { what, name } => write!(f, "unknown {what} {name}"),
            Fact::Duplicate(what) => write!(f, "duplicate {what}"),
            Fact::Unsupported(what) => write!(f, "{what} is not supported"),
            Fact::NotFound { setting, place } => write!(f, "{setting}: {place} not found"),
            Fact::Unreadable {
                setting,
                path,
                source,
            } => write!(f, "{setting}: cannot read `{path}`: {source}"),
            Fact::Bake(mistake) => mistake.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.fact, self.help)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fact {
            Fact::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}
