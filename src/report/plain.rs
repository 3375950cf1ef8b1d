//! Lines for pipes and logs. A target's lines are kept together: one target is
//! shown as it goes, the others wait until it is done.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::options::Options;
use super::view::{Sink, View};
use super::{fold, human};
use imgmake_event::{Direction, Event, Product, StepOutcome, TargetOutcome};
use imgmake_guard::printable::{self, Colors};

/// Beyond this a waiting target's lines are shown at once, whatever else runs.
const WAITING_LIMIT: usize = 1 << 20;

pub(super) struct Plain {
    sink: Sink,
    options: Options,
    quiet: bool,
    /// Targets that run, oldest first, with the lines that wait.
    running: Vec<(String, Vec<u8>)>,
    /// Steps that run, by target and id.
    steps: BTreeMap<(String, u32), Step>,
    /// Steps that were stopped, by target.
    stopped: BTreeMap<String, Vec<String>>,
}

struct Step {
    /// `[stage] `, `[linux/arm64 stage] `; empty when there is one stage only, for one platform.
    stage: String,
    text: String,
    /// The step has written something, and stands above it.
    announced: bool,
}

impl Plain {
    pub(super) fn new(options: Options, sink: Sink) -> Plain {
        Plain {
            sink,
            options,
            quiet: false,
            running: Vec::new(),
            steps: BTreeMap::new(),
            stopped: BTreeMap::new(),
        }
    }

    /// Shows warnings only.
    pub(super) fn quiet(options: Options, sink: Sink) -> Plain {
        Plain {
            quiet: true,
            ..Plain::new(options, sink)
        }
    }

    fn say(&mut self, target: &str, text: &str) {
        let shown = printable::line(target, Colors::Removed);
        let name = if self.options.color {
            console::style(shown).bold().force_styling(true).to_string()
        } else {
            shown.into_owned()
        };
        // Whatever a log would show as a line of its own says whose it is.
        for line in printable::lines_of(text, Colors::when(self.options.color)) {
            self.put(Some(target), format!("{name} │ {line}\n").into_bytes());
        }
    }

    /// What belongs to no target.
    fn tell(&mut self, text: &str) {
        let text = printable::message(text, Colors::when(self.options.color));
        self.put(None, format!("{text}\n").into_bytes());
    }

    /// A step's output stands below the step; stages that run side by side are told apart line by line.
    fn output(&mut self, target: &str, step: Option<u32>, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let step = step.and_then(|id| self.steps.get_mut(&(target.to_string(), id)));
        let Some(step) = step else {
            return self.say(target, &line);
        };
        let stage = step.stage.clone();
        if !std::mem::replace(&mut step.announced, true) {
            let announcement = format!("{stage}{}", step.text);
            self.say(target, &announcement);
        }
        for line in printable::lines_of(&line, Colors::when(self.options.color)) {
            self.say(target, &format!("{stage}{line}"));
        }
    }

    fn step_finished(&mut self, target: &str, id: u32, outcome: &StepOutcome, took: Duration) {
        let Some(step) = self.steps.remove(&(target.to_string(), id)) else {
            return;
        };
        let took = human::duration(took);
        let Step { stage, text, .. } = &step;
        let said = match (outcome, step.announced) {
            (StepOutcome::Done, true) => format!("{stage}{} done in {took}", verb(text)),
            (StepOutcome::Done, false) => format!("{stage}{text} ({took})"),
            (StepOutcome::Cached, _) => format!("{stage}{text} (cached)"),
            (StepOutcome::Failed { .. }, true) => {
                format!("{stage}{} failed after {took}", verb(text))
            }
            (StepOutcome::Failed { .. }, false) => format!("{stage}{text} (failed)"),
            // The target's own line names what was stopped.
            (StepOutcome::Cancelled, _) => {
                let stopped = self.stopped.entry(target.to_string()).or_default();
                return stopped.push(format!("{stage}{text}"));
            }
        };
        self.say(target, &said);
    }

    /// Stamped now, also where the line has to wait: that is when it happened.
    fn put(&mut self, target: Option<&str>, line: Vec<u8>) {
        let line = human::stamped(&line, self.options);
        let waiting = target
            .and_then(|t| self.running.iter().position(|(name, _)| name == t))
            .filter(|place| *place > 0);
        match waiting {
            Some(place) => {
                let lines = &mut self.running[place].1;
                lines.extend_from_slice(&line);
                if lines.len() > WAITING_LIMIT {
                    let lines = std::mem::take(lines);
                    drop(self.sink.write_all(&lines));
                }
            }
            // What cannot be written was for a reader that is gone.
            None => drop(self.sink.write_all(&line)),
        }
    }

    /// The target is done: its lines are shown, and the next one's turn begins.
    fn done(&mut self, target: &str) {
        let Some(place) = self.running.iter().position(|(name, _)| name == target) else {
            return;
        };
        let (_, lines) = self.running.remove(place);
        match place {
            0 => self.fold_end(target),
            // It ends while another has its turn.
            _ => {
                let first = self.running[0].0.clone();
                self.fold_end(&first);
                self.fold_start(target);
                drop(self.sink.write_all(&lines));
                self.fold_end(target);
                self.fold_start(&first);
            }
        }
        if place == 0
            && let Some((next, waiting)) = self.running.first_mut()
        {
            let (next, waiting) = (next.clone(), std::mem::take(waiting));
            self.fold_start(&next);
            drop(self.sink.write_all(&waiting));
        }
        drop(self.sink.flush());
    }

    fn fold_start(&mut self, target: &str) {
        let target = printable::line(target, Colors::Removed);
        let text = fold::opened(self.options.folding, &target);
        drop(self.sink.write_all(text.as_bytes()));
    }

    fn fold_end(&mut self, target: &str) {
        let target = printable::line(target, Colors::Removed);
        let text = fold::closed(self.options.folding, &target);
        drop(self.sink.write_all(text.as_bytes()));
    }

    fn warn(&mut self, target: Option<&str>, message: &str) {
        let word = if self.options.color {
            "\x1b[33mwarning\x1b[0m"
        } else {
            "warning"
        };
        match target {
            Some(target) => {
                let message = printable::message(message, Colors::when(self.options.color));
                self.say(target, &format!("{word}: {message}"));
            }
            None => self.tell(&format!("{word}: {message}")),
        }
    }

    fn has_started(&self, target: &str) -> bool {
        self.running.iter().any(|(name, _)| name == target)
    }

    fn finished(&mut self, target: &str, outcome: &TargetOutcome, took: Duration) {
        let took = human::duration(took);
        match outcome {
            TargetOutcome::Done => self.say(target, &format!("done in {took}")),
            TargetOutcome::Unchanged => {
                self.say(target, &format!("done in {took}, the same as before"))
            }
            TargetOutcome::UpToDate if self.options.verbose => self.say(target, "up to date"),
            TargetOutcome::UpToDate => {}
            // The cause stands at the end of the run, where it is not scrolled away.
            TargetOutcome::Failed { .. } => {
                self.say(target, &format!("target failed after {took}"))
            }
            TargetOutcome::Skipped { dependency } => {
                self.say(target, &format!("skipped: `{dependency}` failed"))
            }
            TargetOutcome::Cancelled if !self.has_started(target) => {
                self.say(target, "not started")
            }
            TargetOutcome::Cancelled => {
                let steps = self.stopped.remove(target).unwrap_or_default();
                self.say(target, &human::stopped(&steps));
            }
        }
        self.done(target);
    }
}

/// The instruction of a step, for a line that ends it.
fn verb(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

impl View for Plain {
    fn event(&mut self, event: &Event) {
        if self.quiet && !matches!(event, Event::Warning { .. }) {
            return;
        }
        match event {
            Event::Planned { .. } => {}
            Event::TargetStarted { target, reasons } => {
                if self.running.is_empty() {
                    self.fold_start(target);
                }
                self.running.push((target.clone(), Vec::new()));
                let why = match reasons.as_slice() {
                    [] => String::new(),
                    [a, b, c, _, ..] => format!(
                        ": {} and {} more",
                        printable::list([a, b, c]),
                        reasons.len() - 3
                    ),
                    few => format!(": {}", printable::list(few)),
                };
                self.say(target, &format!("started{why}"));
            }
            Event::TargetFinished {
                target,
                outcome,
                took,
            } => self.finished(target, outcome, *took),
            Event::StepStarted {
                target,
                id,
                stage,
                platform,
                text,
            } => {
                let step = Step {
                    stage: human::stage(platform.as_deref(), stage),
                    text: human::line(text.as_bytes(), 200),
                    announced: false,
                };
                self.steps.insert((target.clone(), *id), step);
            }
            Event::StepFinished {
                target,
                id,
                outcome,
                took,
                ..
            } => self.step_finished(target, *id, outcome, *took),
            Event::Output {
                target, step, line, ..
            } => self.output(target, *step, line),
            Event::Progress {
                target,
                what,
                direction,
                done,
                total,
            } => {
                // Only the end of a transfer is worth a line.
                if total.is_some_and(|total| *done >= total) {
                    let verb = if *direction == Direction::Pull {
                        "pulled"
                    } else {
                        "pushed"
                    };
                    self.say(target, &format!("{verb} {what}, {}", human::bytes(*done)));
                }
            }
            Event::Produced { target, what } => {
                if let Product::Pushed { reference, .. } = what {
                    self.say(target, &format!("pushed {reference}"));
                }
            }
            Event::Warning { target, message } => self.warn(target.as_deref(), message),
            Event::Note {
                target: Some(target),
                message,
            } => self.say(target, message),
            Event::Note {
                target: None,
                message,
            } => self.tell(message),
        }
    }

    fn close(&mut self) {
        for (_, lines) in std::mem::take(&mut self.running) {
            drop(self.sink.write_all(&lines));
        }
        drop(self.sink.flush());
    }
}
