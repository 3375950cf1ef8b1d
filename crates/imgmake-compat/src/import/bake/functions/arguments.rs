//! What functions take and give: arguments of a kind, and results.

use std::collections::BTreeMap;

use hcl::Value;
use hcl::eval::FuncArgs;

use crate::import::bake::display::{as_text, display};

pub(super) type Evaluated = Result<Value, String>;

/// Name, how many arguments it needs at least, whether it takes more, and what it does.
pub(super) type Function = (&'static str, usize, More, fn(FuncArgs) -> Evaluated);

#[derive(Clone, Copy)]
pub(super) enum More {
    None,
    Any,
}

pub(super) fn text_of(arguments: &[Value], at: usize) -> Result<String, String> {
    as_text(&arguments[at])
}

/// A number, or a text that is one.
pub(super) fn number_of(arguments: &[Value], at: usize) -> Result<f64, String> {
    let number = match &arguments[at] {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let finite = number.filter(|number| number.is_finite());
    finite.ok_or_else(|| format!("invalid number {}", display(&arguments[at])))
}

pub(super) fn whole_of(arguments: &[Value], at: usize) -> Result<i64, String> {
    let exact = match &arguments[at] {
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let number = number_of(arguments, at)?;
    if number.fract() != 0.0 || number.abs() > 9e15 {
        return Err(format!("invalid whole number {number}"));
    }
    Ok(number as i64)
}

/// Whole numbers are written without a fraction.
pub(super) fn number(value: f64) -> Evaluated {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Ok(Value::from(value as i64));
    }
    let number = hcl::Number::from_f64(value);
    number
        .map(Value::Number)
        .ok_or_else(|| "the result is not a number".into())
}

pub(super) fn list_of(arguments: &[Value], at: usize) -> Result<Vec<Value>, String> {
    match &arguments[at] {
        Value::Array(list) => Ok(list.clone()),
        other => Err(format!("invalid list {}", display(other))),
    }
}

/// Sorted by name, as bake walks through maps.
pub(super) fn map_of(arguments: &[Value], at: usize) -> Result<BTreeMap<String, Value>, String> {
    match &arguments[at] {
        Value::Object(map) => Ok(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        other => Err(format!("invalid map {}", display(other))),
    }
}

pub(super) fn flag_of(arguments: &[Value], at: usize) -> Result<bool, String> {
    match &arguments[at] {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("invalid boolean {}", display(other))),
    }
}

pub(super) fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(pairs.into_iter().collect())
}
