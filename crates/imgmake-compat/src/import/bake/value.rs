//! What expressions come to.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::number::Number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    /// Lists, sets and tuples.
    Array(Vec<Value>),
    /// Maps and objects: HCL walks through both in the order of their keys.
    Object(BTreeMap<String, Value>),
}

impl Value {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A text, or what HCL makes one of.
    pub(super) fn to_text(&self) -> Option<String> {
        match self {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A boolean, or a text that HCL takes for one.
    pub(super) fn to_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            Value::String(text) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number, or a text that is one.
    pub(super) fn to_number(&self) -> Option<Number> {
        match self {
            Value::Number(number) => Some(number.clone()),
            Value::String(text) => Number::parse(text),
            _ => None,
        }
    }

    pub(super) fn is_simple(&self) -> bool {
        matches!(self, Value::Bool(_) | Value::Number(_) | Value::String(_))
    }

    /// What it takes, in memory and to be written as a text, about.
    pub(super) fn weight(&self) -> usize {
        const NODE: usize = 64;
        let held = match self {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(number) => number.text_cost(),
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(Value::weight).sum(),
            Value::Object(map) => {
                let pairs = map.iter();
                pairs
                    .map(|(key, value)| NODE + key.len() + value.weight())
                    .sum()
            }
        };
        NODE + held
    }

    /// What it takes to read it as a number, about.
    pub(super) fn number_cost(&self) -> usize {
        match self {
            Value::String(text) => Number::parse_cost(text),
            _ => 0,
        }
    }

    /// As JSON on one line, names sorted, and safe within HTML, as Go writes it.
    pub(super) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out, usize::MAX);
        out
    }

    /// At least `most` bytes of it, if it has so many, and few more.
    pub(super) fn to_json_start(&self, most: usize) -> String {
        let mut out = String::new();
        self.write_json(&mut out, most);
        out
    }

    fn write_json(&self, out: &mut String, most: usize) {
        let start = |text: &str| match text.char_indices().map(|(at, _)| at).find(|at| *at >= most)
        {
            Some(end) => json_text(&text[..end]),
            None => json_text(text),
        };
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(&value.to_string()),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::String(text) => out.push_str(&start(text)),
            Value::Array(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    value.write_json(out, most);
                    if out.len() > most {
                        return;
                    }
                }
                out.push(']');
            }
            Value::Object(map) => {
                out.push('{');
                for (at, (key, value)) in map.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(&start(key));
                    out.push(':');
                    value.write_json(out, most);
                    if out.len() > most {
                        return;
                    }
                }
                out.push('}');
            }
        }
    }

    /// # Errors
    /// Not JSON, or a number beyond all bounds.
    pub(super) fn from_json(text: &str) -> Result<Value, String> {
        let json: Json =
            serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))?;
        from_json(&json)
    }
}

/// The elements as values of one type, as those of a list or set are: a text among them
/// makes all of them texts.
pub(super) fn of_one_type(list: Vec<Value>) -> Vec<Value> {
    let texts = list.iter().any(|value| matches!(value, Value::String(_)));
    let one = |value: Value| match value.to_text() {
        Some(text) if texts => Value::String(text),
        _ => value,
    };
    list.into_iter().map(one).collect()
}

fn json_text(text: &str) -> String {
    let quoted = Json::from(text).to_string();
    let quoted = quoted
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    quoted
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn from_json(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            let parsed = Number::parse(&number.to_string());
            Value::Number(parsed.ok_or_else(|| format!("invalid number {number}"))?)
        }
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::Array(list.iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(map) => {
            let pair = |(key, value): (&String, &Json)| Ok((key.clone(), from_json(value)?));
            Value::Object(map.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        Value::Number(number)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Number(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::Number(i64::try_from(value).unwrap_or(i64::MAX).into())
    }
}
