//! `function` blocks: functions that a bake file defines itself.

use std::collections::BTreeMap;

use super::expression::Expression;
use super::functions;
use super::problem::{Problem, unknown};
use super::syntax::Block;
use super::value::Value;

#[derive(Clone, Debug)]
pub(super) struct Own {
    pub name: String,
    pub parameters: Vec<String>,
    /// What takes all further arguments, as a list.
    pub rest: Option<String>,
    pub result: Expression,
}

/// Those of a file by name; bake's own stay what they are.
///
/// # Errors
/// A block without `params` or `result`, or with more than that.
pub(super) fn defined(blocks: &[Block]) -> Result<BTreeMap<String, Own>, Problem> {
    let mut all = BTreeMap::new();
    for block in blocks.iter().filter(|block| block.kind == "function") {
        let own = own(block)?;
        if !functions::names().any(|name| name == own.name) {
            all.insert(own.name.clone(), own);
        }
    }
    Ok(all)
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
        Expression::Variable(name) => Some(name.clone()),
        Expression::Value(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}
