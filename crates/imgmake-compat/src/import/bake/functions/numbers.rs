//! Functions about numbers and truth.

use hcl::Value;

use super::arguments::{Evaluated, Function, More, flag_of, number, number_of, text_of, whole_of};

pub(super) const FUNCTIONS: &[Function] = &[
    ("absolute", 1, More::None, |a| {
        number(number_of(&a, 0)?.abs())
    }),
    ("negate", 1, More::None, |a| number(-number_of(&a, 0)?)),
    ("ceil", 1, More::None, |a| number(number_of(&a, 0)?.ceil())),
    ("floor", 1, More::None, |a| {
        number(number_of(&a, 0)?.floor())
    }),
    ("int", 1, More::None, |a| number(number_of(&a, 0)?.trunc())),
    ("signum", 1, More::None, |a| {
        let value = number_of(&a, 0)?;
        number(if value == 0.0 { 0.0 } else { value.signum() })
    }),
    ("add", 2, More::None, |a| both(&a, |x, y| x + y)),
    ("subtract", 2, More::None, |a| both(&a, |x, y| x - y)),
    ("multiply", 2, More::None, |a| both(&a, |x, y| x * y)),
    ("divide", 2, More::None, |a| divided(&a, |x, y| x / y)),
    ("modulo", 2, More::None, |a| divided(&a, |x, y| x % y)),
    ("pow", 2, More::None, |a| both(&a, f64::powf)),
    ("log", 2, More::None, |a| {
        both(&a, |x, base| x.ln() / base.ln())
    }),
    ("max", 1, More::Any, |a| extreme(&a, f64::max)),
    ("min", 1, More::Any, |a| extreme(&a, f64::min)),
    ("parseint", 2, More::None, |a| {
        let (text, base) = (text_of(&a, 0)?, whole_of(&a, 1)?);
        let base = u32::try_from(base)
            .ok()
            .filter(|base| (2..=36).contains(base));
        let base = base.ok_or("a base is from 2 to 36")?;
        let parsed = i64::from_str_radix(&text, base);
        parsed
            .map(Value::from)
            .map_err(|_| format!("invalid whole number {text:?} in base {base}"))
    }),
    ("equal", 2, More::None, |a| Ok(same(&a[0], &a[1]).into())),
    ("notequal", 2, More::None, |a| {
        Ok((!same(&a[0], &a[1])).into())
    }),
    ("greaterthan", 2, More::None, |a| compared(&a, |x, y| x > y)),
    ("greaterthanorequalto", 2, More::None, |a| {
        compared(&a, |x, y| x >= y)
    }),
    ("lessthan", 2, More::None, |a| compared(&a, |x, y| x < y)),
    ("lessthanorequalto", 2, More::None, |a| {
        compared(&a, |x, y| x <= y)
    }),
    ("and", 2, More::None, |a| {
        Ok((flag_of(&a, 0)? && flag_of(&a, 1)?).into())
    }),
    ("or", 2, More::None, |a| {
        Ok((flag_of(&a, 0)? || flag_of(&a, 1)?).into())
    }),
    ("not", 1, More::None, |a| Ok((!flag_of(&a, 0)?).into())),
];

fn both(a: &[Value], compute: fn(f64, f64) -> f64) -> Evaluated {
    number(compute(number_of(a, 0)?, number_of(a, 1)?))
}

fn divided(a: &[Value], compute: fn(f64, f64) -> f64) -> Evaluated {
    if number_of(a, 1)? == 0.0 {
        return Err("nothing can be divided by zero".into());
    }
    both(a, compute)
}

fn compared(a: &[Value], holds: fn(f64, f64) -> bool) -> Evaluated {
    Ok(holds(number_of(a, 0)?, number_of(a, 1)?).into())
}

fn extreme(a: &[Value], of: fn(f64, f64) -> f64) -> Evaluated {
    let mut found = number_of(a, 0)?;
    for at in 1..a.len() {
        found = of(found, number_of(a, at)?);
    }
    number(found)
}

/// 1 and 1.0 are one number.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}
