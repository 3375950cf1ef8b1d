//! The events of a run, into the logs of its targets. A log that cannot be written fails no run.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::read::of_project;
use super::{KEPT_RUNS, LAST_LINES, LONGEST_LINE, LONGEST_LOG, prefix};
use crate::report;
use imgmake_event::{Event, TargetOutcome};
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_guard::printable;

pub struct Writer {
    project: String,
    /// None where no logs are kept.
    directory: Option<PathBuf>,
    logs: Mutex<BTreeMap<String, Log>>,
    /// Whether this run made any, so that there may be too many now.
    has_made: AtomicBool,
}

struct Log {
    file: BufWriter<File>,
    size: u64,
    /// Where the log is full.
    last: VecDeque<Late>,
    last_size: usize,
    /// Lines, by step.
    left_out: BTreeMap<Option<u64>, u64>,
}

/// A line of output that came when the log was full.
struct Late {
    step: Option<u64>,
    line: String,
}

impl Writer {
    pub fn new(project: String, directory: Option<PathBuf>) -> Writer {
        Writer {
            project,
            directory,
            logs: Mutex::default(),
            has_made: AtomicBool::new(false),
        }
    }

    pub fn event(&self, event: &Event) {
        let (target, starts, ends) = match event {
            Event::TargetStarted { target, .. } => (target, true, false),
            Event::TargetFinished {
                target, outcome, ..
            } => {
                let failed = matches!(outcome, TargetOutcome::Failed { .. });
                (target, failed, true)
            }
            Event::StepStarted { target, .. }
            | Event::StepFinished { target, .. }
            | Event::Output { target, .. }
            | Event::Produced { target, .. } => (target, false, false),
            Event::Warning { target, .. } | Event::Note { target, .. } => match target {
                Some(target) => (target, false, false),
                None => return,
            },
            Event::Planned { .. } | Event::Progress { .. } => return,
        };
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if starts
            && !logs.contains_key(target)
            && let Some(log) = self.open(target)
        {
            logs.insert(target.clone(), log);
        }
        let Some(log) = logs.get_mut(target) else {
            return;
        };
        log.event(event);
        if ends {
            logs.remove(target);
        }
    }

    fn open(&self, target: &str) -> Option<Log> {
        let directory = self.directory.as_ref()?;
        modes::make_dirs(directory, PRIVATE).ok()?;
        let now = jiff::Timestamp::now().as_millisecond();
        let name = format!("{}{now:013}.log", prefix(&self.project, target));
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode_private()
            .open(directory.join(name))
            .ok()?;
        self.has_made.store(true, Ordering::Relaxed);
        let mut log = Log {
            file: BufWriter::new(file),
            size: 0,
            last: VecDeque::new(),
            last_size: 0,
            left_out: BTreeMap::new(),
        };
        log.write(&json!({"log": 1, "target": target, "begun": report::now()}));
        Some(log)
    }

    /// The run is over: what was not finished is written, and logs of older runs are removed. A run that
    /// did nothing does not look at a directory in which each target has its logs.
    pub fn finish(&self) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, mut log) in std::mem::take(&mut *logs) {
            log.close();
        }
        let Some(directory) = &self.directory else {
            return;
        };
        if !self.has_made.load(Ordering::Relaxed) {
            return;
        }
        for paths in of_project(directory, &self.project).into_values() {
            for path in paths.iter().skip(KEPT_RUNS) {
                drop(fs::remove_file(path));
            }
        }
    }
}

trait Private {
    fn mode_private(&mut self) -> &mut Self;
}

impl Private for fs::OpenOptions {
    fn mode_private(&mut self) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600)
    }
}

impl Log {
    fn event(&mut self, event: &Event) {
        let is_output = matches!(event, Event::Output { .. });
        let mut value = report::event_json(event);
        if let Some(Value::String(line)) = value.get_mut("line")
            && line.len() > LONGEST_LINE
        {
            *line = printable::cut(line, LONGEST_LINE).into_owned();
        }
        if is_output && self.size > LONGEST_LOG {
            return self.later(Late {
                step: value["step"].as_u64(),
                line: line_of(&value),
            });
        }
        if matches!(event, Event::TargetFinished { .. }) {
            self.close();
        }
        // What became of steps and of the target is short and always there.
        self.write(&value);
        if matches!(event, Event::TargetFinished { .. }) {
            drop(self.file.flush());
        }
    }

    fn later(&mut self, late: Late) {
        self.last_size += late.line.len();
        self.last.push_back(late);
        while self.last_size > LAST_LINES {
            let Some(first) = self.last.pop_front() else {
                break;
            };
            self.last_size -= first.line.len();
            *self.left_out.entry(first.step).or_default() += 1;
        }
    }

    fn close(&mut self) {
        // Before the last lines of any step.
        for (step, lines) in std::mem::take(&mut self.left_out) {
            let line = format!("… {lines} lines left out …");
            self.write(&json!({"event": "output", "step": step, "line": line}));
        }
        for late in std::mem::take(&mut self.last) {
            drop(self.file.write_all(late.line.as_bytes()));
        }
        self.last_size = 0;
        drop(self.file.flush());
    }

    fn write(&mut self, value: &Value) {
        let line = line_of(value);
        self.size += line.len() as u64;
        drop(self.file.write_all(line.as_bytes()));
    }
}

fn line_of(value: &Value) -> String {
    format!("{}\n", printable::json(&value.to_string()))
}
