//! Targets of a plan: a line each, or a matrix of jobs.

use serde_json::{Value, json};

use super::output::tell;

/// Jobs that GitHub runs of one matrix.
const MOST_JOBS: usize = 256;

/// One target that would be done.
pub(super) struct Row<'a> {
    pub kind: &'a str,
    pub target: &'a str,
    pub reasons: Vec<String>,
}

/// Kind, name, and the first reasons.
pub(super) fn text(rows: &[Row<'_>]) -> String {
    let widths = rows.iter().map(|row| row.target.chars().count());
    let width = widths.max().unwrap_or(0);
    let line = |row: &Row<'_>| {
        let Row {
            kind,
            target,
            reasons,
        } = row;
        let more = match reasons.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let first: Vec<&str> = reasons.iter().take(3).map(String::as_str).collect();
        format!("{kind:5}  {target:width$}  {}{more}\n", first.join(", "))
    };
    rows.iter().map(line).collect()
}

/// `strategy.matrix` of a GitHub workflow, in one line.
pub(super) fn matrix<'a>(targets: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let jobs = targets.map(|(target, kind)| json!({"target": target, "kind": kind}));
    let jobs: Vec<Value> = jobs.collect();
    if jobs.len() > MOST_JOBS {
        tell(format!(
            "warning: {} jobs: GitHub refuses a matrix of more than {MOST_JOBS}; name fewer targets, or groups",
            jobs.len()
        ));
    }
    json!({"include": jobs}).to_string() + "\n"
}
