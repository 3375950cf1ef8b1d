use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use imgmake_event::{
    Direction, Event, MessageForm, PlannedTarget, Product, StepOutcome, Stream, TargetOutcome,
};

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
        color: false,
        width: 80,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
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
        platform: None,
        text: text.into(),
    }
}

fn step_finished(id: u32, outcome: StepOutcome) -> Event {
    Event::StepFinished {
        target: "a".into(),
        id,
        key: None,
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
                form: MessageForm::Sentence,
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
a │ [tool] RUN done in 12 ms
a │ [tool] COPY a b (cached)
a │ [stage-1] RUN failed after 12 ms
a │ target failed after 12 ms
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
fn results_are_in_the_order_of_the_plan_whichever_ended_first() {
    let (reporter, _, results) = reporter(Style::Plain);
    let events = reporter.events();
    let planned = |name: &str| PlannedTarget {
        name: name.into(),
        kind: "run",
        needs: Vec::new(),
    };
    events.send(Event::Planned {
        targets: vec![planned("b"), planned("a")],
    });
    for (target, path) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        let path = path.to_string();
        events.send(Event::Produced {
            target: target.into(),
            what: Product::File { path },
        });
    }
    events.send(finished("a", TargetOutcome::Done));
    events.send(finished("b", TargetOutcome::Done));
    reporter.finish();
    let order: Vec<String> = results
        .text()
        .lines()
        .filter_map(|line| line.split_whitespace().last().map(String::from))
        .collect();
    assert_eq!(order, ["b1", "a1", "a2"]);
}

#[test]
fn what_was_stopped_before_it_began_was_not_started() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    events.send(started("a"));
    events.send(finished("a", TargetOutcome::Cancelled));
    events.send(finished("b", TargetOutcome::Cancelled));
    assert_eq!(
        progress.text(),
        "a │ started\na │ stopped\nb │ not started\n"
    );
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
                form: MessageForm::Sentence,
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
                form: MessageForm::Sentence,
            },
        ),
    ] {
        summary.event(&event);
    }
    let options = Options {
        style: Style::Plain,
        color: false,
        width: 80,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
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
    summary.event(&finished("a", TargetOutcome::UpToDate));
    let options = Options {
        style: Style::Plain,
        color: false,
        width: 80,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
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
        color: false,
        width: 80,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
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

/// What a log, a terminal or a CI system would obey, or take for a line of its own.
const HOSTILE: &str = "ok\r##vso[task.setvariable variable=x]y\n::add-mask::z\n\x1b]0;title\x07\x1b[2J\x1b[1;1H\
     \u{9b}31m\x0bvt\x0cff\u{85}nel\u{2028}ls\u{2029}ps\u{202e}rlo ##teamcity[x] ##[error] \x1b_bk;t=1\x07\
     \x1b[0Ksection_start:1:x\r\x1b[0K\x1b[8mha:AA\x1b[0m";

/// Every kind of event, with hostile text wherever there is text.
fn hostile_events() -> Vec<Event> {
    let text = || HOSTILE.to_string();
    let target = || "a".to_string();
    vec![
        Event::TargetStarted {
            target: target(),
            reasons: vec![text(), text()],
        },
        Event::StepStarted {
            target: target(),
            id: 1,
            stage: text(),
            platform: None,
            text: text(),
        },
        Event::Output {
            target: target(),
            step: Some(1),
            stream: Stream::Stdout,
            line: HOSTILE.into(),
        },
        output("a", HOSTILE),
        Event::Progress {
            target: target(),
            what: text(),
            direction: Direction::Pull,
            done: 5,
            total: Some(5),
        },
        Event::StepFinished {
            target: target(),
            id: 1,
            key: None,
            outcome: StepOutcome::Failed { message: text() },
            took: Duration::from_millis(1),
        },
        Event::Warning {
            target: Some(target()),
            message: text(),
        },
        Event::Warning {
            target: None,
            message: text(),
        },
        Event::Note {
            target: Some(target()),
            message: text(),
        },
        Event::Note {
            target: None,
            message: text(),
        },
        Event::Produced {
            target: target(),
            what: Product::File { path: text() },
        },
        Event::Produced {
            target: target(),
            what: Product::Pushed {
                reference: text(),
                digest: text(),
            },
        },
        finished(
            "a",
            TargetOutcome::Failed {
                message: text(),
                form: MessageForm::Sentence,
            },
        ),
        finished(HOSTILE, TargetOutcome::Skipped { dependency: text() }),
    ]
}

/// The row of the book's table whose first cell has the word.
fn row(table: &str, word: &str) -> String {
    let book = include_str!("../../book/src/json.md");
    let (_, table) = book.split_once(table).expect("the table is in the book");
    let mut rows = table.lines().take_while(|line| line.starts_with('|'));
    let is_meant = |row: &&str| {
        row.split('|')
            .nth(1)
            .is_some_and(|cell| cell.contains(word))
    };
    let found = rows.find(is_meant);
    found
        .unwrap_or_else(|| panic!("json.md has no {word}"))
        .to_string()
}

#[test]
fn the_book_names_every_field_of_every_event() {
    let mut events = hostile_events();
    events.push(Event::Planned {
        targets: vec![PlannedTarget {
            name: "a".into(),
            kind: "run",
            needs: Vec::new(),
        }],
    });
    let path = || "a".to_string();
    for what in [
        Product::Image {
            digest: "sha256:a".into(),
            size: 1,
        },
        Product::Tar {
            path: path(),
            bytes: 1,
        },
        Product::Layout { path: path() },
        Product::Report { path: path() },
    ] {
        let target = "a".into();
        events.push(Event::Produced { target, what });
    }
    let mut values: Vec<serde_json::Value> = events.iter().map(event_json).collect();
    let mut summary = Summary::default();
    events.iter().for_each(|event| summary.event(event));
    values.push(summary.json(Duration::from_millis(1)));
    for value in values {
        let kind = value["event"].as_str().unwrap();
        let fields = row("| `event` | fields |\n", &format!("`{kind}`"));
        for field in value
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "event")
        {
            assert!(
                fields.contains(&format!("`{field}`")),
                "{kind} {field}: {fields}"
            );
        }
        if let Some(product) = value["product"].as_object() {
            let kind = product["kind"].as_str().unwrap();
            let fields = row("| `kind` of a product | fields |\n", &format!("`{kind}`"));
            for field in product.keys().filter(|key| *key != "kind") {
                assert!(
                    fields.contains(&format!("`{field}`")),
                    "{kind} {field}: {fields}"
                );
            }
        }
        if kind == "target-finished" {
            let outcome = value["outcome"].as_str().unwrap();
            row(
                "| `outcome` of a target | meaning |\n",
                &format!("`{outcome}`"),
            );
        }
    }
}

/// Nothing in a text speaks to anybody but people.
fn assert_harmless(text: &str) {
    let special = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}')
    };
    if let Some(at) = text.find(special) {
        let before = &text[text[..at]
            .char_indices()
            .rev()
            .nth(40)
            .map_or(0, |(i, _)| i)..];
        panic!("{:?}", before.chars().take(80).collect::<String>());
    }
    for mark in ["##vso[", "##teamcity[", "##["] {
        assert!(!text.contains(mark), "{mark} in {text}");
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("::add-mask"), "{line}");
    }
}

#[test]
fn no_words_of_others_speak_to_the_terminal_or_the_ci_system() {
    for style in [Style::Plain, Style::Quiet, Style::Json] {
        let (reporter, progress, results) = reporter(style);
        let events = reporter.events();
        hostile_events().into_iter().for_each(|e| events.send(e));
        reporter.finish();
        assert_harmless(&progress.text());
        assert_harmless(&results.text());
        let said = progress.text() + &results.text();
        // It is shown all the same.
        assert!(said.contains("title"), "{style:?}: {said}");
        if style == Style::Json {
            for line in results.text().lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                if event["event"] == "note" {
                    assert_eq!(event["message"], HOSTILE);
                }
            }
        }
    }
}

#[test]
fn every_line_of_a_commands_output_says_whose_it_is() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    events.send(started("a"));
    for line in [HOSTILE, "\r\r\x0b", "10%\r20%\r\n"] {
        events.send(output("a", line));
    }
    reporter.finish();
    let text = progress.text();
    assert!(text.lines().count() > 12, "{text}");
    for line in text.lines() {
        assert!(line.starts_with("a │ "), "{line:?}");
    }
}

#[test]
fn annotations_hold_one_command_each_whatever_they_say() {
    let (progress, results) = (Page::default(), Page::default());
    let options = Options {
        annotations: true,
        ..plain_options()
    };
    let reporter = Reporter::new(options, Box::new(progress), Box::new(results.clone()));
    let events = reporter.events();
    events.send(Event::Warning {
        target: Some("a,file=x::b\n::error::c".into()),
        message: HOSTILE.into(),
    });
    let text = results.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("::warning title=a%2Cfile=x%3A%3Ab␊%3A%3Aerror%3A%3Ac::ok"),
        "{text}"
    );
    assert_harmless(&text[2..]);
}

fn plain_options() -> Options {
    Options {
        style: Style::Plain,
        color: false,
        width: 80,
        annotations: false,
        folding: Folding::None,
        short_digests: false,
        keeps_logs: false,
        verbose: false,
        timestamps: false,
    }
}

#[test]
fn colors_pass_where_they_are_wanted_and_end_with_their_line() {
    let (progress, results) = (Page::default(), Page::default());
    let options = Options {
        color: true,
        ..plain_options()
    };
    let reporter = Reporter::new(options, Box::new(progress.clone()), Box::new(results));
    let events = reporter.events();
    events.send(started("a"));
    events.send(output("a", "\x1b[32mgreen\x1b]0;t\x07"));
    let text = progress.text();
    assert!(text.ends_with("│ \x1b[32mgreen␛]0;t␇\x1b[0m\n"), "{text:?}");
}

#[test]
fn what_others_say_does_not_fill_the_log() {
    let (reporter, progress, _) = reporter(Style::Plain);
    let events = reporter.events();
    events.send(Event::Warning {
        target: None,
        message: "x".repeat(10 << 20),
    });
    reporter.finish();
    assert!(progress.text().len() < 10_000);
}
