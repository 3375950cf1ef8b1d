//! A small glob: `?`, `*`, `**`, `[a-z]`, `[!a]`, `{a,b}`, `\x`. Names have no `/`
//! and are matched with the same rules as paths.
//! Knows no file system and no ignore file (those follow moby's rules, not these).

use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::GlobProblem;

/// A compiled pattern. `*` and `?` stop at `/`; `**` as a whole component stands
/// for any number of components, none included. A trailing `/` is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// One per alternative of `{a,b}`, already spread out.
    alternatives: Vec<Vec<Component>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    AnyDepth,
    Literal(String),
    Pattern(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Char(char),
    AnyChar,
    AnyRun,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// How far a directory takes a pattern: beneath two directories with the same progress, the same
/// names match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress(Vec<(usize, usize)>);

/// `{a,b}{c,d}…` multiplies; a pattern beyond this is a mistake or an attack.
const MOST_ALTERNATIVES: usize = 256;

/// What to write instead of a pattern that matches none of these names, if `*` was to match `/`, too.
pub fn deeper<'a>(pattern: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let below = format!("**/{pattern}");
    let glob = Glob::new(&below).ok()?;
    let matches = names.into_iter().any(|name| glob.matches(name));
    matches.then(|| format!("`*` does not match `/`: write `{below}`"))
}

/// Whether a text would be read as a pattern rather than as a plain name.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// What a pattern of a list takes out of what the others select: `!src/gen/**`. A name that begins
/// with `!` is written `./!name`.
pub fn excluded(pattern: &str) -> Option<&str> {
    pattern.strip_prefix('!')
}

/// `a/./b//../c` → `a/c`, by text alone. `..` that leaves the start stays; `.` is the empty text.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // `/..` is `/`.
            ".." if parts.is_empty() && path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') {
        format!("/{joined}")
    } else {
        joined
    }
}

/// As [`clean`], without a copy when there is nothing to do.
pub fn cleaned(path: &str) -> Cow<'_, str> {
    let dirty = |part: &str| matches!(part, "" | "." | "..");
    let relative = path.strip_prefix('/').unwrap_or(path);
    match !relative.is_empty() && relative.split('/').any(dirty) {
        true => Cow::Owned(clean(path)),
        false => Cow::Borrowed(path),
    }
}

impl Glob {
    pub fn new(text: &str) -> Result<Glob, GlobProblem> {
        let mut alternatives = Vec::new();
        for spread in spread(text)? {
            alternatives.push(
                clean(&spread)
                    .split('/')
                    .map(component)
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        Ok(Glob {
            text: text.to_string(),
            alternatives,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole path matches. Both sides are cleaned the same way.
    pub fn matches(&self, path: &str) -> bool {
        let path = cleaned(path);
        let parts: Vec<&str> = path.split('/').collect();
        self.alternatives
            .iter()
            .any(|components| match_components(components, &parts))
    }

    /// Whether something beneath this directory could match: a walk may skip it otherwise.
    pub fn may_match_under(&self, directory: &str) -> bool {
        let directory = cleaned(directory);
        let parts = parts_above(&directory);
        self.alternatives
            .iter()
            .any(|components| match_prefix(components, &parts))
    }

    /// What of the pattern is left beneath this directory.
    pub fn progress(&self, directory: &str) -> Progress {
        let directory = cleaned(directory);
        let parts = parts_above(&directory);
        let mut left = Vec::new();
        for (alternative, components) in self.alternatives.iter().enumerate() {
            let mut places = vec![false; components.len() + 1];
            places[0] = true;
            pass_depths(components, &mut places);
            for part in &parts {
                let mut next = vec![false; places.len()];
                for (at, component) in components.iter().enumerate() {
                    match component {
                        _ if !places[at] => {}
                        Component::AnyDepth => next[at] = true,
                        component => next[at + 1] |= match_one(component, part),
                    }
                }
                pass_depths(components, &mut next);
                places = next;
            }
            // At its end, nothing is left.
            let at = (0..components.len()).filter(|at| places[*at]);
            left.extend(at.map(|at| (alternative, at)));
        }
        Progress(left)
    }

    /// The directories (or whole paths, for a pattern without wildcards) that hold all matches:
    /// the components before the first wildcard, one per alternative, without duplicates.
    pub fn roots(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.alternatives
            .iter()
            .map(|components| literal_prefix(components))
            .filter(|root| seen.insert(root.clone()))
            .collect()
    }

    /// The path, when there is no wildcard at all.
    pub fn literal(&self) -> Option<String> {
        match self.alternatives.as_slice() {
            [only] if only.iter().all(|c| matches!(c, Component::Literal(_))) => {
                Some(literal_prefix(only))
            }
            _ => None,
        }
    }
}

fn literal_prefix(components: &[Component]) -> String {
    let words: Vec<&str> = components
        .iter()
        .map_while(|component| match component {
            Component::Literal(word) => Some(word.as_str()),
            _ => None,
        })
        .collect();
    // A lone empty word in front is the root of an absolute pattern.
    if words == [""] && components.len() > 1 {
        return "/".to_string();
    }
    words.join("/")
}

/// Spreads the first `{…}` and recurses over the rest, without recursion on the stack.
fn spread(text: &str) -> Result<Vec<String>, GlobProblem> {
    let mut done = Vec::new();
    let mut todo = vec![text.to_string()];
    while let Some(next) = todo.pop() {
        match first_braces(&next)? {
            None => done.push(next),
            Some((open, choices, close)) => {
                for choice in choices.iter().rev() {
                    todo.push(format!("{}{}{}", &next[..open], choice, &next[close + 1..]));
                }
            }
        }
        if todo.len() + done.len() > MOST_ALTERNATIVES {
            return Err(GlobProblem::TooManyAlternatives {
                limit: MOST_ALTERNATIVES,
            });
        }
    }
    Ok(done)
}

type Braces = (usize, Vec<String>, usize);

fn first_braces(text: &str) -> Result<Option<Braces>, GlobProblem> {
    let mut depth = 0usize;
    let (mut open, mut from) = (0, 0);
    let mut choices = Vec::new();
    let (mut escaped, mut class) = (false, false);
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' if !class => class = true,
            ']' if class => class = false,
            _ if class => {}
            '{' => {
                if depth == 0 {
                    (open, from) = (at, at + 1);
                }
                depth += 1;
            }
            ',' if depth == 1 => {
                choices.push(text[from..at].to_string());
                from = at + 1;
            }
            '}' if depth == 1 => {
                choices.push(text[from..at].to_string());
                return Ok(Some((open, choices, at)));
            }
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    match depth {
        0 => Ok(None),
        _ => Err(unclosed('{', '}')),
    }
}

fn unclosed(open: char, close: char) -> GlobProblem {
    GlobProblem::Unclosed { open, close }
}

fn component(text: &str) -> Result<Component, GlobProblem> {
    if text == "**" {
        return Ok(Component::AnyDepth);
    }
    let mut pieces = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '?' => Piece::AnyChar,
            '*' => Piece::AnyRun,
            '[' => class(&mut chars)?,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            c => Piece::Char(c),
        });
    }
    pieces.dedup_by(|a, b| *a == Piece::AnyRun && *b == Piece::AnyRun);
    let word: Option<String> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Char(c) => Some(*c),
            _ => None,
        })
        .collect();
    Ok(match word {
        Some(word) => Component::Literal(word),
        None => Component::Pattern(pieces),
    })
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars>) -> Result<Piece, GlobProblem> {
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next() {
            None => return Err(unclosed('[', ']')),
            Some(']') if !ranges.is_empty() => break,
            Some('\\') => chars.next().unwrap_or('\\'),
            Some(c) => c,
        };
        let mut high = low;
        if chars.peek() == Some(&'-') {
            let mut ahead = chars.clone();
            ahead.next();
            if let Some(end) = ahead.next().filter(|end| *end != ']') {
                high = end;
                *chars = ahead;
            }
        }
        if high < low {
            return Err(GlobProblem::EmptyRange { low, high });
        }
        ranges.push((low, high));
    }
    Ok(Piece::Class { negated, ranges })
}

/// The two-pointer match: a later `**` makes earlier ones final, so the time is at most
/// components × parts and nothing recurses.
fn match_components(components: &[Component], parts: &[&str]) -> bool {
    let (mut at, mut part) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while part < parts.len() {
        match components.get(at) {
            Some(Component::AnyDepth) => {
                retry = Some((at, part));
                at += 1;
            }
            Some(component) if match_one(component, parts[part]) => {
                at += 1;
                part += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    (at, part) = (star + 1, from + 1);
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    components[at..].iter().all(|c| *c == Component::AnyDepth)
}

/// Those of a directory: an empty one in front of an absolute path, as in patterns, and none of the
/// start itself.
fn parts_above(directory: &str) -> Vec<&str> {
    let root = directory.starts_with('/').then_some("");
    let parts = directory.split('/').filter(|part| !part.is_empty());
    root.into_iter().chain(parts).collect()
}

/// `**` stands for no component too.
fn pass_depths(components: &[Component], places: &mut [bool]) {
    for (at, component) in components.iter().enumerate() {
        if places[at] && *component == Component::AnyDepth {
            places[at + 1] = true;
        }
    }
}

fn match_prefix(components: &[Component], parts: &[&str]) -> bool {
    for (at, part) in parts.iter().enumerate() {
        match components.get(at) {
            Some(Component::AnyDepth) => return true,
            Some(component) if match_one(component, part) => {}
            _ => return false,
        }
    }
    components.len() > parts.len()
}

fn match_one(component: &Component, part: &str) -> bool {
    match component {
        Component::AnyDepth => true,
        Component::Literal(word) => word == part,
        Component::Pattern(pieces) => match_pieces(pieces, part),
    }
}

fn match_pieces(pieces: &[Piece], part: &str) -> bool {
    let chars: Vec<char> = part.chars().collect();
    let (mut at, mut next) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while next < chars.len() {
        match pieces.get(at) {
            Some(Piece::AnyRun) => {
                retry = Some((at, next));
                at += 1;
            }
            Some(piece) if match_char(piece, chars[next]) => {
                at += 1;
                next += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    (at, next) = (star + 1, from + 1);
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pieces[at..].iter().all(|piece| *piece == Piece::AnyRun)
}

fn match_char(piece: &Piece, c: char) -> bool {
    match piece {
        Piece::Char(wanted) => *wanted == c,
        Piece::AnyChar | Piece::AnyRun => true,
        Piece::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_stop_at_a_slash_and_double_stars_do_not() {
        for (pattern, path, expected) in [
            ("worker-*", "worker-py", true),
            ("worker-*", "worker-", true),
            ("*", "a/b", false),
            ("web/src/**", "web/src/a/b.ts", true),
            ("web/src/**", "web/src", true),
            ("**/*.swp", "x.swp", true),
            ("**/*.swp", "a/b/x.swp", true),
            ("a/**/b/**/c", "a/x/b/b/y/c", true),
            ("a/**/b/**/c", "a/x/c", false),
            ("./web//src/*.ts", "web/src/a.ts", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("{a,b{c,d}}.txt", "bd.txt", true),
            ("{a,b}.txt", "c.txt", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("/abs/*", "/abs/x", true),
            ("web/dist/", "web/dist", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn roots_are_the_components_before_the_first_wildcard() {
        let roots = |text: &str| Glob::new(text).unwrap().roots();
        assert_eq!(roots("web/src/**/*.ts"), ["web/src"]);
        assert_eq!(roots("{a,b}/c/*"), ["a/c", "b/c"]);
        assert_eq!(roots("*.ts"), [""]);
        assert_eq!(roots("/*.ts"), ["/"]);
        assert_eq!(Glob::new("./a/b").unwrap().literal().unwrap(), "a/b");
    }

    #[test]
    fn a_walk_may_skip_what_cannot_match() {
        let glob = Glob::new("web/*/src/**").unwrap();
        assert!(glob.may_match_under("web"));
        assert!(glob.may_match_under("web/a/src/deep/er"));
        assert!(!glob.may_match_under("api"));
        assert!(!glob.may_match_under("web/a/test"));
        assert!(Glob::new("/abs/*/x").unwrap().may_match_under("/abs/a"));
    }

    #[test]
    fn two_directories_with_one_progress_hold_the_same_matches() {
        for (pattern, one, other, is_same) in [
            ("**/*.ts", "", "a/b", true),
            ("web/**/*.ts", "web", "web/a/b", true),
            ("src/**/b/*.ts", "src/p/a", "src/q/b", false),
            ("src/**/b/*.ts", "src/b", "src/q/b", true),
            ("*/x", "a", "b", true),
            ("*/x", "", "b", false),
            ("{a,b}/**", "a", "b", false),
            ("/abs/*", "/abs", "abs", false),
        ] {
            let glob = Glob::new(pattern).unwrap();
            let same = glob.progress(one) == glob.progress(other);
            assert_eq!(same, is_same, "{pattern} {one} {other}");
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[", "[a", "{a", "{a,{b}", "[z-a]", &"{a,b}".repeat(20)] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_any_path_end(pattern in r"[ab*?\[\]{},!/\\.-]{0,24}", path in "[ab/.]{0,24}") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&path);
                glob.may_match_under(&path);
                glob.progress(&path);
                glob.roots();
            }
        }

        #[test]
        fn what_matches_beneath_is_said_by_the_progress(
            pattern in r"[ab*?{},/]{1,16}", one in "[ab]{1,2}(/[ab]{1,2}){0,3}",
            other in "[ab]{1,2}(/[ab]{1,2}){0,3}", inside in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        ) {
            if let Ok(glob) = Glob::new(&pattern)
                && glob.progress(&one) == glob.progress(&other)
            {
                let matches = |directory: &str| glob.matches(&format!("{directory}/{inside}"));
                proptest::prop_assert_eq!(matches(&one), matches(&other));
            }
        }

        #[test]
        fn a_path_without_wildcards_matches_itself(path in "[a-z/.]{0,24}") {
            proptest::prop_assert!(Glob::new(&path).unwrap().matches(&path));
        }
    }
}
