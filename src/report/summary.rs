//! What a run came to: gathered from its events, shown at its end.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::options::Options;
use super::{human, json};
use imgmake_event::{Event, MessageForm, Product, TargetOutcome};

/// Lines of a failed target's output that are shown again at the end.
const LAST_LINES: usize = 30;

/// More results than these are counted, and named with `-v`.
const MOST_RESULTS: usize = 50;

/// Bytes that are kept of what one scan said.
const LONGEST_SCAN: usize = 64 << 10;

/// Warnings that are kept for reports.
const MOST_WARNINGS: usize = 1000;

#[derive(Default)]
pub(super) struct Summary {
    /// Where a target stands in the plan: results are shown in this order, which is that of the manifest.
    places: HashMap<String, usize>,
    /// What each scan said of its images.
    scans: BTreeMap<String, String>,
    ended: Vec<Ended>,
    products: Vec<(String, Product)>,
    known_products: HashSet<(String, Product)>,
    last_lines: BTreeMap<String, VecDeque<Vec<u8>>>,
    warnings: usize,
    /// The first of them, with their targets.
    warned: Vec<(Option<String>, String)>,
}

struct Ended {
    target: String,
    outcome: TargetOutcome,
    took: Duration,
}

impl Summary {
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Planned { targets } => {
                for target in targets {
                    let last = self.places.len();
                    self.places.entry(target.name.clone()).or_insert(last);
                    if target.kind == "scan" {
                        self.scans.entry(target.name.clone()).or_default();
                    }
                }
            }
            Event::TargetFinished {
                target,
                outcome,
                took,
            } => {
                if !matches!(outcome, TargetOutcome::Failed { .. }) {
                    self.last_lines.remove(target);
                }
                self.ended.push(Ended {
                    target: target.clone(),
                    outcome: outcome.clone(),
                    took: *took,
                });
            }
            Event::Produced { target, what } => {
                let product = (target.clone(), what.clone());
                // Another attempt makes the same again.
                if self.known_products.insert(product.clone()) {
                    self.products.push(product);
                }
            }
            // A failed step's message brings its own output.
            Event::Output {
                target,
                line,
                step: None,
                ..
            } => {
                let lines = self.last_lines.entry(target.clone()).or_default();
                if lines.len() == LAST_LINES {
                    lines.pop_front();
                }
                lines.push_back(line.iter().copied().take(2000).collect());
            }
            Event::Note {
                target: Some(target),
                message,
            } => {
                if let Some(said) = self.scans.get_mut(target)
                    && said.len() + message.len() < LONGEST_SCAN
                {
                    said.push_str(message.trim_end());
                    said.push('\n');
                }
            }
            Event::Warning { target, message } => {
                self.warnings += 1;
                if self.warned.len() < MOST_WARNINGS {
                    self.warned.push((target.clone(), message.clone()));
                }
            }
            _ => {}
        }
    }

    fn count(&self, wanted: impl Fn(&TargetOutcome) -> bool) -> usize {
        let ended = self.ended.iter();
        ended.filter(|ended| wanted(&ended.outcome)).count()
    }

    /// In the order of the plan; what one target made stays as it was.
    fn in_order<'s, T>(&self, all: &'s [T], target: impl Fn(&T) -> &str) -> Vec<&'s T> {
        let mut all: Vec<&T> = all.iter().collect();
        let last = self.places.len();
        all.sort_by_key(|one| self.places.get(target(one)).copied().unwrap_or(last));
        all
    }

    fn products(&self) -> Vec<&(String, Product)> {
        self.in_order(&self.products, |(target, _)| target)
    }

    /// All targets with what became of them.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&str, &TargetOutcome, Duration)> {
        let ended = self.in_order(&self.ended, |ended| &ended.target);
        let ended = ended.into_iter();
        ended.map(|ended| (ended.target.as_str(), &ended.outcome, ended.took))
    }

    /// What a scan found in its images, if the target is one.
    pub(super) fn found_by(&self, target: &str) -> Option<&str> {
        self.scans.get(target).map(String::as_str)
    }

    /// Warnings with their targets.
    pub(super) fn warned(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let all = self.warned.iter();
        all.map(|(target, message)| (target.as_deref(), message.as_str()))
    }

    /// What a target made.
    pub(super) fn made_by<'s>(&'s self, target: &'s str) -> impl Iterator<Item = &'s Product> {
        let own = self.products.iter().filter(move |(name, _)| name == target);
        own.map(|(_, what)| what)
    }

    /// The line about all targets, without colors.
    pub(super) fn counts(&self, took: Duration) -> String {
        self.verdict_in(false, took).trim_end().to_string()
    }

    /// One line about all targets.
    pub(super) fn verdict(&self, options: Options, took: Duration) -> String {
        self.verdict_in(options.color, took)
    }

    fn verdict_in(&self, colored: bool, took: Duration) -> String {
        let fresh = self.count(|o| *o == TargetOutcome::UpToDate);
        if self.ended.is_empty() {
            return String::new();
        }
        let targets = |n: usize| {
            if n == 1 {
                "1 target".to_string()
            } else {
                format!("{n} targets")
            }
        };
        if fresh == self.ended.len() {
            let verb = if fresh == 1 { "is" } else { "are" };
            return format!(
                "nothing to do: {} {verb} up to date ({})\n",
                targets(fresh),
                human::duration(took)
            );
        }
        let made = self.count(|o| matches!(o, TargetOutcome::Done | TargetOutcome::Unchanged));
        let mut parts = Vec::new();
        let others: [(usize, &str, Option<&str>); 5] = [
            (made, "done", Some("32")),
            (fresh, "up to date", None),
            (
                self.count(|o| matches!(o, TargetOutcome::Failed { .. })),
                "failed",
                Some("31;1"),
            ),
            (
                self.count(|o| matches!(o, TargetOutcome::Skipped { .. })),
                "skipped",
                None,
            ),
            (
                self.count(|o| *o == TargetOutcome::Cancelled),
                "stopped",
                Some("33"),
            ),
        ];
        for (count, word, color) in others.into_iter().filter(|(count, ..)| *count > 0) {
            let text = format!("{count} {word}");
            parts.push(match color {
                Some(code) if colored => format!("\x1b[{code}m{text}\x1b[0m"),
                _ => text,
            });
        }
        format!(
            "{}: {} in {}\n",
            targets(self.ended.len()),
            parts.join(", "),
            human::duration(took)
        )
    }

    /// Where the results are, a line each.
    pub(super) fn results(&self, options: Options) -> String {
        if self.products.len() > MOST_RESULTS && !options.verbose {
            return self.counted_results();
        }
        let shown = |digest: &str| match options.short_digests {
            true => human::short_digest(digest),
            false => digest.to_string(),
        };
        let mut text = String::new();
        let width = self
            .products
            .iter()
            .map(|(target, _)| target.chars().count())
            .max()
            .unwrap_or(0);
        for (target, product) in self.products() {
            let (kind, what) = match product {
                Product::Image { digest, size } => (
                    "image",
                    format!("{} ({})", shown(digest), human::bytes(*size)),
                ),
                Product::Tar { path, bytes } => {
                    ("tar", format!("{path} ({})", human::bytes(*bytes)))
                }
                Product::Layout { path } => ("layout", path.clone()),
                Product::Pushed { reference, digest } => {
                    ("pushed", format!("{reference}@{}", shown(digest)))
                }
                Product::Report { path } => ("report", path.clone()),
                Product::File { path } => ("file", path.clone()),
            };
            writeln!(text, "{target:width$}  {kind:6}  {what}").expect("a string takes all");
        }
        text
    }

    /// Nobody reads a thousand lines: how many of each kind there are.
    fn counted_results(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, product) in &self.products {
            let kind = match product {
                Product::Image { .. } => "images",
                Product::Tar { .. } => "tars",
                Product::Layout { .. } => "layouts",
                Product::Pushed { .. } => "tags pushed",
                Product::Report { .. } => "reports",
                Product::File { .. } => "files",
            };
            *counts.entry(kind).or_default() += 1;
        }
        let counted: Vec<String> = counts
            .into_iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        format!("{}; `-v` names each\n", counted.join(", "))
    }

    /// Each failed target's last output and cause.
    pub(super) fn failures(&self, options: Options) -> String {
        let mut text = String::new();
        let width = options.width.clamp(40, 200);
        for (target, outcome, _) in self.targets() {
            let TargetOutcome::Failed { message, form } = outcome else {
                continue;
            };
            if let Some(lines) = self
                .last_lines
                .get(target)
                .filter(|lines| !lines.is_empty())
            {
                writeln!(text, "\nlast output of `{target}`:").expect("a string takes all");
                for line in lines {
                    writeln!(text, "  │ {}", human::line(line, width - 4))
                        .expect("a string takes all");
                }
                if lines.len() == LAST_LINES && options.keeps_logs {
                    writeln!(text, "the whole output: `imgmake logs {target}`")
                        .expect("a string takes all");
                }
            }
            let word = if options.color {
                "\x1b[31;1merror\x1b[0m"
            } else {
                "error"
            };
            let message = message.trim_end();
            match form {
                MessageForm::Rendered => writeln!(text, "\n{message}"),
                MessageForm::Sentence => writeln!(text, "\n{word}: target `{target}`: {message}"),
            }
            .expect("a string takes all");
        }
        text
    }

    pub(super) fn json(&self, took: Duration) -> Value {
        let targets: Vec<Value> = self
            .targets()
            .map(|(name, outcome, _)| json!({"name": name, "outcome": json::outcome_name(outcome)}))
            .collect();
        let products: Vec<Value> = self
            .products()
            .into_iter()
            .map(|(target, what)| {
                let mut value = json::product(what);
                value["target"] = json!(target);
                value
            })
            .collect();
        json!({"event": "finished", "seconds": json::seconds(took), "targets": targets, "products": products, "warnings": self.warnings})
    }
}
