//! Values → YAML in blocks: as people write it, and one text for one value.

use serde_json::Value;

/// A document, or the value of a key at this depth.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                indent(depth, text);
                entry(&scalar(key), value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(depth, text);
                text.push('-');
                let start = text.len();
                inner(item, depth, text);
                // The first line of a block stands behind its dash.
                if let Value::Object(map) = item
                    && !map.is_empty()
                {
                    let rest = text.split_off(start);
                    text.push(' ');
                    text.push_str(rest.trim_start());
                }
            }
        }
        other => text.push_str(&format!("{}\n", leaf(other))),
    }
}

fn entry(key: &str, value: &Value, depth: usize, text: &mut String) {
    text.push_str(key);
    text.push(':');
    inner(value, depth, text);
}

/// What stands behind a key or a dash.
fn inner(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(value, depth + 1, text);
        }
        Value::String(lines) if is_block(lines) => {
            text.push_str(" |\n");
            for line in lines.lines() {
                if !line.is_empty() {
                    indent(depth + 1, text);
                }
                text.push_str(line);
                text.push('\n');
            }
        }
        other => text.push_str(&format!(" {}\n", leaf(other))),
    }
}

fn indent(depth: usize, text: &mut String) {
    text.push_str(&"  ".repeat(depth));
}

/// Several whole lines, the first of which shows how far they are indented.
fn is_block(text: &str) -> bool {
    let printable = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && text.chars().all(printable)
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text, in quotes unless everybody reads it as one without.
fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || "_/.$".contains(c);
    let inside = |c: char| c.is_ascii_alphanumeric() || "_/.$-@=+ (){}[]*".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let is_number = text
        .trim_start_matches(['.', '+'])
        .starts_with(|c: char| c.is_ascii_digit());
    let infinite = text.starts_with('.') && text[1..].starts_with(['i', 'I', 'n', 'N']);
    let plain = text.starts_with(first)
        && text.chars().all(inside)
        && !text.ends_with(' ')
        && !is_word
        && !is_number
        && !infinite;
    match plain {
        true => text.to_string(),
        false => quoted(text),
    }
}

/// In double quotes. Escapes of JSON are YAML's, which wants some more.
fn quoted(text: &str) -> String {
    let mut written = String::new();
    for c in Value::String(text.to_string()).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                written.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            other => written.push(other),
        }
    }
    written
}
