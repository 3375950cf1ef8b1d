//! The view on a terminal: a line for each target that runs, with its step, its
//! time and the bytes that it moves, and below it the last lines that its commands
//! wrote; what is done scrolls up.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::human;
use super::no_echo::NoEcho;
use super::options::Options;
use super::view::View;
use crate::wrapped::{broken, wrapped};
use imgmake_event::{Direction, Event, StepOutcome, TargetOutcome};
use imgmake_guard::printable::{self, Colors};

/// More running targets than this share one line, so that the view fits a screen.
const LINES: usize = 12;

pub(super) struct Live {
    screen: MultiProgress,
    options: Options,
    targets: BTreeMap<String, Running>,
    /// Until the view closes.
    echo: Option<NoEcho>,
}

/// Lines of output below a target that runs alone; several share them.
const TAIL: usize = 6;

struct Running {
    bar: ProgressBar,
    /// Below the bar; hidden while there is nothing to show.
    tail: ProgressBar,
    /// The last lines that a command wrote, as they are shown.
    lines: VecDeque<String>,
    steps: BTreeMap<u32, String>,
    /// Steps that were stopped.
    stopped: Vec<String>,
    /// Per transfer: direction, bytes, of how many.
    transfers: BTreeMap<String, (Direction, u64, Option<u64>)>,
}

impl Live {
    pub(super) fn new(options: Options) -> Live {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        Live {
            screen,
            options,
            targets: BTreeMap::new(),
            echo: NoEcho::begin(),
        }
    }

    fn print(&self, text: &str) {
        let width = self.options.width.max(20);
        let text = wrapped(text, width);
        for line in printable::lines_of(&text, Colors::when(self.options.color)) {
            // A tab is wider than it is counted. A terminal that is gone takes no text, and the run goes on.
            let line = line.replace('\t', " ");
            drop(
                self.screen
                    .println(console::truncate_str(&line, width, "…")),
            );
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.options.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    fn start(&mut self, target: &str) {
        let bar = self.screen.add(ProgressBar::new_spinner());
        let begun = Instant::now();
        // As old as it is at each tick: a command may be silent for minutes.
        let took = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let whole = Duration::from_secs(begun.elapsed().as_secs());
            out.write_str(&human::seconds(whole)).unwrap_or_default();
        };
        let style = ProgressStyle::with_template("{spinner} {prefix} {took}{wide_msg}")
            .expect("the template is well-formed")
            .with_key("took", took);
        bar.set_style(style.tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]));
        bar.set_prefix(self.paint(&human::line(target.as_bytes(), 60), "1"));
        if self.targets.len() < LINES {
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let tail = ProgressBar::new_spinner();
        let tail = match self.targets.len() < LINES {
            true => self.screen.insert_after(&bar, tail),
            false => tail,
        };
        if self.targets.len() >= LINES {
            tail.set_draw_target(ProgressDrawTarget::hidden());
        }
        tail.set_style(ProgressStyle::with_template("{msg}").expect("the template is well-formed"));
        let running = Running {
            bar,
            tail,
            lines: VecDeque::new(),
            steps: BTreeMap::new(),
            stopped: Vec::new(),
            transfers: BTreeMap::new(),
        };
        self.targets.insert(target.to_string(), running);
    }

    fn finish(&mut self, target: &str, outcome: &TargetOutcome, took: Duration) {
        let mut stopped = Vec::new();
        let has_started = self.targets.contains_key(target);
        if let Some(running) = self.targets.remove(target) {
            for bar in [&running.tail, &running.bar] {
                bar.finish_and_clear();
                self.screen.remove(bar);
            }
            stopped = running.stopped;
        }
        let took = human::duration(took);
        match outcome {
            TargetOutcome::Done => {
                self.print(&format!("{} {target}  {took}", self.paint("✓", "32")))
            }
            TargetOutcome::Unchanged => self.print(&format!(
                "{} {target}  {took}, the same as before",
                self.paint("✓", "32")
            )),
            TargetOutcome::UpToDate if self.options.verbose => {
                self.print(&format!("{} {target}  up to date", self.paint("·", "2")))
            }
            TargetOutcome::UpToDate => {}
            TargetOutcome::Failed { .. } => self.print(&format!(
                "{} {target}  failed after {took}",
                self.paint("✗", "31;1")
            )),
            TargetOutcome::Skipped { dependency } => self.print(&format!(
                "{} {target}  skipped: `{dependency}` failed",
                self.paint("-", "2")
            )),
            TargetOutcome::Cancelled if !has_started => {
                self.print(&format!("{} {target}  not started", self.paint("-", "33")))
            }
            TargetOutcome::Cancelled => self.print(&format!(
                "{} {target}  {}",
                self.paint("-", "33"),
                human::stopped(&stopped)
            )),
        }
    }

    fn update(&mut self, target: &str, change: impl FnOnce(&mut Running)) {
        if let Some(running) = self.targets.get_mut(target) {
            change(running);
            let message = running.message();
            running.bar.set_message(message);
        }
    }
}

impl Running {
    /// One more line of a command, of which `most` are shown.
    fn wrote(&mut self, line: String, most: usize) {
        self.lines.push_back(line);
        while self.lines.len() > most {
            self.lines.pop_front();
        }
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        self.tail.set_message(lines.join("\n"));
    }

    fn message(&self) -> String {
        // After the time, which the bar itself counts.
        let mut parts = vec![String::new()];
        if let Some(moved) = self.moved() {
            parts.push(moved);
        }
        parts.extend(self.steps.values().next_back().cloned());
        if self.steps.len() > 1 {
            parts.push(format!("+{} more", self.steps.len() - 1));
        }
        parts.join("  ")
    }

    /// All transfers of a direction, added up.
    fn moved(&self) -> Option<String> {
        let mut sums: BTreeMap<bool, (u64, u64)> = BTreeMap::new();
        for (direction, done, total) in self.transfers.values() {
            let sum = sums.entry(*direction == Direction::Push).or_default();
            sum.0 += done;
            sum.1 += total.unwrap_or(*done);
        }
        let text = |(push, (done, total)): (bool, (u64, u64))| {
            let arrow = if push { "↑" } else { "↓" };
            format!("{arrow} {} of {}", human::bytes(done), human::bytes(total))
        };
        let texts: Vec<String> = sums.into_iter().map(text).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

impl View for Live {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Planned { .. } | Event::Produced { .. } => {}
            Event::TargetStarted { target, .. } => self.start(target),
            Event::TargetFinished {
                target,
                outcome,
                took,
            } => self.finish(target, outcome, *took),
            Event::StepStarted {
                target,
                id,
                stage,
                platform,
                text,
            } => {
                let text = human::line(text.as_bytes(), 100);
                let stage = human::stage(platform.as_deref(), stage);
                let said = human::line(stage.as_bytes(), 40) + &text;
                self.update(target, |running| {
                    running.steps.insert(*id, said);
                });
            }
            Event::StepFinished {
                target,
                id,
                outcome,
                took,
                ..
            } => {
                let said = self
                    .targets
                    .get_mut(target)
                    .and_then(|running| running.steps.remove(id))
                    .unwrap_or_default();
                if *outcome == StepOutcome::Cancelled {
                    // The target's own line names it.
                    return self.update(target, |running| running.stopped.push(said));
                }
                let how = match outcome {
                    StepOutcome::Cancelled => "stopped".to_string(),
                    StepOutcome::Done => human::duration(*took),
                    StepOutcome::Cached => "cached".to_string(),
                    StepOutcome::Failed { .. } => "failed".to_string(),
                };
                // The command is shortened, and never what became of it.
                let head = format!("  {target} │ ");
                let taken = head.chars().count() + how.chars().count() + 3;
                let width = self.options.width.max(20).saturating_sub(taken).max(10);
                let said = console::truncate_str(&said, width, "…");
                self.print(&format!("{head}{said} ({how})"));
                self.update(target, |running| {
                    if running.steps.is_empty() {
                        running.lines.clear();
                        running.tail.set_message("");
                    }
                });
            }
            Event::Output { target, line, .. } => {
                if self.options.verbose {
                    let text = String::from_utf8_lossy(line);
                    for line in printable::lines_of(&text, Colors::when(self.options.color)) {
                        self.print(&format!("  {target} │ {line}"));
                    }
                    return;
                }
                let width = self.options.width.saturating_sub(5).max(20);
                let line = format!("    {}", human::line(line, width));
                let most = (TAIL / self.targets.len().max(1)).max(1);
                if let Some(running) = self.targets.get_mut(target) {
                    running.wrote(line, most);
                }
            }
            Event::Progress {
                target,
                what,
                direction,
                done,
                total,
            } => {
                self.update(target, |running| {
                    running
                        .transfers
                        .insert(what.clone(), (*direction, *done, *total));
                });
            }
            Event::Warning { target, message } => {
                let place = target
                    .as_ref()
                    .map(|t| format!("{t}: "))
                    .unwrap_or_default();
                let word = self.paint("warning", "33");
                self.print(&format!("{word}: {place}{message}"));
            }
            Event::Note { message, .. } => {
                self.print(&broken(message, self.options.width.max(20)));
            }
        }
    }

    fn close(&mut self) {
        for (_, running) in std::mem::take(&mut self.targets) {
            running.tail.finish_and_clear();
            running.bar.finish_and_clear();
        }
        drop(self.screen.clear());
        drop(self.echo.take());
    }
}
