//! Path patterns over names as bytes: the ignore rules and wildcards of `dockerfile`, asked about paths as
//! layers have them. Pure: knows no directory.

use std::borrow::Cow;

use crate::error::{BuildError, Result};
use imgmake_dockerfile::ignore::{Ignore, Parent, Verdict};
use imgmake_dockerfile::wildcard;

/// A list of patterns; the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Ignore);

/// Which patterns matched a directory: its children need no second look at those.
pub type Matched = Parent;

/// Names that are not UTF-8 are matched with their odd bytes replaced.
fn text(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

impl Patterns {
    /// # Errors
    /// A lone `!`, or brackets that are not closed.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Patterns> {
        let patterns = patterns.iter().map(AsRef::as_ref);
        // Patterns of a flag have no line.
        let ignore = Ignore::from_patterns(patterns).map_err(|error| *error.mistake)?;
        Ok(Patterns(ignore))
    }

    /// Reads an ignore file.
    ///
    /// # Errors
    /// Names the line of a pattern that cannot be read.
    pub fn from_ignore_file(bytes: &[u8]) -> Result<Patterns> {
        // With its line, which is that of the ignore file and of no instruction.
        let ignore = Ignore::parse(&String::from_utf8_lossy(bytes))
            .map_err(|error| BuildError::Other(Box::new(error)))?;
        Ok(Patterns(ignore))
    }

    pub fn rules(&self) -> &Ignore {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the path, or a directory above it, is matched in the end.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.is_hidden(&text(path))
    }

    /// The rule that hides a path, as written, with its line.
    pub fn reason(&self, path: &[u8]) -> Option<String> {
        match self.0.verdict(&text(path)) {
            Verdict::Hidden(rule) => Some(format!("line {}: {}", rule.line, rule.text)),
            Verdict::Kept(_) => None,
        }
    }

    /// The same for a walk: what matched the parent is not tested again.
    pub fn step(&self, path: &[u8], parent: &Matched) -> (bool, Matched) {
        let (verdict, here) = self.0.descend(&text(path), parent);
        (verdict.is_hidden(), here)
    }

    /// Whether something beneath a matched directory may be taken back by a `!` pattern.
    /// `parent` is what the directory above it matched.
    pub fn may_return_beneath(&self, directory: &[u8], parent: &Matched) -> bool {
        self.0.has_exceptions() && !self.0.hides_everything_below(&text(directory), parent)
    }
}

/// `a`, `a/b`, `a/b/c` for `a/b/c`; nothing for the root.
pub fn ancestors_and_self(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    (1..=path.len())
        .filter(move |i| *i == path.len() || path[*i] == b'/')
        .map(move |i| &path[..i])
}

/// Wildcards of COPY sources.
#[derive(Clone, Debug)]
pub struct Wildcard(wildcard::Wildcard);

impl Wildcard {
    /// # Errors
    /// Brackets that are not closed.
    pub fn new(pattern: &str) -> Result<Wildcard> {
        let parsed = wildcard::Wildcard::new(pattern)?;
        Ok(Wildcard(parsed))
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.matches(path)
    }

    /// Whether a source must be read as a pattern; `\` escapes.
    pub fn is_one(text: &str) -> bool {
        wildcard::is_pattern(text)
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
