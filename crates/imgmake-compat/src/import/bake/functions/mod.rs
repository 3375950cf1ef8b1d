//! The functions that bake brings along. Values in, a value out; what they learn of the outside (the time,
//! the home directory) is handed in.
//!
//! ```text
//! text, numbers, lists, encodings, dates, networks, versions   bake's own, by subject
//! arguments, outside                                           what functions are given
//! ```

mod arguments;
mod dates;
mod encodings;
mod lists;
mod networks;
mod numbers;
mod outside;
mod text;
mod versions;

use arguments::{Function, More};

use super::failed::{Evaluated, Failed};
use super::value::Value;

pub(super) use encodings::csv;
pub(super) use lists::set;
pub(super) use outside::Facts;

const SUBJECTS: [&[Function]; 7] = [
    text::FUNCTIONS,
    numbers::FUNCTIONS,
    lists::FUNCTIONS,
    encodings::FUNCTIONS,
    dates::FUNCTIONS,
    networks::FUNCTIONS,
    versions::FUNCTIONS,
];

/// Functions of bake's that are not here, and what to do instead.
pub(super) const REFUSED: [(&str, &str); 5] = [
    ("bcrypt", "it gives another text each time"),
    ("byteslen", "no other function gives bytes; use `strlen`"),
    ("bytesslice", "no other function gives bytes; use `substr`"),
    ("rsadecrypt", "hand the secret in as a `secret`"),
    (
        "uuidv4",
        "it gives another text each time; use `uuidv5`, or a variable",
    ),
];

/// Those that see expressions, and not their values: the evaluator has them.
const OF_EXPRESSIONS: [&str; 3] = ["can", "convert", "try"];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = SUBJECTS.iter().flat_map(|subject| subject.iter());
    all.map(|(name, ..)| *name).chain(OF_EXPRESSIONS)
}

/// # Errors
/// No such function, too few or too many arguments, or what the function refuses.
pub(super) fn call(name: &str, arguments: &[Value]) -> Evaluated {
    let mut all = SUBJECTS.iter().flat_map(|subject| subject.iter());
    let Some((_, needed, more, function)) = all.find(|(known, ..)| *known == name) else {
        return Err(Failed::Function(name.to_string()));
    };
    let takes_more = matches!(more, More::Any);
    if arguments.len() < *needed || !takes_more && arguments.len() > *needed {
        return Err(Failed::count(name, *needed, takes_more, arguments.len()));
    }
    function(arguments).map_err(|why| Failed::Other(format!("{name}: {why}")))
}

#[cfg(test)]
mod tests;
