//! What people write who think of another language: YAML, JSON, Dockerfiles, and quotes that KDL takes for letters.

use super::Span;
use super::diagnostic::Diagnostic;

/// One message for a text that is in another language from its first line on.
pub(super) fn language(text: &str) -> Option<Diagnostic> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        if words.is_empty() || words.starts_with("//") || words.starts_with('#') {
            continue;
        }
        let word = words.split_whitespace().next().unwrap_or_default();
        let is_key = |word: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let name = word.strip_suffix(':').unwrap_or_default();
            !name.is_empty() && name.chars().all(legal)
        };
        let (what, instead) = match word {
            "FROM" => (
                "a Dockerfile",
                "`imgmake init` writes a manifest for a Dockerfile; `imgmake build -t NAME DIR` needs none",
            ),
            word if word.starts_with(['{', '[']) => (
                "JSON",
                "write `build app { context \".\" }`; a bake file is converted by `imgmake import docker-bake.json`",
            ),
            word if word == "---" || is_key(word) => (
                "YAML",
                "write `build app { context \".\" }`; a Compose file is converted by `imgmake import compose.yaml`",
            ),
            _ => return None,
        };
        let span = Span::new(start, start + word.len());
        let message = format!("this is {what}, and a manifest is KDL");
        return Some(Diagnostic::at(span, message, "here").with_help(instead));
    }
    None
}

/// A word that begins with a quote of another language, and the same as KDL writes it.
pub(super) fn quoted(word: &str) -> Option<(&'static str, String)> {
    let kind = match word.chars().next()? {
        '\'' => "single quotes",
        '`' => "backticks",
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201c}' | '\u{201d}' | '\u{201e}' => {
            "typographic quotes"
        }
        '\u{ab}' | '\u{bb}' => "angle quotes",
        _ => return None,
    };
    let is_quote = |c: char| !c.is_ascii() || matches!(c, '\'' | '`');
    Some((kind, word.trim_matches(is_quote).to_string()))
}
