//! JSON as package managers write it and read it themselves: with a byte order mark, and with
//! keys that stand twice, of which the last counts.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// # Errors
/// It is not JSON, or not of this shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_value(serde_json::from_slice::<Value>(bytes)?)
}

/// JSON of what may have a comma, or a comment, where JSON has none.
pub fn without_trailing_commas(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    // Where the last comma stands, if only blanks and comments follow.
    let mut comma = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            b'"' => string(rest),
            b'/' if rest.starts_with(b"//") => {
                at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                continue;
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = rest[2..].windows(2).position(|end| end == b"*/");
                at += end.map_or(rest.len(), |end| end + 4);
                continue;
            }
            _ => 1,
        };
        match byte {
            b',' => comma = Some(plain.len()),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        plain.extend_from_slice(&rest[..length]);
        at += length;
    }
    plain
}

/// The length of a string that begins here, with its quotes.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
