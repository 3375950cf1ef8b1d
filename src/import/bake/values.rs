//! Variables, what the environment makes of them, and the functions of bake files.

use std::collections::BTreeMap;

use hcl::Value;
use hcl::eval::{Context, ErrorKind, Evaluate, FuncArgs, FuncDef, ParamType};

use super::Problem;
use super::syntax::{Attribute, Block};
use crate::manifest::suggest;

/// Every variable's value and every function.
///
/// # Errors
/// A variable that refers to none, to itself in a circle, or fails its validation.
pub(super) fn context<'a>(
    blocks: &'a [Block],
    environment: &BTreeMap<String, String>,
) -> Result<Context<'a>, Problem> {
    let mut context = Context::new();
    functions(&mut context);
    context.declare_var("BAKE_CMD_CONTEXT", "cwd://");
    if let Some(function) = blocks.iter().find(|block| block.kind == "function") {
        let message = format!(
            "function `{}`: functions of one's own are not supported",
            function.name
        );
        let help = "write what it gives where it is called, or keep it in a variable";
        return Err(Problem::at(function.line, message).with_help(help));
    }
    let mut open: Vec<&Block> = blocks.iter().filter(|b| b.kind == "variable").collect();
    // A variable may use those that stand after it.
    while !open.is_empty() {
        let mut waiting = Vec::new();
        let mut cause = None;
        let before = open.len();
        for variable in open {
            match value_of(variable, environment, &context) {
                Ok(value) => context.declare_var(variable.name.as_str(), value),
                Err(problem) => {
                    waiting.push(variable);
                    cause = cause.or(Some(problem));
                }
            }
        }
        if let (Some(problem), true) = (cause, waiting.len() == before) {
            return Err(problem);
        }
        open = waiting;
    }
    for variable in blocks.iter().filter(|block| block.kind == "variable") {
        validated(variable, &context)?;
    }
    Ok(context)
}

fn value_of(
    variable: &Block,
    environment: &BTreeMap<String, String>,
    context: &Context,
) -> Result<Value, Problem> {
    let mut default = Value::Null;
    for attribute in &variable.attributes {
        match attribute.key.as_str() {
            "default" => default = evaluated(attribute, context)?,
            "description" | "type" => {}
            other => {
                return Err(unknown(
                    attribute.line,
                    other,
                    &["default", "description", "type"],
                ));
            }
        }
    }
    let Some(given) = environment.get(&variable.name) else {
        return Ok(default);
    };
    let refused = |kind: &str| {
        let message = format!("the environment's {} is no {kind}", variable.name);
        Problem::at(variable.line, message)
    };
    // The default says of what kind the variable is.
    match default {
        Value::Bool(_) => match given.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(refused("boolean")),
        },
        Value::Number(_) => match given.parse::<i64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => Err(refused("number")),
        },
        Value::Array(_) => {
            let parts = given
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(Value::from).collect()))
        }
        _ => Ok(Value::from(given.as_str())),
    }
}

/// `validation { condition = …; error_message = "…" }`
fn validated(variable: &Block, context: &Context) -> Result<(), Problem> {
    for block in &variable.blocks {
        if block.kind != "validation" {
            return Err(unknown(block.line, &block.kind, &["validation"]));
        }
        let find = |key: &str| block.attributes.iter().find(|one| one.key == key);
        let Some(condition) = find("condition") else {
            return Err(Problem::at(block.line, "this validation has no condition"));
        };
        if evaluated(condition, context)? == Value::Bool(true) {
            continue;
        }
        let said = find("error_message")
            .map(|one| evaluated(one, context))
            .transpose()?;
        let said = said.and_then(|value| value.as_str().map(String::from));
        let message = said.unwrap_or_else(|| "its condition does not hold".into());
        return Err(Problem::at(
            block.line,
            format!("variable `{}`: {message}", variable.name),
        ));
    }
    Ok(())
}

/// # Errors
/// The expression's own, with the place of its attribute.
pub(super) fn evaluated(attribute: &Attribute, context: &Context) -> Result<Value, Problem> {
    attribute.value.evaluate(context).map_err(|error| {
        let problem = Problem::at(
            attribute.line,
            format!("`{}`: {}", attribute.key, error.kind()),
        );
        match error.kind() {
            ErrorKind::UndefinedFunc(name) => {
                let names = FUNCTIONS.iter().map(|(name, ..)| *name);
                problem.with_help(suggest::help(&name.to_string(), names).unwrap_or_default())
            }
            ErrorKind::UndefinedVar(name) => problem.with_help(format!(
                "declare it: `variable \"{name}\" {{ default = \"…\" }}`"
            )),
            _ => problem,
        }
    })
}

pub(super) fn unknown(line: Option<usize>, key: &str, known: &[&str]) -> Problem {
    let help = suggest::help(key, known.iter().copied()).unwrap_or_default();
    Problem::at(line, format!("`{key}` is unknown here")).with_help(help)
}

type Function = fn(FuncArgs) -> Result<Value, String>;

/// Name, how many arguments it needs, whether it takes more, and what it does.
const FUNCTIONS: [(&str, usize, bool, Function); 22] = [
    ("upper", 1, false, |a| {
        Ok(text(&a, 0)?.to_uppercase().into())
    }),
    ("lower", 1, false, |a| {
        Ok(text(&a, 0)?.to_lowercase().into())
    }),
    ("trim", 2, false, |a| {
        let cut: Vec<char> = text(&a, 1)?.chars().collect();
        Ok(text(&a, 0)?.trim_matches(cut.as_slice()).into())
    }),
    ("trimspace", 1, false, |a| Ok(text(&a, 0)?.trim().into())),
    ("trimprefix", 2, false, |a| {
        let (whole, start) = (text(&a, 0)?, text(&a, 1)?);
        Ok(whole.strip_prefix(&start).unwrap_or(&whole).into())
    }),
    ("trimsuffix", 2, false, |a| {
        let (whole, end) = (text(&a, 0)?, text(&a, 1)?);
        Ok(whole.strip_suffix(&end).unwrap_or(&whole).into())
    }),
    ("replace", 3, false, |a| {
        Ok(text(&a, 0)?.replace(&text(&a, 1)?, &text(&a, 2)?).into())
    }),
    ("join", 2, true, |a| {
        let parts: Result<Vec<String>, String> =
            a[1..].iter().flat_map(elements).map(|v| said(&v)).collect();
        Ok(parts?.join(&text(&a, 0)?).into())
    }),
    ("split", 2, false, |a| {
        let (by, whole) = (text(&a, 0)?, text(&a, 1)?);
        Ok(Value::Array(
            whole.split(by.as_str()).map(Value::from).collect(),
        ))
    }),
    ("concat", 1, true, |a| {
        Ok(Value::Array(a.iter().flat_map(elements).collect()))
    }),
    ("coalesce", 1, true, |a| {
        let mut given = a.iter().filter(|v| !v.is_null() && v.as_str() != Some(""));
        given
            .next()
            .cloned()
            .ok_or_else(|| "every argument is null or empty".into())
    }),
    ("compact", 1, false, |a| {
        let kept = elements(&a[0])
            .into_iter()
            .filter(|v| v.as_str() != Some(""));
        Ok(Value::Array(kept.collect()))
    }),
    ("distinct", 1, false, |a| {
        let mut kept: Vec<Value> = Vec::new();
        for value in elements(&a[0]) {
            if !kept.contains(&value) {
                kept.push(value);
            }
        }
        Ok(Value::Array(kept))
    }),
    ("contains", 2, false, |a| {
        Ok(elements(&a[0]).contains(&a[1]).into())
    }),
    ("length", 1, false, |a| match &a[0] {
        Value::Array(list) => Ok((list.len() as u64).into()),
        Value::Object(map) => Ok((map.len() as u64).into()),
        other => Ok((said(other)?.chars().count() as u64).into()),
    }),
    ("equal", 2, false, |a| Ok((a[0] == a[1]).into())),
    ("notequal", 2, false, |a| Ok((a[0] != a[1]).into())),
    ("and", 2, false, |a| {
        Ok((a[0] == Value::Bool(true) && a[1] == Value::Bool(true)).into())
    }),
    ("or", 2, false, |a| {
        Ok((a[0] == Value::Bool(true) || a[1] == Value::Bool(true)).into())
    }),
    ("not", 1, false, |a| Ok((a[0] == Value::Bool(false)).into())),
    ("strlen", 1, false, |a| {
        Ok((text(&a, 0)?.chars().count() as u64).into())
    }),
    // What tags and target names cannot hold becomes `-` or `_`.
    ("sanitize", 1, false, |a| {
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '_'
            }
        };
        Ok(text(&a, 0)?.chars().map(legal).collect::<String>().into())
    }),
];

fn functions(context: &mut Context) {
    for (name, needed, more, function) in FUNCTIONS {
        let mut builder = FuncDef::builder();
        for _ in 0..needed {
            builder = builder.param(ParamType::Any);
        }
        if more {
            builder = builder.variadic_param(ParamType::Any);
        }
        context.declare_func(name, builder.build(function));
    }
}

fn text(arguments: &FuncArgs, at: usize) -> Result<String, String> {
    said(&arguments[at])
}

/// # Errors
/// It is a list, an object or null, which has no text.
pub(super) fn said(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{other} is no text")),
    }
}

/// A list's elements; anything else is a list of itself, null of nothing.
fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        other => vec![other.clone()],
    }
}
