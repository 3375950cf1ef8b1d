//! Logs of runs: what each target and each of its steps printed, kept in the user's store for `imgmake logs`.
//!
//! One file for each target of a run, with its events as JSON lines. Knows events and files, no terminal and no manifest.

mod read;
mod write;

use std::path::PathBuf;

pub use read::{Run, RunOfTarget, Step, last_runs};
pub use write::Writer;

use imgmake_guard::modes::{self, PRIVATE};

/// Runs that are kept of each target.
pub const KEPT_RUNS: usize = 10;
/// Bytes of one log; of what a target prints beyond them, the last lines are kept.
const LONGEST_LOG: u64 = 8 << 20;
/// Bytes of these last lines.
const LAST_LINES: usize = 1 << 20;
/// Bytes of one line.
const LONGEST_LINE: usize = 64 << 10;

/// What the names of all logs of a target begin with.
fn prefix(project: &str, target: &str) -> String {
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_string();
    format!("run-{}-{}-", hash(project), hash(target))
}

/// The directory of logs in a store.
///
/// # Errors
/// It is not there and cannot be made.
fn directory(store: &std::path::Path) -> std::io::Result<PathBuf> {
    let directory = store.join("logs");
    modes::make_dirs(&directory, PRIVATE)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use imgmake_event::{Event, StepOutcome, Stream, TargetOutcome};

    use super::*;

    fn started(target: &str) -> Event {
        Event::TargetStarted {
            target: target.to_string(),
            reasons: vec!["always".into()],
        }
    }

    fn finished(target: &str, outcome: TargetOutcome) -> Event {
        Event::TargetFinished {
            target: target.to_string(),
            outcome,
            took: Duration::from_secs(1),
        }
    }

    fn step(target: &str, text: &str) -> Event {
        Event::StepStarted {
            target: target.to_string(),
            id: 1,
            stage: "build".into(),
            text: text.to_string(),
        }
    }

    fn step_ended(target: &str, outcome: StepOutcome) -> Event {
        Event::StepFinished {
            target: target.to_string(),
            id: 1,
            outcome,
            took: Duration::from_secs(1),
        }
    }

    fn output(target: &str, step: Option<u32>, line: &str) -> Event {
        Event::Output {
            target: target.to_string(),
            step,
            stream: Stream::Stdout,
            line: line.as_bytes().to_vec(),
        }
    }

    fn write(store: &std::path::Path, events: &[Event]) {
        let store = store.to_path_buf();
        let writer = Writer::new("/p".into(), move || Some(store.clone()));
        for event in events {
            writer.event(event);
        }
        writer.finish();
    }

    #[test]
    fn each_step_is_read_with_its_output_and_what_became_of_it() {
        let store = tempfile::tempdir().unwrap();
        let events = [
            started("app"),
            step("app", "RUN make"),
            output("app", Some(1), "one\x1b[2J"),
            output("other", None, "of a target that did not start"),
            output("app", Some(1), "two"),
            step_ended("app", StepOutcome::Done),
            output("app", None, "of the target"),
            finished("app", TargetOutcome::Done),
        ];
        write(store.path(), &events);
        let runs = last_runs(store.path(), "/p", "app").unwrap();
        let run = runs[0].read().unwrap();
        assert_eq!(run.outcome.as_deref(), Some("done"));
        assert_eq!(run.steps[0].output, ["one\x1b[2J", "two"]);
        assert_eq!(run.steps[0].outcome.as_deref(), Some("done"));
        assert_eq!(run.output, ["of the target"]);
        assert!(last_runs(store.path(), "/p", "other").unwrap().is_empty());
        assert!(last_runs(store.path(), "/q", "app").unwrap().is_empty());
    }

    #[test]
    fn what_changed_nothing_leaves_no_log_and_a_failure_before_the_start_does() {
        let store = tempfile::tempdir().unwrap();
        let failed = TargetOutcome::Failed {
            message: "cannot read".into(),
            form: imgmake_event::MessageForm::Sentence,
        };
        write(
            store.path(),
            &[
                finished("a", TargetOutcome::UpToDate),
                finished("b", failed),
            ],
        );
        assert!(last_runs(store.path(), "/p", "a").unwrap().is_empty());
        let run = last_runs(store.path(), "/p", "b").unwrap()[0]
            .read()
            .unwrap();
        assert_eq!(run.message.as_deref(), Some("cannot read"));
    }

    #[test]
    fn a_long_output_keeps_its_beginning_and_its_end() {
        let store = tempfile::tempdir().unwrap();
        let mut events = vec![started("app")];
        let line = "x".repeat(1000);
        for number in 0..12_000 {
            events.push(output("app", None, &format!("{number} {line}")));
        }
        events.push(finished("app", TargetOutcome::Done));
        write(store.path(), &events);
        let run = last_runs(store.path(), "/p", "app").unwrap()[0]
            .read()
            .unwrap();
        assert!(run.output[0].starts_with("0 "));
        assert!(run.output.last().unwrap().starts_with("11999 "));
        assert!(
            run.output
                .iter()
                .any(|line| line.contains("lines left out"))
        );
        let size = std::fs::read_dir(store.path().join("logs")).unwrap();
        let size: u64 = size.map(|one| one.unwrap().metadata().unwrap().len()).sum();
        assert!(size < LONGEST_LOG + 2 * LAST_LINES as u64, "{size}");
    }

    #[test]
    fn only_the_last_runs_are_kept() {
        let store = tempfile::tempdir().unwrap();
        for number in 0..KEPT_RUNS + 3 {
            let line = output("app", None, &number.to_string());
            write(
                store.path(),
                &[started("app"), line, finished("app", TargetOutcome::Done)],
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let runs = last_runs(store.path(), "/p", "app").unwrap();
        assert_eq!(runs.len(), KEPT_RUNS);
        let newest = runs[0].read().unwrap();
        assert_eq!(newest.output, [(KEPT_RUNS + 2).to_string()]);
    }

    #[test]
    fn what_is_no_log_of_ours_is_not_read() {
        let store = tempfile::tempdir().unwrap();
        let logs = directory(store.path()).unwrap();
        let name = format!("{}0000000000001.log", prefix("/p", "app"));
        std::os::unix::fs::symlink("/etc/passwd", logs.join(name)).unwrap();
        assert!(last_runs(store.path(), "/p", "app").unwrap().is_empty());
    }
}
