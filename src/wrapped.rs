//! Messages for a terminal: broken between words, where the terminal would break them within one.

use std::borrow::Cow;

/// What a line of a message begins with. So do the lines after it that begin with a letter or a digit;
/// other lines are quotes of files and output of commands, which stay as they are.
const BEGINNINGS: [&str; 7] = [
    "error: ",
    "warning: ",
    "note: ",
    "hint: ",
    "help: ",
    "= help: ",
    "tip: ",
];

/// The lines of messages, broken at so many columns and indented a little. What stands
/// between backticks stays on one line if it fits there: it is to be copied. 0 columns: as it is.
pub fn wrapped(text: &str, columns: usize) -> Cow<'_, str> {
    let mut is_message = false;
    with_indent(text, columns, |line| {
        let indent = indent(line);
        let goes_on = is_message && line.starts_with(|c: char| c.is_alphanumeric());
        is_message = indent.is_some() || goes_on;
        indent.or(goes_on.then_some(2))
    })
}

/// The same for lines that need not be messages: all of them are broken.
pub fn broken(text: &str, columns: usize) -> Cow<'_, str> {
    with_indent(text, columns, |line| {
        let plain = console::strip_ansi_codes(line);
        Some(plain.len() - plain.trim_start_matches(' ').len() + 2)
    })
}

fn with_indent(
    text: &str,
    columns: usize,
    mut indent: impl FnMut(&str) -> Option<usize>,
) -> Cow<'_, str> {
    let is_long = |line: &str| console::measure_text_width(line) > columns;
    if columns == 0 || !text.lines().any(is_long) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 64);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        match indent(line).filter(|_| is_long(line)) {
            Some(indent) => wrap(line, indent.min(columns / 2), columns, &mut out),
            None => out.push_str(line),
        }
    }
    out.into()
}

/// Columns before the other lines of a message, if the line is one.
fn indent(line: &str) -> Option<usize> {
    let plain = console::strip_ansi_codes(line);
    let rest = plain.trim_start_matches(' ');
    let is_message = BEGINNINGS.iter().any(|one| rest.starts_with(one));
    // Little, so that digests and commands have room.
    is_message.then_some(plain.len() - rest.len() + 2)
}

fn wrap(line: &str, indent: usize, columns: usize, out: &mut String) {
    let before = line.len() - line.trim_start_matches(' ').len();
    let (before, words) = line.split_at(before);
    out.push_str(before);
    let mut column = before.len();
    let mut is_first = true;
    for piece in pieces(words, columns.saturating_sub(indent)) {
        let width = console::measure_text_width(piece);
        if !is_first && column + 1 + width > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(piece);
        column += width;
        is_first = false;
    }
}

/// Words, and what stands between backticks as one word if it is no wider than `widest`.
fn pieces(text: &str, widest: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(' ').unwrap_or(rest.len());
        let whole =
            closed(rest, end).filter(|end| console::measure_text_width(&rest[..*end]) <= widest);
        let end = whole.unwrap_or(end);
        pieces.push(&rest[..end]);
        rest = rest[end..].strip_prefix(' ').unwrap_or(&rest[end..]);
    }
    pieces
}

/// The end of the word that begins here, beyond the spaces between its backticks.
fn closed(text: &str, first: usize) -> Option<usize> {
    let mut end = first;
    while text[..end].matches('`').count() % 2 == 1 {
        let next = end + 1;
        let more = text.get(next..)?;
        end = next + more.find(' ').unwrap_or(more.len());
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "error: target `app`: the file cannot be read\n  help: write `imgmake import compose.yaml --merge compose.override.yaml` or name another file\n  | a quote of a file, which stays as it is, however long it may be in the end\n";

    #[test]
    fn messages_are_broken_between_words_and_indented() {
        assert_eq!(
            wrapped(LONG, 40),
            "error: target `app`: the file cannot be\n  read\n  help: write `imgmake import\n    compose.yaml --merge\n    compose.override.yaml` or name\n    another file\n  | a quote of a file, which stays as it is, however long it may be in the end\n"
        );
        // What is to be copied stays on one line.
        let wide = wrapped(LONG, 70);
        let command = "`imgmake import compose.yaml --merge compose.override.yaml`";
        assert!(wide.contains(&format!("\n    {command} or\n")), "{wide}");
        let mut messages = wide.lines().filter(|line| !line.starts_with("  |"));
        assert!(messages.all(|line| line.len() <= 70), "{wide}");
    }

    #[test]
    fn the_lines_of_a_list_below_a_message_belong_to_it() {
        let message = "error: 2 pushes failed\none.example/app: nothing listens there\ntwo.example/app: nothing listens there\n  | one line of the output of a command\nand text after it, which stays";
        assert_eq!(
            wrapped(message, 30),
            "error: 2 pushes failed\none.example/app: nothing\n  listens there\ntwo.example/app: nothing\n  listens there\n  | one line of the output of a command\nand text after it, which stays"
        );
    }

    #[test]
    fn without_a_terminal_lines_stay_whole_and_colors_take_no_room() {
        assert_eq!(wrapped(LONG, 0), LONG);
        let colored = format!("\x1b[31merror\x1b[0m: {}", "x ".repeat(20));
        assert_eq!(wrapped(&colored, 60), colored);
        assert!(wrapped(&colored, 40).contains("\n  x"));
        let note = format!("  pushed {}", "x ".repeat(20));
        assert_eq!(wrapped(&note, 40), note);
        assert!(broken(&note, 40).contains("\n    x"), "{note}");
        let word = format!("error: {}", "y".repeat(100));
        assert_eq!(wrapped(&word, 40).replace("\n  ", " "), word);
        assert_eq!(
            wrapped("help: an odd ` is here and the line goes on", 40)
                .lines()
                .count(),
            2
        );
    }
}
