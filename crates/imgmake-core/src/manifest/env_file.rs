//! `.env` files: `NAME=value` lines, `#` comments, `export`, single and double quotes.

use std::collections::BTreeMap;

use super::context::DecodeContext;
use super::fields::Fields;
use super::types::EnvFile;
use crate::error::EnvFileProblem;

/// `env-file ".env" optional=#true`, any number of them.
pub(super) fn declared(fields: &mut Fields) -> Vec<EnvFile> {
    let cx = fields.cx;
    let nodes = fields.children("env-file");
    nodes
        .filter_map(|node| {
            let mut fields = Fields::new(node, cx);
            let path = fields.required("a path");
            let optional = fields.prop_boolean("optional").unwrap_or(false);
            fields.finish();
            let path = cx.word(path?, "the path")?;
            Some(EnvFile { path, optional })
        })
        .collect()
}

pub(super) fn read(
    file: &EnvFile,
    read: &dyn Fn(&str) -> std::io::Result<String>,
    cx: &DecodeContext,
) -> BTreeMap<String, String> {
    let path = &file.path;
    match read(&path.value) {
        Ok(text) => parse(&text).unwrap_or_else(|(line, problem)| {
            let message = format!("env-file `{}`, line {line}: {problem}", path.value);
            cx.error_help(
                path.span,
                message,
                "named here",
                "write `NAME=value`, one per line",
            );
            BTreeMap::new()
        }),
        Err(error) if file.optional && error.kind() == std::io::ErrorKind::NotFound => {
            BTreeMap::new()
        }
        Err(error) => {
            let message = format!("cannot read env-file `{}`", path.value);
            let help = "add `optional=#true` if it may be missing";
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    cx.error_help(path.span, message, "file not found", help)
                }
                _ => cx.error(path.span, message, error.to_string()),
            }
            BTreeMap::new()
        }
    }
}

/// The values of a text, for whoever reads an env-file of another kind of file.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn env_file_values(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    parse(text).map_err(|(line, problem)| (line, problem.to_string()))
}

/// Errors carry the line's number, never its text: it may be a secret.
fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, EnvFileProblem)> {
    let mut values = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let refuse = |problem| (number + 1, problem);
        let (name, value) = line
            .split_once('=')
            .ok_or(refuse(EnvFileProblem::NoValue))?;
        let name = name.trim();
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !first
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        {
            return Err(refuse(EnvFileProblem::InvalidName));
        }
        values.insert(name.to_string(), value_of(value.trim()).map_err(refuse)?);
    }
    Ok(values)
}

fn value_of(written: &str) -> Result<String, EnvFileProblem> {
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = written.find(" #").unwrap_or(written.len());
        return Ok(written[..end].trim_end().to_string());
    };
    let mut value = String::new();
    let mut chars = written[1..].chars();
    loop {
        match chars.next().ok_or(EnvFileProblem::UnclosedQuote)? {
            c if c == quote => break,
            '\\' if quote == '"' => match chars.next().ok_or(EnvFileProblem::UnclosedQuote)? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    let rest = chars.as_str().trim();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    Err(EnvFileProblem::AfterQuote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_quotes_and_export_are_read() {
        let values = parse(
            "# c\nA=1\nexport B = two words # c\nC=\"x\\n\\\"y\" # c\nD='$raw\\n'\n\nE=\nF=a#b\n",
        )
        .unwrap();
        let value = |name: &str| values[name].as_str();
        assert_eq!(
            [
                value("A"),
                value("B"),
                value("C"),
                value("D"),
                value("E"),
                value("F")
            ],
            ["1", "two words", "x\n\"y", "$raw\\n", "", "a#b"]
        );
    }

    #[test]
    fn a_bad_line_is_named_by_number_without_its_text() {
        let refused =
            |text: &str| parse(text).map_err(|(line, problem)| (line, problem.to_string()));
        let at = |line: usize, text: &str| Err((line, text.to_string()));
        assert_eq!(refused("A=1\nhunter2\n"), at(2, "`=` expected"));
        assert_eq!(refused("A='x"), at(1, "a quote is not closed"));
        assert_eq!(refused("1A=x"), at(1, "invalid variable name before `=`"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
