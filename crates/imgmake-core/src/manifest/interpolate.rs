//! `${…}` in strings: names, `env.NAME`, `git.…`, and functions over them.
//! Knows a [`Scope`] of values; `$${` is a literal `${`.

use super::binding::Refusal;
use super::suggest;
use crate::error::ExpressionProblem;

const FUNCTIONS: [&str; 6] = ["slug", "join", "lower", "upper", "replace", "default"];

/// A piece of a string after splitting at `${…}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Literal(String),
    Expression(Expression),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Name(String),
    Text(String),
    Call(String, Vec<Expression>),
}

/// Calls in calls beyond this are no manifest that a person wrote.
const DEEPEST: usize = 16;

/// Splits a string. Text without `$` comes back as one literal.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, Refusal> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            literal.push_str(&rest[..at]);
            literal.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        literal.push_str(&rest[..at]);
        let mut parser = Parser {
            rest: &rest[at + 2..],
        };
        let expression = parser.expression(0)?;
        parser.close()?;
        rest = parser.rest;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Expression(expression));
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn close(&mut self) -> Result<(), Refusal> {
        if self.eat('}') {
            return Ok(());
        }
        let refusal = match self.rest.chars().next() {
            None => Refusal::syntax("a `${` has no `}`"),
            Some(c) => Refusal::syntax(format!("`{c}` is not allowed in `${{…}}`")),
        };
        Err(match self.rest.starts_with(':') {
            true => refusal.with_help(
                "a default is written `${default(NAME, 'text')}`; `$${` leaves it to the shell",
            ),
            false => refusal.with_help("write `$${` for a literal `${`"),
        })
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, Refusal> {
        if depth > DEEPEST {
            return Err(Refusal::new(ExpressionProblem::TooDeep(DEEPEST)));
        }
        self.space();
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            return self.quoted(quote);
        }
        let length = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
            .unwrap_or(self.rest.len());
        let word = self.rest[..length].to_string();
        self.rest = &self.rest[length..];
        if word.is_empty() {
            return Err(match self.rest.starts_with('}') {
                true => Refusal::syntax("`${}` names nothing"),
                false => Refusal::syntax("a name or a function must follow `${`"),
            }
            .with_help("write `${NAME}`, or `$${` for a literal `${`"));
        }
        if self.eat('(') {
            return self.call(word, depth);
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Expression::Text(word));
        }
        Ok(Expression::Name(word))
    }

    fn quoted(&mut self, quote: char) -> Result<Expression, Refusal> {
        let body = &self.rest[1..];
        let end = body
            .find(quote)
            .ok_or_else(|| Refusal::syntax(format!("a {quote} in `${{…}}` is not closed")))?;
        self.rest = &body[end + 1..];
        Ok(Expression::Text(body[..end].to_string()))
    }

    fn call(&mut self, name: String, depth: usize) -> Result<Expression, Refusal> {
        if !FUNCTIONS.contains(&name.as_str()) {
            let help = suggest::help(&name, FUNCTIONS);
            let refusal = Refusal::new(ExpressionProblem::NotFound {
                what: "function",
                name,
            });
            return Err(match help {
                Some(help) => refusal.with_help(help),
                None => refusal,
            });
        }
        let mut arguments = Vec::new();
        if !self.eat(')') {
            loop {
                arguments.push(self.expression(depth + 1)?);
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(Refusal::syntax(format!(
                        "`,` or `)` is missing in `{name}(…)`"
                    )));
                }
            }
        }
        let wanted = match name.as_str() {
            "replace" => 3,
            "join" | "default" => 2,
            _ => 1,
        };
        if arguments.len() != wanted {
            return Err(Refusal::new(ExpressionProblem::ArgumentCount {
                function: name.clone(),
                wanted,
                given: arguments.len(),
            })
            .with_help(match name.as_str() {
                "replace" => "`${replace(NAME, 'from', 'to')}`",
                "join" => "`${join(LIST, ',')}`",
                "default" => "`${default(NAME, 'text')}`",
                _ => "such as `${slug(NAME)}`",
            }));
        }
        Ok(Expression::Call(name, arguments))
    }
}

/// The names that a string uses; nothing for one that does not parse.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo: Vec<Expression> = split(text)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Expression(expression) => Some(expression),
            Piece::Literal(_) => None,
        })
        .collect();
    while let Some(expression) = todo.pop() {
        match expression {
            Expression::Name(name) => found.push(name),
            Expression::Call(_, arguments) => todo.extend(arguments),
            Expression::Text(_) => {}
        }
    }
    found
}
