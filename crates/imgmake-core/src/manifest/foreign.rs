//! What people write who think of another language: YAML, and quotes that KDL takes for letters.

use super::Span;
use super::diagnostic::Diagnostic;

/// One message for a text that is YAML from its first line on.
pub(super) fn yaml(text: &str) -> Option<Diagnostic> {
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
        if word != "---" && !is_key(word) {
            return None;
        }
        let span = Span::new(start, start + word.len());
        let diagnostic = Diagnostic::at(span, "this is YAML, and a manifest is KDL", "here");
        return Some(diagnostic.with_help(
            "write `build app { context \".\" }`; a Compose file is converted by `imgmake import compose.yaml`",
        ));
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
