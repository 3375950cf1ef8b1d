//! The build checks of the Dockerfile reference: warnings that know their line.
//!
//! Knows the parsed file and the [`Facts`] it is given. Fetches nothing: what a base image holds, or what an
//! ignore file hides, comes in as values.

mod from;
mod options;
mod stage;
#[cfg(test)]
mod tests;

pub use options::{CheckOptions, Rules};

use super::ignore::Ignore;
use super::types::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What only the caller can know. All of it is optional.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `--build-arg`.
    pub build_args: Option<&'a BTreeMap<String, String>>,
    /// `BUILDKIT_DOCKERFILE_CHECK`, which replaces the file's own directive.
    pub check: Option<&'a CheckOptions>,
    /// Environments of base images by stage index. A stage whose base is not listed may know any variable.
    pub base_environments: Option<&'a BTreeMap<usize, BTreeMap<String, String>>>,
    /// ONBUILD triggers of base images by stage index.
    pub base_triggers: Option<&'a BTreeMap<usize, Vec<String>>>,
    /// Bases that came for another platform than was asked for.
    pub base_platforms: &'a [PlatformMismatch],
    /// The ignore file of the main context.
    pub ignore: Option<&'a Ignore>,
}

/// For `InvalidBaseImagePlatform`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformMismatch {
    pub stage: usize,
    pub image: String,
    pub expected: String,
    pub actual: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    pub line: usize,
    pub rule: Rule,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: {}: {}",
            self.line,
            self.rule.name(),
            self.message
        )
    }
}

/// A check, under the name that `# check=skip=` uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    StageNameCasing,
    FromAsCasing,
    NoEmptyContinuation,
    ConsistentInstructionCasing,
    DuplicateStageName,
    ReservedStageName,
    JSONArgsRecommended,
    MaintainerDeprecated,
    UndefinedArgInFrom,
    WorkdirRelativePath,
    UndefinedVar,
    MultipleInstructionsDisallowed,
    LegacyKeyValueFormat,
    InvalidBaseImagePlatform,
    RedundantTargetPlatform,
    SecretsUsedInArgOrEnv,
    InvalidDefaultArgInFrom,
    FromPlatformFlagConstDisallowed,
    CopyIgnoredFile,
    InvalidDefinitionDescription,
    ExposeProtoCasing,
    ExposeInvalidFormat,
}

impl Rule {
    pub const ALL: [Rule; 22] = [
        Rule::StageNameCasing,
        Rule::FromAsCasing,
        Rule::NoEmptyContinuation,
        Rule::ConsistentInstructionCasing,
        Rule::DuplicateStageName,
        Rule::ReservedStageName,
        Rule::JSONArgsRecommended,
        Rule::MaintainerDeprecated,
        Rule::UndefinedArgInFrom,
        Rule::WorkdirRelativePath,
        Rule::UndefinedVar,
        Rule::MultipleInstructionsDisallowed,
        Rule::LegacyKeyValueFormat,
        Rule::InvalidBaseImagePlatform,
        Rule::RedundantTargetPlatform,
        Rule::SecretsUsedInArgOrEnv,
        Rule::InvalidDefaultArgInFrom,
        Rule::FromPlatformFlagConstDisallowed,
        Rule::CopyIgnoredFile,
        Rule::InvalidDefinitionDescription,
        Rule::ExposeProtoCasing,
        Rule::ExposeInvalidFormat,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }
    /// Only runs when `experimental=` names it.
    pub fn is_experimental(self) -> bool {
        self == Rule::InvalidDefinitionDescription
    }
}

/// Everything worth a warning, in the order of lines.
pub fn lint(file: &Dockerfile, facts: &Facts<'_>) -> Vec<Warning> {
    let mut report = Report {
        options: facts.check.unwrap_or(&file.directives.check).clone(),
        warnings: BTreeSet::new(),
    };
    for line in &file.empty_continuations {
        let message = "a blank line inside a continued instruction will become an error";
        report.at_line(*line, Rule::NoEmptyContinuation, message);
    }
    from::check(file, facts, &mut report);
    casing(file, &mut report);
    stage::check(file, facts, &mut report);
    report.warnings.into_iter().collect()
}

/// Whether the warnings must fail the build: `# check=error=true`.
pub fn is_fatal(file: &Dockerfile, facts: &Facts<'_>, warnings: &[Warning]) -> bool {
    facts.check.unwrap_or(&file.directives.check).error && !warnings.is_empty()
}

/// Collects; drops what is switched off.
struct Report {
    options: CheckOptions,
    warnings: BTreeSet<Warning>,
}

impl Report {
    /// Hears everything and says nothing.
    fn silent() -> Report {
        let options = CheckOptions {
            skip: Rules::All,
            ..CheckOptions::default()
        };
        Report {
            options,
            warnings: BTreeSet::new(),
        }
    }

    fn at<T>(&mut self, place: &Located<T>, rule: Rule, message: impl Into<String>) {
        let options = self.options.with_comments(&place.comments);
        self.push(&options, place.first_line, rule, message.into());
    }

    fn at_line(&mut self, line: usize, rule: Rule, message: &str) {
        let options = self.options.clone();
        self.push(&options, line, rule, message.to_owned());
    }

    fn push(&mut self, options: &CheckOptions, line: usize, rule: Rule, message: String) {
        let name = rule.name();
        let runs = match rule.is_experimental() {
            true => options.experimental.contains(&name),
            false => !options.skip.contains(&name),
        };
        if runs {
            let warning = Warning {
                line,
                rule,
                message,
            };
            self.warnings.insert(warning);
        }
    }
}

/// The file's majority decides between capitals and small letters; mixed words count for nobody.
fn casing(file: &Dockerfile, report: &mut Report) {
    let froms = file.stages.iter().map(|s| s.from.with(()));
    let others = file.stages.iter().flat_map(|s| &s.instructions);
    let all: Vec<Located<()>> = froms.chain(others.map(|i| i.with(()))).collect();
    let lower = all.iter().filter(|i| i.keyword == i.keyword.to_lowercase());
    let upper = all.iter().filter(|i| i.keyword == i.keyword.to_uppercase());
    let small = lower.count() > upper.count();
    for place in &all {
        let (expected, case) = match small {
            true => (place.keyword.to_lowercase(), "small letters"),
            false => (place.keyword.to_uppercase(), "capitals"),
        };
        if place.keyword != expected {
            let message = format!("write `{expected}`: most instructions here are in {case}");
            report.at(place, Rule::ConsistentInstructionCasing, message);
        }
    }
}

/// The comment right above an ARG or a named stage describes it: `# name what it is`.
fn description<T>(place: &Located<T>, what: &str, names: &[&str], report: &mut Report) {
    let (Some(comment), Some(first)) = (place.comments.last(), names.first()) else {
        return;
    };
    let word = comment.split(' ').next().unwrap_or_default();
    // Apart from it by a blank line.
    if comment.is_empty() {
        return;
    }
    if !names.contains(&word) {
        let message = format!("the comment above this {what} should read `# {first} description`");
        report.at(place, Rule::InvalidDefinitionDescription, message);
    }
}

fn suggestion(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}
