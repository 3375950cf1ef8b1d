//! Variables in the texts of a Compose file: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}`,
//! `${NAME:+instead}`; `$$` is a dollar (compose-spec, "Interpolation").

use std::collections::BTreeMap;

use hcl_edit::expr::BinaryOperator;

use super::expression::{Expression, Part};
use super::value::Value;

/// Defaults within defaults; more are a mistake.
const DEEPEST: usize = 16;

/// A text; what it names becomes a variable, with the first default that is given.
///
/// # Errors
/// Not what Compose would take, in words.
pub(super) fn read(
    text: &str,
    variables: &mut BTreeMap<String, Option<String>>,
) -> Result<Expression, String> {
    read_at(text, variables, 0)
}

fn read_at(
    text: &str,
    variables: &mut BTreeMap<String, Option<String>>,
    depth: usize,
) -> Result<Expression, String> {
    if depth > DEEPEST {
        return Err("defaults are nested more than 16 deep".to_string());
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let wrong =
            || format!("invalid variable in {text:?}: write `${{NAME}}`, or `$$` for a dollar");
        let (expression, after) = match rest.strip_prefix('{') {
            Some(inner) => {
                let end = closing(inner).ok_or_else(wrong)?;
                let read = braced(&inner[..end], variables, depth)?;
                (read.ok_or_else(wrong)?, &inner[end + 1..])
            }
            None => {
                let end = name_end(rest);
                if end == 0 {
                    return Err(wrong());
                }
                (variable(&rest[..end], None, variables), &rest[end..])
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Expression(expression));
        rest = after;
    }
    literal.push_str(rest);
    if parts.is_empty() {
        return Ok(Expression::Value(Value::from(literal.as_str())));
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(Expression::Template(parts))
}

/// `NAME`, and what follows it.
fn braced(
    inner: &str,
    variables: &mut BTreeMap<String, Option<String>>,
    depth: usize,
) -> Result<Option<Expression>, String> {
    let end = name_end(inner);
    let (name, rest) = inner.split_at(end);
    if name.is_empty() {
        return Ok(None);
    }
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let Some(kind) = rest.chars().next() else {
        return Ok((inner == name).then(|| variable(name, None, variables)));
    };
    let value = &rest[kind.len_utf8()..];
    Ok(Some(match kind {
        '?' => variable(name, None, variables),
        '-' => match read_at(value, variables, depth + 1)? {
            Expression::Value(Value::String(default)) => variable(name, Some(default), variables),
            default => if_given(name, variable(name, None, variables), default),
        },
        '+' => {
            let instead = read_at(value, variables, depth + 1)?;
            variable(name, None, variables);
            if_given(name, instead, Expression::Value(Value::from("")))
        }
        _ => return Ok(None),
    }))
}

fn variable(
    name: &str,
    default: Option<String>,
    variables: &mut BTreeMap<String, Option<String>>,
) -> Expression {
    let own = Expression::Variable(name.to_string());
    let known = variables.entry(name.to_string()).or_insert(None);
    match (default, known.as_ref()) {
        (None, _) => own,
        (Some(default), None) => {
            *known = Some(default);
            own
        }
        (Some(default), Some(known)) if default == *known => own,
        // Two texts with two defaults: the second stands where the variable is as it was.
        (Some(default), Some(known)) => {
            let known = Expression::Value(Value::from(known.as_str()));
            let default = Expression::Value(Value::from(default.as_str()));
            let is_default = Expression::Binary(BinaryOperator::Eq, Box::new([own.clone(), known]));
            Expression::Conditional(Box::new([is_default, default, own]))
        }
    }
}

fn if_given(name: &str, then: Expression, otherwise: Expression) -> Expression {
    let own = Expression::Variable(name.to_string());
    let empty = Expression::Value(Value::from(""));
    let is_given = Expression::Binary(BinaryOperator::NotEq, Box::new([own, empty]));
    Expression::Conditional(Box::new([is_given, then, otherwise]))
}

fn name_end(text: &str) -> usize {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(is_first) {
        return 0;
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    end.unwrap_or(text.len())
}

/// Where the brace closes that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}
