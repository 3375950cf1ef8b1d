//! What a command wrote: a report, words for people, or a report that cannot be read as one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::process::{BYTE_ORDER_MARK, LARGEST_REPORT};

#[derive(Debug, PartialEq)]
pub enum Form {
    /// It begins as a report does.
    Json,
    /// Nothing of it looks like a report.
    Words,
    /// A report is in it or may be, and why it is not read.
    Unreadable(String),
}

/// What stands in reports and in nothing that is said about them.
const MARKS: [&[u8]; 8] = [
    b"\"runs\"",
    b"\"SchemaVersion\"",
    b"\"matches\"",
    b"\"Results\"",
    b"\"results\"",
    b"\"$schema\"",
    b"\"vulnerabilities\"",
    b"\"bomFormat\"",
];

impl Form {
    /// Of what a program wrote, from where the file stands.
    pub fn of(output: &File) -> io::Result<Form> {
        let mut lines = BufReader::new(output.take(LARGEST_REPORT));
        let mut line = Vec::new();
        let mut blank = 0;
        for number in 1_u64.. {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            // Blank lines may stand before a report.
            let first = number == blank + 1;
            let text = match line.strip_prefix(BYTE_ORDER_MARK) {
                Some(text) if first => text,
                _ => &line[..],
            };
            if let Some(why) = foreign(text) {
                return Ok(Form::Unreadable(why.to_string()));
            }
            let text = text.trim_ascii();
            if text.is_empty() {
                blank += u64::from(first);
                continue;
            }
            if first && text.starts_with(b"{") {
                return Ok(Form::Json);
            }
            let begins = begins_json(text);
            if first && begins {
                let why = "it is a list: SARIF, Trivy's JSON and Grype's JSON are objects";
                return Ok(Form::Unreadable(why.to_string()));
            }
            if let Some(form) = other_form(text) {
                return Ok(Form::Unreadable(format!(
                    "it is {form} (line {number}): reports are read as JSON"
                )));
            }
            if begins
                || MARKS
                    .iter()
                    .any(|mark| memchr::memmem::find(text, mark).is_some())
            {
                return Ok(Form::Unreadable(format!(
                    "stdout contains a report that does not begin on its first line (line {number}): \
                     send what is not the report to stderr, or write the report to {{report}}"
                )));
            }
        }
        Ok(Form::Words)
    }
}

/// A report in YAML or XML. Words for people end a line with `results:`, and the list that follows does not begin
/// with `SchemaVersion`.
fn other_form(line: &[u8]) -> Option<&'static str> {
    const OF_FORMAT: [&str; 5] = [
        "schemaversion",
        "bomformat",
        "spdxversion",
        "$schema",
        "apiversion",
    ];
    const OF_LIST: [&str; 6] = [
        "runs",
        "matches",
        "results",
        "vulnerabilities",
        "misconfigurations",
        "components",
    ];
    const TAGS: [&[u8]; 5] = [b"<?xml", b"<testsuite", b"<bom", b"<checkstyle", b"<report"];
    if TAGS.iter().any(|tag| line.starts_with(tag)) {
        return Some("XML");
    }
    let text = String::from_utf8_lossy(line);
    let text = text.strip_prefix("- ").unwrap_or(&text);
    let (key, value) = text.split_once(':')?;
    let key = key.trim_matches(['"', '\'']).to_ascii_lowercase();
    let is_empty = matches!(value.trim(), "" | "[]" | "{}" | "null" | "~");
    let is_key = OF_FORMAT.contains(&key.as_str()) || (is_empty && OF_LIST.contains(&key.as_str()));
    is_key.then_some("YAML")
}

/// Bytes that are no text in UTF-8 on a line.
fn foreign(line: &[u8]) -> Option<&'static str> {
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        Some("it is UTF-16: reports are read in UTF-8")
    } else if line.contains(&0) || line.starts_with(b"\x1f\x8b") {
        Some("it is not text: reports are read as JSON in UTF-8")
    } else {
        None
    }
}

/// `{`, `{"`, `[{`, `[]`: not `[INFO] done` or `[12:00]`.
fn begins_json(line: &[u8]) -> bool {
    let Some((open, rest)) = line.split_first() else {
        return false;
    };
    let follows = rest.trim_ascii_start().first();
    match open {
        b'{' => matches!(follows, None | Some(b'"' | b'}')),
        b'[' => matches!(follows, None | Some(b'{' | b'[' | b']' | b'"')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn form(text: &[u8]) -> Form {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        Form::of(&file).unwrap()
    }

    #[test]
    fn words_are_told_from_reports_and_from_what_holds_one() {
        for report in [
            "{}",
            "\n \n{\"runs\":[]}",
            "\u{feff}{\"runs\":[]}",
            "{broken} words",
        ] {
            assert_eq!(form(report.as_bytes()), Form::Json, "{report}");
        }
        for words in [
            "",
            "all is well\n",
            "[INFO] scanning\n[12:00:01] done\n",
            "3 runs, 2 matches\n",
            "results: 3 images, no vulnerabilities\nmatches: none\n",
        ] {
            assert_eq!(form(words.as_bytes()), Form::Words, "{words}");
        }
        let utf16: Vec<u8> = "\u{feff}{}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (output, why) in [
            (&b"[INFO] scanning\n{\"runs\":[]}"[..], "line 2"),
            (b"scanning\n{\n  \"x\": 1\n}\n", "line 2"),
            (b"report: {\"runs\":[]}\n", "line 1"),
            (b"\n\nlog\n[{\"x\":1}]", "line 4"),
            (b"[{\"matches\":[]}]", "a list"),
            (b"[\n{}\n]", "a list"),
            (b"<?xml version=\"1.0\"?>", "it is XML (line 1)"),
            (b"<testsuites>", "it is XML"),
            (
                b"scanning\nSchemaVersion: 2\nResults:\n",
                "it is YAML (line 2)",
            ),
            (b"---\nmatches:\n- vulnerability:\n", "it is YAML (line 2)"),
            (b"vulnerabilities: []\n", "it is YAML"),
            (b"- bomFormat: CycloneDX\n", "it is YAML"),
            (b"\x1f\x8b\x08\x00", "not text"),
            (&utf16, "UTF-16"),
        ] {
            match form(output) {
                Form::Unreadable(found) => assert!(found.contains(why), "{found}"),
                other => panic!("{other:?}: {}", String::from_utf8_lossy(output)),
            }
        }
    }
}
