//! Expressions → values, by HCL's rules (the specification's "Expressions" and what cty
//! converts).

use std::collections::BTreeMap;

use hcl_edit::expr::{BinaryOperator, UnaryOperator};

use super::budget::{EACH, LARGEST};
use super::context::Context;
use super::defined::Own;
use super::display::{as_text, display};
use super::expression::{Call, Expression, For, Part, Step};
use super::failed::{Evaluated, Failed};
use super::functions;
use super::number::Number;
use super::types::Type;
use super::value::Value;

/// Calls within calls; more are a circle.
const DEEPEST: usize = 32;

impl Expression {
    /// # Errors
    /// What HCL refuses, and what takes more than the file may.
    pub(super) fn evaluate(&self, context: &Context) -> Evaluated {
        let _level = context.budget.deeper()?;
        context.budget.spend(EACH)?;
        let value = self.found(context)?;
        context.budget.spend(value.weight())?;
        Ok(value)
    }

    fn found(&self, context: &Context) -> Evaluated {
        match self {
            Expression::Value(value) => context.copy(value),
            Expression::Array(list) => Ok(Value::Array(all(list, context)?)),
            Expression::Object(pairs) => {
                let mut map = BTreeMap::new();
                for (key, value) in pairs {
                    map.insert(key_of(&key.evaluate(context)?)?, value.evaluate(context)?);
                }
                Ok(Value::Object(map))
            }
            Expression::Template(parts) => Ok(Value::String(text(parts, context)?)),
            Expression::Variable(name) => context.copy(context.variable(name)?),
            Expression::Conditional(all) => conditional(all, context),
            Expression::Call(call) => called(call, context),
            Expression::Traversal(from, steps) => match &**from {
                Expression::Variable(name) => within(context.variable(name)?, steps, context),
                from => traversed(from.evaluate(context)?, steps, context),
            },
            Expression::Unary(operator, of) => unary(*operator, &of.evaluate(context)?),
            Expression::Binary(operator, sides) => binary(*operator, sides, context),
            Expression::For(each) => repeated(each, context),
        }
    }
}

fn all(list: &[Expression], context: &Context) -> Result<Vec<Value>, Failed> {
    list.iter().map(|one| one.evaluate(context)).collect()
}

fn key_of(value: &Value) -> Result<String, Failed> {
    as_text(value).map_err(|_| Failed::Other(format!("invalid key {}", display(value))))
}

fn text(parts: &[Part], context: &Context) -> Result<String, Failed> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => {
                context.budget.spend(text.len())?;
                out.push_str(text);
            }
            Part::Expression(expression) => match expression.evaluate(context)? {
                Value::Null => return Err("null cannot be a part of a text".into()),
                value => out.push_str(&as_text(&value)?),
            },
            Part::If(condition, yes, no) => {
                let holds = holds(&condition.evaluate(context)?)?;
                out.push_str(&text(if holds { yes } else { no }, context)?);
            }
            Part::For(key_name, value_name, collection, each) => {
                for (key, value) in elements(collection.evaluate(context)?)? {
                    let mut inner = context.inner()?;
                    if let Some(name) = key_name {
                        inner.declare(name, key);
                    }
                    inner.declare(value_name, value);
                    out.push_str(&text(each, &inner)?);
                    within_bounds(out.len())?;
                }
            }
        }
        within_bounds(out.len())?;
    }
    Ok(out)
}

fn within_bounds(size: usize) -> Result<(), Failed> {
    match size > LARGEST {
        true => Err("the value is too long".into()),
        false => Ok(()),
    }
}

fn holds(condition: &Value) -> Result<bool, Failed> {
    if condition.is_null() {
        return Err("a condition is null".into());
    }
    let holds = condition.to_bool();
    holds.ok_or_else(|| Failed::Other(format!("invalid boolean {}", display(condition))))
}

/// Both results count for the type; an error in the one that is not taken does not.
fn conditional([condition, yes, no]: &[Expression; 3], context: &Context) -> Evaluated {
    let yes = tried(yes.evaluate(context))?;
    let no = tried(no.evaluate(context))?;
    let taken = holds(&condition.evaluate(context)?)?;
    let (Ok(one), Ok(other)) = (&yes, &no) else {
        return if taken { yes } else { no };
    };
    let (taken, other) = if taken { (one, other) } else { (other, one) };
    unified(taken, other)
}

/// The value as one of the type that both have.
fn unified(value: &Value, with: &Value) -> Evaluated {
    use Value::{Array, Bool, Null, Number, Object, String};
    match (value, with) {
        (Null, _) | (_, Null) | (Bool(_), Bool(_)) | (Number(_), Number(_)) | (String(_), _)
            if with.is_simple() =>
        {
            Ok(value.clone())
        }
        (Null, _) | (_, Null) => Ok(value.clone()),
        (Bool(_) | Number(_), String(_)) => Ok(String(as_text(value)?)),
        (Array(list), Array(others)) => {
            let texts = list
                .iter()
                .chain(others)
                .any(|one| matches!(one, String(_)));
            let all = list.iter().map(|one| {
                if texts && one.is_simple() {
                    as_text(one).map(String)
                } else {
                    Ok(one.clone())
                }
            });
            Ok(Array(all.collect::<Result<_, _>>()?))
        }
        (Object(map), Object(others)) => {
            let same = map.keys().eq(others.keys());
            let any_text = map
                .values()
                .chain(others.values())
                .any(|one| matches!(one, String(_)));
            let one = |(key, value): (&std::string::String, &Value)| {
                let unified = match others.get(key) {
                    Some(other) if same => unified(value, other)?,
                    _ if any_text && value.is_simple() => String(as_text(value)?),
                    _ => value.clone(),
                };
                Ok((key.clone(), unified))
            };
            Ok(Object(map.iter().map(one).collect::<Result<_, Failed>>()?))
        }
        _ => Err(Failed::Other(format!(
            "the two results of a condition are of different types: {} and {}",
            display(value),
            display(with)
        ))),
    }
}

fn number(value: &Value) -> Result<Number, Failed> {
    let number = value.to_number();
    number.ok_or_else(|| Failed::Other(format!("invalid number {}", display(value))))
}

fn unary(operator: UnaryOperator, value: &Value) -> Evaluated {
    Ok(match operator {
        UnaryOperator::Neg => number(value)?.negated().into(),
        UnaryOperator::Not => Value::Bool(!holds(value)?),
    })
}

fn binary(
    operator: BinaryOperator,
    [one, other]: &[Expression; 2],
    context: &Context,
) -> Evaluated {
    use BinaryOperator as Op;
    if matches!(operator, Op::And | Op::Or) {
        let one = tried(one.evaluate(context))?;
        let other = tried(other.evaluate(context))?;
        return logical(operator == Op::Or, one, other);
    }
    // What fails on the left is not computed on the right.
    let one = one.evaluate(context)?;
    let other = other.evaluate(context)?;
    context
        .budget
        .spend(one.number_cost() + other.number_cost())?;
    let compared = || Ok::<_, Failed>(number(&one)?.cmp(&number(&other)?));
    Ok(match operator {
        Op::Eq => (one == other).into(),
        Op::NotEq => (one != other).into(),
        Op::Less => compared()?.is_lt().into(),
        Op::LessEq => compared()?.is_le().into(),
        Op::Greater => compared()?.is_gt().into(),
        Op::GreaterEq => compared()?.is_ge().into(),
        Op::Plus => number(&one)?.plus(&number(&other)?)?.into(),
        Op::Minus => number(&one)?.minus(&number(&other)?)?.into(),
        Op::Mul => number(&one)?.times(&number(&other)?)?.into(),
        Op::Div => number(&one)?.divided(&number(&other)?)?.into(),
        Op::Mod => number(&one)?.modulo(&number(&other)?)?.into(),
        Op::And | Op::Or => unreachable!("those are `logical`"),
    })
}

/// What no other way of an expression makes good is an error of the whole.
fn tried(found: Evaluated) -> Result<Evaluated, Failed> {
    match found {
        Err(why @ (Failed::NotYet(_) | Failed::Exhausted)) => Err(why),
        found => Ok(found),
    }
}

/// `&&` and `||`: what one side decides is not spoilt by an error of the other.
fn logical(deciding: bool, one: Evaluated, other: Evaluated) -> Evaluated {
    for side in [&one, &other] {
        match side {
            Err(_) | Ok(Value::Null) => {}
            Ok(value) => drop(holds(value)?),
        }
    }
    // Null is as good as false, as long as it decides.
    let is_deciding = |side: &Evaluated| match side {
        Ok(Value::Null) => !deciding,
        Ok(value) => value.to_bool() == Some(deciding),
        Err(_) => false,
    };
    if is_deciding(&one) || is_deciding(&other) {
        return Ok(Value::Bool(deciding));
    }
    holds(&one?)?;
    holds(&other?)?;
    Ok(Value::Bool(!deciding))
}

fn called(call: &Call, context: &Context) -> Evaluated {
    match (call.name.as_str(), &call.arguments[..]) {
        // The only ones that see expressions, and not their values.
        ("can", [of]) => {
            let found = tried(of.evaluate(context))?;
            Ok(Value::Bool(found.is_ok()))
        }
        ("try", [_, ..]) => {
            let mut last = Failed::Other("no argument".into());
            for one in &call.arguments {
                match tried(one.evaluate(context))? {
                    Err(why) => last = why,
                    found => return found,
                }
            }
            Err(Failed::Other(format!(
                "nothing that `try` was given has a value: {last}"
            )))
        }
        ("convert", [value, kind]) => {
            let kind = Type::parse(kind)?;
            let value = value.evaluate(context)?;
            kind.spend(&value, &context.budget)?;
            Ok(kind.convert(&value)?)
        }
        ("can" | "convert", arguments) => Err(Failed::Other(format!(
            "`{}` does not take {} arguments",
            call.name,
            arguments.len()
        ))),
        (name, arguments) => {
            let mut values = all(arguments, context)?;
            if call.expands {
                match values.pop() {
                    Some(Value::Array(more)) => values.extend(more),
                    _ => return Err("only a list can be expanded into arguments".into()),
                }
            }
            let result = match context.function(name) {
                Some(own) => defined(own, &values, context)?,
                None => {
                    context.budget.spend(EACH * (values.len() + 4))?;
                    let called = functions::call(name, &values);
                    called.map_err(|why| match context.budget.is_exhausted() {
                        true => Failed::Exhausted,
                        false => why,
                    })?
                }
            };
            within_bounds(result.as_str().map_or(0, str::len))?;
            Ok(result)
        }
    }
}

/// A function of the file: its result sees the file's variables and the arguments, not what is
/// around the call.
fn defined(own: &Own, arguments: &[Value], context: &Context) -> Evaluated {
    let name = &own.name;
    if context.depth > DEEPEST {
        return Err(Failed::Other(format!("`{name}` calls itself in a circle")));
    }
    let wanted = own.parameters.len();
    if arguments.len() < wanted || own.rest.is_none() && arguments.len() > wanted {
        return Err(Failed::count(
            name,
            wanted,
            own.rest.is_some(),
            arguments.len(),
        ));
    }
    let all = arguments.iter().map(Value::weight).sum();
    context.budget.spend(all)?;
    let (named, rest) = arguments.split_at(wanted);
    let named = own.parameters.iter().cloned().zip(named.iter().cloned());
    let rest = own
        .rest
        .iter()
        .map(|name| (name.clone(), Value::Array(rest.to_vec())));
    let inner = context.of_function(named.chain(rest));
    own.result.evaluate(&inner).map_err(|why| match why {
        why @ (Failed::NotYet(_) | Failed::Exhausted) => why,
        why => Failed::Other(format!("{why} (in function `{name}`)")),
    })
}

/// Only what is found is copied, and not all that a variable holds.
fn within(mut value: &Value, mut steps: &[Step], context: &Context) -> Evaluated {
    while let Some((Step::Index(at), rest)) = steps.split_first() {
        value = indexed(value, &at.evaluate(context)?)?;
        steps = rest;
    }
    let found = context.copy(value)?;
    match steps {
        [] => Ok(found),
        steps => traversed(found, steps, context),
    }
}

fn traversed(value: Value, steps: &[Step], context: &Context) -> Evaluated {
    let _level = context.budget.deeper()?;
    context.budget.spend(EACH)?;
    let Some((step, rest)) = steps.split_first() else {
        return Ok(value);
    };
    let (each, after) = match step {
        Step::Index(_) => return within(&value, steps, context),
        Step::FullSplat => (rest, &rest[rest.len()..]),
        Step::AttributeSplat => {
            let name =
                |step: &Step| matches!(step, Step::Index(Expression::Value(Value::String(_))));
            rest.split_at(rest.iter().take_while(|step| name(step)).count())
        }
    };
    let list = match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let all = list.into_iter().map(|one| traversed(one, each, context));
    traversed(Value::Array(all.collect::<Result<_, _>>()?), after, context)
}

fn indexed<'a>(value: &'a Value, at: &Value) -> Result<&'a Value, Failed> {
    let found = match value {
        Value::Array(list) => {
            let at = number(at)?.to_i64().and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| list.get(at))
        }
        Value::Object(map) => map.get(&key_of(at)?),
        Value::Null => {
            return Err(Failed::Other(format!(
                "null has no element {}",
                display(at)
            )));
        }
        other => return Err(Failed::Other(format!("{} has no elements", display(other)))),
    };
    found.ok_or_else(|| Failed::Other(format!("element {} not found", display(at))))
}

/// Keys and values, in the order in which HCL walks.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, Failed> {
    match value {
        Value::Array(list) => Ok(list
            .into_iter()
            .enumerate()
            .map(|(at, value)| (Value::from(at), value))
            .collect()),
        Value::Object(map) => Ok(map
            .into_iter()
            .map(|(key, value)| (Value::String(key), value))
            .collect()),
        other => Err(Failed::Other(format!(
            "{} has no elements",
            display(&other)
        ))),
    }
}

fn repeated(each: &For, context: &Context) -> Evaluated {
    let mut list = Vec::new();
    let mut map: BTreeMap<String, Value> = BTreeMap::new();
    for (key, value) in elements(each.collection.evaluate(context)?)? {
        let mut inner = context.inner()?;
        if let Some(name) = &each.key_name {
            inner.declare(name, key);
        }
        inner.declare(&each.value_name, value);
        if let Some(condition) = &each.condition
            && !holds(&condition.evaluate(&inner)?)?
        {
            continue;
        }
        let value = each.value.evaluate(&inner)?;
        let Some(key) = &each.key else {
            list.push(value);
            continue;
        };
        let key = key_of(&key.evaluate(&inner)?)?;
        match (each.groups, map.get_mut(&key)) {
            (true, Some(Value::Array(group))) => group.push(value),
            (true, _) => drop(map.insert(key, Value::Array(vec![value]))),
            (false, None) => drop(map.insert(key, value)),
            (false, Some(_)) => {
                return Err(Failed::Other(format!(
                    "duplicate key {key:?}; `...` groups values"
                )));
            }
        }
    }
    Ok(match each.key {
        Some(_) => Value::Object(map),
        None => Value::Array(list),
    })
}
