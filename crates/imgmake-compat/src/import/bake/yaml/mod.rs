//! YAML as the tree that JSON is read into: anchors and merge keys resolved, lines kept.
//!
//! What people write in Compose files, and no more: complex keys, directives, tags other than `!!str` and
//! several documents are refused with their line. Ours, since every crate that reads YAML would bring
//! others along, and a place for each value is needed here. What an alias repeats counts each time, so
//! that a small file cannot become a large tree.

mod flow;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use super::json::{Json, Kind, Name};
use super::problem::Problem;

/// Lists within lists; more are a mistake.
const DEEPEST: usize = 64;
/// Values in a file, those that aliases repeat included.
const MOST: usize = 100_000;

/// # Errors
/// Not YAML, or of a kind that is not read, with the line.
pub(super) fn parse(text: &str) -> Result<Json, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        at: 0,
        ends: text.match_indices('\n').map(|(at, _)| at).collect(),
        anchors: BTreeMap::new(),
        values: 0,
        depth: 0,
    };
    reader.begin()?;
    let value = reader.block(None)?;
    reader.blank()?;
    match reader.rest().is_empty() || reader.is_marker("...") {
        true => Ok(value),
        false => Err(reader.wrong("this line is indented otherwise than those above")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Where each line ends; counted for each value, they would be counted again and again.
    ends: Vec<usize>,
    anchors: BTreeMap<String, Json>,
    values: usize,
    depth: usize,
}

/// What a value belongs to: only the list of a key may stand in its column.
#[derive(Clone, Copy)]
enum Within {
    Map,
    List,
}

/// What stands before a value.
#[derive(Default)]
struct Properties {
    anchor: Option<String>,
    is_text: bool,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn line(&self) -> usize {
        1 + self.ends_before()
    }

    fn column(&self) -> usize {
        let last = self.ends_before().checked_sub(1);
        self.at - last.map_or(0, |last| self.ends[last] + 1)
    }

    fn ends_before(&self) -> usize {
        self.ends.partition_point(|end| *end < self.at)
    }

    fn wrong(&self, what: &str) -> Problem {
        Problem::at(Some(self.line()), format!("invalid YAML: {what}"))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn is_marker(&self, marker: &str) -> bool {
        let rest = self.rest().strip_prefix(marker);
        self.column() == 0
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n', '\r', '\t']))
    }

    /// To the first line of the document.
    fn begin(&mut self) -> Result<(), Problem> {
        self.blank()?;
        if self.rest().starts_with('%') {
            return Err(self.wrong("directives are not read"));
        }
        if self.is_marker("---") {
            self.at += 3;
        }
        Ok(())
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    }

    /// Over empty lines and comments, to the next token.
    fn blank(&mut self) -> Result<(), Problem> {
        loop {
            let rest = self.rest();
            let before = self.text[..self.at].chars().next_back();
            let spaces = rest.len() - rest.trim_start_matches(' ').len();
            match rest[spaces..].chars().next() {
                Some('\n' | '\r') => self.at += spaces + 1,
                Some('#') if spaces > 0 || before.is_none_or(char::is_whitespace) => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                Some('\t') => {
                    let only_blank = rest.lines().next().unwrap_or_default().trim().is_empty();
                    if !only_blank {
                        self.at += spaces;
                        return Err(self.wrong("lines are indented by spaces, not by tabs"));
                    }
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => {
                    self.at += spaces;
                    return Ok(());
                }
            }
        }
    }

    /// Whether nothing but a comment follows on this line.
    fn is_line_over(&self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default();
        let words = line.trim_start();
        let spaced = line.len() > words.len()
            || self.text[..self.at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace);
        words.is_empty() || (words.starts_with('#') && spaced)
    }

    fn is_entry(&self) -> bool {
        let rest = self.rest().strip_prefix('-');
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n', '\r', '\t']))
    }

    fn count(&mut self, values: usize) -> Result<(), Problem> {
        self.values += values;
        match self.values > MOST {
            true => Err(self.wrong("it has more than 100000 values, with those of aliases")),
            false => Ok(()),
        }
    }

    /// A value that is indented by more than `parent`, or nothing.
    fn block(&mut self, parent: Option<usize>) -> Result<Json, Problem> {
        self.blank()?;
        let (line, column) = (self.line(), self.column());
        let is_within = parent.is_none_or(|parent| column > parent);
        if self.rest().is_empty() || !is_within || self.is_marker("...") {
            return Ok(Json {
                line,
                kind: Kind::Null,
            });
        }
        if self.is_marker("---") {
            return Err(self.wrong("a second document begins here"));
        }
        self.count(1)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("lists and maps are nested more than 64 deep"));
        }
        let kind = if self.is_entry() {
            self.list(column)?
        } else if self.is_key() {
            self.map(column)?
        } else {
            let value = self.inline(parent, Within::List)?;
            self.depth -= 1;
            return Ok(value);
        };
        self.depth -= 1;
        Ok(Json { line, kind })
    }

    fn list(&mut self, column: usize) -> Result<Kind, Problem> {
        let mut list = Vec::new();
        loop {
            self.blank()?;
            if self.column() != column || !self.is_entry() {
                return Ok(Kind::List(list));
            }
            self.at += 1;
            self.spaces();
            list.push(
                match self.is_line_over() || self.is_entry() || self.is_key() {
                    true => self.block(Some(column))?,
                    false => self.inline(Some(column), Within::List)?,
                },
            );
        }
    }

    fn map(&mut self, column: usize) -> Result<Kind, Problem> {
        let mut pairs = Vec::new();
        loop {
            self.blank()?;
            if self.rest().is_empty() || self.column() != column || self.is_marker("...") {
                break;
            }
            if self.is_marker("---") {
                return Err(self.wrong("a second document begins here"));
            }
            let line = self.line();
            if !self.is_key() {
                return Err(self.wrong("`key: value` is expected"));
            }
            let text = self.key()?;
            let value = self.value(column)?;
            pairs.push((Name { line, text }, value));
        }
        self.merged(pairs)
    }

    /// Whether this line begins with a key.
    fn is_key(&self) -> bool {
        let rest = self.rest();
        let after = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let mut escaped = false;
                let end = rest[1..].char_indices().find(|(_, c)| {
                    let ends = *c == quote && !escaped;
                    escaped = quote == '"' && *c == '\\' && !escaped;
                    ends
                });
                let Some((end, _)) = end else { return false };
                rest[end + 2..].trim_start_matches(' ')
            }
            Some('[' | '{' | '#' | '|' | '>' | '*' | '&' | '!' | '%' | '@' | '`') | None => {
                return false;
            }
            Some(_) => match key_end(rest.lines().next().unwrap_or_default()) {
                Some(end) => &rest[end..],
                None => return false,
            },
        };
        let after = after.strip_prefix(':');
        after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '\n', '\r', '\t']))
    }

    fn key(&mut self) -> Result<String, Problem> {
        let text = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => {
                let line = self.rest().lines().next().unwrap_or_default();
                let end = key_end(line).unwrap_or(line.len());
                self.at += end;
                line[..end].trim_end().to_string()
            }
        };
        self.spaces();
        match self.take(":") {
            true => Ok(text),
            false => Err(self.wrong("`:` is expected after a key")),
        }
    }

    /// What follows a key.
    fn value(&mut self, column: usize) -> Result<Json, Problem> {
        self.spaces();
        if !self.is_line_over() {
            return self.inline(Some(column), Within::Map);
        }
        self.blank()?;
        // The entries of a map's list may stand below its key.
        if self.column() == column && self.is_entry() && !self.rest().is_empty() {
            let line = self.line();
            self.count(1)?;
            let kind = self.list(column)?;
            return Ok(Json { line, kind });
        }
        self.block(Some(column))
    }

    /// A value that begins on this line and belongs to something at `parent`.
    fn inline(&mut self, parent: Option<usize>, within: Within) -> Result<Json, Problem> {
        let line = self.line();
        self.count(1)?;
        let properties = self.properties()?;
        if let Some(name) = self.word('*') {
            let Some(size) = self.anchors.get(&name).map(size) else {
                return Err(self.wrong(&format!("the anchor `{name}` is not known here")));
            };
            self.count(size)?;
            let value = copy(&self.anchors[&name]);
            self.end_of_line()?;
            return Ok(value);
        }
        let value = if self.is_line_over() {
            match (within, parent) {
                (Within::Map, Some(column)) => self.value(column)?,
                (Within::Map | Within::List, _) => self.block(parent)?,
            }
        } else {
            let kind = match self.rest().chars().next() {
                Some('|' | '>') => self.literal(parent)?,
                Some('[' | '{') => {
                    let kind = self.flow()?;
                    self.end_of_line()?;
                    kind
                }
                Some(quote @ ('"' | '\'')) => {
                    let text = self.quoted(quote)?;
                    self.end_of_line()?;
                    Kind::Text(text)
                }
                _ => {
                    if matches!(within, Within::Map) && self.is_entry() {
                        return Err(self.wrong("a list begins on the line below its key"));
                    }
                    let text = self.plain(parent)?;
                    match properties.is_text {
                        true => Kind::Text(text),
                        false => plain(&text),
                    }
                }
            };
            Json { line, kind }
        };
        if let Some(anchor) = properties.anchor {
            self.count(size(&value))?;
            self.anchors.insert(anchor, copy(&value));
        }
        Ok(value)
    }

    fn properties(&mut self) -> Result<Properties, Problem> {
        let mut properties = Properties::default();
        loop {
            if let Some(name) = self.word('&') {
                properties.anchor = Some(name);
            } else if let Some(tag) = self.word('!') {
                if tag != "!str" {
                    return Err(self.wrong(&format!("the tag `!{tag}` is not read")));
                }
                properties.is_text = true;
            } else {
                return Ok(properties);
            }
            self.spaces();
        }
    }

    /// A name after a sign.
    fn word(&mut self, sign: char) -> Option<String> {
        let rest = self.rest().strip_prefix(sign)?;
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '[' | '{');
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += 1 + end;
        Some(rest[..end].to_string()).filter(|word| !word.is_empty())
    }

    fn end_of_line(&mut self) -> Result<(), Problem> {
        match self.is_line_over() {
            true => Ok(()),
            false => Err(self.wrong("something follows the end of a value")),
        }
    }

    /// The pairs of a map, each key once; `<<` is what other maps say and this one does not.
    fn merged(&self, said: Vec<(Name, Json)>) -> Result<Kind, Problem> {
        let mut pairs: BTreeMap<String, (usize, Name, Json)> = BTreeMap::new();
        let mut merged = Vec::new();
        for (at, (name, value)) in said.into_iter().enumerate() {
            if name.text == "<<" {
                merged.push(value);
            } else if pairs.contains_key(&name.text) {
                let message = format!("duplicate key `{}`", name.text);
                return Err(Problem::at(Some(name.line), message));
            } else {
                pairs.insert(name.text.clone(), (at, name, value));
            }
        }
        while let Some(value) = merged.pop() {
            match value.kind {
                Kind::Object(more) => {
                    for (name, value) in more {
                        let at = pairs.len() + MOST;
                        pairs.entry(name.text.clone()).or_insert((at, name, value));
                    }
                }
                Kind::List(list) => merged.extend(list.into_iter().rev()),
                _ => {
                    return Err(Problem::at(
                        Some(value.line),
                        "`<<` takes a map, or several",
                    ));
                }
            }
        }
        let mut pairs: Vec<(usize, Name, Json)> = pairs.into_values().collect();
        pairs.sort_by_key(|(at, ..)| *at);
        Ok(Kind::Object(
            pairs
                .into_iter()
                .map(|(_, name, value)| (name, value))
                .collect(),
        ))
    }
}

/// Where the key of a line ends: before the first `:` that a space follows.
fn key_end(line: &str) -> Option<usize> {
    let text = line.find(" #").map_or(line, |at| &line[..at]);
    text.match_indices(':').map(|(at, _)| at).find(|at| {
        let after = &text[at + 1..];
        after.is_empty() || after.starts_with([' ', '\t', '\r'])
    })
}

/// A plain scalar by YAML's core schema.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_number(text) => Kind::Number(text.to_string()),
        _ => Kind::Text(text.to_string()),
    }
}

/// Decimal numbers; others are kept as they are written.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    are_digits(whole) && are_digits(fraction)
}

/// The text of a key; numbers and booleans as they are written.
fn scalar(key: Json) -> Option<String> {
    match key.kind {
        Kind::Text(text) | Kind::Number(text) => Some(text),
        Kind::Bool(flag) => Some(flag.to_string()),
        Kind::Null => Some("null".to_string()),
        Kind::List(_) | Kind::Object(_) => None,
    }
}

pub(super) fn copy(value: &Json) -> Json {
    let kind = match &value.kind {
        Kind::Null => Kind::Null,
        Kind::Bool(flag) => Kind::Bool(*flag),
        Kind::Number(text) => Kind::Number(text.clone()),
        Kind::Text(text) => Kind::Text(text.clone()),
        Kind::List(list) => Kind::List(list.iter().map(copy).collect()),
        Kind::Object(pairs) => Kind::Object(
            pairs
                .iter()
                .map(|(name, value)| {
                    let name = Name {
                        line: name.line,
                        text: name.text.clone(),
                    };
                    (name, copy(value))
                })
                .collect(),
        ),
    };
    Json {
        line: value.line,
        kind,
    }
}

pub(super) fn size(value: &Json) -> usize {
    match &value.kind {
        Kind::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        Kind::Object(pairs) => {
            1 + pairs
                .iter()
                .map(|(_, value)| 1 + size(value))
                .sum::<usize>()
        }
        // A long text counts as the many short ones that it could be.
        Kind::Text(text) | Kind::Number(text) => 1 + text.len() / 256,
        Kind::Null | Kind::Bool(_) => 1,
    }
}
