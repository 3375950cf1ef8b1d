//! `.trivyignore`: one id per line, `#` comments, ` exp:YYYY-MM-DD`; and the YAML
//! form, of which we read the documented subset: sections, items of `key: value`,
//! lists of strings. Anything else is an error with its line.

use jiff::civil::Date;

use super::rule::Rule;
use super::settings::{TextFile, calendar_day};
use crate::FindingKind;
use crate::error::{Result, ScanError};
use imgmake_guard::excerpt::excerpt;

pub fn read(file: &TextFile) -> Result<Vec<Rule>> {
    let mut significant = file
        .text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let yaml = significant
        .next()
        .is_some_and(|l| l == "---" || section(l).is_some());
    if yaml {
        read_yaml(file)
    } else {
        read_plain(file)
    }
}

fn read_plain(file: &TextFile) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let text = text.split('#').next().unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let Some(id) = words.next() else {
            continue;
        };
        let mut rule = Rule::new(id, at(file, line));
        for word in words {
            let Some(date) = word.strip_prefix("exp:") else {
                let what = format!("word `{}`", excerpt(word));
                return Err(ScanError::invalid_at(
                    &rule.origin,
                    what,
                    "expected `exp:YYYY-MM-DD`",
                ));
            };
            rule.until = Some(last_day(date, &rule.origin)?);
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn at(file: &TextFile, line: usize) -> String {
    format!("{}:{line}", file.name)
}

/// Trivy's rules end when their date begins, so they hold until the day before.
fn last_day(date: &str, origin: &str) -> Result<Date> {
    let date = date.trim_matches(['"', '\'']);
    let day = date.get(..10).unwrap_or(date);
    calendar_day(day)
        .and_then(|day| day.yesterday().ok())
        .ok_or_else(|| {
            let what = format!("date `{}`", excerpt(date));
            ScanError::invalid_at(origin, what, "expected YYYY-MM-DD")
        })
}

/// Which findings a section of the YAML form speaks of.
fn section(line: &str) -> Option<FindingKind> {
    Some(match line.strip_suffix(':')? {
        "vulnerabilities" => FindingKind::Vulnerability,
        "secrets" => FindingKind::Secret,
        "misconfigurations" => FindingKind::Misconfiguration,
        "licenses" => FindingKind::License,
        _ => return None,
    })
}

fn read_yaml(file: &TextFile) -> Result<Vec<Rule>> {
    let mut reader = Yaml::default();
    for (line, text) in (1..).zip(file.text.lines()) {
        let text = without_comment(text);
        if !text.trim().is_empty() && text.trim() != "---" {
            reader.line(text, &at(file, line))?;
        }
    }
    reader.finish()
}

/// A `#` at the start or after a blank, outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, '#') if before.is_whitespace() => return &line[..at],
            _ => {}
        }
        before = c;
    }
    line.trim_end()
}

#[derive(Default)]
struct Yaml {
    section: Option<FindingKind>,
    rules: Vec<Rule>,
    /// Columns of the items of this section and of the list that is being read.
    item_column: Option<usize>,
    list: Option<List>,
}

#[derive(Clone, Copy, PartialEq)]
enum List {
    Paths,
    Purls,
}

impl Yaml {
    fn line(&mut self, text: &str, origin: &str) -> Result<()> {
        let column = text.len() - text.trim_start().len();
        let text = text.trim();
        if column == 0 && !text.starts_with('-') {
            let names = "vulnerabilities, misconfigurations, secrets or licenses";
            let found = section(text).or_else(|| section(text.strip_suffix("[]")?.trim()));
            let found = found.ok_or_else(|| {
                let what = format!("section `{}`", excerpt(text));
                ScanError::invalid_at(origin, what, format!("expected {names}"))
            })?;
            self.section = Some(found);
            self.item_column = None;
            self.list = None;
            return Ok(());
        }
        if self.section.is_none() {
            let what = format!("line `{}`", excerpt(text));
            return Err(ScanError::invalid_at(origin, what, "it is in no section"));
        }
        match text
            .strip_prefix("- ")
            .or_else(|| text.strip_prefix('-').filter(|t| t.is_empty()))
        {
            Some(item) if self.item_column.is_none_or(|c| column <= c) => {
                self.item_column = Some(column);
                self.list = None;
                let mut rule = Rule::new("", origin.to_string());
                rule.kind = self.section;
                self.rules.push(rule);
                if item.trim().is_empty() {
                    Ok(())
                } else {
                    self.pair(item.trim(), origin)
                }
            }
            Some(item) => self.element(item, origin),
            None => self.pair(text, origin),
        }
    }

    fn pair(&mut self, text: &str, origin: &str) -> Result<()> {
        let Some((key, value)) = text.split_once(':') else {
            let what = format!("line `{}`", excerpt(text));
            return Err(ScanError::invalid_at(origin, what, "expected `key: value`"));
        };
        let value = value.trim();
        let Some(rule) = self.rules.last_mut() else {
            let what = format!("line `{}`", excerpt(text));
            return Err(ScanError::invalid_at(
                origin,
                what,
                "it is outside of an item",
            ));
        };
        self.list = None;
        match key.trim() {
            "id" => rule.id = Some(unquoted(value)),
            "statement" => rule.reason = Some(unquoted(value)),
            "expired_at" => rule.until = Some(last_day(value, origin)?),
            "paths" => self.list = Some(List::Paths),
            "purls" => self.list = Some(List::Purls),
            other => {
                let keys = "expected id, paths, purls, expired_at or statement";
                let what = format!("key `{}`", excerpt(other));
                return Err(ScanError::invalid_at(origin, what, keys));
            }
        }
        if self.list.is_some() && !value.is_empty() {
            let inner = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
            let inner = inner.ok_or_else(|| {
                let what = format!("value `{}`", excerpt(value));
                ScanError::invalid_at(origin, what, "expected a list")
            })?;
            for element in inner.split(',').map(str::trim).filter(|e| !e.is_empty()) {
                self.element(element, origin)?;
            }
            self.list = None;
        }
        Ok(())
    }

    fn element(&mut self, text: &str, origin: &str) -> Result<()> {
        let (Some(list), Some(rule)) = (self.list, self.rules.last_mut()) else {
            let what = format!("item `- {}`", excerpt(text));
            return Err(ScanError::invalid_at(origin, what, "it is in no list"));
        };
        match list {
            List::Paths => rule.paths.push(unquoted(text)),
            List::Purls => rule.purls.push(unquoted(text)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Rule>> {
        if let Some(rule) = self
            .rules
            .iter()
            .find(|r| r.id.as_deref().is_none_or(str::is_empty))
        {
            return Err(ScanError::invalid_at(
                &rule.origin,
                "item",
                "it has no `id`",
            ));
        }
        Ok(self.rules)
    }
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    inner.unwrap_or(value).to_string()
}
