//! Functions about lists, sets and maps. A set is a sorted list without repetition.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::import::bake::value::{Value, of_one_type};

use super::arguments::{
    Evaluated, Function, More, list_of, map_of, number_of, object, text_of, whole_of,
};
use super::outside::spend;
use crate::import::bake::display::{as_text, display};
use crate::import::bake::number::Number;

/// Longer lists than this are a mistake.
const LONGEST: usize = 10_000;

pub(super) const FUNCTIONS: &[Function] = &[
    ("concat", 1, More::Any, |a| {
        let lists: Result<Vec<_>, _> = (0..a.len()).map(|at| list_of(a, at)).collect();
        Ok(Value::Array(lists?.concat()))
    }),
    ("coalesce", 1, More::Any, |a| {
        let given = a.iter().filter(|value| !value.is_null()).cloned();
        let mut given = of_one_type(given.collect()).into_iter();
        given.next().ok_or_else(|| "every argument is null".into())
    }),
    ("coalescelist", 1, More::Any, |a| {
        for at in 0..a.len() {
            let list = list_of(a, at)?;
            if !list.is_empty() {
                return Ok(Value::Array(list));
            }
        }
        Err("every list is empty".into())
    }),
    ("compact", 1, More::None, |a| {
        let mut kept = list_of(a, 0)?;
        kept.retain(|value| !value.is_null() && value.as_str() != Some(""));
        Ok(Value::Array(kept))
    }),
    ("distinct", 1, More::None, |a| {
        let mut kept = of_one_type(list_of(a, 0)?);
        let mut seen = HashSet::new();
        kept.retain(|value| seen.insert(value.to_json()));
        Ok(Value::Array(kept))
    }),
    ("contains", 2, More::None, |a| {
        Ok(holds(&list_of(a, 0)?, &a[1]).into())
    }),
    ("sethaselement", 2, More::None, |a| {
        Ok(holds(&list_of(a, 0)?, &a[1]).into())
    }),
    ("length", 1, More::None, |a| match &a[0] {
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        other => Err(format!(
            "{} is not a list; `strlen` is for texts",
            display(other)
        )),
    }),
    ("element", 2, More::None, |a| {
        let list = list_of(a, 0)?;
        let count = i64::try_from(list.len()).unwrap_or(i64::MAX);
        if count == 0 {
            return Err("an empty list has no elements".into());
        }
        // Beyond the end it begins again.
        Ok(list[whole_of(a, 1)?.rem_euclid(count) as usize].clone())
    }),
    ("index", 2, More::None, |a| {
        found(a)
            .cloned()
            .ok_or_else(|| format!("{} not found", display(&a[1])))
    }),
    ("hasindex", 2, More::None, |a| Ok(found(a).is_some().into())),
    ("indexof", 2, More::None, |a| {
        let at = list_of(a, 0)?.iter().position(|value| *value == a[1]);
        at.map(Value::from)
            .ok_or_else(|| format!("{} is not in the list", display(&a[1])))
    }),
    ("chunklist", 2, More::None, |a| {
        let list = list_of(a, 0)?;
        let size = usize::try_from(whole_of(a, 1)?).map_err(|_| "a size is 0 or more")?;
        let size = if size == 0 { list.len().max(1) } else { size };
        let chunks = list.chunks(size).map(|chunk| Value::Array(chunk.to_vec()));
        Ok(Value::Array(chunks.collect()))
    }),
    ("flatten", 1, More::None, |a| {
        let mut flat = Vec::new();
        flattened(&list_of(a, 0)?, &mut flat);
        Ok(Value::Array(flat))
    }),
    ("slice", 3, More::None, |a| {
        let list = list_of(a, 0)?;
        let place = |at: usize| usize::try_from(whole_of(a, at)?).map_err(|e| e.to_string());
        let kept = list.get(place(1)?..place(2)?);
        kept.map(|kept| Value::Array(kept.to_vec()))
            .ok_or_else(|| format!("a list of {} has no such part", list.len()))
    }),
    ("reverselist", 1, More::None, |a| {
        Ok(Value::Array(list_of(a, 0)?.into_iter().rev().collect()))
    }),
    ("sort", 1, More::None, |a| {
        let texts: Result<Vec<String>, String> = list_of(a, 0)?.iter().map(as_text).collect();
        let mut texts = texts?;
        texts.sort();
        Ok(Value::Array(texts.into_iter().map(Value::from).collect()))
    }),
    ("range", 1, More::Any, range),
    ("keys", 1, More::None, |a| {
        let keys = map_of(a, 0)?.into_keys();
        Ok(Value::Array(keys.map(Value::from).collect()))
    }),
    ("values", 1, More::None, |a| {
        Ok(Value::Array(map_of(a, 0)?.into_values().collect()))
    }),
    ("lookup", 2, More::Any, |a| {
        let found = map_of(a, 0)?.remove(&text_of(a, 1)?);
        let found = found.or_else(|| a.get(2).cloned());
        found.ok_or_else(|| format!("key {} not found, and no default", display(&a[1])))
    }),
    ("merge", 1, More::Any, |a| {
        let mut all = BTreeMap::new();
        for at in (0..a.len()).filter(|at| !a[*at].is_null()) {
            all.extend(map_of(a, at)?);
        }
        Ok(object(all))
    }),
    ("zipmap", 2, More::None, |a| {
        let (keys, values) = (list_of(a, 0)?, list_of(a, 1)?);
        if keys.len() != values.len() {
            return Err(format!("{} keys and {} values", keys.len(), values.len()));
        }
        let keys: Result<Vec<String>, String> = keys.iter().map(as_text).collect();
        Ok(object(keys?.into_iter().zip(values)))
    }),
    ("setunion", 1, More::Any, |a| {
        folded(a, |mut all, more| {
            all.extend(more);
            all
        })
    }),
    ("setintersection", 1, More::Any, |a| {
        folded(a, |mut all, other| {
            let other = texts(&other);
            all.retain(|value| other.contains(&value.to_json()));
            all
        })
    }),
    ("setsubtract", 2, More::None, |a| folded(a, without)),
    ("setsymmetricdifference", 1, More::Any, |a| {
        folded(a, |one, other| {
            [without(one.clone(), other.clone()), without(other, one)].concat()
        })
    }),
    ("setproduct", 1, More::Any, product),
];

fn holds(list: &[Value], wanted: &Value) -> bool {
    list.contains(wanted)
}

/// Values that are equal have one text, and others have others.
fn texts(list: &[Value]) -> HashSet<String> {
    list.iter().map(Value::to_json).collect()
}

fn without(mut list: Vec<Value>, gone: Vec<Value>) -> Vec<Value> {
    let gone = texts(&gone);
    list.retain(|value| !gone.contains(&value.to_json()));
    list
}

fn found(a: &[Value]) -> Option<&Value> {
    match &a[0] {
        Value::Array(list) => list.get(usize::try_from(whole_of(a, 1).ok()?).ok()?),
        Value::Object(map) => map.get(a[1].as_str()?),
        _ => None,
    }
}

fn flattened(list: &[Value], flat: &mut Vec<Value>) {
    for value in list {
        match value {
            Value::Array(inner) => flattened(inner, flat),
            other => flat.push(other.clone()),
        }
    }
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`
fn range(a: &[Value]) -> Evaluated {
    let zero = Number::from(0);
    let (start, end) = match a.len() {
        1 => (zero.clone(), number_of(a, 0)?),
        2 | 3 => (number_of(a, 0)?, number_of(a, 1)?),
        _ => return Err("it takes one to three numbers".into()),
    };
    let step = match a.len() {
        3 => number_of(a, 2)?,
        _ if end < start => Number::from(-1),
        _ => Number::from(1),
    };
    let up = !step.is_negative();
    if step.is_zero() || (up && end < start) || (!up && end > start) {
        return Err(format!(
            "a step of {step} does not lead from {start} to {end}"
        ));
    }
    let mut list = Vec::new();
    let mut at = start;
    while if up { at < end } else { at > end } {
        if list.len() == LONGEST {
            return Err(format!("it has more than {LONGEST} elements"));
        }
        list.push(Value::from(at.clone()));
        at = at.plus(&step)?;
    }
    Ok(Value::Array(list))
}

fn order((text, one): &(String, Value), (other_text, other): &(String, Value)) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        _ => text.cmp(other_text),
    }
}

pub(in crate::import::bake) fn set(list: Vec<Value>) -> Vec<Value> {
    let with_text = |value: Value| (value.to_json(), value);
    let mut list: Vec<(String, Value)> = list.into_iter().map(with_text).collect();
    list.sort_by(order);
    list.dedup_by(|(one, _), (other, _)| one == other);
    list.into_iter().map(|(_, value)| value).collect()
}

fn folded(a: &[Value], step: fn(Vec<Value>, Vec<Value>) -> Vec<Value>) -> Evaluated {
    let lists: Result<Vec<_>, _> = (0..a.len()).map(|at| list_of(a, at)).collect();
    let lists = lists?;
    let mut elements = of_one_type(lists.concat()).into_iter();
    let mut lists = lists
        .iter()
        .map(|list| elements.by_ref().take(list.len()).collect());
    let mut all: Vec<Value> = lists.next().unwrap_or_default();
    for list in lists {
        all = step(all, list);
    }
    Ok(Value::Array(set(all)))
}

fn product(a: &[Value]) -> Evaluated {
    let lists: Result<Vec<_>, _> = (0..a.len()).map(|at| list_of(a, at)).collect();
    let lists = lists?;
    let lengths = lists.iter().map(Vec::len);
    let count = match lists.iter().any(Vec::is_empty) {
        true => 0,
        false => lengths.fold(1usize, usize::saturating_mul),
    };
    if count > LONGEST {
        return Err(format!("it has more than {LONGEST} elements"));
    }
    // Each element stands in as many rows as the others make.
    let weight = |list: &Vec<Value>| -> usize {
        let own: usize = list.iter().map(Value::weight).sum();
        own.saturating_mul(count / list.len().max(1))
    };
    spend(lists.iter().map(weight).fold(0, usize::saturating_add))?;
    let row = |at: usize| {
        let mut rest = at;
        let mut row: Vec<Value> = Vec::with_capacity(lists.len());
        // The last list is walked through first.
        for list in lists.iter().rev() {
            row.push(list[rest % list.len()].clone());
            rest /= list.len();
        }
        row.reverse();
        Value::Array(row)
    };
    Ok(Value::Array((0..count).map(row).collect()))
}
