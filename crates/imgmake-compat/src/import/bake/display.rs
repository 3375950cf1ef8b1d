//! Values as texts: for places that take a text, and for messages.

use hcl::Value;

/// # Errors
/// It is a list, an object or null, which has no text.
pub(super) fn as_text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("invalid text {}", display(other))),
    }
}

/// A value on one line, for messages.
pub(super) fn display(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = serde_json::to_string(value).unwrap_or_default();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
