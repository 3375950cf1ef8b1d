//! Functions that write values as other texts, read them, or hash them.

use crate::import::bake::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use ring::digest;

use super::arguments::{Evaluated, Function, More, object, text_of};
use super::outside::spend;

pub(super) const FUNCTIONS: &[Function] = &[
    ("base64encode", 1, More::None, |a| {
        Ok(STANDARD.encode(text_of(a, 0)?).into())
    }),
    ("base64decode", 1, More::None, |a| {
        let bytes = STANDARD
            .decode(text_of(a, 0)?)
            .map_err(|_| "invalid base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "the bytes are not text")?;
        Ok(text.into())
    }),
    ("urlencode", 1, More::None, |a| {
        Ok(urlencode(&text_of(a, 0)?).into())
    }),
    ("jsonencode", 1, More::None, |a| Ok(a[0].to_json().into())),
    ("jsondecode", 1, More::None, |a| {
        let text = text_of(a, 0)?;
        // An element of two bytes takes as much, and a power of ten has to be computed.
        let powers = text
            .bytes()
            .filter(|byte| matches!(byte, b'e' | b'E' | b'.'))
            .count();
        spend(64 * text.len() + 1024 * powers)?;
        Value::from_json(&text)
    }),
    ("csvdecode", 1, More::None, |a| csvdecode(&text_of(a, 0)?)),
    ("md5", 1, More::None, |a| {
        use md5::Digest;
        Ok(hex::encode(Md5::digest(text_of(a, 0)?)).into())
    }),
    ("sha1", 1, More::None, |a| {
        Ok(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text_of(a, 0)?))
    }),
    ("sha256", 1, More::None, |a| {
        Ok(hash(&digest::SHA256, &text_of(a, 0)?))
    }),
    ("sha512", 1, More::None, |a| {
        Ok(hash(&digest::SHA512, &text_of(a, 0)?))
    }),
    ("uuidv5", 2, More::None, |a| {
        uuidv5(&text_of(a, 0)?, &text_of(a, 1)?).map(Value::from)
    }),
];

fn hash(algorithm: &'static digest::Algorithm, text: &str) -> Value {
    hex::encode(digest::digest(algorithm, text.as_bytes())).into()
}

/// As a query of an address is written.
fn urlencode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b' ' => "+".to_string(),
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// A list of objects whose names are the first line.
fn csvdecode(text: &str) -> Evaluated {
    spend(64 * text.len())?;
    let mut lines = csv(text)?.into_iter();
    let names = lines.next().ok_or("it has no first line with names")?;
    let named: usize = names.iter().map(|name| 128 + name.len()).sum();
    let row = |fields: Vec<String>| {
        spend(named)?;
        if fields.len() != names.len() {
            let (has, wanted) = (fields.len(), names.len());
            return Err(format!("a line has {has} fields where {wanted} have names"));
        }
        let values = fields.into_iter().map(Value::from);
        Ok(object(names.iter().cloned().zip(values)))
    };
    lines.map(row).collect::<Result<_, _>>().map(Value::Array)
}

/// Lines of fields, some in quotes, where a quote is doubled.
pub(in crate::import::bake) fn csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    let mut rest = text.chars().peekable();
    while rest.peek().is_some() {
        let mut field = String::new();
        if rest.next_if_eq(&'"').is_some() {
            loop {
                match rest.next() {
                    Some('"') if rest.next_if_eq(&'"').is_some() => field.push('"'),
                    Some('"') => break,
                    Some(c) => field.push(c),
                    None => return Err("a quote is not closed".into()),
                }
            }
        } else {
            while let Some(c) = rest.next_if(|c| !matches!(c, ',' | '\n' | '\r')) {
                field.push(c);
            }
        }
        fields.push(field);
        rest.next_if_eq(&'\r');
        match rest.next() {
            // A comma at the end is followed by an empty field.
            Some(',') if rest.peek().is_none_or(|c| *c == '\n') => fields.push(String::new()),
            Some(',') => continue,
            Some('\n') | None => {}
            Some(c) => return Err(format!("{c:?} follows a closing quote")),
        }
        rest.next_if_eq(&'\n');
        let full = std::mem::take(&mut fields);
        if full != [""] {
            lines.push(full);
        }
    }
    Ok(lines)
}

/// A name within a name space, always the same.
fn uuidv5(space: &str, name: &str) -> Result<String, String> {
    let space = match space {
        "dns" | "DNS" => "6ba7b8109dad11d180b400c04fd430c8".to_string(),
        "url" | "URL" => "6ba7b8119dad11d180b400c04fd430c8".to_string(),
        "oid" | "OID" => "6ba7b8129dad11d180b400c04fd430c8".to_string(),
        "x500" | "X500" => "6ba7b8149dad11d180b400c04fd430c8".to_string(),
        other => other.replace('-', ""),
    };
    let space = hex::decode(&space).ok().filter(|bytes| bytes.len() == 16);
    let space = space.ok_or("invalid name space: expected dns, url, oid, x500 or a UUID")?;
    let all = [&space[..], name.as_bytes()].concat();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &all);
    let mut bytes = hash.as_ref()[..16].to_vec();
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}
