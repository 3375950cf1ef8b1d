//! Values as the plugins' own flag library reads them.

use std::collections::BTreeMap;

use super::Refusal;
use super::variables::Kind;
use crate::error::invalid;

/// The first present name wins, even when it is empty.
pub(super) fn lookup<'e, 'n>(
    environment: &'e BTreeMap<String, String>,
    names: &[&'n str],
) -> Option<(&'n str, &'e str)> {
    names
        .iter()
        .find_map(|name| environment.get(*name).map(|value| (*name, value.as_str())))
}

/// Go's `strconv.ParseBool`; empty is false, also where the default is true.
pub(super) fn boolean(name: &str, text: &str) -> Result<bool, Refusal> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Refusal::new(
            invalid("boolean", format!("{name}={text:?}")),
            "write `true` or `false`",
        )),
    }
}

/// Go's `strconv.ParseInt` with base 0: `0x1f`, `0o17`, `0b11`, `017`, `1_000`.
pub(super) fn integer(name: &str, text: &str) -> Result<i64, Refusal> {
    let refused = || {
        Refusal::new(
            invalid("whole number", format!("{name}={text:?}")),
            "write a number such as `3`",
        )
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return Err(refused());
    }
    let value = i64::from_str_radix(&digits, base).map_err(|_| refused())?;
    Ok(if negative { -value } else { value })
}

/// Split and trimmed; an empty text gives one empty element, as upstream.
pub(super) fn list(text: &str, separator: char) -> Vec<String> {
    text.split(separator)
        .map(|part| part.trim().to_string())
        .collect()
}

/// Whether a text is one of its kind at all: every variable is checked, used or not.
pub(super) fn check(name: &str, text: &str, kind: Kind) -> Result<(), Refusal> {
    match kind {
        Kind::Bool => boolean(name, text).map(drop),
        // Pipelines pass variables that may be empty.
        Kind::Int if text.is_empty() => Ok(()),
        Kind::Int => integer(name, text).map(drop),
        Kind::Text | Kind::List(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_gos() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert!(boolean("X", text).unwrap());
        }
        for text in ["", "0", "f", "F", "FALSE", "false", "False"] {
            assert!(!boolean("X", text).unwrap());
        }
        for text in ["yes", "on", "tRUE", " true"] {
            assert!(
                boolean("PLUGIN_NO_PUSH", text)
                    .unwrap_err()
                    .to_string()
                    .contains("PLUGIN_NO_PUSH")
            );
        }
    }

    #[test]
    fn numbers_take_a_base_prefix_and_are_never_empty() {
        for (text, value) in [
            ("3", 3),
            ("0x1f", 31),
            ("017", 15),
            ("0b11", 3),
            ("-2", -2),
            ("1_000", 1000),
            ("0", 0),
        ] {
            assert_eq!(integer("X", text).unwrap(), value, "{text}");
        }
        for text in ["", "3s", "0x", "--1", "1.5"] {
            assert!(integer("X", text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_present_name_wins_even_when_empty() {
        let environment = BTreeMap::from([
            ("A".to_string(), String::new()),
            ("B".to_string(), "b".to_string()),
        ]);
        assert_eq!(lookup(&environment, &["X", "A", "B"]), Some(("A", "")));
    }

    #[test]
    fn lists_are_trimmed_and_an_empty_one_has_an_empty_element() {
        assert_eq!(list("a, b ,c", ','), ["a", "b", "c"]);
        assert_eq!(list("", ';'), [""]);
    }
}
