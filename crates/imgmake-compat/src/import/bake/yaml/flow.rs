//! `[a, b]` and `{a: b}` of YAML.

use super::super::json::{Json, Kind, Name};
use super::super::problem::Problem;
use super::{DEEPEST, Reader, copy, plain, scalar, size};

impl Reader<'_> {
    /// `[a, b]` and `{a: b}`, on one line or several.
    pub(super) fn flow(&mut self) -> Result<Kind, Problem> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("lists and maps are nested more than 64 deep"));
        }
        let is_map = self.take("{");
        let close = if is_map { "}" } else { "]" };
        if !is_map {
            self.at += 1;
        }
        let (mut list, mut pairs) = (Vec::new(), Vec::new());
        loop {
            self.flow_space();
            if self.take(close) {
                break;
            }
            let line = self.line();
            let first = self.flow_value()?;
            self.flow_space();
            if is_map {
                let Some(text) = scalar(first) else {
                    return Err(self.wrong("a key is a text"));
                };
                let value = match self.take(":") {
                    true => {
                        self.flow_space();
                        self.flow_value()?
                    }
                    false => Json {
                        line,
                        kind: Kind::Null,
                    },
                };
                pairs.push((Name { line, text }, value));
            } else if self.rest().starts_with(':') {
                return Err(self.wrong("a pair in a list is written in braces"));
            } else {
                list.push(first);
            }
            self.flow_space();
            if !self.take(",") && !self.rest().starts_with(close) {
                return Err(self.wrong(&format!("`,` or `{close}` is expected")));
            }
        }
        self.depth -= 1;
        match is_map {
            true => self.merged(pairs),
            false => Ok(Kind::List(list)),
        }
    }

    pub(super) fn flow_space(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    pub(super) fn flow_value(&mut self) -> Result<Json, Problem> {
        let line = self.line();
        self.count(1)?;
        let properties = self.properties()?;
        if let Some(name) = self.word('*') {
            let Some(value) = self.anchors.get(&name).map(copy) else {
                return Err(self.wrong(&format!("the anchor `{name}` is not known here")));
            };
            self.count(size(&value))?;
            return Ok(value);
        }
        let kind = match self.rest().chars().next() {
            Some('[' | '{') => self.flow()?,
            Some(quote @ ('"' | '\'')) => Kind::Text(self.quoted(quote)?),
            Some(',' | ']' | '}') | None => Kind::Null,
            Some(_) => {
                let rest = self.rest();
                let end = rest.char_indices().find(|(at, c)| match c {
                    ',' | ']' | '}' | '[' | '{' | '\n' => true,
                    ':' => {
                        rest[at + 1..].starts_with([' ', '\n', ',', ']', '}'])
                            || rest.len() == at + 1
                    }
                    '#' => rest[..*at].ends_with(' '),
                    _ => false,
                });
                let end = end.map_or(rest.len(), |(at, _)| at);
                self.at += end;
                let text = rest[..end].trim();
                match properties.is_text {
                    true => Kind::Text(text.to_string()),
                    false => plain(text),
                }
            }
        };
        let value = Json { line, kind };
        if let Some(anchor) = properties.anchor {
            self.count(size(&value))?;
            self.anchors.insert(anchor, copy(&value));
        }
        Ok(value)
    }
}
