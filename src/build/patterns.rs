//! Path patterns as moby's pattern matcher reads them: `.dockerignore`, `--exclude`, `--parents`;
//! and Go's `filepath.Match`, which COPY sources use. Pure: knows no directory.
//!
//! Both differ from every glob crate in anchoring, in `**`, in `[!a]` (no negation) and in `{}` (literal),
//! and names are bytes, not UTF-8.

use anyhow::{Result, bail};
use regex::bytes::Regex;

/// A list of patterns; the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    list: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// As written, for messages.
    text: String,
    cleaned: Vec<u8>,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exact,
    /// `dir/**`.
    Prefix(Vec<u8>),
    /// `**/name` or `**name`.
    Suffix(Vec<u8>),
    Regex(Regex),
}

/// Which patterns matched a directory: its children need no second look at those.
#[derive(Clone, Debug, Default)]
pub struct Matched(Vec<bool>);

impl Patterns {
    /// # Errors
    /// A lone `!`, or brackets that are not closed.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Patterns> {
        let list = patterns
            .iter()
            .map(|p| p.as_ref().trim())
            .filter(|p| !p.is_empty())
            .map(Pattern::parse)
            .collect::<Result<_>>()?;
        Ok(Patterns { list })
    }

    /// Reads an ignore file: `#` in column one is a comment, a leading `/` means nothing.
    ///
    /// # Errors
    /// Names the line of a pattern that cannot be read.
    pub fn from_ignore_file(bytes: &[u8]) -> Result<Patterns> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut list = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (negated, body) = match pattern.strip_prefix('!') {
                Some(body) => ("!", body.trim()),
                None => ("", pattern),
            };
            let body = String::from_utf8(clean(body.as_bytes())).expect("cleaning keeps UTF-8");
            let body = match body.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => &body,
            };
            let parsed = Pattern::parse(&format!("{negated}{body}"))
                .map_err(|e| anyhow::anyhow!("line {}: {e}", number + 1))?;
            list.push(Pattern {
                text: format!("line {}: {pattern}", number + 1),
                ..parsed
            });
        }
        Ok(Patterns { list })
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the path, or a directory above it, is matched in the end.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.deciding(path).is_some_and(|p| !p.negated)
    }

    /// The pattern that hides a path, as written.
    pub fn reason(&self, path: &[u8]) -> Option<&str> {
        self.deciding(path)
            .filter(|p| !p.negated)
            .map(|p| p.text.as_str())
    }

    fn deciding(&self, path: &[u8]) -> Option<&Pattern> {
        let mut last: Option<&Pattern> = None;
        for pattern in &self.list {
            let matched = last.is_some_and(|p| !p.negated);
            if pattern.negated == matched && ancestors_and_self(path).any(|p| pattern.test(p)) {
                last = Some(pattern);
            }
        }
        last
    }

    /// The same for a walk: what matched the parent is not tested again.
    pub fn step(&self, path: &[u8], parent: &Matched) -> (bool, Matched) {
        let mut matched = false;
        let mut here = vec![false; self.list.len()];
        for (i, pattern) in self.list.iter().enumerate() {
            let inherited = parent.0.get(i).copied().unwrap_or(false);
            if !inherited && pattern.negated != matched {
                continue;
            }
            here[i] = inherited || pattern.test(path);
            if here[i] {
                matched = !pattern.negated;
            }
        }
        (matched, Matched(here))
    }

    /// Whether something beneath a matched directory may be taken back by a `!` pattern.
    pub fn may_return_beneath(&self, directory: &[u8]) -> bool {
        self.list.iter().filter(|p| p.negated).any(|p| {
            !matches!(p.test, Test::Exact)
                || (p.cleaned.starts_with(directory)
                    && p.cleaned.get(directory.len()) == Some(&b'/'))
        })
    }
}

/// `a`, `a/b`, `a/b/c` for `a/b/c`.
pub fn ancestors_and_self(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=path.len())
        .filter(move |i| *i == path.len() || path[*i] == b'/')
        .map(move |i| &path[..i])
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern> {
        let cleaned = clean(text.as_bytes());
        let (negated, body) = match cleaned.strip_prefix(b"!") {
            Some(b"") => bail!("`!` alone excludes nothing: write `!path`"),
            Some(body) => (true, body.to_vec()),
            None => (false, cleaned),
        };
        Ok(Pattern {
            text: text.to_string(),
            test: Test::compile(&body)?,
            cleaned: body,
            negated,
        })
    }

    fn test(&self, path: &[u8]) -> bool {
        match &self.test {
            Test::Exact => path == self.cleaned,
            Test::Prefix(prefix) => path.starts_with(prefix),
            Test::Suffix(suffix) => {
                path.ends_with(suffix) || (suffix.first() == Some(&b'/') && path == &suffix[1..])
            }
            Test::Regex(regex) => regex.is_match(path),
        }
    }
}

const NOT_SLASH: &str = "(?s-u:[^/])";

impl Test {
    /// Follows moby's `compile` step by step: which kind a pattern becomes decides what it matches.
    fn compile(pattern: &[u8]) -> Result<Test> {
        enum Kind {
            Exact,
            Prefix,
            Suffix,
            Regex,
        }
        let text = String::from_utf8_lossy(pattern);
        let mut rest = text.as_ref();
        let mut regex = String::from("^");
        let mut kind = Kind::Exact;
        let mut first = true;
        while let Some(c) = rest.chars().next() {
            let at_start = std::mem::take(&mut first);
            if let Some(after) = rest.strip_prefix("**") {
                rest = after.strip_prefix('/').unwrap_or(after);
                if !rest.is_empty() {
                    regex.push_str("(?s-u:.*/)?");
                    kind = Kind::Regex;
                } else if matches!(kind, Kind::Exact) {
                    kind = Kind::Prefix;
                } else {
                    regex.push_str("(?s-u:.*)");
                    kind = Kind::Regex;
                }
                if at_start {
                    kind = Kind::Suffix;
                }
                continue;
            }
            let (expression, after) = one_character(rest)?;
            regex.push_str(&expression);
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                kind = Kind::Regex;
            }
            rest = after;
        }
        Ok(match kind {
            Kind::Exact => Test::Exact,
            Kind::Prefix => Test::Prefix(pattern[..pattern.len() - 2].to_vec()),
            Kind::Suffix => Test::Suffix(pattern[2..].to_vec()),
            Kind::Regex => Test::Regex(compiled(&regex, pattern)?),
        })
    }
}

fn compiled(regex: &str, pattern: &[u8]) -> Result<Regex> {
    Regex::new(&format!("{regex}$")).map_err(|_| {
        anyhow::anyhow!(
            "`{}` is not a pattern: check its brackets",
            String::from_utf8_lossy(pattern)
        )
    })
}

/// The regular expression of one element of a pattern, and what follows it.
fn one_character(text: &str) -> Result<(String, &str)> {
    let c = text.chars().next().expect("the caller saw a character");
    let after = &text[c.len_utf8()..];
    Ok(match c {
        '*' => (format!("{NOT_SLASH}*"), after),
        '?' => (format!("(?:[^/]|{NOT_SLASH})"), after),
        '[' => class(text)?,
        '\\' => match after.chars().next() {
            Some(next) => (escaped(next), &after[next.len_utf8()..]),
            None => (escaped('\\'), after),
        },
        c => (escaped(c), after),
    })
}

fn escaped(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// `[a-z]`, `[^a]`, `[\]]`; `!` is an ordinary character.
fn class(text: &str) -> Result<(String, &str)> {
    let unclosed = || anyhow::anyhow!("`{text}`: the bracket is not closed");
    let mut rest = &text[1..];
    let mut out = String::from("[");
    if let Some(after) = rest.strip_prefix('^') {
        out.push_str("^/");
        rest = after;
    }
    let mut empty = true;
    loop {
        if !empty && let Some(after) = rest.strip_prefix(']') {
            out.push(']');
            return Ok((out, after));
        }
        let (low, after) = class_character(rest).ok_or_else(unclosed)?;
        rest = after;
        let high = match rest.strip_prefix('-') {
            Some(after) => {
                let (high, after) = class_character(after).ok_or_else(unclosed)?;
                rest = after;
                high
            }
            None => low,
        };
        out.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", low as u32, high as u32));
        empty = false;
    }
}

fn class_character(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        ']' | '-' => return None,
        '\\' => chars.next()?,
        c => c,
    };
    Some((c, chars.as_str()))
}

/// Go's `filepath.Match`: `*` and `?` stop at `/`, the whole name must match.
#[derive(Clone, Debug)]
pub struct Wildcard(Regex);

impl Wildcard {
    /// # Errors
    /// Brackets that are not closed.
    pub fn new(pattern: &str) -> Result<Wildcard> {
        let mut regex = String::from("^");
        let mut rest = pattern;
        while !rest.is_empty() {
            let (expression, after) = one_character(rest)?;
            regex.push_str(&expression);
            rest = after;
        }
        Ok(Wildcard(compiled(&regex, pattern.as_bytes())?))
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match(path)
    }

    /// Whether a source must be read as a pattern; `\` escapes.
    pub fn is_one(text: &str) -> bool {
        let mut bytes = text.bytes();
        while let Some(b) = bytes.next() {
            match b {
                b'*' | b'?' | b'[' => return true,
                b'\\' => {
                    bytes.next();
                }
                _ => {}
            }
        }
        false
    }
}

/// Go's `filepath.Clean`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|p| *p != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(patterns: &[&str], path: &str) -> bool {
        let file = patterns.join("\n");
        let patterns = Patterns::from_ignore_file(file.as_bytes()).unwrap();
        let whole = patterns.matches(path.as_bytes());
        let mut above = Matched::default();
        let mut stepped = false;
        for part in ancestors_and_self(path.as_bytes()) {
            (stepped, above) = patterns.step(part, &above);
        }
        assert_eq!(whole, stepped, "a walk sees what a look-up sees: {path}");
        whole
    }

    #[test]
    fn patterns_match_as_moby_matches_them() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "b/a", false),
            ("a", "a/b", true),
            ("/a", "a", true),
            ("a/", "a/b", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.md", "docs/x/README.md", true),
            ("**/*.md", "README.md", true),
            ("**/node_modules", "a/node_modules/x", true),
            ("**/node_modules", "node_modules", true),
            ("**", "anything", true),
            ("dir/**", "dir/x", true),
            ("dir/**", "dir", false),
            ("dir/**/x", "dir/x", true),
            ("dir/**/x", "dir/a/b/x", true),
            ("[a-c]x", "bx", true),
            ("[!a]x", "!x", true),
            ("[!a]x", "bx", false),
            ("[^a]x", "bx", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a.c", "abc", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            ("./a/../b", "b", true),
            ("#a", "#a", false),
            (" #a", "#a", true),
        ] {
            assert_eq!(ignores(&[pattern], path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        let rules = ["*", "!src", "src/secret", "!src/secret/open"];
        assert!(ignores(&rules, "README"));
        assert!(!ignores(&rules, "src/main.c"));
        assert!(ignores(&rules, "src/secret/key"));
        assert!(!ignores(&rules, "src/secret/open"));
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_too() {
        let patterns = Patterns::new(&["*.bin"]).unwrap();
        assert!(patterns.matches(b"caf\xe9.bin"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_names_its_line() {
        let error = Patterns::from_ignore_file(b"ok\n[a\n").unwrap_err();
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }

    #[test]
    fn wildcards_stop_at_slashes() {
        let star = Wildcard::new("dir/*.tx?").unwrap();
        assert!(star.matches(b"dir/a.txt"));
        assert!(!star.matches(b"dir/a/b.txt"));
        assert!(Wildcard::is_one("a[b"));
        assert!(!Wildcard::is_one(r"a\*"));
    }
}
