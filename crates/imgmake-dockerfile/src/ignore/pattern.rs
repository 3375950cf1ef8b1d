//! One pattern of an ignore file, compiled the way moby's patternmatcher does.

use regex::Regex;

#[derive(Clone, Debug)]
pub struct Pattern {
    matcher: Matcher,
    /// The directories that every match lies in: the path up to the first wildcard.
    literal_prefix: String,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact(String),
    /// `dir/**`: what the text must start with.
    Prefix(String),
    /// `**/name` without further wildcards: `/name` or the whole.
    Suffix(String),
    Regex(Box<Regex>),
}

impl Pattern {
    /// `None` if moby's regular expression would not compile either.
    pub fn new(cleaned: &str) -> Option<Pattern> {
        Some(Pattern {
            matcher: compile(cleaned)?,
            literal_prefix: literal_prefix(cleaned),
        })
    }

    pub fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// False only if no path below `directory` can match.
    pub fn may_match_below(&self, directory: &str) -> bool {
        let prefix = self.literal_prefix.as_str();
        let below = |path: &str, above: &str| {
            path.strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        prefix.is_empty() || below(prefix, directory) || below(directory, prefix)
    }
}

fn literal_prefix(pattern: &str) -> String {
    match pattern.find(['*', '?', '[', '\\']) {
        None => pattern.to_owned(),
        Some(wildcard) => match pattern[..wildcard].rfind('/') {
            Some(slash) => pattern[..slash].to_owned(),
            None => String::new(),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

fn compile(pattern: &str) -> Option<Matcher> {
    let mut regex = String::from("^");
    let mut kind = Kind::Exact;
    let mut rest = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` is `**`: the slash goes along.
                rest.next_if_eq(&'/');
                kind = double_star(&mut regex, kind, rest.peek().is_none());
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => wildcard(&mut regex, &mut kind, "[^/]*"),
            '?' => wildcard(&mut regex, &mut kind, "[^/]"),
            '\\' => match rest.next() {
                Some(escaped) => {
                    wildcard(&mut regex, &mut kind, &regex::escape(&escaped.to_string()))
                }
                None => regex.push_str("\\\\"),
            },
            '[' => {
                let class = class(&mut rest)?;
                wildcard(&mut regex, &mut kind, &class);
            }
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
        first = false;
    }
    Some(match kind {
        Kind::Exact => Matcher::Exact(pattern.to_owned()),
        Kind::Prefix => Matcher::Prefix(pattern[..pattern.len() - 2].to_owned()),
        // A lone `**` leaves the empty suffix, which everything has.
        Kind::Suffix => Matcher::Suffix(pattern[2..].to_owned()),
        Kind::Regex => Matcher::Regex(Box::new(Regex::new(&(regex + "$")).ok()?)),
    })
}

fn wildcard(regex: &mut String, kind: &mut Kind, text: &str) {
    regex.push_str(text);
    *kind = Kind::Regex;
}

fn double_star(regex: &mut String, kind: Kind, at_the_end: bool) -> Kind {
    match (at_the_end, kind) {
        // At the end it takes all, as .gitignore does.
        (true, Kind::Exact) => Kind::Prefix,
        (true, _) => {
            regex.push_str(".*");
            Kind::Regex
        }
        (false, _) => {
            regex.push_str("(.*/)?");
            Kind::Regex
        }
    }
}

/// `[a-c^]` in the language of regular expressions; the syntax was checked as a wildcard before.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut class = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    loop {
        match rest.next()? {
            ']' => return Some(class + "]"),
            '-' => class.push('-'),
            '\\' => class.push_str(&escaped(rest.next()?)),
            c => class.push_str(&escaped(c)),
        }
    }
}

/// Every sign that could mean something inside a class.
fn escaped(c: char) -> String {
    match c.is_alphanumeric() || !c.is_ascii() {
        true => c.to_string(),
        false => format!("\\x{{{:x}}}", u32::from(c)),
    }
}

/// Go's `filepath.Clean`: no `.`, no `..` that can be resolved, no doubled or trailing `/`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
