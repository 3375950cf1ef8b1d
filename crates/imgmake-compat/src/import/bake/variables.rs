//! Variables, what the environment makes of them, and what an expression comes to.

use std::collections::BTreeMap;

use super::budget::{Budget, EACH};
use super::context::Context;
use super::defined;
use super::expression::Expression;
use super::failed::{Exhausted, Failed};
use super::functions;
use super::interpolation;
use super::problem::{Problem, unknown};
use super::syntax::{Attribute, Block};
use super::types::Type;
use super::value::Value;
use imgmake_core::manifest::suggest;

/// Every variable's value and every function.
///
/// # Errors
/// A variable that refers to none, to itself in a circle, or fails its validation.
pub(super) fn context(
    blocks: &[Block],
    environment: &BTreeMap<String, String>,
    budget: &Budget,
) -> Result<Context, Problem> {
    let variables = || {
        let kinds = ["variable", interpolation::PLACE];
        let of_kind = move |block: &&Block| kinds.contains(&block.kind.as_str());
        blocks.iter().filter(of_kind)
    };
    let names = variables().map(|block| block.name.clone()).collect();
    let mut context = Context::new(defined::defined(blocks)?, names, budget);
    context.define("BAKE_CMD_CONTEXT", "cwd://".into());
    context.define("BAKE_LOCAL_PLATFORM", local_platform().into());
    let mut open: Vec<&Block> = variables().collect();
    // A variable may use those that stand after it.
    while !open.is_empty() {
        let mut waiting = Vec::new();
        let mut cause = None;
        let before = open.len();
        for variable in open {
            match value_of(variable, environment, &context) {
                Ok(value) => context.define(&variable.name, value),
                Err(problem) if budget.is_exhausted() => return Err(problem),
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

/// Name, text and description of a variable whose default is a plain text, or none.
pub(super) fn plain_text(variable: &Block) -> Option<(String, String, Option<String>)> {
    let find = |key: &str| variable.attributes.iter().find(|one| one.key == key);
    let text = |key: &str| match find(key).map(|one| &one.value) {
        Some(Expression::Value(Value::String(text))) => Some(text.clone()),
        _ => None,
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // No name of a manifest begins with `_`.
    let named = variable.name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !named || !variable.name.chars().all(legal) {
        return None;
    }
    let value = match find("default") {
        Some(_) => text("default")?,
        None => String::new(),
    };
    Some((variable.name.clone(), value, text("description")))
}

fn local_platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        "arm" => "linux/arm/v7",
        "riscv64" => "linux/riscv64",
        "powerpc64" => "linux/ppc64le",
        "s390x" => "linux/s390x",
        _ => "linux/386",
    }
}

fn value_of(
    variable: &Block,
    environment: &BTreeMap<String, String>,
    context: &Context,
) -> Result<Value, Problem> {
    const KEYS: [&str; 3] = ["default", "description", "type"];
    let (mut default, mut kind) = (None, None);
    for attribute in &variable.attributes {
        match attribute.key.as_str() {
            "default" => default = Some(evaluated(attribute, context)?),
            "type" => {
                let parsed = Type::parse(&attribute.value);
                kind = Some(parsed.map_err(|why| Problem::at(attribute.line, why))?);
            }
            "description" => {}
            _ if interpolation::is_demand(attribute) => {}
            other => return Err(unknown(attribute.line, other, &KEYS)),
        }
    }
    let name = &variable.name;
    let refused = |of: &str, why: String| {
        Problem::at(variable.line, format!("{of} of variable `{name}`: {why}"))
    };
    let given = environment.get(name);
    let Some(kind) = kind else {
        // Without a default it is a text, and an empty one.
        let default = default.unwrap_or_else(|| Value::from(""));
        let Some(given) = given else {
            return Ok(default);
        };
        let implied = match &default {
            Value::Bool(_) if given.is_empty() => return Ok(Value::Bool(false)),
            Value::Bool(_) => Type::Bool,
            Value::Number(_) => Type::Number,
            Value::Array(_) => Type::List(Box::new(Type::Text)),
            Value::Object(_) => {
                let why = "an object has to have a `type` before it can be overridden";
                return Err(refused("the environment's value", why.into()));
            }
            _ => Type::Text,
        };
        let read = implied.of_text(given);
        return read.map_err(|why| refused("the environment's value", why));
    };
    if let Some(json) = environment.get(&format!("{name}_JSON")) {
        let read = kind.of_json(json);
        return read.map_err(|why| refused("the environment's JSON", why));
    }
    if let Some(given) = given {
        let read = kind.of_text(given);
        return read.map_err(|why| refused("the environment's value", why));
    }
    let default = default.unwrap_or(Value::Null);
    kind.spend(&default, &context.budget)?;
    let converted = kind.convert(&default);
    converted.map_err(|why| refused("the default", why))
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
        let message = said.unwrap_or_else(|| "its condition is not true".into());
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
    attribute.value.evaluate(context).map_err(|failed| {
        let key = &attribute.key;
        let problem = Problem::at(attribute.line, format!("`{key}`: {failed}"));
        match failed {
            Failed::Function(name) => {
                let refused = functions::REFUSED.iter().find(|(other, _)| *other == name);
                if let Some((_, instead)) = refused {
                    let message = format!("`{key}`: the function `{name}` is not supported");
                    return Problem::at(attribute.line, message).with_help(*instead);
                }
                if exhausted(context) {
                    return Problem::at(attribute.line, format!("`{key}`: {}", Exhausted::MESSAGE))
                        .with_help(Exhausted::HELP);
                }
                let own: Vec<&str> = context.function_names().collect();
                let names = functions::names().map(|name| -> &str { name });
                let names = names.chain(own.iter().copied());
                problem.with_help(suggest::help(&name, names).unwrap_or_default())
            }
            Failed::Variable(name) if name == "target" => {
                problem.with_help("`target.NAME.KEY` is what another target's block says")
            }
            Failed::Variable(name) => problem.with_help(format!(
                "declare it: `variable \"{name}\" {{ default = \"…\" }}`"
            )),
            Failed::Exhausted => problem.with_help(Exhausted::HELP),
            Failed::NotYet(_) | Failed::Other(_) => problem,
        }
    })
}

/// Whether so much is spent that no name like the one that was not found can be looked for.
fn exhausted(context: &Context) -> bool {
    let names = context.function_names().count() + functions::names().count();
    context.budget.spend(EACH * names).is_err()
}
