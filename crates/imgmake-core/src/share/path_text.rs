//! Paths are bytes, JSON has text: what is no UTF-8 is written as `\xNN`, and a backslash as two.

/// The bytes of a path as text; [`decode_path`] gives them back.
pub fn encode_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for part in path.utf8_chunks() {
        text.push_str(&part.valid().replace('\\', "\\\\"));
        for byte in part.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The bytes that a text stands for; `None` for what [`encode_path`] never writes.
pub fn decode_path(text: &str) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        path.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            path.push(b'\\');
            rest = after;
            continue;
        }
        let digits = rest.strip_prefix('x')?.get(..2)?;
        path.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[3..];
    }
    path.extend_from_slice(rest.as_bytes());
    // One text for each path, so that no path is in a list twice.
    (encode_path(&path) == text).then_some(path)
}
