//! A cheap look over the text before the KDL parser: size, forbidden characters,
//! nesting, quotes, and tokens that cannot stand where they stand.
//! It exists because the parser recurses per nesting level and per stray character
//! (a long row of `{` or `)` would overflow the stack), and because its spans can
//! cover the whole file. Knows KDL v2's tokens; knows nothing of our nodes.

use super::Span;
use super::diagnostic::Diagnostic;
use super::foreign;
use super::suggest;
use super::tokens::{
    is_bare, is_newline, is_number, is_space, is_unicode_escape, looks_like_number, quoted_length,
    skip_escape,
};

/// Sources beyond this are refused: the parser takes seconds for it, and has a limit of time besides.
pub const LARGEST: usize = 8 << 20;
/// Blocks in blocks, and comments in comments.
pub const DEEPEST: usize = 64;

/// The bytes of a manifest as text, or the one message that says why they are none.
pub fn decode(bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    if bytes.len() > LARGEST {
        return Err(Box::new(too_large(bytes.len())));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        Box::new(
            Diagnostic::plain(format!(
                "the manifest is not UTF-8 text: byte {at}, line {line}"
            ))
            .with_help("save it as UTF-8; is this really an imgmake manifest?"),
        )
    })
}

fn too_large(length: usize) -> Diagnostic {
    Diagnostic::plain(format!(
        "the manifest is too large: {length} bytes, at most {LARGEST} are read"
    ))
    .with_help("split it with `include`, or generate fewer targets")
}

/// The first thing that is wrong with the text as KDL tokens.
pub fn check(text: &str) -> Result<(), Box<Diagnostic>> {
    if text.len() > LARGEST {
        return Err(Box::new(too_large(text.len())));
    }
    forbidden_character(text)?;
    Scan::new(text).run()
}

fn forbidden_character(text: &str) -> Result<(), Box<Diagnostic>> {
    let found = text.char_indices().find(|(at, c)| match c {
        '\u{feff}' => *at != 0,
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}' => true,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => false,
    });
    match found {
        None => Ok(()),
        Some((at, c)) => Err(Box::new(
            Diagnostic::at(
                Span::new(at, at + c.len_utf8()),
                format!(
                    "the character U+{:04X} is not allowed in a manifest",
                    c as u32
                ),
                "here",
            )
            .with_help("is this a binary file? Inside a string write `\\u{…}`"),
        )),
    }
}

/// What the scan has just passed within a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Nothing of a node yet.
    Start,
    /// A type annotation in front of a name or value.
    Type,
    /// The node's name.
    Name,
    /// A string, which `=` may turn into a property's name.
    Word,
    /// A value that cannot be a property's name.
    Value,
    Equals,
    Children,
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    after: After,
    /// White space since the last token.
    spaced: bool,
    /// Where a `/-` waits for what it removes.
    removing: Option<usize>,
    in_property: bool,
    /// The type annotation belongs to a node's name.
    type_of_node: bool,
    open: Vec<usize>,
}

type Step = Result<(), Box<Diagnostic>>;

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Scan<'t> {
        Scan {
            text,
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            after: After::Start,
            spaced: true,
            removing: None,
            in_property: false,
            type_of_node: false,
            open: Vec::new(),
        }
    }

    fn run(mut self) -> Step {
        while let Some(c) = self.rest().chars().next() {
            self.token(c)?;
        }
        self.end_of_node(self.at)?;
        if let Some(removing) = self.removing {
            return refuse(
                removing,
                removing + 2,
                "`/-` has nothing after it to leave out",
                "",
            );
        }
        match self.open.first() {
            None => Ok(()),
            Some(first) => {
                let last = self.open.last().copied().unwrap_or(*first);
                refuse(
                    last,
                    last + 1,
                    "this `{` has no `}`",
                    "close the block before the end of the file",
                )
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn token(&mut self, c: char) -> Step {
        let from = self.at;
        match c {
            c if is_newline(c) => {
                self.at += c.len_utf8();
                if self.removing.is_none() {
                    self.end_of_node(from)?;
                }
                Ok(())
            }
            c if is_space(c) => {
                self.at += c.len_utf8();
                self.spaced = true;
                Ok(())
            }
            '/' => self.slash(),
            '\\' => self.continuation(),
            ';' => self.semicolon(),
            '{' => self.open_block(),
            '}' => self.close_block(),
            '(' => self.annotation(),
            '=' => self.equals(),
            '"' | '#' => self.quoted_or_keyword(),
            ')' | '[' | ']' => refuse(
                from,
                from + 1,
                &format!("`{c}` is not allowed here"),
                "put text with this character in quotes",
            ),
            _ => self.bare(),
        }
    }

    fn end_of_node(&mut self, at: usize) -> Step {
        match self.after {
            After::Equals => refuse(at.saturating_sub(1), at, "a value is missing after `=`", ""),
            After::Type => refuse(
                at.saturating_sub(1),
                at,
                "a type annotation must be followed by what it annotates",
                "",
            ),
            _ => {
                self.after = After::Start;
                self.spaced = true;
                self.in_property = false;
                Ok(())
            }
        }
    }

    fn slash(&mut self) -> Step {
        let from = self.at;
        let rest = self.rest();
        if rest.starts_with("//") {
            self.at += rest.find(is_newline).unwrap_or(rest.len());
            return Ok(());
        }
        if rest.starts_with("/*") {
            return self.block_comment();
        }
        if rest.starts_with("/-") {
            if self.removing.is_some() {
                return refuse(
                    from,
                    from + 2,
                    "duplicate `/-`",
                    "one `/-` leaves out what follows it",
                );
            }
            if matches!(self.after, After::Equals | After::Type) {
                return refuse(
                    from,
                    from + 2,
                    "`/-` is not allowed here",
                    "it goes in front of a whole node, value or block",
                );
            }
            self.at += 2;
            self.removing = Some(from);
            self.spaced = true;
            return Ok(());
        }
        refuse(
            from,
            from + 1,
            "`/` is not allowed here",
            "put paths in quotes: \"a/b\"; a comment begins with `//`",
        )
    }

    fn block_comment(&mut self) -> Step {
        let from = self.at;
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        let mut at = from;
        while at < bytes.len() {
            match &bytes[at..bytes.len().min(at + 2)] {
                b"/*" => {
                    depth += 1;
                    at += 2;
                    if depth > DEEPEST {
                        return refuse(
                            from,
                            from + 2,
                            &format!("comments nest deeper than {DEEPEST} levels"),
                            "",
                        );
                    }
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        self.at = at;
                        self.spaced = true;
                        return Ok(());
                    }
                }
                _ => at += 1,
            }
        }
        refuse(from, from + 2, "this comment has no `*/`", "")
    }

    fn continuation(&mut self) -> Step {
        let from = self.at;
        let rest = &self.rest()[1..];
        let line = rest
            .split(is_newline)
            .next()
            .unwrap_or(rest)
            .trim_start_matches(is_space);
        if !line.is_empty() && !line.starts_with("//") {
            return refuse(
                from,
                from + 1,
                "`\\` must be the last thing on its line",
                "it continues the node on the next line; put text with `\\` in quotes",
            );
        }
        let newline = rest.find(is_newline).unwrap_or(rest.len());
        self.at += 1 + newline;
        if self.rest().starts_with("\r\n") {
            self.at += 2;
        } else if let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
        }
        self.spaced = true;
        Ok(())
    }

    fn semicolon(&mut self) -> Step {
        let from = self.at;
        if self.after == After::Start || self.removing.is_some() {
            return refuse(from, from + 1, "nothing comes before this `;`", "remove it");
        }
        self.end_of_node(from)?;
        self.at += 1;
        Ok(())
    }

    fn open_block(&mut self) -> Step {
        let from = self.at;
        if matches!(self.after, After::Start | After::Type | After::Equals) {
            return refuse(
                from,
                from + 1,
                "`{` must follow a node's name or values",
                "write it on the line of its node: `build app {`",
            );
        }
        if self.after == After::Children && self.removing.is_none() && !self.after_removed_block() {
            return refuse(from, from + 1, "a node has one block only", "");
        }
        if self.open.len() == DEEPEST {
            return refuse(
                from,
                from + 1,
                &format!("blocks nest deeper than {DEEPEST} levels"),
                "",
            );
        }
        self.open.push(from);
        self.removing = None;
        self.at += 1;
        self.after = After::Start;
        self.spaced = true;
        self.in_property = false;
        Ok(())
    }

    /// The parser judges blocks after a left-out block; the scan only tells the plain mistake.
    fn after_removed_block(&self) -> bool {
        self.text.contains("/-")
    }

    fn close_block(&mut self) -> Step {
        let from = self.at;
        self.end_of_node(from)?;
        if let Some(removing) = self.removing {
            return refuse(
                removing,
                removing + 2,
                "`/-` has nothing after it to leave out",
                "",
            );
        }
        if self.open.pop().is_none() {
            return refuse(
                from,
                from + 1,
                "this `}` has no `{`",
                "remove it, or open its block",
            );
        }
        self.at += 1;
        self.after = After::Children;
        self.spaced = true;
        Ok(())
    }

    fn annotation(&mut self) -> Step {
        let from = self.at;
        if matches!(self.after, After::Type | After::Children)
            || !(self.spaced || self.after == After::Equals)
        {
            return refuse(
                from,
                from + 1,
                "`(` is not allowed here",
                "put text with parentheses in quotes",
            );
        }
        let rest = &self.rest()[1..];
        let inner = rest.trim_start_matches(is_space);
        let skipped = rest.len() - inner.len();
        let length = if inner.starts_with('"') {
            quoted_length(inner)
        } else {
            Some(inner.find(|c| !is_bare(c)).unwrap_or(inner.len())).filter(|length| *length > 0)
        };
        let close = length.and_then(|length| {
            let tail = &inner[length..];
            let trimmed = tail.trim_start_matches(is_space);
            trimmed
                .starts_with(')')
                .then(|| skipped + length + (tail.len() - trimmed.len()) + 1)
        });
        let Some(close) = close else {
            return refuse(
                from,
                from + 1,
                "a type annotation is one word in parentheses",
                "such as `(target)base`",
            );
        };
        self.type_of_node = self.after == After::Start;
        self.at += 1 + close;
        if self.after != After::Equals {
            self.after = After::Type;
        }
        self.spaced = true;
        Ok(())
    }

    fn equals(&mut self) -> Step {
        let from = self.at;
        if self.after != After::Word || self.in_property {
            return refuse(
                from,
                from + 1,
                "`=` must be between a property's name and its value",
                "a node's value follows a space: `tags \"a\"`; put text with `=` in quotes",
            );
        }
        self.at += 1;
        self.after = After::Equals;
        self.spaced = false;
        Ok(())
    }

    /// Books a name or value that has just been passed; `word` says that it may name a property.
    fn passed(&mut self, from: usize, word: bool) -> Step {
        let naming = self.after == After::Start || (self.after == After::Type && self.type_of_node);
        if self.after == After::Children {
            return refuse(
                from,
                self.at,
                "after `}` the node has ended",
                "begin a new line, or put `;` in between",
            );
        }
        if naming && !word {
            return refuse(
                from,
                self.at,
                "a node's name must be a word",
                "put it in quotes",
            );
        }
        if !self.spaced && self.after != After::Equals {
            return refuse(
                from,
                self.at,
                "a space is missing here",
                "values are separated by spaces",
            );
        }
        self.in_property = self.after == After::Equals;
        self.after = match (naming, word) {
            (true, _) => After::Name,
            (false, true) => After::Word,
            (false, false) => After::Value,
        };
        if naming && self.removing.is_some() {
            // `/-` in front of a node leaves out all of it; the rest is checked as usual.
            self.removing = None;
        }
        self.removing = None;
        self.spaced = false;
        self.type_of_node = false;
        Ok(())
    }

    fn quoted_or_keyword(&mut self) -> Step {
        let from = self.at;
        let rest = self.rest();
        let hashes = rest.bytes().take_while(|b| *b == b'#').count();
        if rest[hashes..].starts_with('"') {
            if hashes == 0 {
                check_escapes(rest, from)?;
            }
            let Some(length) = quoted_length(rest) else {
                return unclosed(rest, from);
            };
            self.at += length;
            return self.passed(from, true);
        }
        let word = &rest[..1 + rest[1..].find(|c| !is_bare(c)).unwrap_or(rest.len() - 1)];
        if !["#true", "#false", "#null", "#inf", "#-inf", "#nan"].contains(&word) {
            let help = suggest::nearest(word, ["#true", "#false", "#null"])
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| {
                    "put text with `#` in quotes; a comment begins with `//`".to_string()
                });
            return refuse(
                from,
                from + word.len(),
                &format!("invalid keyword `{word}`"),
                &help,
            );
        }
        self.at += word.len();
        self.passed(from, false)
    }

    fn bare(&mut self) -> Step {
        let from = self.at;
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_bare(c)).unwrap_or(rest.len())];
        self.at += word.len();
        if let Some((kind, text)) = foreign::quoted(word) {
            let message = format!("{kind} are letters in KDL");
            return refuse(from, self.at, &message, &format!("write \"{text}\""));
        }
        if matches!(word, "true" | "false" | "null" | "inf" | "-inf" | "nan") {
            return refuse(
                from,
                self.at,
                &format!("`{word}` must be written `#{word}`"),
                &format!("write `#{word}`, or \"{word}\" for the text"),
            );
        }
        if looks_like_number(word) {
            if !is_number(word) {
                return refuse(
                    from,
                    self.at,
                    &format!("`{word}` is neither a number nor a word"),
                    &format!("put it in quotes: \"{word}\""),
                );
            }
            return self.passed(from, false);
        }
        self.passed(from, true)
    }
}

fn refuse(start: usize, end: usize, message: &str, help: &str) -> Step {
    let diagnostic = Diagnostic::at(Span::new(start, end), message, "here");
    Err(Box::new(match help {
        "" => diagnostic,
        help => diagnostic.with_help(help),
    }))
}

fn unclosed(rest: &str, from: usize) -> Step {
    let line = rest.find(is_newline).unwrap_or(rest.len());
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    let help = if rest[hashes..].starts_with("\"\"\"") {
        "close it with `\"\"\"` on a line of its own".to_string()
    } else {
        "close it on its line; text of several lines is written between `\"\"\"` lines".to_string()
    };
    refuse(from, from + line, "this string is not closed", &help)
}

/// Names the first escape in a plain string that KDL does not have.
fn check_escapes(rest: &str, from: usize) -> Step {
    let length = quoted_length(rest).unwrap_or(0);
    let body = &rest[..length];
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        let slash = at + found;
        let next = body[slash + 1..].chars().next().unwrap_or('"');
        let fine = matches!(next, 'n' | 'r' | 't' | '\\' | '"' | 'b' | 'f' | 's')
            || is_newline(next)
            || is_space(next);
        let unicode = next == 'u' && is_unicode_escape(&body[slash + 2..]);
        if !fine && !unicode {
            return refuse(
                from + slash,
                from + slash + 1 + next.len_utf8(),
                &format!("KDL has no escape `\\{next}`"),
                "write `\\\\` for a backslash, or a raw string: #\"…\"#",
            );
        }
        at = skip_escape(body, slash).unwrap_or(body.len());
    }
    Ok(())
}
