//! Logs of runs: what each target and each of its steps printed, kept for the user alone, for `imgmake logs`.
//!
//! One file for each target of a run, with its events as JSON lines. Knows events and files, no terminal and no manifest.

mod read;
mod removal;
mod write;

use std::path::Path;

pub use read::{Run, RunOfTarget, Step, last_runs};
pub use removal::{Removed, remove};
pub use write::Writer;

/// Runs that are kept of each target.
pub const KEPT_RUNS: usize = 10;
/// Bytes of one log; of what a target prints beyond them, the last lines are kept.
const LONGEST_LOG: u64 = 8 << 20;
/// Bytes of these last lines.
const LAST_LINES: usize = 1 << 20;
/// Bytes of one line.
const LONGEST_LINE: usize = 64 << 10;

/// What logs know a project by: its directory, and the name of its manifest, wherever it was named from.
pub fn name_of(directory: &str, manifest: &str) -> String {
    let name = Path::new(manifest).file_name();
    let name = name.map_or(manifest.into(), |name| name.to_string_lossy());
    format!("{directory}\0{name}")
}

/// What the names of all logs of a target begin with.
fn prefix(project: &str, target: &str) -> String {
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_string();
    format!("run-{}-{}-", hash(project), hash(target))
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
            platform: None,
            text: text.to_string(),
        }
    }

    fn step_ended(target: &str, outcome: StepOutcome) -> Event {
        Event::StepFinished {
            target: target.to_string(),
            id: 1,
            key: None,
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

    fn kept(store: &std::path::Path, project: &str, target: &str) -> Vec<RunOfTarget> {
        last_runs(&store.join("logs"), project, target)
    }

    fn write(store: &std::path::Path, events: &[Event]) {
        let writer = Writer::new("/p".into(), Some(store.join("logs")));
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
        let runs = kept(store.path(), "/p", "app");
        let run = runs[0].read().unwrap();
        assert_eq!(run.outcome.as_deref(), Some("done"));
        assert_eq!(run.steps[0].output, ["one\x1b[2J", "two"]);
        assert_eq!(run.steps[0].outcome.as_deref(), Some("done"));
        assert_eq!(run.output, ["of the target"]);
        assert!(kept(store.path(), "/p", "other").is_empty());
        assert!(kept(store.path(), "/q", "app").is_empty());
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
        assert!(kept(store.path(), "/p", "a").is_empty());
        let run = kept(store.path(), "/p", "b")[0].read().unwrap();
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
        let run = kept(store.path(), "/p", "app")[0].read().unwrap();
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

    /// Whoever asks for one step sees that something is missing in it.
    #[test]
    fn what_is_left_out_is_counted_for_each_step() {
        let store = tempfile::tempdir().unwrap();
        let mut events = vec![started("app"), step("app", "RUN make")];
        let line = "x".repeat(1000);
        for number in 0..12_000 {
            events.push(output("app", Some(1), &format!("{number} {line}")));
        }
        events.push(step_ended("app", StepOutcome::Done));
        events.push(finished("app", TargetOutcome::Done));
        write(store.path(), &events);
        let run = kept(store.path(), "/p", "app")[0].read().unwrap();
        assert!(run.output.is_empty(), "{:?}", run.output);
        let lines = &run.steps[0].output;
        let marks: Vec<usize> = (0..lines.len())
            .filter(|at| lines[*at].contains("lines left out"))
            .collect();
        let [mark] = marks[..] else {
            panic!("{marks:?}");
        };
        let shown = lines.len() - 1;
        assert_eq!(
            lines[mark],
            format!("… {} lines left out …", 12_000 - shown)
        );
        let number = |at: usize| {
            lines[at]
                .split(' ')
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        assert_eq!(number(mark - 1) + 12_000 - shown + 1, number(mark + 1));
    }

    #[test]
    fn manifests_of_one_directory_have_logs_of_their_own() {
        assert_ne!(
            prefix(&name_of("/p", "imgmake.kdl"), "app"),
            prefix(&name_of("/p", "other.kdl"), "app")
        );
    }

    #[test]
    fn logs_are_removed_by_age_and_nothing_else_is() {
        let store = tempfile::tempdir().unwrap();
        write(
            store.path(),
            &[started("app"), finished("app", TargetOutcome::Done)],
        );
        let logs = store.path().join("logs");
        for name in ["run-make.log", "notes.txt", "imgmake-step-app-3-abc.log"] {
            std::fs::write(logs.join(name), "x").unwrap();
        }
        assert_eq!(remove(&logs, Duration::from_secs(3600)).files, 0);
        assert_eq!(remove(&logs, Duration::ZERO).files, 2);
        let left = std::fs::read_dir(&logs).unwrap();
        let mut left: Vec<_> = left.map(|one| one.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "run-make.log"]);
        assert_eq!(
            remove(&logs.join("none"), Duration::ZERO),
            Removed::default()
        );
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
        let runs = kept(store.path(), "/p", "app");
        assert_eq!(runs.len(), KEPT_RUNS);
        let newest = runs[0].read().unwrap();
        assert_eq!(newest.output, [(KEPT_RUNS + 2).to_string()]);
    }

    #[test]
    fn a_run_that_did_nothing_does_not_look_at_logs() {
        let store = tempfile::tempdir().unwrap();
        let logs = store.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let log = |at: usize| logs.join(format!("{}{at:013}.log", prefix("/p", "app")));
        for at in 0..=KEPT_RUNS {
            std::fs::write(log(at), "").unwrap();
        }
        let up_to_date = finished("app", TargetOutcome::UpToDate);
        write(store.path(), &[up_to_date]);
        assert!(log(0).exists());
        write(
            store.path(),
            &[started("app"), finished("app", TargetOutcome::Done)],
        );
        assert!(!log(0).exists());
    }

    #[test]
    fn what_is_no_log_of_ours_is_not_read() {
        let store = tempfile::tempdir().unwrap();
        let logs = store.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let name = format!("{}0000000000001.log", prefix("/p", "app"));
        std::os::unix::fs::symlink("/etc/passwd", logs.join(name)).unwrap();
        assert!(kept(store.path(), "/p", "app").is_empty());
    }
}
