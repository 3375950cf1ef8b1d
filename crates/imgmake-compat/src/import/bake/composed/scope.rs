//! Variables of included files: their `env_file` gives values to those that the environment does not have.

use std::collections::BTreeMap;

use super::super::json::{Json, Kind};
use super::super::problem::Problem;
use imgmake_core::manifest::env_file_values;

/// Variables within variables; more are a mistake.
const DEEPEST: usize = 16;

/// Values of the variables in the texts of a file.
#[derive(Clone, Default)]
pub(super) struct Scope {
    values: BTreeMap<String, String>,
}

impl Scope {
    /// Later files are over the earlier.
    ///
    /// # Errors
    /// Not lines of `NAME=value`; a value that refers to others.
    pub(super) fn read(&mut self, path: &str, text: &str, before: usize) -> Result<(), Problem> {
        let values = env_file_values(text).map_err(|(line, problem)| {
            Problem::at(Some(before + line), format!("env_file `{path}`: {problem}"))
                .with_help("write `NAME=value`, one per line")
        })?;
        // Never its text: it may be a secret.
        let odd = |value: &String| value.contains(['$', '{', '}']);
        if let Some((name, _)) = values.iter().find(|(_, value)| odd(value)) {
            let message = format!(
                "env_file `{path}`: the value of `{name}` contains `$`, `{{` or `}}`, which is not supported in the file of an `include`"
            );
            return Err(Problem::at(Some(before + 1), message)
                .with_help("set the variable in the environment instead"));
        }
        self.values.extend(values);
        Ok(())
    }

    /// Gives the variables of all texts these values as defaults.
    ///
    /// # Errors
    /// A brace that is not closed.
    pub(super) fn apply(&self, value: &mut Json) -> Result<(), Problem> {
        if self.values.is_empty() {
            return Ok(());
        }
        let line = value.line;
        match &mut value.kind {
            Kind::Text(text) => *text = self.text(text, line, 0)?,
            Kind::List(list) => {
                for one in list {
                    self.apply(one)?;
                }
            }
            Kind::Object(pairs) => {
                for (name, value) in pairs {
                    name.text = self.text(&name.text, name.line, 0)?;
                    self.apply(value)?;
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
        Ok(())
    }

    fn text(&self, text: &str, line: usize, depth: usize) -> Result<String, Problem> {
        if depth > DEEPEST {
            let message = format!("variables are nested more than {DEEPEST} deep");
            return Err(Problem::at(Some(line), message));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let braced = after.strip_prefix('{');
            let name = name_of(braced.unwrap_or(after));
            let value = self.values.get(name).filter(|value| !value.is_empty());
            match (braced, value) {
                _ if after.starts_with('$') => {
                    out.push_str("$$");
                    rest = &after[1..];
                }
                (None, Some(value)) => {
                    out.push_str(&format!("${{{name}:-{value}}}"));
                    rest = &after[name.len()..];
                }
                (Some(inner), Some(value)) => {
                    let end = closing(inner).ok_or_else(|| {
                        Problem::at(
                            Some(line),
                            format!("invalid variable in {text:?}: `}}` is missing"),
                        )
                    })?;
                    let kind = inner[name.len()..end].trim_start_matches(':');
                    match kind.strip_prefix('+') {
                        // It has a value, whatever the environment says.
                        Some(instead) => out.push_str(&self.text(instead, line, depth + 1)?),
                        None => out.push_str(&format!("${{{name}:-{value}}}")),
                    }
                    rest = &inner[end + 1..];
                }
                (Some(inner), None) => {
                    // A default within it may be of this scope.
                    out.push_str("${");
                    rest = inner;
                }
                (None, None) => {
                    out.push('$');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn name_of(text: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    &text[..end]
}

/// Where the brace closes that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}
