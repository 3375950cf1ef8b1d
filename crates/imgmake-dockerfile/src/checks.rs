//! `# check=skip=A,B;error=true`: which checks run, and whether they fail the build.

use std::collections::BTreeSet;

use super::error::{Kind, Mistake};

/// Also the value of the build argument `BUILDKIT_DOCKERFILE_CHECK`, which replaces the directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    pub skip: Rules,
    /// Experimental checks to run after all.
    pub experimental: Rules,
    /// Warnings fail the build.
    pub error: bool,
}

/// Names of checks, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    All,
    Named(BTreeSet<String>),
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::Named(BTreeSet::new())
    }
}

impl Rules {
    pub fn contains(&self, rule: &str) -> bool {
        match self {
            Rules::All => true,
            Rules::Named(names) => names.contains(rule),
        }
    }

    fn parse(text: &str) -> Rules {
        match text.trim() {
            "all" => Rules::All,
            text => Rules::Named(
                text.split(',')
                    .map(|n| n.trim().to_owned())
                    .filter(|n| !n.is_empty())
                    .collect(),
            ),
        }
    }

    fn text(&self) -> String {
        match self {
            Rules::All => "all".to_owned(),
            Rules::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Rules::Named(names) if names.is_empty())
    }

    fn merge(&mut self, other: &Rules) {
        match (&mut *self, other) {
            (Rules::Named(mine), Rules::Named(theirs)) => mine.extend(theirs.iter().cloned()),
            _ => *self = Rules::All,
        }
    }
}

impl CheckOptions {
    /// `skip=…`, `experimental=…` and `error=…`, separated by `;`.
    pub fn parse(text: &str) -> Result<CheckOptions, Mistake> {
        let mut options = CheckOptions::default();
        for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key.trim(), value.trim()) {
                ("skip", value) => options.skip = Rules::parse(value),
                ("experimental", value) => options.experimental = Rules::parse(value),
                ("error", "true" | "1" | "t" | "T" | "TRUE" | "True") => options.error = true,
                ("error", "false" | "0" | "f" | "F" | "FALSE" | "False") => options.error = false,
                ("error", other) => {
                    let what = format!("`error={other}`");
                    return Err(Mistake::unusable(what, "is not true or false"));
                }
                (other, _) => return Err(Mistake::unknown(Kind::CheckOption, other)),
            }
        }
        Ok(options)
    }

    /// The text that parses to this; `None` when nothing differs from the default.
    pub fn text(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.skip.is_empty() {
            parts.push(format!("skip={}", self.skip.text()));
        }
        if !self.experimental.is_empty() {
            parts.push(format!("experimental={}", self.experimental.text()));
        }
        if self.error {
            parts.push("error=true".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join(";"))
    }

    /// With what a comment above one instruction (`# check=skip=A`) adds.
    pub(super) fn with_comments(&self, comments: &[String]) -> CheckOptions {
        let mut merged = self.clone();
        let check = |comment: &String| {
            let (name, value) = comment.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("check")
                .then(|| CheckOptions::parse(value).ok())?
        };
        if let Some(options) = comments.iter().find_map(check) {
            merged.skip.merge(&options.skip);
            merged.experimental.merge(&options.experimental);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_print_as_they_parse() {
        for text in [
            "skip=A,B;error=true",
            "skip=all",
            "experimental=all;error=true",
        ] {
            let options = CheckOptions::parse(text).unwrap();
            assert_eq!(options.text().as_deref(), Some(text));
        }
        assert_eq!(CheckOptions::parse("error=false").unwrap().text(), None);
    }

    #[test]
    fn unknown_options_are_errors() {
        assert!(CheckOptions::parse("skp=A").is_err());
        assert!(CheckOptions::parse("error=maybe").is_err());
    }
}
