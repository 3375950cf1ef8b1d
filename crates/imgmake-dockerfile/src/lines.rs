//! The file's lines put together into logical lines: directives, continuations, comments, heredoc bodies.
//!
//! Knows no instruction but those that can hold heredocs.

use super::ast::{Directives, Escape, Heredoc};
use super::checks::CheckOptions;
use super::error::{DockerfileError, Kind, Mistake};

/// One instruction as text.
#[derive(Debug)]
pub struct LogicalLine {
    pub text: String,
    /// Blanks behind the text: an ONBUILD stores them.
    pub trailing: String,
    pub first_line: usize,
    pub last_line: usize,
    pub comments: Vec<String>,
    pub heredocs: Vec<Heredoc>,
}

/// What the file consists of.
#[derive(Debug, Default)]
pub struct Reading {
    pub directives: Directives,
    pub lines: Vec<LogicalLine>,
    pub empty_continuations: Vec<usize>,
    pub errors: Vec<DockerfileError>,
}

pub fn read(text: &str) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        lines: text.split_inclusive('\n').collect(),
        next: 0,
        comments: Vec::new(),
        reading: Reading::default(),
    };
    reader.directives();
    while reader.instruction() {}
    reader.reading
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    next: usize,
    comments: Vec<String>,
    reading: Reading,
}

impl Reader<'_> {
    /// The block ends at the first line that is not a known directive; each stands once, in any case.
    fn directives(&mut self) {
        let mut seen = Vec::new();
        while let Some((name, value)) = self.lines.get(self.next).and_then(|l| directive(l)) {
            self.next += 1;
            if seen.contains(&name) {
                let mistake = Mistake::duplicate(Kind::Directive, name.as_str());
                self.error(mistake.at(self.next).word(name));
                continue;
            }
            if let Err(error) = self.apply(&name, value) {
                self.error(error);
            }
            seen.push(name);
        }
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<(), DockerfileError> {
        let directives = &mut self.reading.directives;
        match (name, value) {
            ("syntax", value) => directives.syntax = Some(value.to_owned()),
            ("escape", "\\") => directives.escape = Escape::Backslash,
            ("escape", "`") => directives.escape = Escape::Backtick,
            ("escape", other) => {
                let mistake =
                    Mistake::unusable(format!("`{other}`"), "cannot be the escape character");
                let error = mistake.at(self.next).word(other);
                return Err(error.help("write # escape=` or # escape=\\"));
            }
            (_, value) => {
                let wrong = |mistake: Mistake| mistake.at(self.next).word(value);
                directives.check = CheckOptions::parse(value).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn error(&mut self, error: DockerfileError) {
        self.reading.errors.push(error);
    }

    /// Reads one line of the file, one instruction or one comment; false at the end.
    fn instruction(&mut self) -> bool {
        let Some(line) = self.lines.get(self.next) else {
            return false;
        };
        self.next += 1;
        let line = trim_newline(line).trim_start();
        if let Some(comment) = line.strip_prefix('#') {
            self.comment(comment.trim());
            return true;
        }
        let first_line = self.next;
        let (start, continues) = self.continuation(line);
        if !continues && start.is_empty() {
            self.blank();
            return true;
        }
        let mut text = start.to_owned();
        if continues {
            self.continued(&mut text);
        }
        self.logical_line(text, first_line);
        true
    }

    /// An empty comment separates: what stands above it does not describe the next instruction.
    fn comment(&mut self, comment: &str) {
        match comment.is_empty() {
            true => self.comments.clear(),
            false => self.comments.push(comment.to_owned()),
        }
    }

    /// A comment above a blank line is no description of what stands below it; an empty text keeps them apart.
    fn blank(&mut self) {
        if self.comments.last().is_some_and(|c| !c.is_empty()) {
            self.comments.push(String::new());
        }
    }

    fn continued(&mut self, text: &mut String) {
        while let Some(raw) = self.lines.get(self.next) {
            self.next += 1;
            let line = trim_newline(raw);
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                self.reading.empty_continuations.push(self.next);
                continue;
            }
            let (line, continues) = self.continuation(line);
            text.push_str(line);
            if !continues {
                return;
            }
        }
    }

    /// The line without its continuation character, and whether it had one. An escaped escape is none.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.reading.directives.escape.character();
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            _ => (line, false),
        }
    }

    fn logical_line(&mut self, text: String, first_line: usize) {
        let comments = std::mem::take(&mut self.comments);
        let line = text.trim_start();
        let (text, trailing) = line.split_at(line.trim_end().len());
        if text.is_empty() {
            return;
        }
        let escape = self.reading.directives.escape;
        let heredocs = match can_hold_heredocs(text, escape) {
            true => self.heredocs(text, first_line),
            false => Vec::new(),
        };
        self.reading.lines.push(LogicalLine {
            text: text.to_owned(),
            trailing: trailing.to_owned(),
            first_line,
            last_line: self.next,
            comments,
            heredocs,
        });
    }

    fn heredocs(&mut self, text: &str, line: usize) -> Vec<Heredoc> {
        let mut heredocs = match Heredoc::in_line(text) {
            Ok(heredocs) => heredocs,
            Err(error) => {
                self.error(DockerfileError::from(error).at(line));
                return Vec::new();
            }
        };
        for heredoc in &mut heredocs {
            if !self.body(heredoc) {
                let help = format!("end it with a line that contains only {}", heredoc.name);
                let written = heredoc.written.clone();
                let mistake = Mistake::HeredocNotClosed {
                    written: written.clone(),
                };
                self.error(mistake.at(line).word(written).help(help));
                break;
            }
        }
        heredocs
    }

    fn body(&mut self, heredoc: &mut Heredoc) -> bool {
        while let Some(line) = self.lines.get(self.next) {
            self.next += 1;
            if heredoc.ends_at(line) {
                return true;
            }
            heredoc.content.push_str(line);
        }
        false
    }
}

fn trim_newline(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// `# name = value` with a name that is known.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = trim_newline(line)
        .trim_start()
        .strip_prefix('#')?
        .split_once('=')?;
    let name = name.trim().to_lowercase();
    let value = value.trim();
    let known = ["syntax", "escape", "check"].contains(&name.as_str());
    (known && !value.is_empty()).then_some((name, value))
}

/// RUN, COPY and ADD in word form, also behind ONBUILD.
fn can_hold_heredocs(text: &str, escape: Escape) -> bool {
    let (keyword, rest) = super::flags::keyword(text);
    let holds = ["RUN", "COPY", "ADD"]
        .iter()
        .any(|k| keyword.eq_ignore_ascii_case(k));
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        return !rest.is_empty() && !is_onbuild(rest) && can_hold_heredocs(rest, escape);
    }
    holds && text.contains("<<") && !is_json(rest, escape)
}

/// Chains of ONBUILD are an error later on; here they must not recurse.
fn is_onbuild(text: &str) -> bool {
    super::flags::keyword(text)
        .0
        .eq_ignore_ascii_case("ONBUILD")
}

fn is_json(rest: &str, escape: Escape) -> bool {
    // Flags stand before the array; a broken one is reported when the instruction is parsed.
    let arguments = super::flags::split(rest, escape).1;
    super::flags::json_strings(arguments).is_ok_and(|list| list.is_some())
}
