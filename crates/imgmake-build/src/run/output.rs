//! A RUN's output: every line is an event; where logs are kept, the whole is in a file for as long as the step may fail.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::worker::{RunRequest, Worker};
use crate::error::{BuildError, Context, Result};
use crate::target::TargetContext;

use imgmake_event::{Cancel, Event};
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_oci::layer::Layer;

const SHOWN_LINES: usize = 20;
/// What the names of such files begin with.
pub const STEP_LOGS: &str = "imgmake-step-";

/// A RUN about to run.
pub struct RunningStep<'a> {
    pub request: &'a RunRequest,
    pub line: usize,
    /// As shown to people.
    pub text: &'a str,
    /// In events.
    pub id: u32,
}

/// # Errors
/// The command's exit code with the last lines it wrote and where the rest is.
pub fn run(
    worker: &Worker,
    cx: &TargetContext,
    stop: &Cancel,
    step: &RunningStep<'_>,
) -> Result<Layer> {
    let mut log = Log::create(cx.logs.as_deref(), &cx.target, step.line)?;
    let outcome = worker.run(step.request, stop, &mut |stream, line| {
        log.line(line);
        cx.events.send(Event::Output {
            target: cx.target.clone(),
            step: Some(step.id),
            stream,
            line: line.to_vec(),
        });
    })?;
    // By a signal that may have been meant for all of us.
    if outcome.exit > 128 && cx.cancel.explains_an_end() {
        return Err(imgmake_event::Cancelled.into());
    }
    cx.cancel.check()?;
    stop.check()?;
    match outcome.layer {
        Some(layer) if outcome.exit == 0 => {
            log.discard();
            Ok(layer)
        }
        _ => Err(BuildError::CommandFailed {
            exit: outcome.exit,
            report: log.failure(step.text, outcome.exit),
        }),
    }
}

struct Log {
    /// None where no logs are kept.
    file: Option<(PathBuf, BufWriter<File>)>,
    last: VecDeque<Vec<u8>>,
    lines: usize,
}

impl Log {
    fn create(directory: Option<&Path>, target: &str, line: usize) -> Result<Log> {
        let file = directory.map(|directory| Log::file(directory, target, line));
        Ok(Log {
            file: file.transpose()?,
            last: VecDeque::new(),
            lines: 0,
        })
    }

    fn file(directory: &Path, target: &str, line: usize) -> Result<(PathBuf, BufWriter<File>)> {
        let at = || format!("cannot write a log in `{}`", directory.display());
        modes::make_dirs(directory, PRIVATE).with_context(at)?;
        let name: String = target
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let (file, path) = tempfile::Builder::new()
            .prefix(&format!("{STEP_LOGS}{name}-{line}-"))
            .suffix(".log")
            .tempfile_in(directory)
            .with_context(at)?
            .keep()
            .map_err(|error| error.error)
            .with_context(at)?;
        Ok((path, BufWriter::new(file)))
    }

    /// A full disk must not hide what the command says: the log is then shorter than the output.
    fn line(&mut self, line: &[u8]) {
        if let Some((_, file)) = &mut self.file {
            let _ = file.write_all(line).and_then(|()| file.write_all(b"\n"));
        }
        self.lines += 1;
        if self.last.len() == SHOWN_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line[..line.len().min(2000)].to_vec());
    }

    fn discard(self) {
        if let Some((path, _)) = self.file {
            let _ = std::fs::remove_file(path);
        }
    }

    fn failure(self, text: &str, exit: i32) -> String {
        let ended = match exit {
            127 => "exit code 127 (command not found)".to_string(),
            126 => "exit code 126 (not executable)".to_string(),
            code if code > 128 => format!("exit code {code} (signal {})", code - 128),
            code => format!("exit code {code}"),
        };
        let mut message = format!("`{}` failed with {ended}", first_line(text));
        for line in &self.last {
            message += &format!("\n  | {}", String::from_utf8_lossy(line));
        }
        match self.file {
            Some((path, mut file)) if self.lines > SHOWN_LINES => {
                let _ = file.flush();
                message += &format!("\nthe whole output: {}", path.display());
            }
            Some((path, _)) => {
                let _ = std::fs::remove_file(path);
            }
            None => {}
        }
        message
    }
}

fn first_line(text: &str) -> String {
    let mut line: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    if line.len() < text.trim_end().len() {
        line.push('…');
    }
    line
}
