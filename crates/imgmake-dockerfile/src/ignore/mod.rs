//! `.dockerignore`: which paths of a context stay out of it, by moby's rules.
//!
//! The last rule that matches decides; a path is also hidden when a directory above it matched. Knows no disk:
//! the caller walks and asks.

mod pattern;
#[cfg(test)]
mod tests;

use super::error::{DockerfileError, Mistake, PatternProblem};
use super::wildcard::Wildcard;
use pattern::Pattern;

/// The rules of one ignore file.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

/// One line of an ignore file.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written, without blanks around it.
    pub text: String,
    pub line: usize,
    effect: Effect,
    pattern: Pattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Hide,
    /// `!pattern`
    Keep,
}

/// What the rules say about one path.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// No rule hides it, or one brings it back.
    Kept(Option<&'a Rule>),
    /// The rule that hides it.
    Hidden(&'a Rule),
}

impl Verdict<'_> {
    pub fn is_hidden(&self) -> bool {
        matches!(self, Verdict::Hidden(_))
    }
}

/// What is already known about a directory, for the paths below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// Per rule: whether the directory or one above it matched. Empty at the root.
    matched: Vec<bool>,
}

impl Ignore {
    /// Reads an ignore file. `#` starts a comment in column one only.
    pub fn parse(text: &str) -> Result<Ignore, DockerfileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate();
        let rules = lines.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
        let rules = rules.map(|(index, line)| Rule::parse(line.trim(), index + 1));
        Ok(Ignore {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// The patterns of `COPY --exclude`, which follow the same rules.
    pub fn from_patterns<'p>(
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Result<Ignore, DockerfileError> {
        let patterns = patterns.into_iter().map(str::trim).enumerate();
        let rules = patterns.filter(|(_, pattern)| !pattern.is_empty());
        let rules = rules.map(|(index, pattern)| Rule::exact(pattern, pattern, index + 1));
        Ok(Ignore {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any rule brings something back: without one, a hidden directory is hidden whole.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|r| r.effect == Effect::Keep)
    }

    /// What the rules say about `path`, which is relative, clean and uses `/`. Looks at every directory above it.
    pub fn verdict(&self, path: &str) -> Verdict<'_> {
        let mut parent = Parent::default();
        for (at, _) in path.match_indices('/') {
            parent = self.descend(&path[..at], &parent).1;
        }
        self.verdict_in(path, &parent)
    }

    pub fn is_hidden(&self, path: &str) -> bool {
        self.verdict(path).is_hidden()
    }

    /// For messages: ``the ignore rule `dist/` at .dockerignore:3 hid it``.
    pub fn hiding_rule(&self, path: &str) -> Option<&Rule> {
        match self.verdict(path) {
            Verdict::Hidden(rule) => Some(rule),
            Verdict::Kept(_) => None,
        }
    }

    /// The same for a walk: with what is known of the directory above, each level costs one look.
    /// The second value is for the paths below `path`.
    pub fn descend(&self, path: &str, parent: &Parent) -> (Verdict<'_>, Parent) {
        let mut matched = Vec::with_capacity(self.rules.len());
        let verdict = self.decide(path, parent, |m| matched.push(m));
        (verdict, Parent { matched })
    }

    /// Like [`Ignore::descend`], for a path that has nothing below it.
    pub fn verdict_in(&self, path: &str, parent: &Parent) -> Verdict<'_> {
        self.decide(path, parent, |_| {})
    }

    fn decide(&self, path: &str, parent: &Parent, mut note: impl FnMut(bool)) -> Verdict<'_> {
        let mut verdict = Verdict::Kept(None);
        for (index, rule) in self.rules.iter().enumerate() {
            let inherited = parent.matched.get(index).copied().unwrap_or(false);
            let changes_nothing = (rule.effect == Effect::Hide) == verdict.is_hidden();
            // The order of questions is moby's: a rule that could change nothing is not asked about this path,
            // and so is not inherited from it either.
            let matches = inherited || (!changes_nothing && rule.pattern.matches(path));
            note(matches);
            if matches {
                verdict = match rule.effect {
                    Effect::Hide => Verdict::Hidden(rule),
                    Effect::Keep => Verdict::Kept(Some(rule)),
                };
            }
        }
        verdict
    }

    /// Whether a walk may skip a hidden directory whole: nothing below it can come back.
    pub fn hides_everything_below(&self, directory: &str, parent: &Parent) -> bool {
        let verdict = self.verdict_in(directory, parent);
        let mut exceptions = self.rules.iter().filter(|r| r.effect == Effect::Keep);
        verdict.is_hidden() && !exceptions.any(|rule| rule.pattern.may_match_below(directory))
    }
}

impl Rule {
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// A line of an ignore file: a leading `/` means nothing.
    fn parse(written: &str, line: usize) -> Result<Rule, DockerfileError> {
        let (mark, pattern) = match written.strip_prefix('!') {
            Some(pattern) => ("!", pattern.trim()),
            None => ("", written),
        };
        let cleaned = match pattern {
            "" => String::new(),
            pattern => pattern::clean(pattern),
        };
        let relative = match cleaned.strip_prefix('/') {
            Some(relative) if !relative.is_empty() => relative,
            _ => cleaned.as_str(),
        };
        Rule::exact(&format!("{mark}{relative}"), written, line)
    }

    fn exact(pattern: &str, written: &str, line: usize) -> Result<Rule, DockerfileError> {
        let error = |mistake: Mistake| mistake.at(line);
        let cleaned = pattern::clean(pattern);
        let (effect, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return Err(error(Mistake::pattern("!", PatternProblem::OnlyNegation))),
            Some(pattern) => (Effect::Keep, pattern),
            None => (Effect::Hide, cleaned.as_str()),
        };
        Wildcard::new(cleaned).map_err(error)?;
        let pattern = Pattern::new(cleaned)
            .ok_or_else(|| error(Mistake::pattern(cleaned, PatternProblem::EmptyClass)))?;
        Ok(Rule {
            text: written.to_owned(),
            line,
            effect,
            pattern,
        })
    }
}
