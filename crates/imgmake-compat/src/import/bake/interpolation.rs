//! Variables in the texts of a Compose file: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}`,
//! `${NAME:+instead}`; `$$` is a dollar (compose-spec, "Interpolation").
//!
//! A default is that of its place alone: the variable itself is empty until it is given. A variable
//! that is empty is as good as one that is not there, so that `${NAME-default}`, which tells them apart,
//! is only read where no other place says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::BinaryOperator;

use super::expression::{Expression, Part};
use super::syntax::{Attribute, Block};
use super::value::Value;

/// Defaults within defaults; more are a mistake.
const DEEPEST: usize = 16;

/// The value of an argument that the manifest takes from the environment.
pub const FROM_ENVIRONMENT: &str = "\u{e000}environment\u{e001}";

/// The kind of a block that is a variable with the default of a place.
pub(super) const PLACE: &str = "place";

/// What the texts of a file name. They are read twice: what one place may say depends on the others.
#[derive(Default)]
pub(super) struct Variables {
    uses: BTreeMap<String, Uses>,
    /// Whether all texts have been read before.
    is_complete: bool,
}

#[derive(Default)]
struct Uses {
    /// Places without a default, or with one that is no plain text.
    others: bool,
    /// `${NAME-default}`
    unset: BTreeSet<String>,
    /// `${NAME:-default}`
    empty: BTreeSet<String>,
    /// `${NAME?message}`, `${NAME:?message}`
    demanded: Option<Demand>,
}

/// A variable that has to be given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    Set,
    NotEmpty,
}

/// What a block of a variable says of the demand; no file has it.
const DEMAND: &str = "demand";

impl Variables {
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    fn uses(&mut self, name: &str) -> &mut Uses {
        self.uses.entry(name.to_string()).or_default()
    }

    /// # Errors
    /// Another place has a default for a variable that is not set.
    fn plain(&mut self, name: &str) -> Result<Expression, String> {
        self.uses(name).others = true;
        self.agreed(name)?;
        Ok(Expression::Variable(name.to_string()))
    }

    /// `${NAME?message}`
    fn demanded(&mut self, name: &str, demand: Demand) -> Result<Expression, String> {
        let uses = self.uses(name);
        uses.demanded = uses.demanded.max(Some(demand));
        self.plain(name)
    }

    /// `${NAME:-default}`
    fn or_default(&mut self, name: &str, default: Expression) -> Result<Expression, String> {
        let own = Expression::Variable(name.to_string());
        let Expression::Value(Value::String(text)) = &default else {
            self.plain(name)?;
            return Ok(if_given(name, own, default));
        };
        self.uses(name).empty.insert(text.clone());
        self.agreed(name)?;
        Ok(match text.as_str() {
            "" => own,
            text if is_sayable(text) => Expression::Variable(place(name, text)),
            _ => if_given(name, own, default),
        })
    }

    /// `${NAME-default}`
    fn or_unset(&mut self, name: &str, default: Expression) -> Result<Expression, String> {
        let Expression::Value(Value::String(text)) = default else {
            return Err(told_apart(name));
        };
        self.uses(name).unset.insert(text);
        self.agreed(name)?;
        Ok(Expression::Variable(name.to_string()))
    }

    fn agreed(&self, name: &str) -> Result<(), String> {
        let Some(uses) = self.uses.get(name).filter(|_| self.is_complete) else {
            return Ok(());
        };
        let Some(default) = uses.unset.first() else {
            return Ok(());
        };
        let is_alone = uses.unset.len() == 1 && !uses.others;
        match is_alone && uses.empty.iter().all(|other| other == default) {
            true => Ok(()),
            false => Err(told_apart(name)),
        }
    }

    /// Blocks as bake has them.
    pub(super) fn blocks(self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (name, uses) in self.uses {
            let default = uses.unset.into_iter().next().unwrap_or_default();
            let default = Expression::Value(Value::from(default.as_str()));
            let mut variable = block("variable", &name, default);
            if let Some(demand) = uses.demanded {
                variable.attributes.push(Attribute {
                    key: DEMAND.to_string(),
                    line: None,
                    value: Expression::Value(Value::Bool(demand == Demand::NotEmpty)),
                });
            }
            blocks.push(variable);
            let sayable = uses.empty.iter().filter(|text| is_sayable(text));
            for text in sayable {
                let own = Expression::Variable(name.clone());
                let default = Expression::Value(Value::from(text.as_str()));
                let value = if_given(&name, own, default);
                blocks.push(block(PLACE, &place(&name, text), value));
            }
        }
        blocks
    }
}

fn block(kind: &str, name: &str, default: Expression) -> Block {
    Block {
        kind: kind.to_string(),
        name: name.to_string(),
        line: None,
        attributes: vec![Attribute {
            key: "default".to_string(),
            line: None,
            value: default,
        }],
        blocks: Vec::new(),
    }
}

/// Whether the attribute of a variable is our own.
pub(super) fn is_demand(attribute: &Attribute) -> bool {
    attribute.line.is_none() && attribute.key == DEMAND
}

pub(super) fn demand_of(variable: &Block) -> Option<Demand> {
    let found = variable.attributes.iter().find(|one| is_demand(one))?;
    Some(match found.value {
        Expression::Value(Value::Bool(true)) => Demand::NotEmpty,
        _ => Demand::Set,
    })
}

/// The variable and the text of a place's default.
pub(super) fn default_of(place: &Block) -> Option<(&str, &str)> {
    let default = place.attributes.first().filter(|_| place.kind == PLACE)?;
    match &default.value {
        Expression::Conditional(parts) => match &parts[..] {
            [
                _,
                Expression::Variable(name),
                Expression::Value(Value::String(text)),
            ] => Some((name, text)),
            _ => None,
        },
        _ => None,
    }
}

/// No variable of an environment or of a bake file has this name.
fn place(name: &str, default: &str) -> String {
    format!("${{{name}:-{default}}}")
}

/// Whether a manifest can say it between the quotes of `${default(NAME, '…')}`.
fn is_sayable(text: &str) -> bool {
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !"'\"\\$".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

fn told_apart(name: &str) -> String {
    format!(
        "the variable `{name}` has a default if it is not set, but another place has a different default: write `${{{name}:-default}}`"
    )
}

/// A text; what it names becomes a variable.
///
/// # Errors
/// Not what Compose would take, in words.
pub(super) fn read(text: &str, variables: &mut Variables) -> Result<Expression, String> {
    read_at(text, variables, 0)
}

fn read_at(text: &str, variables: &mut Variables, depth: usize) -> Result<Expression, String> {
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
                (variables.plain(&rest[..end])?, &rest[end..])
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
    variables: &mut Variables,
    depth: usize,
) -> Result<Option<Expression>, String> {
    let end = name_end(inner);
    let (name, rest) = inner.split_at(end);
    if name.is_empty() {
        return Ok(None);
    }
    let after = rest.strip_prefix(':');
    let is_empty_too = after.is_some();
    let rest = after.unwrap_or(rest);
    let Some(kind) = rest.chars().next() else {
        return match inner == name {
            true => variables.plain(name).map(Some),
            false => Ok(None),
        };
    };
    let value = &rest[kind.len_utf8()..];
    let mut word = || read_at(value, variables, depth + 1);
    Ok(Some(match kind {
        '?' if is_empty_too => variables.demanded(name, Demand::NotEmpty)?,
        '?' => variables.demanded(name, Demand::Set)?,
        '-' => {
            let default = word()?;
            match is_empty_too {
                true => variables.or_default(name, default)?,
                false => variables.or_unset(name, default)?,
            }
        }
        '+' if !is_empty_too => {
            return Err(format!(
                "`${{{name}+…}}` distinguishes an empty variable from one that is not set: write `${{{name}:+…}}`"
            ));
        }
        '+' => {
            let instead = word()?;
            variables.plain(name)?;
            if_given(name, instead, Expression::Value(Value::from("")))
        }
        _ => return Ok(None),
    }))
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
