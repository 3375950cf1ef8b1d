//! What one place says over what another says (compose-go, `override/merge.go` and `override/uncity.go`).

use std::collections::{BTreeMap, BTreeSet};

use super::super::json::{Json, Kind, Name};
use super::super::problem::Problem;

/// Maps that may also be lists of `NAME=value`; the last of a name counts.
const MAPS: [&str; 4] = ["additional_contexts", "args", "environment", "labels"];

/// A service over the one that it extends, or over the one that another file has of this name.
pub(super) fn service(base: Json, over: Json) -> Result<Json, Problem> {
    keys(base, over, "the service", |key, base, over| match key {
        "build" => build(base, over),
        "environment" => named(base, over, key),
        "env_file" => list(base, over, key),
        _ => value(base, over),
    })
}

/// Later values over earlier: maps by their keys, lists one after the other.
pub(super) fn value(base: Json, over: Json) -> Result<Json, Problem> {
    match (&base.kind, &over.kind) {
        (_, Kind::Null) => Ok(base),
        (Kind::Object(_), _) => keys(base, over, "the value", |_, base, over| value(base, over)),
        (Kind::List(_), _) => list(base, over, "the value"),
        _ => Ok(over),
    }
}

fn build(base: Json, over: Json) -> Result<Json, Problem> {
    let (base, over) = (with_context(base), with_context(over));
    keys(base, over, "`build`", |key, base, over| match key {
        key if MAPS.contains(&key) => named(base, over, key),
        "extra_hosts" => hosts(base, over),
        "tags" => list(base, over, key).map(unique),
        _ => value(base, over),
    })
}

/// `build: DIR` is `build: { context: DIR }`.
fn with_context(build: Json) -> Json {
    let line = build.line;
    match build.kind {
        Kind::Text(_) | Kind::Number(_) => {
            let text = "context".to_string();
            Json {
                line,
                kind: Kind::Object(vec![(Name { line, text }, build)]),
            }
        }
        _ => build,
    }
}

fn keys(
    base: Json,
    over: Json,
    what: &str,
    merge: impl Fn(&str, Json, Json) -> Result<Json, Problem>,
) -> Result<Json, Problem> {
    let line = over.line;
    let (mut all, more) = match (base.kind, over.kind) {
        (Kind::Object(all), Kind::Object(more)) => (all, more),
        (Kind::Null, kind) => return Ok(Json { line, kind }),
        (kind, Kind::Null) => {
            return Ok(Json {
                line: base.line,
                kind,
            });
        }
        _ => return Err(other_kind(line, what)),
    };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, (name, _)) in all.iter().enumerate() {
        places.insert(name.text.clone(), at);
    }
    for (name, said) in more {
        match places.get(&name.text) {
            None => {
                places.insert(name.text.clone(), all.len());
                all.push((name, said));
            }
            Some(at) => {
                let earlier = &mut all[*at].1;
                let line = earlier.line;
                let kind = std::mem::replace(&mut earlier.kind, Kind::Null);
                *earlier = merge(&name.text, Json { line, kind }, said)?;
            }
        }
    }
    let kind = Kind::Object(all);
    Ok(Json { line, kind })
}

fn other_kind(line: usize, what: &str) -> Problem {
    Problem::at(
        Some(line),
        format!("{what} cannot be merged: a map, a list or a text is on one side only"),
    )
}

fn list(base: Json, over: Json, what: &str) -> Result<Json, Problem> {
    let line = over.line;
    let items = |value: Json| match value.kind {
        Kind::List(list) => Ok(list),
        Kind::Null => Ok(Vec::new()),
        // One `env_file` is a list of one.
        Kind::Text(_) if what == "env_file" => Ok(vec![value]),
        _ => Err(other_kind(
            line,
            &format!("`{what}`").replace("`the value`", "the value"),
        )),
    };
    let mut all = items(base)?;
    all.extend(items(over)?);
    Ok(Json {
        line,
        kind: Kind::List(all),
    })
}

/// Of equal texts the first.
fn unique(list: Json) -> Json {
    let line = list.line;
    let Kind::List(items) = list.kind else {
        return list;
    };
    let mut seen = BTreeSet::new();
    let mut is_new = |one: &Json| match &one.kind {
        Kind::Text(text) => seen.insert(text.clone()),
        _ => true,
    };
    let items = items.into_iter().filter(|one| is_new(one)).collect();
    Json {
        line,
        kind: Kind::List(items),
    }
}

/// Names and values, however they are written.
fn named(base: Json, over: Json, what: &str) -> Result<Json, Problem> {
    let (base, over) = (as_map(base, what)?, as_map(over, what)?);
    keys(base, over, what, |_, _, over| Ok(over))
}

fn as_map(value: Json, what: &str) -> Result<Json, Problem> {
    let line = value.line;
    let Kind::List(list) = value.kind else {
        return match value.kind {
            Kind::Object(_) | Kind::Null => Ok(value),
            _ => Err(other_kind(line, &format!("`{what}`"))),
        };
    };
    let mut pairs: Vec<(Name, Json)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for one in list {
        let (Kind::Text(text) | Kind::Number(text)) = one.kind else {
            return Err(other_kind(one.line, &format!("`{what}`")));
        };
        let line = one.line;
        let (name, kind) = match text.split_once('=') {
            Some((name, value)) => (name.to_string(), Kind::Text(value.to_string())),
            None => (text, Kind::Null),
        };
        let value = Json { line, kind };
        match places.get(&name) {
            Some(at) => pairs[*at].1 = value,
            None => {
                places.insert(name.clone(), pairs.len());
                pairs.push((Name { line, text: name }, value));
            }
        }
    }
    let kind = Kind::Object(pairs);
    Ok(Json { line, kind })
}

/// Hosts and addresses: a host may have several.
fn hosts(base: Json, over: Json) -> Result<Json, Problem> {
    let line = over.line;
    let as_list = |value: Json| -> Result<Json, Problem> {
        let line = value.line;
        let Kind::Object(pairs) = value.kind else {
            return Ok(value);
        };
        let one = |(name, value): (Name, Json)| match value.kind {
            Kind::Text(address) | Kind::Number(address) => Ok(Json {
                line: name.line,
                kind: Kind::Text(format!("{}={address}", name.text)),
            }),
            _ => Err(other_kind(value.line, "`extra_hosts`")),
        };
        let items: Result<_, _> = pairs.into_iter().map(one).collect();
        Ok(Json {
            line,
            kind: Kind::List(items?),
        })
    };
    let all = list(as_list(base)?, as_list(over)?, "extra_hosts")?;
    Ok(Json {
        line,
        ..unique(all)
    })
}
