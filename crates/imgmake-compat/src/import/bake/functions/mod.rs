//! The functions of bake files: those that bake brings along, and those that a file
//! defines itself. Values in, a value out; what they learn of the outside (the time,
//! the home directory) is handed in.
//!
//! ```text
//! text, numbers, lists, encodings, dates, networks, versions   bake's own, by subject
//! own                                                          `function` blocks
//! arguments, outside                                           what functions are given
//! ```

mod arguments;
mod dates;
mod encodings;
mod lists;
mod networks;
mod numbers;
mod outside;
pub(super) mod own;
mod text;
mod versions;

use hcl::eval::{Context, FuncDef, ParamType};

use arguments::{Function, More};

pub(super) use encodings::csv;
pub(super) use lists::set;
pub(super) use outside::{Facts, remember};

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
pub(super) const REFUSED: [(&str, &str); 8] = [
    ("bcrypt", "it gives another text each time"),
    ("byteslen", "no other function gives bytes; use `strlen`"),
    ("bytesslice", "no other function gives bytes; use `substr`"),
    ("can", "give what might be missing a default: `lookup`"),
    ("convert", "give the variable a `type`"),
    ("rsadecrypt", "hand the secret in as a `secret`"),
    (
        "try",
        "give what might be missing a default: `lookup`, `coalesce`",
    ),
    (
        "uuidv4",
        "it gives another text each time; use `uuidv5`, or a variable",
    ),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = SUBJECTS.iter().flat_map(|subject| subject.iter());
    all.map(|(name, ..)| *name)
}

pub(super) fn declare(context: &mut Context) {
    for (name, needed, more, function) in SUBJECTS.iter().flat_map(|subject| subject.iter()) {
        let mut builder = FuncDef::builder();
        for _ in 0..*needed {
            builder = builder.param(ParamType::Any);
        }
        if matches!(more, More::Any) {
            builder = builder.variadic_param(ParamType::Any);
        }
        context.declare_func(*name, builder.build(*function));
    }
}

#[cfg(test)]
mod tests;
