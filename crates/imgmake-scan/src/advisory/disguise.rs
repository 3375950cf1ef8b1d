//! Whether a file is data, whatever it is called: advisories without an ending, or beneath one that says nothing,
//! would be missing from a database, and nobody would see it.

/// Bytes of a file that are looked at.
pub const HEAD: u64 = 512;

/// What files of data begin with that are packed, or databases.
const MAGIC: [&[u8]; 8] = [
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"BZh",
    b"7z\xbc\xaf\x27\x1c",
    b"SQLite format 3",
    // A document of JSON in UTF-16, with or without a byte order mark.
    b"{\0",
];
const UTF16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// What an OSV document in YAML begins with, and what RustSec's in Markdown and TOML do.
const FIELDS: [&str; 8] = [
    "schema_version:",
    "id:",
    "modified:",
    "published:",
    "affected:",
    "- id:",
    "[advisory]",
    "```toml",
];

/// By its first bytes.
pub fn is_data(head: &[u8]) -> bool {
    let begins = |with: &&[u8]| head.starts_with(with);
    if MAGIC.iter().chain(&UTF16).any(begins) || head.get(257..262) == Some(b"ustar") {
        return true;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    let behind = |open: u8| Some(text.strip_prefix(&[open])?.trim_ascii_start());
    let is_object = |text: &[u8]| {
        let inside = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        inside.is_some_and(|inside| inside.starts_with(b"\""))
    };
    is_object(text) || behind(b'[').is_some_and(is_object) || has_field(text)
}

/// Whether the first line that says something is one of an advisory.
fn has_field(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#') && *line != "---";
    let first = text.lines().map(str::trim).find(is_said);
    first.is_some_and(|line| FIELDS.iter().any(|field| line.starts_with(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_are_recognized_without_their_ending() {
        for data in [
            &br#"{"id":"A-1"}"#[..],
            b"\xef\xbb\xbf\n  {\n  \"id\": 1",
            b"[ {\"id\":1}]",
            b"PK\x03\x04\0",
            b"\x1f\x8b\x08",
            b"{\0\"\0i\0",
            b"\xff\xfe{\0",
            b"---\n# of npm\nid: A-1\n",
            b"```toml\n[advisory]\nid = \"RUSTSEC-1\"",
        ] {
            assert!(is_data(data), "{}", String::from_utf8_lossy(data));
        }
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_data(&tar));
        for other in [
            &b""[..],
            b"# Advisories\n\nWhat each has: id and date.\n",
            b"[![badge](https://example.com)]",
            b"Apache License",
            b"#!/bin/sh\n{ echo; }\n",
            b"{{ template }}",
        ] {
            assert!(!is_data(other), "{}", String::from_utf8_lossy(other));
        }
    }
}
