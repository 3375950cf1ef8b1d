//! `function` blocks: functions that a bake file defines itself.
//!
//! The evaluator takes plain functions, which know nothing of any file. So there is a
//! fixed number of them, each with a number, that look up what they stand for.

use hcl::eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType};
use hcl::{Expression, Value};

use super::arguments::Evaluated;
use super::outside::{OUTSIDE, Outside, Own};
use crate::import::bake::problem::{Problem, unknown};
use crate::import::bake::syntax::Block;

/// More functions than this in one file are a mistake.
const MOST: usize = 64;
/// Calls within calls; more are a circle.
const DEEPEST: usize = 32;

/// # Errors
/// A block without `params` or `result`, or with more than that.
pub(in crate::import::bake) fn declare(
    blocks: &[Block],
    context: &mut Context,
) -> Result<(), Problem> {
    for block in blocks.iter().filter(|block| block.kind == "function") {
        let own = own(block)?;
        if super::names().any(|name| name == own.name) {
            // As bake: its own stay what they are.
            continue;
        }
        let mut builder = FuncDef::builder();
        for _ in &own.parameters {
            builder = builder.param(ParamType::Any);
        }
        if own.rest.is_some() {
            builder = builder.variadic_param(ParamType::Any);
        }
        let at = OUTSIDE.with_borrow_mut(|outside| {
            outside.functions.push(own);
            outside.functions.len() - 1
        });
        let Some(call) = CALLS.get(at) else {
            let message = format!("the file defines more than {MOST} functions");
            return Err(Problem::at(block.line, message));
        };
        context.declare_func(block.name.as_str(), builder.build(*call));
    }
    Ok(())
}

fn own(block: &Block) -> Result<Own, Problem> {
    const KEYS: [&str; 3] = ["params", "variadic_params", "result"];
    let name = &block.name;
    let stray = block
        .attributes
        .iter()
        .find(|a| !KEYS.contains(&a.key.as_str()));
    if let Some(stray) = stray {
        return Err(unknown(stray.line, &stray.key, &KEYS));
    }
    let find = |key: &str| block.attributes.iter().find(|one| one.key == key);
    let lacks = |key: &str| Problem::at(block.line, format!("function `{name}` has no `{key}`"));
    let parameters = find("params").ok_or_else(|| lacks("params"))?;
    let wrong = || {
        let message = format!("function `{name}`: `params` is a list of names");
        Problem::at(parameters.line, message)
    };
    let Expression::Array(list) = &parameters.value else {
        return Err(wrong());
    };
    let named: Option<Vec<String>> = list.iter().map(word).collect();
    let rest = find("variadic_params").map(|rest| {
        let message = format!("function `{name}`: `variadic_params` is one name");
        word(&rest.value).ok_or_else(|| Problem::at(rest.line, message))
    });
    Ok(Own {
        name: name.clone(),
        parameters: named.ok_or_else(wrong)?,
        rest: rest.transpose()?,
        result: find("result").ok_or_else(|| lacks("result"))?.value.clone(),
    })
}

/// A name, which JSON has as a text.
fn word(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Variable(name) => Some(name.to_string()),
        Expression::String(text) => Some(text.clone()),
        Expression::TemplateExpr(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The result sees the file's variables and the arguments, not what is around the call.
fn call(at: usize, arguments: FuncArgs) -> Evaluated {
    let (own, mut context) = OUTSIDE.with_borrow_mut(|outside| {
        outside.depth += 1;
        let own = outside.functions.get(at).cloned();
        (own, scope(outside))
    });
    let result = OUTSIDE.with_borrow(|outside| outside.depth <= DEEPEST);
    let result = match own {
        None => Err("this function is not defined".to_string()),
        Some(own) if !result => Err(format!("`{}` calls itself in a circle", own.name)),
        Some(own) => own.evaluated(arguments.into_values(), &mut context),
    };
    OUTSIDE.with_borrow_mut(|outside| outside.depth -= 1);
    result
}

fn scope(outside: &Outside) -> Context<'static> {
    let mut context = Context::new();
    super::declare(&mut context);
    for (name, value) in &outside.variables {
        context.declare_var(name.as_str(), value.clone());
    }
    for (own, call) in outside.functions.iter().zip(CALLS) {
        let mut builder = FuncDef::builder();
        for _ in &own.parameters {
            builder = builder.param(ParamType::Any);
        }
        if own.rest.is_some() {
            builder = builder.variadic_param(ParamType::Any);
        }
        context.declare_func(own.name.as_str(), builder.build(call));
    }
    context
}

impl Own {
    fn evaluated(&self, mut arguments: Vec<Value>, context: &mut Context) -> Evaluated {
        let further = arguments.split_off(self.parameters.len().min(arguments.len()));
        for (name, value) in self.parameters.iter().zip(arguments) {
            context.declare_var(name.as_str(), value);
        }
        if let Some(rest) = &self.rest {
            context.declare_var(rest.as_str(), Value::Array(further));
        }
        let result = self.result.evaluate(context);
        result.map_err(|error| format!("{} (in function `{}`)", error.kind(), self.name))
    }
}

macro_rules! calls {
    ($($at:literal)*) => { [$(|arguments| call($at, arguments)),*] };
}

#[rustfmt::skip]
const CALLS: [fn(FuncArgs) -> Evaluated; MOST] = calls!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);
