//! Functions about numbers and truth.

use std::cmp::Ordering;

use crate::import::bake::value::Value;

use super::arguments::{
    Evaluated, Function, More, flag_of, float, float_of, number_of, text_of, whole_of,
};
use super::outside::spend;
use crate::import::bake::number::{Computed, Number};

pub(super) const FUNCTIONS: &[Function] = &[
    ("absolute", 1, More::None, |a| {
        Ok(number_of(a, 0)?.absolute().into())
    }),
    ("negate", 1, More::None, |a| {
        Ok(number_of(a, 0)?.negated().into())
    }),
    ("ceil", 1, More::None, |a| {
        Ok(number_of(a, 0)?.ceil()?.into())
    }),
    ("floor", 1, More::None, |a| {
        Ok(number_of(a, 0)?.floor()?.into())
    }),
    ("int", 1, More::None, |a| {
        Ok(number_of(a, 0)?.truncated().into())
    }),
    ("signum", 1, More::None, |a| {
        let value = number_of(a, 0)?.cmp(&Number::from(0));
        Ok(Value::from(value as i64))
    }),
    ("add", 2, More::None, |a| both(a, Number::plus)),
    ("subtract", 2, More::None, |a| both(a, Number::minus)),
    ("multiply", 2, More::None, |a| both(a, Number::times)),
    ("divide", 2, More::None, |a| both(a, Number::divided)),
    ("modulo", 2, More::None, |a| both(a, Number::modulo)),
    ("pow", 2, More::None, |a| {
        float(float_of(a, 0)?.powf(float_of(a, 1)?))
    }),
    ("log", 2, More::None, |a| {
        float(float_of(a, 0)?.ln() / float_of(a, 1)?.ln())
    }),
    ("max", 1, More::Any, |a| extreme(a, Ordering::is_gt)),
    ("min", 1, More::Any, |a| extreme(a, Ordering::is_lt)),
    ("parseint", 2, More::None, |a| {
        let (text, base) = (text_of(a, 0)?, whole_of(a, 1)?);
        let base = u32::try_from(base)
            .ok()
            .filter(|base| (2..=36).contains(base));
        let base = base.ok_or("a base is from 2 to 36")?;
        spend(Number::parse_cost(&text))?;
        let parsed = Number::parse_whole(&text, base);
        parsed
            .map(Value::from)
            .ok_or_else(|| format!("invalid whole number {text:?} in base {base}"))
    }),
    ("equal", 2, More::None, |a| Ok((a[0] == a[1]).into())),
    ("notequal", 2, More::None, |a| Ok((a[0] != a[1]).into())),
    ("greaterthan", 2, More::None, |a| {
        compared(a, Ordering::is_gt)
    }),
    ("greaterthanorequalto", 2, More::None, |a| {
        compared(a, Ordering::is_ge)
    }),
    ("lessthan", 2, More::None, |a| compared(a, Ordering::is_lt)),
    ("lessthanorequalto", 2, More::None, |a| {
        compared(a, Ordering::is_le)
    }),
    ("and", 2, More::None, |a| {
        Ok((flag_of(a, 0)? && flag_of(a, 1)?).into())
    }),
    ("or", 2, More::None, |a| {
        Ok((flag_of(a, 0)? || flag_of(a, 1)?).into())
    }),
    ("not", 1, More::None, |a| Ok((!flag_of(a, 0)?).into())),
];

fn both(a: &[Value], compute: fn(&Number, &Number) -> Computed) -> Evaluated {
    Ok(compute(&number_of(a, 0)?, &number_of(a, 1)?)?.into())
}

fn compared(a: &[Value], holds: fn(Ordering) -> bool) -> Evaluated {
    Ok(holds(number_of(a, 0)?.cmp(&number_of(a, 1)?)).into())
}

fn extreme(a: &[Value], better: fn(Ordering) -> bool) -> Evaluated {
    let mut found = number_of(a, 0)?;
    for at in 1..a.len() {
        let next = number_of(a, at)?;
        if better(next.cmp(&found)) {
            found = next;
        }
    }
    Ok(found.into())
}
