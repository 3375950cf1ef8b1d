//! Expressions of a bake file, without the places and decorations of its text.

use hcl_edit::expr as written;
use hcl_edit::expr::{BinaryOperator, TraversalOperator, UnaryOperator};
use hcl_edit::template::{Directive, Element, Strip, Template};

use super::number::Number;
use super::value::Value;

#[derive(Clone, Debug)]
pub(super) enum Expression {
    Value(Value),
    Array(Vec<Expression>),
    Object(Vec<(Expression, Expression)>),
    Template(Vec<Part>),
    Variable(String),
    Conditional(Box<[Expression; 3]>),
    Call(Call),
    Traversal(Box<Expression>, Vec<Step>),
    Unary(UnaryOperator, Box<Expression>),
    Binary(BinaryOperator, Box<[Expression; 2]>),
    For(Box<For>),
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub name: String,
    pub arguments: Vec<Expression>,
    /// Whether the last argument is a list of arguments, `f(list...)`.
    pub expands: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// `.name`, `[expression]`
    Index(Expression),
    /// `.*`: what follows in attributes is of every element.
    AttributeSplat,
    /// `[*]`: all that follows is of every element.
    FullSplat,
}

#[derive(Clone, Debug)]
pub(super) struct For {
    pub key_name: Option<String>,
    pub value_name: String,
    pub collection: Expression,
    /// An object is made, and not a list.
    pub key: Option<Expression>,
    pub value: Expression,
    /// `...`: values of one key become a list.
    pub groups: bool,
    pub condition: Option<Expression>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
    If(Expression, Vec<Part>, Vec<Part>),
    /// Names of key and value, the collection, and what is written for each.
    For(Option<String>, String, Expression, Vec<Part>),
}

impl Expression {
    /// # Errors
    /// A number beyond all bounds, in words.
    pub(super) fn read(expression: &written::Expression) -> Result<Expression, String> {
        use written::Expression as E;
        let boxed = |one: &E| Expression::read(one).map(Box::new);
        Ok(match expression {
            E::Null(_) => Expression::Value(Value::Null),
            E::Bool(value) => Expression::Value(Value::Bool(*value.value())),
            E::Number(number) => {
                let text = number
                    .as_repr()
                    .map_or_else(|| number.value().to_string(), |text| text.to_string());
                let parsed =
                    Number::parse(&text).ok_or_else(|| format!("invalid number `{text}`"))?;
                Expression::Value(Value::Number(parsed))
            }
            E::String(text) => Expression::Value(Value::String(text.value().clone())),
            E::Array(list) => Expression::Array(read_all(list.iter())?),
            E::Object(map) => {
                let pair = |(key, value): (&written::ObjectKey, &written::ObjectValue)| {
                    let key = match key {
                        written::ObjectKey::Ident(name) => {
                            Expression::Value(Value::from(name.as_str()))
                        }
                        // As a name, it is none of HCL's words.
                        written::ObjectKey::Expression(E::Null(_)) => {
                            Expression::Value(Value::from("null"))
                        }
                        written::ObjectKey::Expression(key) => Expression::read(key)?,
                    };
                    Ok((key, Expression::read(value.expr())?))
                };
                Expression::Object(map.iter().map(pair).collect::<Result<_, String>>()?)
            }
            E::StringTemplate(template) => Expression::template(template)?,
            E::HeredocTemplate(heredoc) => {
                let mut heredoc = (**heredoc).clone();
                if heredoc.indent().is_some() {
                    heredoc.dedent();
                }
                Expression::template(&heredoc.template)?
            }
            E::Parenthesis(inner) => Expression::read(inner.inner())?,
            E::Variable(name) => Expression::Variable(name.as_str().to_string()),
            E::Conditional(conditional) => {
                let parts = [
                    &conditional.cond_expr,
                    &conditional.true_expr,
                    &conditional.false_expr,
                ];
                let [condition, yes, no] = parts.map(Expression::read);
                Expression::Conditional(Box::new([condition?, yes?, no?]))
            }
            E::FuncCall(call) => {
                let namespace = call
                    .name
                    .namespace
                    .iter()
                    .map(|name| format!("{}::", name.as_str()));
                Expression::Call(Call {
                    name: namespace.collect::<String>() + call.name.name.as_str(),
                    arguments: read_all(call.args.iter())?,
                    expands: call.args.expand_final(),
                })
            }
            E::Traversal(traversal) => {
                let steps = traversal
                    .operators
                    .iter()
                    .map(|step| Step::read(step.value()));
                Expression::Traversal(boxed(&traversal.expr)?, steps.collect::<Result<_, _>>()?)
            }
            E::UnaryOp(unary) => Expression::Unary(*unary.operator.value(), boxed(&unary.expr)?),
            E::BinaryOp(binary) => {
                let sides = [
                    Expression::read(&binary.lhs_expr)?,
                    Expression::read(&binary.rhs_expr)?,
                ];
                Expression::Binary(*binary.operator.value(), Box::new(sides))
            }
            E::ForExpr(each) => Expression::For(Box::new(For {
                key_name: each
                    .intro
                    .key_var
                    .as_ref()
                    .map(|name| name.as_str().to_string()),
                value_name: each.intro.value_var.as_str().to_string(),
                collection: Expression::read(&each.intro.collection_expr)?,
                key: each.key_expr.as_ref().map(Expression::read).transpose()?,
                value: Expression::read(&each.value_expr)?,
                groups: each.grouping,
                condition: each
                    .cond
                    .as_ref()
                    .map(|cond| Expression::read(&cond.expr))
                    .transpose()?,
            })),
        })
    }

    /// A template; one that is nothing but one `${…}` is that expression.
    ///
    /// # Errors
    /// As [`Expression::read`].
    pub(super) fn template(template: &Template) -> Result<Expression, String> {
        let mut parts = parts(template)?;
        Ok(match &mut parts[..] {
            [] => Expression::Value(Value::from("")),
            [Part::Text(text)] => Expression::Value(Value::String(std::mem::take(text))),
            [Part::Expression(_)] => match parts.pop() {
                Some(Part::Expression(only)) => only,
                _ => unreachable!("it was looked at"),
            },
            _ => Expression::Template(parts),
        })
    }

    /// Whether a variable of this name is read anywhere in it.
    pub(super) fn reads(&self, name: &str) -> bool {
        let any = |list: &[Expression]| list.iter().any(|one| one.reads(name));
        match self {
            Expression::Value(_) => false,
            Expression::Array(list) => any(list),
            Expression::Object(pairs) => pairs
                .iter()
                .any(|(key, value)| key.reads(name) || value.reads(name)),
            Expression::Template(parts) => parts.iter().any(|part| part.reads(name)),
            Expression::Variable(own) => own == name,
            Expression::Conditional(all) => any(&all[..]),
            Expression::Call(call) => any(&call.arguments),
            Expression::Traversal(from, steps) => {
                from.reads(name)
                    || steps
                        .iter()
                        .any(|step| matches!(step, Step::Index(at) if at.reads(name)))
            }
            Expression::Unary(_, of) => of.reads(name),
            Expression::Binary(_, sides) => any(&sides[..]),
            Expression::For(each) => {
                let inner = [
                    each.key.as_ref(),
                    Some(&each.value),
                    each.condition.as_ref(),
                ];
                each.collection.reads(name)
                    || inner.into_iter().flatten().any(|one| one.reads(name))
            }
        }
    }
}

impl Part {
    fn reads(&self, name: &str) -> bool {
        let any = |parts: &[Part]| parts.iter().any(|part| part.reads(name));
        match self {
            Part::Text(_) => false,
            Part::Expression(expression) => expression.reads(name),
            Part::If(condition, yes, no) => condition.reads(name) || any(yes) || any(no),
            Part::For(_, _, collection, each) => collection.reads(name) || any(each),
        }
    }
}

impl Step {
    fn read(step: &TraversalOperator) -> Result<Step, String> {
        Ok(match step {
            TraversalOperator::AttrSplat(_) => Step::AttributeSplat,
            TraversalOperator::FullSplat(_) => Step::FullSplat,
            TraversalOperator::GetAttr(name) => {
                Step::Index(Expression::Value(Value::from(name.as_str())))
            }
            TraversalOperator::Index(at) => Step::Index(Expression::read(at)?),
            TraversalOperator::LegacyIndex(at) => {
                let at = usize::try_from(*at.value()).unwrap_or(usize::MAX);
                Step::Index(Expression::Value(Value::from(at)))
            }
        })
    }
}

fn read_all<'a>(
    list: impl Iterator<Item = &'a written::Expression>,
) -> Result<Vec<Expression>, String> {
    list.map(Expression::read).collect()
}

/// The parts of a template, with spaces gone where a `~` says so.
fn parts(template: &Template) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = Vec::new();
    // Whether what came before takes the spaces that follow it.
    let mut strips = false;
    for element in template.iter() {
        match element {
            Element::Literal(text) => {
                let text = match strips {
                    true => text.trim_start(),
                    false => text.as_str(),
                };
                parts.push(Part::Text(text.to_string()));
                strips = false;
            }
            Element::Interpolation(inner) => {
                strip_end(&mut parts, inner.strip);
                strips = inner.strip.strip_end();
                parts.push(Part::Expression(Expression::read(&inner.expr)?));
            }
            Element::Directive(directive) => {
                let part = match &**directive {
                    Directive::If(one) => {
                        strip_end(&mut parts, one.if_expr.strip);
                        strips = one.endif_expr.strip.strip_end();
                        let otherwise = one.else_expr.as_ref();
                        let after = otherwise.map_or(one.endif_expr.strip, |other| other.strip);
                        let yes = inside(&one.if_expr.template, one.if_expr.strip, after)?;
                        let no = otherwise.map(|other| {
                            inside(&other.template, other.strip, one.endif_expr.strip)
                        });
                        let condition = Expression::read(&one.if_expr.cond_expr)?;
                        Part::If(condition, yes, no.transpose()?.unwrap_or_default())
                    }
                    Directive::For(one) => {
                        strip_end(&mut parts, one.for_expr.strip);
                        strips = one.endfor_expr.strip.strip_end();
                        let each = inside(
                            &one.for_expr.template,
                            one.for_expr.strip,
                            one.endfor_expr.strip,
                        )?;
                        let key = one
                            .for_expr
                            .key_var
                            .as_ref()
                            .map(|name| name.as_str().to_string());
                        let value = one.for_expr.value_var.as_str().to_string();
                        Part::For(
                            key,
                            value,
                            Expression::read(&one.for_expr.collection_expr)?,
                            each,
                        )
                    }
                };
                parts.push(part);
            }
        }
    }
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    Ok(parts)
}

/// What stands between two directives.
fn inside(template: &Template, before: Strip, after: Strip) -> Result<Vec<Part>, String> {
    let mut parts = parts(template)?;
    if let (true, Some(Part::Text(text))) = (before.strip_end(), parts.first_mut()) {
        *text = text.trim_start().to_string();
    }
    strip_end(&mut parts, after);
    Ok(parts)
}

fn strip_end(parts: &mut [Part], next: Strip) {
    if let (true, Some(Part::Text(text))) = (next.strip_start(), parts.last_mut()) {
        text.truncate(text.trim_end().len());
    }
}
