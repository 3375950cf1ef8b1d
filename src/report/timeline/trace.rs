//! Chrome's trace format ("Trace Event Format"): a process for the run, a thread for each target and for
//! each of its parts that overlap. `chrome://tracing` and Perfetto open it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::critical;
use super::record::{Part, Span, Timeline, What};

/// Threads of a target that are numbered.
const MOST_ROWS: usize = 1000;

pub(super) fn trace(timeline: &Timeline) -> String {
    let critical = critical::path(timeline);
    let critical: HashSet<usize> = critical.iter().map(|link| link.target).collect();
    let mut events =
        vec![json!({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "imgmake"}})];
    for (place, target) in timeline.targets.iter().enumerate() {
        let Some(span) = target.span else {
            continue;
        };
        let thread = place * MOST_ROWS;
        let name = |row: usize, name: &str| json!({"ph": "M", "pid": 1, "tid": thread + row, "name": "thread_name", "args": {"name": name}});
        let sort = |row: usize| json!({"ph": "M", "pid": 1, "tid": thread + row, "name": "thread_sort_index", "args": {"sort_index": thread + row}});
        events.push(name(0, &target.name));
        events.push(sort(0));
        let mut event = complete(&target.name, target.kind, span, thread);
        event["args"] = json!({
            "outcome": target.outcome.word(),
            "reasons": target.reasons,
            "critical": critical.contains(&place),
        });
        events.push(event);
        let mut rows = Rows::default();
        for part in &target.parts {
            let (row, is_new) = rows.place(part.span);
            if is_new {
                events.push(name(row, &format!("{}: {row}", target.name)));
                events.push(sort(row));
            }
            events.push(of_part(part, thread + row));
        }
    }
    let trace = json!({
        "displayTimeUnit": "ms",
        "otherData": {"program": concat!("imgmake ", env!("CARGO_PKG_VERSION")), "began": timeline.began_at, "left-out": timeline.left_out},
        "traceEvents": events,
    });
    trace.to_string() + "\n"
}

fn of_part(part: &Part, thread: usize) -> Value {
    let kind = match &part.what {
        What::Step { .. } => "step",
        What::Pull => "pull",
        What::Push => "push",
    };
    let mut event = complete(&part.text, kind, part.span, thread);
    event["args"] = json!({"outcome": part.state.word()});
    if let What::Step { stage } = &part.what {
        event["args"]["stage"] = json!(stage);
    }
    event
}

/// An event with a beginning and an end, in microseconds.
fn complete(name: &str, category: &str, span: Span, thread: usize) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    json!({
        "ph": "X", "pid": 1, "tid": thread, "name": name, "cat": category,
        "ts": micros(span.start), "dur": micros(span.took()),
    })
}

/// Rows in which no two spans overlap; the first below the target's own is 1.
#[derive(Default)]
pub(super) struct Rows {
    free_at: Vec<Duration>,
}

impl Rows {
    /// The row, and whether it is new.
    pub fn place(&mut self, span: Span) -> (usize, bool) {
        let free = self.free_at.iter().position(|end| *end <= span.start);
        let full = self.free_at.len() + 1 >= MOST_ROWS;
        match free.or(full.then_some(0)) {
            Some(row) => {
                self.free_at[row] = self.free_at[row].max(span.end);
                (row + 1, false)
            }
            None => {
                self.free_at.push(span.end);
                (self.free_at.len(), true)
            }
        }
    }
}
