//! What git changes in a file on its way into the work tree, and back: line ends, `$Id$`,
//! encodings (gitattributes, "Effects"). No programs are run: what `filter=` names,
//! as for Git LFS, stays as it is in the repository.

use std::borrow::Cow;

use gix_attributes::StateRef;
use gix_attributes::search::Outcome;
use gix_hash::ObjectId;

use super::{GitError, Result};

pub(super) const ATTRIBUTES: [&str; 5] = ["text", "crlf", "eol", "ident", "working-tree-encoding"];

/// What is to be done with a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion {
    lines: Lines,
    ident: bool,
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lines {
    #[default]
    Keep,
    /// Every line ends with CR LF.
    Crlf,
    /// The same, if the file is text and has no CR yet.
    CrlfOfText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf16 { little: bool, mark: bool },
    Utf32 { little: bool, mark: bool },
    Latin1,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Yes,
    No,
    Auto,
    Unspecified,
}

impl Conversion {
    /// Reads the outcome for [`ATTRIBUTES`].
    ///
    /// # Errors
    /// An encoding that is not known here.
    pub(super) fn of(outcome: &Outcome) -> Result<Conversion> {
        let mut conversion = Conversion::default();
        for found in outcome.iter_selected() {
            let state = found.assignment.state;
            match found.assignment.name.as_str() {
                "ident" => conversion.ident = state == StateRef::Set,
                "working-tree-encoding" => conversion.encoding = encoding(&value(state))?,
                _ => {}
            }
        }
        let (text, eol) = lines_of(outcome);
        conversion.lines = match (text, eol.as_str()) {
            (Text::Auto, "crlf") => Lines::CrlfOfText,
            (Text::Yes | Text::Unspecified, "crlf") => Lines::Crlf,
            _ => Lines::Keep,
        };
        Ok(conversion)
    }

    /// `id` is that of the file's object.
    pub(super) fn apply<'a>(&self, content: &'a [u8], id: ObjectId) -> Cow<'a, [u8]> {
        let mut content = Cow::Borrowed(content);
        if self.ident
            && let Some(expanded) = with_ident(&content, id)
        {
            content = expanded.into();
        }
        let statistics = || Statistics::of(&content);
        if match self.lines {
            Lines::Keep => false,
            Lines::Crlf => statistics().lone_lf > 0,
            Lines::CrlfOfText => statistics().is_plain_text(),
        } {
            content = with_crlf(&content).into();
        }
        // git leaves alone what it cannot convert.
        let encoded = self.encoding.and_then(|encoding| encoding.encode(&content));
        encoded.map_or(content, Cow::Owned)
    }
}

/// What is said of a file's lines: whether they are text, and `eol`.
fn lines_of(outcome: &Outcome) -> (Text, String) {
    let (mut text, mut older) = (Text::Unspecified, Text::Unspecified);
    let mut eol = String::new();
    for found in outcome.iter_selected() {
        let state = found.assignment.state;
        match found.assignment.name.as_str() {
            "text" => text = is_text(state),
            "crlf" => older = is_text(state),
            "eol" => eol = value(state),
            _ => {}
        }
    }
    if text == Text::Unspecified {
        text = older;
    }
    (text, eol)
}

/// What git stores of a file whose lines may end with CR LF, as `git add` does; `None` where that is
/// what the file holds. `is_automatic` where `core.autocrlf` is `true` or `input`.
///
/// Of one that is guessed to be text, lines are kept if they were stored with CR LF: whoever compares
/// with what was stored sees that they are others.
pub(super) fn stored(
    content: &[u8],
    outcome: Option<&Outcome>,
    is_automatic: bool,
) -> Option<Vec<u8>> {
    let (text, eol) = outcome.map_or((Text::Unspecified, String::new()), lines_of);
    let is_guessed = match (text, eol.as_str()) {
        (Text::No, _) => return None,
        (Text::Yes, _) | (Text::Unspecified, "lf" | "crlf") => false,
        (Text::Auto, _) => true,
        (Text::Unspecified, _) if is_automatic => true,
        (Text::Unspecified, _) => return None,
    };
    let statistics = Statistics::of(content);
    let is_kept = statistics.crlf == 0 || (is_guessed && statistics.is_binary());
    (!is_kept).then(|| without_crlf(content))
}

/// The text with LF where CR LF was.
fn without_crlf(text: &[u8]) -> Vec<u8> {
    let next = text.iter().skip(1).chain([&0]);
    let kept = text
        .iter()
        .zip(next)
        .filter(|(byte, next)| **byte != b'\r' || **next != b'\n');
    kept.map(|(byte, _)| *byte).collect()
}

fn is_text(state: StateRef<'_>) -> Text {
    match state {
        StateRef::Set => Text::Yes,
        StateRef::Unset => Text::No,
        StateRef::Value(value) => match &**value.as_bstr() {
            b"auto" => Text::Auto,
            b"input" => Text::Yes,
            _ => Text::Unspecified,
        },
        StateRef::Unspecified => Text::Unspecified,
    }
}

fn value(state: StateRef<'_>) -> String {
    match state {
        StateRef::Value(value) => value.as_bstr().to_string(),
        _ => String::new(),
    }
}

fn encoding(name: &str) -> Result<Option<Encoding>> {
    let plain = name.to_ascii_uppercase();
    let utf16 = |little, mark| Encoding::Utf16 { little, mark };
    let utf32 = |little, mark| Encoding::Utf32 { little, mark };
    Ok(Some(
        match plain
            .replace("UTF16", "UTF-16")
            .replace("UTF32", "UTF-32")
            .as_str()
        {
            "" | "UTF-8" | "UTF8" => return Ok(None),
            "UTF-16" | "UTF-16LE-BOM" => utf16(true, true),
            "UTF-16BE-BOM" => utf16(false, true),
            "UTF-16LE" => utf16(true, false),
            "UTF-16BE" => utf16(false, false),
            "UTF-32" | "UTF-32LE-BOM" => utf32(true, true),
            "UTF-32BE-BOM" => utf32(false, true),
            "UTF-32LE" => utf32(true, false),
            "UTF-32BE" => utf32(false, false),
            "ISO-8859-1" | "ISO8859-1" | "LATIN1" | "LATIN-1" => Encoding::Latin1,
            _ => {
                return Err(GitError::invalid(
                    "working-tree-encoding",
                    name,
                    "not supported; check the repository out with git and give the directory",
                ));
            }
        },
    ))
}

impl Encoding {
    fn encode(self, content: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(content).ok()?;
        match self {
            Encoding::Utf16 { little, mark } => {
                let units = mark
                    .then_some(0xfeff)
                    .into_iter()
                    .chain(text.encode_utf16());
                let bytes = |unit: u16| {
                    if little {
                        unit.to_le_bytes()
                    } else {
                        unit.to_be_bytes()
                    }
                };
                Some(units.flat_map(bytes).collect())
            }
            Encoding::Utf32 { little, mark } => {
                let units = mark
                    .then_some('\u{feff}')
                    .into_iter()
                    .chain(text.chars())
                    .map(u32::from);
                let bytes = |unit: u32| {
                    if little {
                        unit.to_le_bytes()
                    } else {
                        unit.to_be_bytes()
                    }
                };
                Some(units.flat_map(bytes).collect())
            }
            Encoding::Latin1 => text
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect(),
        }
    }
}

/// What git counts to tell text from other content.
#[derive(Default)]
struct Statistics {
    lone_cr: usize,
    lone_lf: usize,
    crlf: usize,
    zeros: usize,
    printable: usize,
    other: usize,
}

impl Statistics {
    fn of(content: &[u8]) -> Statistics {
        let mut counted = Statistics::default();
        let mut bytes = content.iter().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\r' if bytes.next_if_eq(&&b'\n').is_some() => counted.crlf += 1,
                b'\r' => counted.lone_cr += 1,
                b'\n' => counted.lone_lf += 1,
                // Backspace, tabulator, escape and form feed.
                8 | 9 | 27 | 12 => counted.printable += 1,
                0 => {
                    counted.zeros += 1;
                    counted.other += 1;
                }
                1..32 | 127 => counted.other += 1,
                _ => counted.printable += 1,
            }
        }
        // The end of a file in DOS.
        if content.last() == Some(&0x1a) {
            counted.other -= 1;
        }
        counted
    }

    fn is_binary(&self) -> bool {
        self.lone_cr > 0 || self.zeros > 0 || self.printable >> 7 < self.other
    }

    fn is_plain_text(&self) -> bool {
        self.lone_lf > 0 && self.crlf == 0 && !self.is_binary()
    }
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut converted = Vec::with_capacity(content.len() + content.len() / 32);
    let mut before = 0;
    for &byte in content {
        if byte == b'\n' && before != b'\r' {
            converted.push(b'\r');
        }
        converted.push(byte);
        before = byte;
    }
    converted
}

/// `$Id$`, and what git or something like it has made of it, becomes `$Id: ID $`;
/// `None` if there is none.
fn with_ident(content: &[u8], id: ObjectId) -> Option<Vec<u8>> {
    let mut expanded = Vec::new();
    let mut rest = content;
    let mut is_changed = false;
    while let Some(at) = rest.iter().position(|b| *b == b'$') {
        let (before, after) = rest.split_at(at + 1);
        expanded.extend_from_slice(before);
        rest = after;
        if let Some(length) = keyword(after) {
            expanded.extend_from_slice(format!("Id: {id} $").as_bytes());
            rest = &after[length..];
            is_changed = true;
        }
    }
    expanded.extend_from_slice(rest);
    is_changed.then_some(expanded)
}

/// The length of `Id$` or `Id: … $` at the start of a text.
fn keyword(text: &[u8]) -> Option<usize> {
    let after = text.strip_prefix(b"Id")?;
    if after.first() == Some(&b'$') {
        return Some(3);
    }
    let inner = after.strip_prefix(b":")?;
    let end = inner.iter().position(|b| *b == b'$')?;
    let inner = &inner[..end];
    // Words with blanks between them are another system's.
    let is_foreign = inner.len() > 1 && inner[1..inner.len() - 1].contains(&b' ');
    (!inner.contains(&b'\n') && !is_foreign).then_some(3 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: Lines, content: &[u8]) -> Vec<u8> {
        let conversion = Conversion {
            lines,
            ..Conversion::default()
        };
        let id = ObjectId::null(gix_hash::Kind::Sha1);
        conversion.apply(content, id).into_owned()
    }

    #[test]
    fn line_ends_are_changed_in_text_and_kept_where_some_are_right() {
        assert_eq!(with(Lines::Crlf, b"a\nb\r\nc\n"), b"a\r\nb\r\nc\r\n");
        assert_eq!(with(Lines::CrlfOfText, b"a\nb\n"), b"a\r\nb\r\n");
        for kept in [&b"a\nb\r\n"[..], b"a\n\0", b"a\n\x01", b"a\rb\n", b"none"] {
            assert_eq!(with(Lines::CrlfOfText, kept), kept);
        }
    }

    #[test]
    fn identifiers_are_expanded_unless_another_system_made_them() {
        let id = ObjectId::null(gix_hash::Kind::Sha1);
        let expanded = |text: &str| {
            with_ident(text.as_bytes(), id).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let ours = format!("a $Id: {id} $ b");
        for text in ["a $Id$ b", "a $Id: x $ b", "a $Id:$ b", "a $Id: $ b", &ours] {
            assert_eq!(expanded(text).as_deref(), Some(ours.as_str()), "{text}");
        }
        for text in ["$Id", "$Id:\n$", "$Id: a b c $", "$ID$", "$Ident$", "$"] {
            assert_eq!(expanded(text), None, "{text}");
        }
    }

    #[test]
    fn encodings_have_marks_only_where_their_name_says_so() {
        let encoded =
            |name: &str, text: &str| encoding(name).unwrap().unwrap().encode(text.as_bytes());
        assert_eq!(encoded("UTF-16LE", "ü").unwrap(), [0xfc, 0]);
        assert_eq!(encoded("utf-16be-bom", "a").unwrap(), [0xfe, 0xff, 0, b'a']);
        assert_eq!(
            encoded("UTF-32", "a").unwrap(),
            [0xff, 0xfe, 0, 0, b'a', 0, 0, 0]
        );
        assert_eq!(encoded("latin1", "ü").unwrap(), [0xfc]);
        assert_eq!(encoded("latin1", "€"), None);
        assert!(encoding("SHIFT-JIS").is_err());
    }
}
