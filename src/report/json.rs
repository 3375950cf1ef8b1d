//! One JSON object a line, for programs. `event` names the kind; the other
//! fields are those of [`Event`], `time` is when it was reported, durations are in seconds, output lines text.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::human;
use super::view::{Sink, View};
use imgmake_event::{Direction, Event, Product, StepOutcome, Stream, TargetOutcome};
use imgmake_guard::printable;

pub(super) struct Json {
    sink: Sink,
}

impl Json {
    pub(super) fn new(sink: Sink) -> Json {
        Json { sink }
    }
}

impl View for Json {
    fn event(&mut self, event: &Event) {
        // A reader that is gone is no error.
        let mut value = value(event);
        value["time"] = json!(human::now());
        drop(writeln!(
            self.sink,
            "{}",
            printable::json(&value.to_string())
        ));
    }

    fn close(&mut self) {
        drop(self.sink.flush());
    }
}

/// One event, without the time of its report.
pub fn value(event: &Event) -> Value {
    match event {
        Event::Planned { targets } => {
            let targets: Vec<Value> = targets
                .iter()
                .map(|t| json!({"name": t.name, "kind": t.kind, "needs": t.needs}))
                .collect();
            json!({"event": "planned", "targets": targets})
        }
        Event::TargetStarted { target, reasons } => {
            json!({"event": "target-started", "target": target, "reasons": reasons})
        }
        Event::TargetFinished {
            target,
            outcome,
            took,
        } => {
            let mut value = json!({"event": "target-finished", "target": target, "outcome": outcome_name(outcome), "seconds": seconds(*took)});
            match outcome {
                TargetOutcome::Failed { message, .. } => value["message"] = json!(message),
                TargetOutcome::Skipped { dependency } => value["because"] = json!(dependency),
                _ => {}
            }
            value
        }
        Event::StepStarted {
            target,
            id,
            stage,
            platform,
            text,
        } => {
            json!({"event": "step-started", "target": target, "id": id, "stage": stage, "platform": platform, "text": text})
        }
        Event::StepFinished {
            target,
            id,
            key,
            outcome,
            took,
        } => {
            let (name, message) = match outcome {
                StepOutcome::Done => ("done", None),
                StepOutcome::Cached => ("cached", None),
                StepOutcome::Failed { message } => ("failed", Some(message)),
                StepOutcome::Cancelled => ("cancelled", None),
            };
            json!({"event": "step-finished", "target": target, "id": id, "key": key, "outcome": name, "message": message, "seconds": seconds(*took)})
        }
        Event::Output {
            target,
            step,
            stream,
            line,
        } => {
            let stream = if *stream == Stream::Stdout {
                "stdout"
            } else {
                "stderr"
            };
            json!({"event": "output", "target": target, "step": step, "stream": stream, "line": String::from_utf8_lossy(line)})
        }
        Event::Progress {
            target,
            what,
            direction,
            done,
            total,
        } => {
            let direction = if *direction == Direction::Pull {
                "pull"
            } else {
                "push"
            };
            json!({"event": "progress", "target": target, "what": what, "direction": direction, "done": done, "total": total})
        }
        Event::Produced { target, what } => {
            json!({"event": "produced", "target": target, "product": product(what)})
        }
        Event::Warning { target, message } => {
            json!({"event": "warning", "target": target, "message": message})
        }
        Event::Note { target, message } => {
            json!({"event": "note", "target": target, "message": message})
        }
    }
}

pub(super) fn outcome_name(outcome: &TargetOutcome) -> &'static str {
    match outcome {
        TargetOutcome::Done => "done",
        TargetOutcome::UpToDate => "fresh",
        TargetOutcome::Unchanged => "unchanged",
        TargetOutcome::Failed { .. } => "failed",
        TargetOutcome::Skipped { .. } => "skipped",
        TargetOutcome::Cancelled => "cancelled",
    }
}

pub(super) fn product(what: &Product) -> Value {
    match what {
        Product::Image { digest, size } => json!({"kind": "image", "digest": digest, "size": size}),
        Product::Tar { path, bytes } => json!({"kind": "tar", "path": path, "bytes": bytes}),
        Product::Layout { path } => json!({"kind": "layout", "path": path}),
        Product::Pushed { reference, digest } => {
            json!({"kind": "pushed", "reference": reference, "digest": digest})
        }
        Product::Report { path } => json!({"kind": "report", "path": path}),
        Product::File { path } => json!({"kind": "file", "path": path}),
    }
}

pub(super) fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}
