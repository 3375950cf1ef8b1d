//! `--set PATTERN.KEY[.SUB]=VALUE`: values of targets beside the file.

use std::collections::BTreeMap;

use super::fields::KEYS;
use super::given::{Given, MAPS, Values, merge};
use super::problem::{Problem, unknown};
use super::value::Value;

/// Lists; several overrides of one are its elements.
const LISTS: [&str; 13] = [
    "annotations",
    "attest",
    "cache-from",
    "cache-to",
    "entitlements",
    "no-cache-filter",
    "output",
    "platforms",
    "policy",
    "secret",
    "ssh",
    "tags",
    "ulimits",
];
/// Lists that an override adds to, with or without `+`.
const ONLY_GROWING: [&str; 3] = ["annotations", "attest", "entitlements"];
const FLAGS: [&str; 4] = ["load", "no-cache", "pull", "push"];

pub(super) struct Override {
    text: String,
    pub pattern: String,
    pub key: String,
    change: Change,
}

enum Change {
    One(Value),
    /// A key of a map and its value.
    Entry(String, String),
    /// The source of a secret that the target declares.
    Secret(String, String),
    List {
        values: Vec<Value>,
        adds: bool,
    },
}

impl Override {
    /// Nothing, where `args.NAME` has no value here and none in the environment.
    ///
    /// # Errors
    /// It is malformed, or its key is unknown.
    pub(super) fn parse(
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Option<Override>, Problem> {
        let wrong = || {
            Problem::at(
                None,
                format!("invalid `--set {text}`: expected TARGET.KEY=VALUE"),
            )
            .with_help("as in `*.platform=linux/arm64` or `app.args.VERSION=1`")
        };
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, Some(value.to_string())),
            None => (text, None),
        };
        let adds = path.ends_with('+');
        let mut parts = path.trim_end_matches('+').splitn(3, '.');
        let pattern = parts.next().filter(|part| !part.is_empty());
        let (pattern, key) = (pattern.ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let sub = parts.next().map(String::from);
        // bake's own names for them.
        let key = match key {
            "platform" => "platforms",
            "tag" => "tags",
            "secrets" => "secret",
            key => key,
        };
        if !KEYS.contains(&key) || ["inherits", "matrix", "name", "description"].contains(&key) {
            return Err(unknown(None, key, &KEYS));
        }
        let value = match (value, key, &sub) {
            (Some(value), ..) => value,
            (None, "args", Some(name)) => match environment.get(name) {
                Some(value) => value.clone(),
                None => return Ok(None),
            },
            _ => return Err(wrong()),
        };
        let change = match (key, sub) {
            (key, Some(sub)) if MAPS.contains(&key) => Change::Entry(sub, value),
            ("secret", Some(id)) => Change::Secret(id, value),
            (key, None) if FLAGS.contains(&key) => Change::One(Value::Bool(flag(text, &value)?)),
            (key, None) if LISTS.contains(&key) => Change::List {
                values: vec![Value::from(value)],
                adds: adds || ONLY_GROWING.contains(&key),
            },
            (key, None) if !MAPS.contains(&key) => Change::One(Value::from(value)),
            _ => return Err(wrong()),
        };
        Ok(Some(Override {
            text: text.to_string(),
            pattern: pattern.to_string(),
            key: key.to_string(),
            change,
        }))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.change, Change::List { .. })
    }

    pub(super) fn add(&mut self, other: Override) {
        if let (
            Change::List { values, adds },
            Change::List {
                values: more,
                adds: also,
            },
        ) = (&mut self.change, other.change)
        {
            values.extend(more);
            *adds = also;
        }
    }

    /// # Errors
    /// A secret that the target does not declare.
    pub(super) fn apply(&self, values: &mut Values) -> Result<(), Problem> {
        let value = match &self.change {
            Change::One(value) => value.clone(),
            Change::Entry(key, value) => Value::Object(
                [(key.clone(), Value::from(value.as_str()))]
                    .into_iter()
                    .collect(),
            ),
            Change::Secret(id, source) => return self.secret(id, source, values),
            Change::List { values: new, adds } => {
                let before = values.remove(&self.key).map(|given| given.value);
                match before {
                    Some(Value::Array(list)) if *adds => Value::Array([&list[..], new].concat()),
                    _ => Value::Array(new.clone()),
                }
            }
        };
        merge(
            values,
            [(self.key.clone(), Given { value, line: None })].into(),
        );
        Ok(())
    }

    fn secret(&self, id: &str, source: &str, values: &mut Values) -> Result<(), Problem> {
        let declares = |value: &Value| match value {
            Value::String(text) => text
                .split(',')
                .any(|part| part.trim() == format!("id={id}")),
            Value::Object(map) => map.get("id").and_then(Value::as_str) == Some(id),
            _ => false,
        };
        let list = values
            .get_mut("secret")
            .and_then(|given| match &mut given.value {
                Value::Array(list) => Some(list),
                _ => None,
            });
        let declared = list.and_then(|list| list.iter_mut().find(|value| declares(value)));
        let Some(declared) = declared else {
            let message = format!("--set {}: the target has no secret `{id}`", self.text);
            return Err(Problem::at(None, message)
                .with_help("a secret is declared in the file before its source is overridden"));
        };
        *declared = Value::from(format!("id={id},{source}"));
        Ok(())
    }
}

fn flag(text: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Problem::at(
            None,
            format!("--set {text}: {value:?} is neither true nor false"),
        )),
    }
}
