//! The functions of bake files: those that bake brings along, and those that a file
//! defines itself. Values in, a value out; what they learn of the outside (the time,
//! the home directory) is handed in.
//!
//! ```text
//! text, numbers, lists, encodings, dates, networks, versions   bake's own, by subject
//! own                                                          `function` blocks
//! ```

mod dates;
mod encodings;
mod lists;
mod networks;
mod numbers;
pub(super) mod own;
mod text;
mod versions;

use std::collections::BTreeMap;

use hcl::Value;
use hcl::eval::{Context, FuncArgs, FuncDef, ParamType};

use super::values::{said, shown};

pub(super) use encodings::csv;
pub(super) use lists::set;

type Made = Result<Value, String>;

/// Name, how many arguments it needs at least, whether it takes more, and what it does.
type Function = (&'static str, usize, More, fn(FuncArgs) -> Made);

#[derive(Clone, Copy)]
enum More {
    None,
    Any,
}

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

fn text_of(arguments: &[Value], at: usize) -> Result<String, String> {
    said(&arguments[at])
}

/// A number, or a text that is one.
fn number_of(arguments: &[Value], at: usize) -> Result<f64, String> {
    let number = match &arguments[at] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let finite = number.filter(|number| number.is_finite());
    finite.ok_or_else(|| format!("{} is no number", shown(&arguments[at])))
}

fn whole_of(arguments: &[Value], at: usize) -> Result<i64, String> {
    let exact = match &arguments[at] {
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let number = number_of(arguments, at)?;
    if number.fract() != 0.0 || number.abs() > 9e15 {
        return Err(format!("{number} is no whole number"));
    }
    Ok(number as i64)
}

/// Whole numbers are written without a fraction.
fn number(value: f64) -> Made {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Ok(Value::from(value as i64));
    }
    let number = hcl::Number::from_f64(value);
    number
        .map(Value::Number)
        .ok_or_else(|| "the result is no number".into())
}

fn list_of(arguments: &[Value], at: usize) -> Result<Vec<Value>, String> {
    match &arguments[at] {
        Value::Array(list) => Ok(list.clone()),
        other => Err(format!("{} is no list", shown(other))),
    }
}

/// Sorted by name, as bake walks through maps.
fn map_of(arguments: &[Value], at: usize) -> Result<BTreeMap<String, Value>, String> {
    match &arguments[at] {
        Value::Object(map) => Ok(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        other => Err(format!("{} is no map", shown(other))),
    }
}

fn flag_of(arguments: &[Value], at: usize) -> Result<bool, String> {
    match &arguments[at] {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("{} is neither true nor false", shown(other))),
    }
}

fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests;
