//! Warnings as they are collected; what is switched off is dropped.

use std::collections::BTreeSet;

use super::rule::{Rule, Warning};
use crate::ast::Located;
use crate::checks::{CheckOptions, Rules};

/// Collects; drops what is switched off.
pub(super) struct Report {
    pub options: CheckOptions,
    pub warnings: BTreeSet<Warning>,
}

impl Report {
    /// Hears everything and says nothing.
    pub fn silent() -> Report {
        let options = CheckOptions {
            skip: Rules::All,
            ..CheckOptions::default()
        };
        Report {
            options,
            warnings: BTreeSet::new(),
        }
    }

    pub fn at<T>(&mut self, place: &Located<T>, rule: Rule, message: impl Into<String>) {
        let options = self.options.with_comments(&place.comments);
        self.push(&options, place.first_line, rule, message.into());
    }

    pub fn at_line(&mut self, line: usize, rule: Rule, message: &str) {
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

/// The comment right above an ARG or a named stage describes it: `# name what it is`.
pub(super) fn description<T>(place: &Located<T>, what: &str, names: &[&str], report: &mut Report) {
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

pub(super) fn suggestion(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}
