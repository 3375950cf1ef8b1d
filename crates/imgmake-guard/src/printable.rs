//! Text from outside, as it may be printed: what images, commands, registries and manifests say
//! must not move the cursor, retitle the terminal, or speak to the CI system that reads the log.
//!
//! All writers go through here. Control characters are shown (`␛`), never sent; on a terminal
//! that takes colors, colors pass. What Azure Pipelines, TeamCity and GitHub take for commands
//! (`##vso[`, `##teamcity[`, `::add-mask::`) is shown with a blank in it.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// Whether sequences that color text may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    Pass,
    /// They are left out: nothing but decoration is lost.
    Removed,
}

impl Colors {
    pub fn when(wanted: bool) -> Colors {
        match wanted {
            true => Colors::Pass,
            false => Colors::Removed,
        }
    }
}

/// The lines that a terminal or the reader of a log would see: `\r`, vertical tab, form feed and
/// Unicode's line ends begin a new one as `\n` does. Each is printable. Empty ones that only
/// stand between two such ends are left out; there is at least one.
pub fn lines_of(text: &str, colors: Colors) -> Vec<Cow<'_, str>> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let parts = line.split(ends_line).filter(|part| !part.is_empty());
        let before = lines.len();
        lines.extend(parts.map(|part| one_line(part, colors)));
        if lines.len() == before {
            lines.push(Cow::Borrowed(""));
        }
    }
    lines
}

/// A text of ours with words of others in it: `\n` and tabs stay, all other line ends and
/// controls are shown. Lines that begin with what GitHub takes for a command lose that meaning.
pub fn text(text: &str, colors: Colors) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut output = String::with_capacity(text.len() + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            output.push('\n');
        }
        output.push_str(&one_line(line, colors));
    }
    Cow::Owned(output)
}

/// Characters of a message's line; diagnostics show a line of a manifest.
const LONGEST_LINE: usize = 4000;

/// As [`text`], for a message: what others say in it does not fill a log.
pub fn message(input: &str, colors: Colors) -> Cow<'_, str> {
    const MOST_LINES: usize = 1000;
    let (length, lines) = (input.len(), input.split('\n').count());
    if length <= LONGEST_LINE && lines <= MOST_LINES {
        return text(input, colors);
    }
    let mut output = String::new();
    for (number, line) in input.split('\n').take(MOST_LINES).enumerate() {
        if number > 0 {
            output.push('\n');
        }
        output.push_str(&one_line(&cut(line, LONGEST_LINE), colors));
    }
    if lines > MOST_LINES {
        write!(output, "\n… and {} lines more", lines - MOST_LINES).expect("a string takes all");
    }
    Cow::Owned(output)
}

/// One line of it: line ends are shown as well.
pub fn line(text: &str, colors: Colors) -> Cow<'_, str> {
    match text.contains('\n') {
        true => Cow::Owned(one_line(&text.replace('\n', "␊"), colors).into_owned()),
        false => one_line(text, colors),
    }
}

/// JSON that says the same in every reader and nothing to a CI system or a terminal.
pub fn json(text: &str) -> Cow<'_, str> {
    let special = |c: char| c != '\n' && is_special(c);
    if !text.contains("##") && !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut output = String::with_capacity(text.len() + 16);
    let mut before = '\0';
    for c in text.chars() {
        // Outside of strings JSON has neither: these are inside.
        if special(c) || (c == '#' && before == '#') {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(output, "\\u{unit:04x}").expect("a string takes all");
            }
        } else {
            output.push(c);
        }
        before = c;
    }
    Cow::Owned(output)
}

/// `a, b, c and 14997 more`: names of others in a message, however many there are.
pub fn list<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    listed(names, ", ")
}

/// As [`list`], with another separator.
pub fn listed<T: Display>(names: impl IntoIterator<Item = T>, separator: &str) -> String {
    /// Characters of one name.
    const LONGEST: usize = 200;
    joined(names, separator, LONGEST)
}

/// As [`listed`], for whole messages: what a message says last is often what helps.
pub fn sentences<T: Display>(messages: impl IntoIterator<Item = T>, separator: &str) -> String {
    joined(messages, separator, LONGEST_LINE)
}

fn joined<T: Display>(
    names: impl IntoIterator<Item = T>,
    separator: &str,
    longest: usize,
) -> String {
    const MOST: usize = 20;
    let mut text = String::new();
    let mut more = 0;
    for (number, name) in names.into_iter().enumerate() {
        if number >= MOST {
            more += 1;
            continue;
        }
        if number > 0 {
            text.push_str(separator);
        }
        text.push_str(&cut(&name.to_string(), longest));
    }
    if more > 0 {
        write!(text, " and {more} more").expect("a string takes all");
    }
    text
}

/// At most so many characters, and `…` where there were more.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn one_line(text: &str, colors: Colors) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut output = String::with_capacity(text.len() + 16);
    let mut colored = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = color_sequence(rest) {
            if colors == Colors::Pass {
                output.push_str(&rest[..length]);
                colored = !["\x1b[0m", "\x1b[m"].contains(&&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        match c {
            _ if is_special(c) => show(c, &mut output),
            _ => output.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    // A line that speaks to a CI system loses its colors too: they could stand inside the mark.
    let bare = without_colors(&output);
    let harmless = without_commands(&bare);
    if harmless != bare {
        return Cow::Owned(harmless);
    }
    if colored {
        output.push_str("\x1b[0m");
    }
    Cow::Owned(output)
}

/// Nothing in it needs to be changed.
fn is_plain(text: &str) -> bool {
    !text.contains(|c| c != '\n' && is_special(c)) && !text.contains("##") && !text.contains("::")
}

fn ends_line(c: char) -> bool {
    matches!(
        c,
        '\r' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Controls but for the tab, line ends, and what reorders text.
fn is_special(c: char) -> bool {
    (c.is_control() && c != '\t')
        || ends_line(c)
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

fn show(c: char, output: &mut String) {
    match u32::from(c) {
        // Unicode has pictures of these.
        code @ 0..=0x1f => output.extend(char::from_u32(0x2400 + code)),
        0x7f => output.push('␡'),
        code => write!(output, "\\u{{{code:x}}}").expect("a string takes all"),
    }
}

/// The length of a sequence that colors text and does nothing else, at the beginning: `ESC [`,
/// numbers, `m`. Not with 8, which conceals, and begins Jenkins' console notes.
fn color_sequence(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    let fits = end <= 40 && numbers[end..].starts_with('m');
    (fits && !conceals(&numbers[..end])).then_some(end + 3)
}

/// Whether 8 is among them for itself, and not a part of a color (`38;5;8`, `38;2;8;8;8`).
fn conceals(numbers: &str) -> bool {
    let mut numbers = numbers.split(';');
    while let Some(number) = numbers.next() {
        match number
            .split(':')
            .next()
            .unwrap_or_default()
            .trim_start_matches('0')
        {
            "8" => return true,
            // With colons the whole color is one field.
            "38" | "48" | "58" if !number.contains(':') => {
                let parts = match numbers.next() {
                    Some("5") => 1,
                    Some("2") => 3,
                    _ => return true,
                };
                numbers.by_ref().take(parts).for_each(drop);
            }
            _ => {}
        }
    }
    false
}

/// Azure Pipelines and the older GitHub form look for their marks anywhere in a line, GitHub's
/// `::command::` at its beginning.
fn without_commands(line: &str) -> String {
    let mut output = String::with_capacity(line.len() + 8);
    let mut rest = line;
    while let Some(at) = rest.find("##") {
        let (before, after) = rest.split_at(at + 1);
        output.push_str(before);
        let mark = after[1..].chars().take(9).collect::<String>();
        let mark = mark.to_ascii_lowercase();
        if ["[", "vso[", "teamcity["]
            .iter()
            .any(|m| mark.starts_with(m))
        {
            output.push_str("# ");
            rest = &after[1..];
        } else {
            rest = after;
        }
    }
    output.push_str(rest);
    let start = output.trim_start();
    let named = start.strip_prefix("::").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.contains("::")
    });
    if named {
        let at = output.len() - start.len();
        output.insert(at + 1, ' ');
    }
    output
}

fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        match color_sequence(rest) {
            Some(length) => rest = &rest[length..],
            None => {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_line_that_a_log_would_show_is_one() {
        let output = lines_of(
            "a\r##vso[x]y\n10%\r20%\r\nb\x0bc\x0cd\u{85}e\u{2028}f\u{2029}g\n\nend",
            Colors::Removed,
        );
        assert_eq!(
            output,
            [
                "a",
                "## vso[x]y",
                "10%",
                "20%",
                "b",
                "c",
                "d",
                "e",
                "f",
                "g",
                "",
                "end"
            ]
        );
        assert_eq!(lines_of("", Colors::Removed), [""]);
        assert_eq!(lines_of("\r\r", Colors::Removed), [""]);
    }

    #[test]
    fn controls_are_shown_and_only_colors_pass_where_they_are_wanted() {
        for (input, plain, colored) in [
            ("\x1b[31mred\x1b[0m x", "red x", "\x1b[31mred\x1b[0m x"),
            (
                "\x1b[1;38;5;200mopen",
                "open",
                "\x1b[1;38;5;200mopen\x1b[0m",
            ),
            ("\x1b[38;2;1;8;3mx\x1b[m", "x", "\x1b[38;2;1;8;3mx\x1b[m"),
            ("\x1b]0;title\x07", "␛]0;title␇", "␛]0;title␇"),
            (
                "\x1b]8;;http://x\x1b\\y",
                "␛]8;;http://x␛\\y",
                "␛]8;;http://x␛\\y",
            ),
            ("\x1b[2J\x1b[1;1H", "␛[2J␛[1;1H", "␛[2J␛[1;1H"),
            ("\x1bP+q\x1b\\", "␛P+q␛\\", "␛P+q␛\\"),
            ("\u{9b}31m", "\\u{9b}31m", "\\u{9b}31m"),
            ("\x1b[8mha:AAAA", "␛[8mha:AAAA", "␛[8mha:AAAA"),
            ("a\0b\x7f\tc", "a␀b␡\tc", "a␀b␡\tc"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\x1b[", "␛[", "␛["),
            ("\x1b[38;5;8;8mx", "␛[38;5;8;8mx", "␛[38;5;8;8mx"),
            ("\x1b[38;9;8mx", "␛[38;9;8mx", "␛[38;9;8mx"),
        ] {
            assert_eq!(line(input, Colors::Removed), plain, "{input:?}");
            assert_eq!(line(input, Colors::Pass), colored, "{input:?}");
        }
        assert_eq!(line("a\r\nb", Colors::Removed), "a␍␊b");
        assert_eq!(text("a\r\nb\n", Colors::Removed), "a␍\nb\n");
    }

    #[test]
    fn commands_of_ci_systems_lose_their_meaning() {
        for (input, output) in [
            ("x ##vso[task.setvariable]", "x ## vso[task.setvariable]"),
            ("###[error]", "### [error]"),
            ("##TeamCity[x]", "## TeamCity[x]"),
            ("## heading", "## heading"),
            ("##", "##"),
            ("::add-mask::x", ": :add-mask::x"),
            ("  ::set-output name=a::x", "  : :set-output name=a::x"),
            ("\x1b[1m::error::x", ": :error::x"),
            ("#\x1b[1m#vso[a]", "## vso[a]"),
            ("a::b::c", "a::b::c"),
            ("::1 is an address", "::1 is an address"),
            ("std::io::Error", "std::io::Error"),
        ] {
            assert_eq!(text(input, Colors::Removed), output);
        }
        let output = text("ours\n::warning::theirs\n", Colors::Removed);
        assert_eq!(output, "ours\n: :warning::theirs\n");
    }

    #[test]
    fn json_says_the_same() {
        let value = serde_json::json!({"line": "##vso[a] \u{9b} \u{2028} \u{7f} ##", "n": [1, 2]});
        let plain = serde_json::to_string_pretty(&value).unwrap();
        let output = json(&plain);
        assert!(!output.contains("##") && output.is_ascii(), "{output}");
        let again: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn lists_and_names_have_an_end() {
        assert_eq!(list(["a", "b"]), "a, b");
        let many = list((0..15_000).map(|n| format!("linux/{n}")));
        assert!(many.ends_with("linux/19 and 14980 more"), "{many}");
        assert!(list(["x".repeat(10_000)]).len() < 300);
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
        let long = message(&format!("{}\nshort", "x".repeat(1 << 20)), Colors::Removed).len();
        assert!((4000..5000).contains(&long), "{long}");
        let many = message(&"line\n".repeat(100_000), Colors::Removed).into_owned();
        assert!(many.ends_with("… and 99001 lines more"), "{}", many.len());
        assert_eq!(message("short", Colors::Removed), "short");
    }

    proptest! {
        #[test]
        fn whatever_is_said_nothing_is_sent(input in "(?s)[\x00-\x7f\u{80}-\u{9f}\u{2028}##\\[vso:a-c\x1b]{0,60}") {
            for colors in [Colors::Pass, Colors::Removed] {
                let output = lines_of(&input, colors);
                for line in &output {
                    let plain = without_colors(line);
                    prop_assert!(!plain.contains(is_special), "{line:?}");
                    prop_assert!(!plain.to_ascii_lowercase().contains("##vso["), "{line:?}");
                    prop_assert!(!plain.contains("##["), "{line:?}");
                }
                if colors == Colors::Removed {
                    prop_assert!(!output.iter().any(|l| l.contains('\x1b')));
                }
            }
        }
    }
}
