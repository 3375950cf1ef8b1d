//! Words: quoting, escapes and `$variables`, as BuildKit's shell lexer reads them.
//!
//! Knows POSIX parameter expansion with the modifiers of the Dockerfile reference. Knows no instruction.

use super::ast::Escape;
use super::error::{Mistake, WordProblem};
use std::collections::BTreeSet;

mod pattern;
#[cfg(test)]
mod tests;

/// Looks a variable up; `None` is unset, which differs from empty.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A word after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// Names that were looked up and had a value.
    pub used: BTreeSet<String>,
    /// Names that were looked up in vain, without a modifier that provides for it.
    pub unset: BTreeSet<String>,
}

/// Expands variables and removes quotes and escapes; one word stays one word.
pub fn expand(
    word: &str,
    environment: Environment<'_>,
    escape: Escape,
) -> Result<Expanded, Mistake> {
    let mut lexer = Lexer::new(word, environment, escape);
    let (text, _) = lexer.whole()?;
    Ok(lexer.expanded(text))
}

/// Expands first and splits at blanks afterwards (EXPOSE does this): unquoted values may become several words.
pub fn expand_words(
    word: &str,
    environment: Environment<'_>,
    escape: Escape,
) -> Result<(Vec<String>, Expanded), Mistake> {
    let mut lexer = Lexer::new(word, environment, escape);
    let (text, words) = lexer.whole()?;
    Ok((words, lexer.expanded(text)))
}

/// Expands variables in running text (heredoc bodies): quotes are ordinary characters, `\` escapes.
pub fn expand_text(text: &str, environment: Environment<'_>) -> Result<Expanded, Mistake> {
    let mut lexer = Lexer::new(text, environment, Escape::Backslash);
    lexer.quotes = Quotes::Ordinary;
    let (text, _) = lexer.whole()?;
    Ok(lexer.expanded(text))
}

/// For display: known variables are filled in, everything else stays as written.
pub fn expand_for_display(text: &str, environment: Environment<'_>, escape: Escape) -> String {
    let mut lexer = Lexer::new(text, environment, escape);
    lexer.quotes = Quotes::Kept;
    lexer.raw_escapes = true;
    lexer.unset_stays = true;
    lexer.whole().map_or(text.to_owned(), |(text, _)| text)
}

/// Splits a line into words without expanding; quotes and escapes stay if `quotes` says so.
pub(super) fn split(line: &str, quotes: Quotes, raw_escapes: bool) -> Result<Vec<String>, Mistake> {
    let mut lexer = Lexer::new(line, &|_| None, Escape::Backslash);
    lexer.quotes = quotes;
    lexer.raw_escapes = raw_escapes;
    lexer.unset_stays = true;
    lexer.whole().map(|(_, words)| words)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They group, and go away.
    Removed,
    /// They group, and stay.
    Kept,
    /// They mean nothing.
    Ordinary,
}

/// Deeper nesting of `${a:-${b:-…}}` is refused, so that no input can exhaust the stack.
const DEEPEST: usize = 100;

struct Lexer<'a> {
    source: &'a str,
    position: usize,
    environment: Environment<'a>,
    escape: char,
    quotes: Quotes,
    raw_escapes: bool,
    unset_stays: bool,
    depth: usize,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

/// Collects the words of the outermost level.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    open: String,
}

impl Words {
    fn raw(&mut self, text: &str) {
        self.open.push_str(text);
    }
    fn split(&mut self, text: &str) {
        for c in text.chars() {
            match c.is_whitespace() {
                true => self.end(),
                false => self.open.push(c),
            }
        }
    }
    fn end(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
    }
}

impl<'a> Lexer<'a> {
    fn new(source: &'a str, environment: Environment<'a>, escape: Escape) -> Lexer<'a> {
        Lexer {
            source,
            position: 0,
            environment,
            escape: escape.character(),
            quotes: Quotes::Removed,
            raw_escapes: false,
            unset_stays: false,
            depth: 0,
            used: BTreeSet::new(),
            unset: BTreeSet::new(),
        }
    }

    fn expanded(self, text: String) -> Expanded {
        Expanded {
            text,
            used: self.used,
            unset: self.unset,
        }
    }

    fn whole(&mut self) -> Result<(String, Vec<String>), Mistake> {
        self.until(None, self.raw_escapes)
    }

    fn peek(&self) -> Option<char> {
        self.source[self.position..].chars().next()
    }
    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }
    fn error<T>(&self, problem: WordProblem) -> Result<T, Mistake> {
        let word = self.source.to_owned();
        Err(Mistake::Word { word, problem })
    }

    /// Reads up to `stop` (consumed) or, without one, to the end.
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Vec<String>), Mistake> {
        if self.depth == DEEPEST {
            return self.error(WordProblem::TooDeep);
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.run(stop);
        self.raw_escapes = outer;
        self.depth -= 1;
        result
    }

    fn run(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), Mistake> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                words.end();
                return Ok((text, words.done));
            }
            let start = text.len();
            let splits = self.piece(c, &mut text)?;
            match splits {
                true => words.split(&text[start..]),
                false => words.raw(&text[start..]),
            }
        }
        match stop {
            Some('/') => self.error(WordProblem::NoReplacement),
            Some(_) => self.error(WordProblem::UnclosedBrace),
            None => {
                words.end();
                Ok((text, words.done))
            }
        }
    }

    /// Reads one character, quotation or variable; says whether blanks in it separate words.
    fn piece(&mut self, c: char, text: &mut String) -> Result<bool, Mistake> {
        match c {
            '$' => {
                let value = self.dollar()?;
                text.push_str(&value);
                Ok(true)
            }
            '<' => {
                self.possible_heredoc(text);
                Ok(false)
            }
            '\'' if self.quotes != Quotes::Ordinary => self.single_quoted(text).map(|()| false),
            '"' if self.quotes != Quotes::Ordinary => self.double_quoted(text).map(|()| false),
            c if c == self.escape => {
                self.next();
                if self.raw_escapes {
                    text.push(c);
                }
                text.extend(self.next());
                Ok(false)
            }
            c => {
                self.next();
                text.push(c);
                Ok(true)
            }
        }
    }

    /// `<< NAME` is one word: the blanks belong to it.
    fn possible_heredoc(&mut self, text: &mut String) {
        self.next();
        text.push('<');
        if self.peek() != Some('<') {
            return;
        }
        self.next();
        text.push('<');
        while let Some(c @ (' ' | '\t' | '\r')) = self.peek() {
            self.next();
            text.push(c);
        }
    }

    fn keep_quote(&self, text: &mut String, quote: char) {
        if self.quotes == Quotes::Kept {
            text.push(quote);
        }
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<(), Mistake> {
        self.next();
        self.keep_quote(text, '\'');
        loop {
            match self.next() {
                Some('\'') => break self.keep_quote(text, '\''),
                Some(c) => text.push(c),
                None => return self.error(WordProblem::UnclosedQuote('\'')),
            }
        }
        Ok(())
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<(), Mistake> {
        self.next();
        self.keep_quote(text, '"');
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    self.keep_quote(text, '"');
                    return Ok(());
                }
                Some('$') => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                }
                Some(c) if c == self.escape => self.escape_in_quotes(text),
                Some(c) => {
                    self.next();
                    text.push(c);
                }
                None => return self.error(WordProblem::UnclosedQuote('"')),
            }
        }
    }

    /// Between double quotes only `"`, `$` and the escape itself can be escaped.
    fn escape_in_quotes(&mut self, text: &mut String) {
        let escape = self.next();
        let escapable =
            |c: &char| matches!(c, '"' | '$') || *c == escape.expect("called at the escape");
        let next = self.peek();
        if self.raw_escapes {
            text.extend(escape);
        }
        match next {
            Some(c) if escapable(&c) => text.extend(self.next()),
            // A trailing escape is dropped; the missing quote is reported by the caller.
            None => {}
            Some(_) if self.raw_escapes => {
                // Already written above; what follows is ordinary.
            }
            Some(_) => text.extend(escape),
        }
    }

    fn dollar(&mut self) -> Result<String, Mistake> {
        self.next();
        if self.peek() == Some('{') {
            self.next();
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.look_up(&name) {
            None if self.unset_stays => format!("${name}"),
            value => value.unwrap_or_default(),
        })
    }

    fn braced(&mut self) -> Result<String, Mistake> {
        match self.peek() {
            None => return self.error(WordProblem::UnclosedBrace),
            Some('{' | '}' | ':') => return self.error(WordProblem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => self.error(WordProblem::UnclosedBrace),
            Some('}') => Ok(match self.look_up(&name) {
                None if self.unset_stays => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            Some(':') => match self.next() {
                Some(operator @ ('-' | '+' | '?')) => self.alternative(&name, operator, true),
                Some(other) => self.unsupported(&format!(":{other}")),
                None => self.error(WordProblem::UnclosedBrace),
            },
            Some(operator @ ('-' | '+' | '?')) => self.alternative(&name, operator, false),
            Some(operator @ ('#' | '%')) => self.trimmed(&name, operator),
            Some('/') => self.replaced(&name),
            Some(other) => self.unsupported(&other.to_string()),
        }
    }

    fn unsupported<T>(&self, modifier: &str) -> Result<T, Mistake> {
        self.error(WordProblem::UnsupportedModifier(modifier.to_owned()))
    }

    /// `${name:-word}` and its five relatives.
    fn alternative(
        &mut self,
        name: &str,
        operator: char,
        empty_counts_as_unset: bool,
    ) -> Result<String, Mistake> {
        let (word, _) = self.until(Some('}'), false)?;
        let value = self.look_up_guarded(name);
        if self.unset_stays && value.is_none() {
            let colon = if empty_counts_as_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let given = value
            .clone()
            .filter(|v| !(empty_counts_as_unset && v.is_empty()));
        match (operator, given) {
            ('-', Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let why = match (word.is_empty(), value.is_some()) {
                    (false, _) => word.as_str(),
                    (true, true) => "is not allowed to be empty",
                    (true, false) => "is not allowed to be unset",
                };
                self.error(WordProblem::ValueRequired {
                    name: name.to_owned(),
                    why: why.to_owned(),
                })
            }
        }
    }

    /// `${name#pattern}`, `##`, `%`, `%%`.
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, Mistake> {
        let (word, _) = self.until(Some('}'), true)?;
        let Some(value) = self.look_up(name) else {
            return Ok(match self.unset_stays {
                true => format!("${{{name}{operator}{word}}}"),
                false => String::new(),
            });
        };
        let (pattern, extent) = match word.strip_prefix(operator) {
            Some(rest) => (rest, pattern::Extent::Longest),
            None => (word.as_str(), pattern::Extent::Shortest),
        };
        let trimmed = match operator {
            '#' => pattern::trim_start(&value, pattern, extent),
            _ => pattern::trim_end(&value, pattern, extent),
        };
        trimmed.or_else(|problem| self.error(problem))
    }

    /// `${name/pattern/replacement}` and `${name//pattern/replacement}`.
    fn replaced(&mut self, name: &str) -> Result<String, Mistake> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let Some(value) = self.look_up(name) else {
            let slashes = if all { "//" } else { "/" };
            return Ok(match self.unset_stays {
                true => format!("${{{name}{slashes}{pattern}/{replacement}}}"),
                false => String::new(),
            });
        };
        pattern::replace(&value, &pattern, &replacement, all).or_else(|problem| self.error(problem))
    }

    /// Letters, digits and `_`; or digits alone; or one special parameter such as `@`.
    fn name(&mut self) -> String {
        let rest = &self.source[self.position..];
        let first = rest.chars().next();
        let length = match first {
            Some(c) if c.is_ascii_digit() => leading(rest, |c| c.is_ascii_digit()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => leading(rest, |c| c.is_alphanumeric() || c == '_'),
        };
        self.position += length;
        rest[..length].to_owned()
    }

    /// `${name:-word}` provides for the name being unset: that is no mistake to report.
    fn look_up_guarded(&mut self, name: &str) -> Option<String> {
        let value = (self.environment)(name)?;
        self.used.insert(name.to_owned());
        Some(value)
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = (self.environment)(name);
        match value.is_some() {
            true => self.used.insert(name.to_owned()),
            false => self.unset.insert(name.to_owned()),
        };
        value
    }
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}
