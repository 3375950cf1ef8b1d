//! The types that variables may be declared with, and how a text from the environment
//! becomes a value of one.

use std::collections::BTreeMap;

use super::budget::Budget;
use super::display::{as_text, display};
use super::expression::{Call, Expression};
use super::failed::Exhausted;
use super::functions::{csv, set};
use super::number::Number;
use super::value::Value;

#[derive(Debug)]
pub(super) enum Type {
    Any,
    Text,
    Number,
    Bool,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    Object(BTreeMap<String, Type>),
    Tuple(Vec<Type>),
}

impl Type {
    /// `string`, `list(number)`, `object({name = string})`; JSON has them as texts.
    ///
    /// # Errors
    /// Not a type, in words.
    pub(super) fn parse(expression: &Expression) -> Result<Type, String> {
        let wrong = || {
            "a type is string, number, bool, any, list(…), set(…), map(…), tuple([…]) or object({…})".to_string()
        };
        match expression {
            Expression::Variable(name) => match name.as_str() {
                "any" => Ok(Type::Any),
                "string" => Ok(Type::Text),
                "number" => Ok(Type::Number),
                "bool" => Ok(Type::Bool),
                _ => Err(wrong()),
            },
            Expression::Call(Call {
                name, arguments, ..
            }) => {
                let [inner] = &arguments[..] else {
                    return Err(wrong());
                };
                let of = || Type::parse(inner).map(Box::new);
                match (name.as_str(), inner) {
                    ("list", _) => of().map(Type::List),
                    ("set", _) => of().map(Type::Set),
                    ("map", _) => of().map(Type::Map),
                    ("tuple", Expression::Array(list)) => {
                        let inner: Result<_, _> = list.iter().map(Type::parse).collect();
                        inner.map(Type::Tuple)
                    }
                    ("object", Expression::Object(map)) => fields(map).map(Type::Object),
                    _ => Err(wrong()),
                }
            }
            Expression::Value(Value::String(text)) => {
                let parsed = hcl_edit::parser::parse_expr(text).map_err(|_| wrong())?;
                match Expression::read(&parsed)? {
                    inner @ (Expression::Variable(_) | Expression::Call(_)) => Type::parse(&inner),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }

    /// What it takes to convert the value, about.
    ///
    /// # Errors
    /// As much is not left.
    pub(super) fn spend(&self, value: &Value, budget: &Budget) -> Result<(), Exhausted> {
        // A text may be read as a number.
        budget.spend(value.weight().saturating_mul(32))
    }

    /// The value as one of this type.
    ///
    /// # Errors
    /// It cannot be one, in words.
    pub(super) fn convert(&self, value: &Value) -> Result<Value, String> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        match (self, value) {
            (Type::Any, _) => Ok(value.clone()),
            (Type::Text, _) => as_text(value).map(Value::from),
            (Type::Number, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => Ok(value.clone()),
            (Type::Number, Value::String(_)) => {
                let number = value.to_number().map(Value::Number);
                number.ok_or_else(|| format!("invalid number {}", display(value)))
            }
            (Type::Bool, Value::String(_)) => {
                let flag = value.to_bool().map(Value::Bool);
                flag.ok_or_else(|| format!("invalid boolean {}", display(value)))
            }
            (Type::List(inner), Value::Array(list)) => inner.each(list).map(Value::Array),
            (Type::Set(inner), Value::Array(list)) => inner.each(list).map(set).map(Value::Array),
            (Type::Tuple(inner), Value::Array(list)) if inner.len() == list.len() => {
                let pairs = inner.iter().zip(list);
                let all: Result<_, _> = pairs.map(|(of, value)| of.convert(value)).collect();
                all.map(Value::Array)
            }
            (Type::Map(inner), Value::Object(map)) => {
                let one =
                    |(key, value): (&String, &Value)| Ok((key.clone(), inner.convert(value)?));
                let all: Result<_, String> = map.iter().map(one).collect();
                all.map(Value::Object)
            }
            (Type::Object(fields), Value::Object(map)) => {
                let one = |(key, of): (&String, &Type)| {
                    let value = map.get(key).ok_or_else(|| format!("it lacks `{key}`"))?;
                    Ok((key.clone(), of.convert(value)?))
                };
                let all: Result<_, String> = fields.iter().map(one).collect();
                all.map(Value::Object)
            }
            _ => Err(format!("invalid {} {}", self.name(), display(value))),
        }
    }

    fn each(&self, list: &[Value]) -> Result<Vec<Value>, String> {
        list.iter().map(|value| self.convert(value)).collect()
    }

    /// What the environment says: one value, or several with commas between them.
    ///
    /// # Errors
    /// Not a value of it, in words.
    pub(super) fn of_text(&self, text: &str) -> Result<Value, String> {
        let no = || format!("invalid {} {text:?}", self.name());
        match self {
            Type::Any | Type::Text => Ok(Value::from(text)),
            Type::Bool => match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
                _ => Err(no()),
            },
            Type::Number => Number::parse(text).map(Value::Number).ok_or_else(no),
            Type::List(inner) | Type::Set(inner) => {
                let values = parts(text)?.into_iter().map(|part| inner.of_text(&part));
                self.convert(&Value::Array(values.collect::<Result<_, _>>()?))
            }
            Type::Tuple(inner) => {
                let parts = parts(text)?;
                if parts.len() != inner.len() {
                    return Err(no());
                }
                let values = inner.iter().zip(parts).map(|(of, part)| of.of_text(&part));
                Ok(Value::Array(values.collect::<Result<_, _>>()?))
            }
            Type::Map(inner) => {
                let pair = |part: String| {
                    let (key, value) = part.split_once('=').ok_or_else(no)?;
                    Ok((key.to_string(), inner.of_text(value)?))
                };
                let pairs: Result<_, String> = parts(text)?.into_iter().map(pair).collect();
                pairs.map(Value::Object)
            }
            Type::Object(_) => Err(format!("{} is written as JSON", self.name())),
        }
    }

    /// What the environment says in `NAME_JSON`.
    ///
    /// # Errors
    /// Invalid JSON, or of another type.
    pub(super) fn of_json(&self, text: &str) -> Result<Value, String> {
        self.convert(&Value::from_json(text)?)
    }

    fn name(&self) -> String {
        match self {
            Type::Any => "value".into(),
            Type::Text => "text".into(),
            Type::Number => "number".into(),
            Type::Bool => "boolean".into(),
            Type::List(inner) => format!("list({})", inner.name()),
            Type::Set(inner) => format!("set({})", inner.name()),
            Type::Map(inner) => format!("map({})", inner.name()),
            Type::Object(_) => "object".into(),
            Type::Tuple(inner) => format!("tuple of {}", inner.len()),
        }
    }
}

fn parts(text: &str) -> Result<Vec<String>, String> {
    Ok(csv(text)?.into_iter().next().unwrap_or_default())
}

fn fields(pairs: &[(Expression, Expression)]) -> Result<BTreeMap<String, Type>, String> {
    let one = |(key, of): &(Expression, Expression)| match key {
        Expression::Value(Value::String(name)) => Ok((name.clone(), Type::parse(of)?)),
        _ => Err("a field of an object has a plain name".to_string()),
    };
    pairs.iter().map(one).collect()
}
