//! Why an expression has no value.

use std::fmt;

use super::value::Value;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// No variable of this name.
    Variable(String),
    /// It is declared, and not known yet: nothing may be tried without it.
    NotYet(String),
    Function(String),
    Other(String),
    /// The file takes more than it may: nothing makes that good.
    Exhausted,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Variable(name) => write!(f, "undefined variable `{name}`"),
            Failed::NotYet(name) => write!(f, "variable `{name}` refers to itself in a circle"),
            Failed::Function(name) => write!(f, "undefined function `{name}`"),
            Failed::Other(why) => write!(f, "{why}"),
            Failed::Exhausted => write!(f, "{}", Exhausted::MESSAGE),
        }
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed::Other(why)
    }
}

impl From<&str> for Failed {
    fn from(why: &str) -> Failed {
        Failed::Other(why.to_string())
    }
}

pub(super) type Evaluated = Result<Value, Failed>;

impl Failed {
    /// Too few or too many arguments of a function.
    pub(super) fn count(name: &str, needed: usize, more: bool, given: usize) -> Failed {
        let more = if more { " or more" } else { "" };
        Failed::Other(format!(
            "`{name}` takes {needed}{more} arguments, and has {given}"
        ))
    }
}

/// More was asked for than is left of what the file may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exhausted;

impl Exhausted {
    pub(super) const MESSAGE: &'static str = "the file takes too much time or memory";
    pub(super) const HELP: &'static str =
        "look for functions that call themselves, and for texts and lists that double";
}

impl From<Exhausted> for Failed {
    fn from(_: Exhausted) -> Failed {
        Failed::Exhausted
    }
}

impl From<Exhausted> for String {
    fn from(_: Exhausted) -> String {
        Exhausted::MESSAGE.into()
    }
}
