//! The values that a target is given, and how later ones add to earlier ones.

use std::collections::BTreeMap;

use super::display::as_text;
use super::problem::Problem;
use super::value::Value;

/// One attribute's value and its line.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub value: Value,
    pub line: Option<usize>,
}

/// Key → value. Over `inherits`, maps such as `args` merge and some lists grow; everything
/// else is replaced.
pub(super) type Values = BTreeMap<String, Given>;

pub(super) const MAPS: [&str; 5] = ["args", "contexts", "extra-hosts", "labels", "resources"];

/// Lists to which `inherits` and later blocks add; others are replaced.
pub(super) const GROWING: [&str; 9] = [
    "annotations",
    "attest",
    "cache-from",
    "entitlements",
    "no-cache-filter",
    "policy",
    "secret",
    "ssh",
    "ulimits",
];

pub(super) fn merge(values: &mut Values, later: Values) {
    for (key, given) in later {
        // Null is as good as absent.
        if given.value.is_null() {
            continue;
        }
        match (
            values.get_mut(&key).map(|before| &mut before.value),
            given.value,
        ) {
            (Some(Value::Object(map)), Value::Object(more)) if MAPS.contains(&key.as_str()) => {
                let more = more.into_iter().filter(|(_, value)| !value.is_null());
                map.extend(more);
            }
            (Some(Value::Array(list)), Value::Array(more)) if GROWING.contains(&key.as_str()) => {
                list.extend(more);
            }
            (_, value) => drop(values.insert(
                key,
                Given {
                    value,
                    line: given.line,
                },
            )),
        }
    }
}

/// # Errors
/// It is not a list of texts.
pub(super) fn list(key: &str, value: &Value, line: Option<usize>) -> Result<Vec<String>, Problem> {
    let wrong = || Problem::at(line, format!("`{key}` is a list of texts"));
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| as_text(value).map_err(|_| wrong()))
            .collect(),
        _ => Err(wrong()),
    }
}
