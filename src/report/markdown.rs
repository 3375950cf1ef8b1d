//! A run as Markdown, for the summary of a job.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::summary::Summary;
use super::{human, json};
use imgmake_event::{Product, TargetOutcome};
use imgmake_guard::printable::{self, Colors};

/// A table of all targets that were not up to date, and of what they made.
pub(super) fn page(summary: &Summary, took: Duration, before: &BTreeMap<String, u64>) -> String {
    let mut text = format!("### imgmake: {}\n\n", summary.counts(took));
    let shown: Vec<_> = summary
        .targets()
        .filter(|(_, outcome, _)| **outcome != TargetOutcome::UpToDate)
        .collect();
    if !shown.is_empty() {
        text.push_str("| target | outcome | time | made |\n|---|---|---|---|\n");
    }
    for (target, outcome, took) in shown {
        let before = before.get(target).copied();
        let made = summary.made_by(target).map(|what| product(what, before));
        let made: Vec<String> = made.collect();
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(target),
            json::outcome_name(outcome),
            human::duration(took),
            made.join("<br>")
        )
        .expect("a string takes all");
    }
    for (target, outcome, _) in summary.targets() {
        let told = match outcome {
            TargetOutcome::Failed { message, .. } => Some(message.as_str()),
            _ => summary.found_by(target).filter(|found| !found.is_empty()),
        };
        if let Some(message) = told {
            // Longer than any fence in it.
            let fence = "`".repeat(3 + longest_fence(message));
            write!(
                text,
                "\n**{}**\n\n{fence}text\n{}\n{fence}\n",
                cell(target),
                printable::message(message.trim_end(), Colors::Removed)
            )
            .expect("a string takes all");
        }
    }
    text
}

fn product(what: &Product, before: Option<u64>) -> String {
    match what {
        Product::Image { digest, size } => {
            format!(
                "image `{}`, {}{}",
                human::short_digest(digest),
                human::bytes(*size),
                before
                    .map(|before| change(before, *size))
                    .unwrap_or_default()
            )
        }
        Product::Tar { path, bytes } => format!("{}, {}", cell(path), human::bytes(*bytes)),
        Product::Pushed { reference, digest } => {
            format!("{}, `{}`", cell(reference), human::short_digest(digest))
        }
        Product::Layout { path } | Product::Report { path } | Product::File { path } => cell(path),
    }
}

/// ` (+1.2 MB)`
fn change(before: u64, now: u64) -> String {
    match now.cmp(&before) {
        Ordering::Equal => " (same size)".to_string(),
        Ordering::Greater => format!(" (+{})", human::bytes(now - before)),
        Ordering::Less => format!(" (−{})", human::bytes(before - now)),
    }
}

/// Words of others stay words.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '\\' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn longest_fence(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
