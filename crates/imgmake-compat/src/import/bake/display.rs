//! Values as texts: for places that take a text, and for messages.

use super::value::Value;

/// # Errors
/// It is a list, an object or null, which has no text.
pub(super) fn as_text(value: &Value) -> Result<String, String> {
    let text = value.to_text();
    text.ok_or_else(|| format!("invalid text {}", display(value)))
}

/// A value on one line, for messages.
pub(super) fn display(value: &Value) -> String {
    const LONGEST: usize = 80;
    // A character has four bytes at most.
    let text = value.to_json_start(4 * (LONGEST + 1));
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
