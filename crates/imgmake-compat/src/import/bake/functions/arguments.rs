//! What functions take and give: arguments of a kind, and results.

use std::collections::BTreeMap;

use crate::import::bake::value::Value;

use super::outside::spend;
use crate::import::bake::display::{as_text, display};
use crate::import::bake::number::Number;

pub(super) type Evaluated = Result<Value, String>;

/// Name, how many arguments it needs at least, whether it takes more, and what it does.
pub(super) type Function = (&'static str, usize, More, fn(&[Value]) -> Evaluated);

#[derive(Clone, Copy)]
pub(super) enum More {
    None,
    Any,
}

pub(super) fn text_of(arguments: &[Value], at: usize) -> Result<String, String> {
    as_text(&arguments[at])
}

/// A number, or a text that is one.
pub(super) fn number_of(arguments: &[Value], at: usize) -> Result<Number, String> {
    spend(arguments[at].number_cost())?;
    let number = arguments[at].to_number();
    number.ok_or_else(|| format!("invalid number {}", display(&arguments[at])))
}

/// The same for functions that compute with less precision.
pub(super) fn float_of(arguments: &[Value], at: usize) -> Result<f64, String> {
    Ok(number_of(arguments, at)?.to_f64())
}

pub(super) fn whole_of(arguments: &[Value], at: usize) -> Result<i64, String> {
    let number = number_of(arguments, at)?;
    number
        .to_i64()
        .ok_or_else(|| format!("invalid whole number {number}"))
}

pub(super) fn float(value: f64) -> Evaluated {
    let number = Number::from_f64(value).map(Value::Number);
    number.ok_or_else(|| "the result is not a number".into())
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
        Value::Object(map) => Ok(map.clone()),
        other => Err(format!("invalid map {}", display(other))),
    }
}

pub(super) fn flag_of(arguments: &[Value], at: usize) -> Result<bool, String> {
    let flag = arguments[at].to_bool();
    flag.ok_or_else(|| format!("invalid boolean {}", display(&arguments[at])))
}

pub(super) fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(pairs.into_iter().collect())
}
