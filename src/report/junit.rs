//! A run as JUnit XML, which CI systems show: each target is a case.

use std::fmt::Write;
use std::time::Duration;

use super::summary::Summary;
use super::{human, json};
use imgmake_event::TargetOutcome;
use imgmake_guard::printable::{self, Colors};

pub(super) fn document(summary: &Summary, took: Duration) -> String {
    let mut cases = String::new();
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    for (target, outcome, took) in summary.targets() {
        tests += 1;
        let name = escape(target);
        let begin = format!(
            "    <testcase classname=\"imgmake\" name=\"{name}\" time=\"{}\"",
            json::seconds(took)
        );
        let inner = match outcome {
            TargetOutcome::Done | TargetOutcome::UpToDate | TargetOutcome::Unchanged => None,
            TargetOutcome::Failed { message, .. } => {
                failures += 1;
                let first = message.lines().next().unwrap_or_default();
                let (first, all) = (escape(first), escape(message));
                Some(format!("<failure message=\"{first}\">{all}</failure>"))
            }
            TargetOutcome::Skipped { dependency } => {
                skipped += 1;
                let why = escape(&format!("`{dependency}` failed"));
                Some(format!("<skipped message=\"{why}\"/>"))
            }
            TargetOutcome::Cancelled => {
                skipped += 1;
                Some("<skipped message=\"stopped\"/>".to_string())
            }
        };
        match inner {
            None => writeln!(cases, "{begin}/>"),
            Some(inner) => writeln!(cases, "{begin}>{inner}</testcase>"),
        }
        .expect("a string takes all");
    }
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\"");
    let time = json::seconds(took);
    let now = human::now();
    // JUnit's schema has no zone.
    let now = now
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches('Z');
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"imgmake\" {counts} time=\"{time}\">\n  <testsuite name=\"imgmake\" {counts} skipped=\"{skipped}\" time=\"{time}\" timestamp=\"{now}\">\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

/// Without the controls that XML 1.0 does not have.
fn escape(text: &str) -> String {
    let text = printable::message(text, Colors::Removed);
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
