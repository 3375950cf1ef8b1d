//! Reads one key of a target: a text, a flag, a list, a map, a list of `name=value` fields.
//!
//! Knows which keys there are. Knows nothing of what they mean.

use std::collections::BTreeMap;

use super::display::{as_text, display};
use super::functions::csv;
use super::given::{Given, Values, list};
use super::problem::Problem;
use super::value::Value;
use crate::nodes::plain;
use imgmake_core::manifest::{Spanned, suggest};

/// What a target may say.
pub(super) const KEYS: [&str; 33] = [
    "annotations",
    "args",
    "attest",
    "cache-from",
    "cache-to",
    "call",
    "context",
    "contexts",
    "description",
    "dockerfile",
    "dockerfile-inline",
    "entitlements",
    "extra-hosts",
    "inherits",
    "labels",
    "matrix",
    "name",
    "network",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "policy",
    "pull",
    "push",
    "load",
    "resources",
    "secret",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Each element as `key=value` fields: written so with commas, or as an object. A word
/// alone is a directory to write to.
pub(super) fn fields(given: &Given, key: &str) -> Result<Vec<Vec<(String, String)>>, Problem> {
    let wrong = || {
        let message = format!(
            "`{key}` is a list of `key=value,…` texts, not {}",
            display(&given.value)
        );
        Problem::at(given.line, message)
    };
    let Value::Array(elements) = &given.value else {
        return Err(wrong());
    };
    let one = |element: &Value| match element {
        Value::String(word) if key == "output" && !word.contains(['=', ',']) => {
            let kind = if word == "-" { "tar" } else { "local" };
            Ok(vec![
                ("type".into(), kind.into()),
                ("dest".into(), word.clone()),
            ])
        }
        Value::String(text) => {
            let parts = csv(text).map_err(|_| wrong())?.into_iter().flatten();
            let pair = |part: String| {
                let (key, value) = part.split_once('=').ok_or_else(wrong)?;
                Ok((key.trim().to_lowercase(), value.trim().to_string()))
            };
            parts.map(pair).collect()
        }
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| Ok((key.clone(), as_text(value).map_err(|_| wrong())?)))
            .collect(),
        _ => Err(wrong()),
    };
    let elements = elements.iter().filter(|element| !is_empty(element));
    elements.map(one).collect()
}

/// What was probably meant.
pub(super) fn named<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    suggest::help(word, words).unwrap_or_default()
}

pub(super) fn text(values: &Values, key: &str) -> Result<Option<String>, Problem> {
    let Some(given) = values.get(key).filter(|given| !given.value.is_null()) else {
        return Ok(None);
    };
    let text =
        as_text(&given.value).map_err(|why| Problem::at(given.line, format!("`{key}`: {why}")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(super) fn texts(values: &Values, key: &str) -> Result<Vec<String>, Problem> {
    let Some(given) = values.get(key) else {
        return Ok(Vec::new());
    };
    let mut texts = list(key, &given.value, given.line)?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

pub(super) fn flag(values: &Values, key: &str) -> Result<bool, Problem> {
    match values.get(key).map(|given| (&given.value, given.line)) {
        None | Some((Value::Null, _)) => Ok(false),
        Some((Value::Bool(flag), _)) => Ok(*flag),
        Some((_, line)) => Err(Problem::at(line, format!("`{key}` is `true` or `false`"))),
    }
}

/// A map of texts; what is null is left out.
pub(super) fn pairs(
    values: &Values,
    key: &str,
) -> Result<BTreeMap<String, Spanned<String>>, Problem> {
    let Some(given) = values.get(key).filter(|given| !given.value.is_null()) else {
        return Ok(BTreeMap::new());
    };
    let Value::Object(map) = &given.value else {
        return Err(Problem::at(
            given.line,
            format!("`{key}` is an object of texts"),
        ));
    };
    let named = map.iter().filter(|(_, value)| !value.is_null());
    named
        .map(|(name, value)| {
            let text = as_text(value)
                .map_err(|why| Problem::at(given.line, format!("`{key}.{name}`: {why}")))?;
            Ok((name.clone(), plain(&text)))
        })
        .collect()
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The name in a manifest: `index:key`, `manifest[linux/arm64]:key`.
pub(super) fn annotation(level: &str, key: &str) -> Option<String> {
    let of_platform = level.strip_suffix(']').and_then(|l| l.split_once('['));
    match (of_platform.map_or(level, |(base, _)| base), of_platform) {
        ("manifest", None) => Some(key.to_string()),
        ("index", None) | ("manifest" | "manifest-descriptor", _) => Some(format!("{level}:{key}")),
        _ => None,
    }
}
