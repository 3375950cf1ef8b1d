//! Texts of YAML: plain, quoted, and the blocks below `|` and `>`.

use super::super::json::Kind;
use super::super::problem::Problem;
use super::{Reader, key_end};

impl Reader<'_> {
    /// Words on this line, and on those below that are indented further.
    pub(super) fn plain(&mut self, parent: Option<usize>) -> Result<String, Problem> {
        let mut text = String::new();
        let first = self.rest().chars().next();
        if let Some(sign) = first.filter(|c| "@`%,]}".contains(*c)) {
            let why = format!("a text that begins with `{sign}` must be in quotes");
            return Err(self.wrong(&why));
        }
        loop {
            let line = self.rest().lines().next().unwrap_or_default();
            let end = line.find(" #").unwrap_or(line.len());
            let words = line[..end].trim_end();
            if key_end(words).is_some() {
                return Err(self.wrong(match text.is_empty() {
                    true => "a key is in this text: quote it, or write the key on its own line",
                    false => "a text continues here, and contains a key",
                }));
            }
            text.push_str(words);
            self.at += words.len();
            if end < line.len() {
                return Ok(text);
            }
            let before = self.at;
            let lines = self.line();
            self.blank()?;
            let goes_on = !self.rest().is_empty()
                && parent.is_some_and(|parent| self.column() > parent)
                && !self.text[before..self.at].contains('#');
            if !goes_on {
                self.at = before;
                return Ok(text);
            }
            // An empty line is the end of one; a single one a space.
            match self.line() - lines {
                1 => text.push(' '),
                more => text.push_str(&"\n".repeat(more - 1)),
            }
        }
    }

    pub(super) fn quoted(&mut self, quote: char) -> Result<String, Problem> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(self.wrong("a quoted text is not closed"));
            };
            self.at += c.len_utf8();
            match c {
                '\'' if quote == '\'' && self.take("'") => text.push('\''),
                c if c == quote => return Ok(text),
                '\\' if quote == '"' => self.escape(&mut text)?,
                '\n' => {
                    let kept = text.trim_end_matches([' ', '\t', '\r']).len();
                    text.truncate(kept);
                    let rest = self.rest();
                    let blank = &rest[..rest.len() - rest.trim_start().len()];
                    match blank.matches('\n').count() {
                        0 => text.push(' '),
                        more => text.push_str(&"\n".repeat(more)),
                    }
                    self.at += blank.len();
                }
                c => text.push(c),
            }
        }
    }

    pub(super) fn escape(&mut self, text: &mut String) -> Result<(), Problem> {
        let c = self.rest().chars().next().unwrap_or(' ');
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        let named = match c {
            'n' => Some('\n'),
            't' | '\t' => Some('\t'),
            'r' => Some('\r'),
            '0' => Some('\0'),
            'e' => Some('\u{1b}'),
            '"' | '\\' | '/' | ' ' => Some(c),
            _ => None,
        };
        if let Some(named) = named {
            text.push(named);
            return Ok(());
        }
        let digits = match c {
            '\n' => {
                let rest = self.rest();
                self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
                return Ok(());
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(self.wrong(&format!("unknown escape `\\{c}`"))),
        };
        let hex = self.rest().get(..digits).unwrap_or_default();
        let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
        let Some(code) = code.filter(|_| hex.len() == digits) else {
            return Err(self.wrong("an escape names no character"));
        };
        self.at += digits;
        text.push(code);
        Ok(())
    }

    /// `|` and `>` with what is indented below.
    pub(super) fn literal(&mut self, parent: Option<usize>) -> Result<Kind, Problem> {
        let is_folded = self.rest().starts_with('>');
        self.at += 1;
        let line = self.rest().lines().next().unwrap_or_default();
        let header = line.split(" #").next().unwrap_or_default().trim();
        let digit = header.chars().find(char::is_ascii_digit);
        if !header.chars().all(|c| matches!(c, '+' | '-' | '1'..='9')) || header.len() > 2 {
            return Err(self.wrong("what follows `|` or `>` is `+`, `-` or a number"));
        }
        self.at += line.len();
        self.take("\n");
        let base = parent.map_or(0, |parent| parent + 1);
        let mut indent = digit.and_then(|digit| digit.to_digit(10));
        let mut indent = indent
            .take()
            .map(|more| parent.unwrap_or(0) + more as usize);
        let mut lines: Vec<&str> = Vec::new();
        while !self.rest().is_empty() {
            let whole = self.rest().split_inclusive('\n').next().unwrap_or_default();
            let line = whole.trim_end_matches(['\n', '\r']);
            let own = line.len() - line.trim_start_matches(' ').len();
            let is_blank = line.trim().is_empty();
            if !is_blank && own < indent.unwrap_or(base).max(base) {
                break;
            }
            if !is_blank {
                indent.get_or_insert(own);
            }
            lines.push(
                line.get(indent.unwrap_or(own).min(line.len())..)
                    .unwrap_or(""),
            );
            self.at += whole.len();
        }
        // The value ends with the line before.
        self.at -= usize::from(self.at > 0 && self.text[..self.at].ends_with('\n'));
        let trailing = lines
            .iter()
            .rev()
            .take_while(|line| line.trim().is_empty())
            .count();
        let kept = lines.len() - trailing;
        let mut text = match is_folded {
            false => lines[..kept].join("\n"),
            true => folded(&lines[..kept]),
        };
        match header.contains('-') {
            true => {}
            false if header.contains('+') => text.push_str(&"\n".repeat(trailing + 1)),
            false if kept > 0 => text.push('\n'),
            false => {}
        }
        Ok(Kind::Text(text))
    }
}

/// Lines that follow each other are one; those that are indented stay.
fn folded(lines: &[&str]) -> String {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let stays = |line: &str| line.is_empty() || line.starts_with([' ', '\t']);
        if at > 0 {
            match (stays(lines[at - 1]), stays(line)) {
                (false, false) => text.push(' '),
                (false, true) if line.is_empty() => {}
                _ => text.push('\n'),
            }
        }
        text.push_str(line);
    }
    text
}
