//! `${…}` with the values of a scope put in.

use super::binding::{Binding, Refusal};
use super::interpolate::{self, Expression, Piece};
use super::scope::Scope;
use crate::error::ExpressionProblem;

/// The value of an expression: text, or a list that only `join` and list positions take.
fn evaluate(expression: &Expression, scope: &Scope) -> Result<Binding, Refusal> {
    match expression {
        Expression::Text(text) => Ok(Binding::Text(text.clone())),
        Expression::Name(name) => scope.get(name),
        Expression::Call(name, arguments) => call(name, arguments, scope),
    }
}

pub(super) fn call(
    name: &str,
    arguments: &[Expression],
    scope: &Scope,
) -> Result<Binding, Refusal> {
    let text = |at: usize| evaluate(&arguments[at], scope).and_then(|value| value.text());
    let done = match name {
        "default" => return default(arguments, scope),
        "slug" => slug(&text(0)?),
        "lower" => text(0)?.to_lowercase(),
        "upper" => text(0)?.to_uppercase(),
        "replace" => {
            let from = text(1)?;
            if from.is_empty() {
                return Err(Refusal::new(ExpressionProblem::NothingToReplace));
            }
            let (text, to) = (text(0)?, text(2)?);
            bounded(text.len() + text.matches(&from).count() * to.len())?;
            text.replace(&from, &to)
        }
        _ => match evaluate(&arguments[0], scope)? {
            Binding::List(items) => {
                let between = text(1)?;
                let length: usize = items.iter().map(|item| item.len() + between.len()).sum();
                bounded(length)?;
                items.join(&between)
            }
            Binding::Text(one) => one,
        },
    };
    Ok(Binding::Text(done))
}

/// Values of values grow tenfold at each step: beyond this they are no text that a person means.
const LONGEST: usize = 1 << 20;

fn bounded(length: usize) -> Result<(), Refusal> {
    match length > LONGEST {
        true => Err(
            Refusal::new(ExpressionProblem::TooLong("the value is longer than 1 MiB"))
                .with_help("its variables contain each other too many times"),
        ),
        false => Ok(()),
    }
}

/// Like the shell's `:-`: an empty value takes the default too. A name that was never
/// declared is still a mistake, except in `env.` and `git.`, where unset is ordinary.
pub(super) fn default(arguments: &[Expression], scope: &Scope) -> Result<Binding, Refusal> {
    let first = match &arguments[0] {
        Expression::Name(name) if scope.is_unset(name) => None,
        other => Some(evaluate(other, scope)?),
    };
    match first {
        Some(Binding::Text(text)) if text.is_empty() => evaluate(&arguments[1], scope),
        Some(value) => Ok(value),
        None => evaluate(&arguments[1], scope),
    }
}

/// `3.12-slim_X` → `3-12-slim-x`: lower-case letters and digits with single dashes between.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_string()
}

impl Scope<'_> {
    pub fn text(&self, text: &str) -> Result<String, Refusal> {
        let mut done = String::new();
        for piece in interpolate::split(text)? {
            match piece {
                Piece::Literal(literal) => done.push_str(&literal),
                Piece::Expression(expression) => {
                    let value = evaluate(&expression, self)?.text()?;
                    bounded(done.len() + value.len())?;
                    done.push_str(&value);
                }
            }
        }
        self.count(done.len())?;
        Ok(done)
    }

    /// As [`Scope::text`], but a string that is one `${LIST}` gives all its items.
    pub fn texts(&self, text: &str) -> Result<Vec<String>, Refusal> {
        let pieces = interpolate::split(text)?;
        if let [Piece::Expression(expression)] = pieces.as_slice()
            && let Binding::List(items) = evaluate(expression, self)?
        {
            self.count(items.iter().map(String::len).sum())?;
            return Ok(items);
        }
        Ok(vec![self.text(text)?])
    }
}
