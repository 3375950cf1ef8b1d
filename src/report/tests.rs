use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::event::{Event, Product, StepOutcome, Stream, TargetOutcome};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn reporter(style: Style) -> (Reporter, Page, Page) {
    let (progress, results) = (Page::default(), Page::default());
    let options = Options {
        style,
        colour: false,
        width: 80,
        annotations: false,
        verbose: false,
        timestamps: false,
    };
    (
        Reporter::new(
            options,
            Box::new(progress.clone()),
            Box::new(results.clone()),
        ),
        progress,
        results,
    )
}

fn started(target: &str) -> Event {
    Event::TargetStarted {
        target: target.into(),
        reasons: vec![],
    }
}

fn output(target: &str, line: &str) -> Event {
    Event::Output {
        target: target.into(),
        step: None,
        stream: Stream::Stdout,
        line: line.into(),
    }
}

fn finished(target: &str, outcome: TargetOutcome) -> Event {
    Event::TargetFinished {
        target: target.into(),
        outcome,
        took: Duration::from_millis(12),
    }
}

#[test]
fn lines_of_targets_that_run_together_do_not_mix() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    for event in [
        started("a"),
        started("b"),
        output("a", "a1"),
        output("b", "b1"),
        output("a", "a2"),
        finished("a", TargetOutcome::Done),
        output("b", "b2"),
        finished("b", TargetOutcome::Done),
    ] {
        events.send(event);
    }
    let order: Vec<char> = progress
        .text()
        .lines()
        .map(|line| line.chars().next().unwrap())
        .collect();
    assert_eq!(
        order.iter().collect::<String>(),
        "aaaabbbb",
        "{}",
        progress.text()
    );
}

#[test]
fn a_waiting_target_is_shown_when_its_turn_comes_not_when_it_ends() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    for event in [
        started("a"),
        started("b"),
        output("b", "early"),
        finished("a", TargetOutcome::Done),
    ] {
        events.send(event);
    }
    assert!(progress.text().contains("early"));
}

fn step_started(id: u32, stage: &str, text: &str) -> Event {
    Event::StepStarted {
        target: "a".into(),
        id,
        stage: stage.into(),
        text: text.into(),
    }
}

fn step_finished(id: u32, outcome: StepOutcome) -> Event {
    Event::StepFinished {
        target: "a".into(),
        id,
        outcome,
        took: Duration::from_millis(12),
    }
}

fn step_output(id: u32, line: &str) -> Event {
    Event::Output {
        target: "a".into(),
        step: Some(id),
        stream: Stream::Stdout,
        line: line.into(),
    }
}

#[test]
fn a_steps_output_stands_below_it_and_stages_are_told_apart() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    for event in [
        started("a"),
        step_started(0, "tool", "RUN make"),
        step_started(1, "stage-1", "RUN apt-get install x"),
        step_output(0, "cc x.c"),
        step_output(1, "Reading package lists..."),
        step_finished(0, StepOutcome::Done),
        step_started(2, "tool", "COPY a b"),
        step_finished(2, StepOutcome::Cached),
        step_finished(
            1,
            StepOutcome::Failed {
                message: "no".into(),
            },
        ),
        finished(
            "a",
            TargetOutcome::Failed {
                message: "`RUN apt-get install x` failed\n  | E: no".into(),
            },
        ),
    ] {
        events.send(event);
    }
    let expected = "\
a │ started
a │ [tool] RUN make
a │ [tool] cc x.c
a │ [stage-1] RUN apt-get install x
a │ [stage-1] Reading package lists...
a │ [tool] done in 12 ms
a │ [tool] COPY a b (cached)
a │ [stage-1] failed after 12 ms
a │ failed after 12 ms
";
    assert_eq!(progress.text(), expected);
}

#[test]
fn results_go_to_standard_output_and_nothing_else_does() {
    let (reporter, _, results) = reporter(Style::Plain);
    let events = reporter.events();
    events.send(started("app"));
    events.send(Event::Produced {
        target: "app".into(),
        what: Product::Tar {
            path: "out/app.tar".into(),
            bytes: 1400,
        },
    });
    events.send(finished("app", TargetOutcome::Done));
    reporter.finish();
    assert_eq!(results.text(), "app  tar     out/app.tar (1.4 kB)\n");
}

#[test]
fn json_lines_are_json_and_hold_every_event_and_the_end() {
    let (reporter, _, results) = reporter(Style::Json);
    let events = reporter.events();
    for event in [
        started("a"),
        output("a", "\u{1b}[1mx"),
        finished(
            "a",
            TargetOutcome::Failed {
                message: "because".into(),
            },
        ),
    ] {
        events.send(event);
    }
    reporter.finish();
    let kinds: Vec<String> = results
        .text()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(
        kinds,
        ["target-started", "output", "target-finished", "finished"]
    );
}

#[test]
fn a_failed_targets_output_and_cause_come_last() {
    let mut summary = Summary::default();
    for event in [
        started("a"),
        output("a", "the reason"),
        finished(
            "a",
            TargetOutcome::Failed {
                message: "exit code 3".into(),
            },
        ),
    ] {
        summary.event(&event);
    }
    let options = Options {
        style: Style::Plain,
        colour: false,
        width: 80,
        annotations: false,
        verbose: false,
        timestamps: false,
    };
    let text = summary.failures(options);
    assert!(
        text.find("the reason").unwrap() < text.find("error: target `a`: exit code 3").unwrap(),
        "{text}"
    );
}

#[test]
fn a_run_in_which_nothing_had_changed_says_so() {
    let mut summary = Summary::default();
    summary.event(&finished("a", TargetOutcome::Fresh));
    let options = Options {
        style: Style::Plain,
        colour: false,
        width: 80,
        annotations: false,
        verbose: false,
        timestamps: false,
    };
    assert!(
        summary
            .verdict(options, Duration::from_millis(3))
            .starts_with("nothing to do: 1 target is up to date")
    );
}

#[test]
fn lines_begin_with_the_time_where_that_is_wished_and_results_do_not() {
    let (progress, results) = (Page::default(), Page::default());
    let options = Options {
        style: Style::Plain,
        colour: false,
        width: 80,
        annotations: false,
        verbose: false,
        timestamps: true,
    };
    let reporter = Reporter::new(
        options,
        Box::new(progress.clone()),
        Box::new(results.clone()),
    );
    let events = reporter.events();
    events.send(started("a"));
    events.send(output("a", "hello"));
    events.send(Event::Warning {
        target: None,
        message: "two\nlines".into(),
    });
    reporter.finish();
    let text = progress.text();
    assert_eq!(text.lines().count(), 4, "{text}");
    for line in text.lines() {
        let (stamp, _) = line.split_once(' ').unwrap();
        let shape: String = stamp
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    }
    assert!(text.contains("Z a │ hello\n"), "{text}");
    assert!(!results.text().contains("Z "), "{}", results.text());
}
