use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::state::Output;
use imgmake_event::Cancel;
use imgmake_guard::mac::MacKey;

fn key() -> MacKey {
    MacKey::of_text("the key of the user who runs these tests").unwrap()
}
use crate::state::{Lock, Wait};

/// Targets whose inputs are texts and whose output is a function of them; a real
/// state, no disk of their own.
#[derive(Default)]
struct Texts {
    needs: Vec<Vec<usize>>,
    inputs: Mutex<Vec<String>>,
    /// What `run` gives, by the first word of the input.
    fails: Mutex<Vec<usize>>,
    ran: Mutex<Vec<usize>>,
    damaged: Mutex<Vec<usize>>,
    moves: Mutex<BTreeMap<usize, String>>,
    /// Whose work changes which other's input to what.
    meddles: Mutex<BTreeMap<usize, (usize, String)>>,
    /// How long each one waits for its admission.
    waits: std::time::Duration,
    /// Who writes no files.
    writes_nothing: Vec<usize>,
    /// How often each one's inputs were read.
    reads: Mutex<BTreeMap<usize, usize>>,
}

impl Texts {
    fn new(needs: &[&[usize]]) -> Texts {
        Texts {
            needs: needs.iter().map(|n| n.to_vec()).collect(),
            inputs: Mutex::new(needs.iter().map(|_| "one".to_string()).collect()),
            ..Texts::default()
        }
    }

    fn actions(&self) -> Vec<Action> {
        let action = |(at, needs): (usize, &Vec<usize>)| Action {
            target: format!("t{at}"),
            kind: "run",
            needs: needs.clone(),
            when: When::Stale,
            pool: None,
            alone: false,
        };
        self.needs.iter().enumerate().map(action).collect()
    }

    fn set(&self, action: usize, text: &str) {
        self.inputs.lock().unwrap()[action] = text.into();
    }

    fn took(&self) -> Vec<usize> {
        let mut ran = std::mem::take(&mut *self.ran.lock().unwrap());
        ran.sort_unstable();
        ran
    }
}

impl Runner for Texts {
    fn inputs(&self, action: usize, upstream: &Upstream<'_>) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::new();
        *self.reads.lock().unwrap().entry(action).or_default() += 1;
        let text = self.inputs.lock().unwrap()[action].clone();
        if text == "stopped" {
            return Err(Failure::new(FailureKind::Cancelled, "stopped"));
        }
        inputs.value("file", format!("f{action}"), text.as_bytes());
        for need in &self.needs[action] {
            let made = upstream.at(*need).expect("needs are made before");
            inputs.hashed("target", format!("t{need}"), made.digest);
        }
        Ok(inputs)
    }

    fn reads_files(&self, _: usize) -> bool {
        true
    }

    fn may_write_files(&self, action: usize) -> bool {
        !self.writes_nothing.contains(&action)
    }

    fn verify_outputs(&self, action: usize, _: &[Output]) -> Result<Option<String>, Failure> {
        let damaged = self.damaged.lock().unwrap().contains(&action);
        Ok(damaged.then(|| "output is gone".into()))
    }

    fn admit(&self, _: usize) -> Result<Box<dyn Admission + '_>, Failure> {
        std::thread::sleep(self.waits);
        Ok(Box::new(()))
    }

    fn run(&self, action: usize, _: &Inputs, _: &Upstream<'_>) -> Result<Artifacts, Failure> {
        self.ran.lock().unwrap().push(action);
        self.damaged.lock().unwrap().retain(|at| *at != action);
        if let Some(text) = self.moves.lock().unwrap().remove(&action) {
            self.set(action, &text);
        }
        if let Some((other, text)) = self.meddles.lock().unwrap().remove(&action) {
            self.set(other, &text);
        }
        if self.fails.lock().unwrap().contains(&action) {
            return Err(Failure::failed("it said no"));
        }
        // Comments do not reach the output.
        let text = self.inputs.lock().unwrap()[action].clone();
        let code = text.split('#').next().unwrap().trim().to_string();
        Ok(Artifacts {
            digest: *blake3::hash(code.as_bytes()).as_bytes(),
            outputs: Vec::new(),
        })
    }
}

struct Project {
    directory: tempfile::TempDir,
    lock: Lock,
    events: Mutex<Vec<Event>>,
}

impl Project {
    fn new() -> Project {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path(), &Wait::No).unwrap();
        Project {
            directory,
            lock,
            events: Mutex::default(),
        }
    }

    fn run(&self, texts: &Texts, on_failure: OnFailure) -> Summary {
        let state = State::open(self.directory.path(), &key(), &self.lock).unwrap();
        let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        let options = Options {
            jobs: 3,
            on_failure,
            pools: Vec::new(),
            cache: CacheUse::Fresh,
            events: Events::to(move |event| sink.lock().unwrap().push(event)),
            cancel: Cancel::default(),
        };
        let summary = execute(&texts.actions(), texts, &state, &options);
        *self.events.lock().unwrap() = std::mem::take(&mut *heard.lock().unwrap());
        summary
    }

    fn ok(&self, texts: &Texts) -> Vec<usize> {
        let summary = self.run(texts, OnFailure::Stop);
        assert!(summary.failure.is_none(), "{summary:?}");
        texts.took()
    }

    fn reasons(&self, texts: &Texts) -> Vec<String> {
        let state = State::read(self.directory.path(), &key()).unwrap();
        let decisions = preview(&texts.actions(), texts, &state);
        let text = |d: Decision| {
            let reasons: Vec<String> = d.reasons.iter().map(ToString::to_string).collect();
            reasons.join(", ")
        };
        decisions.into_iter().map(text).collect()
    }
}

#[test]
fn a_second_run_does_nothing() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0], &[0, 1]]));
    assert_eq!(project.ok(&texts), [0, 1, 2]);
    assert_eq!(project.ok(&texts), [] as [usize; 0]);
    assert_eq!(project.reasons(&texts), ["", "", ""]);
}

#[test]
fn changing_an_input_remakes_only_its_dependents() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[], &[0], &[1], &[2]]));
    project.ok(&texts);
    texts.set(0, "two");
    assert_eq!(project.ok(&texts), [0, 2]);
}

#[test]
fn an_upstream_remade_to_the_same_output_stops_there() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0]]));
    project.ok(&texts);
    texts.set(0, "one # a comment");
    let reasons = project.reasons(&texts);
    assert_eq!(
        reasons,
        ["file f0 changed", "dependency t0 will be rebuilt"]
    );
    assert_eq!(project.ok(&texts), [0]);
}

#[test]
fn a_failure_skips_its_dependents_and_with_keep_going_nothing_else() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0], &[], &[1]]));
    texts.fails.lock().unwrap().push(0);
    let summary = project.run(&texts, OnFailure::KeepGoing);
    assert_eq!(texts.took(), [0, 2]);
    assert_eq!(summary.failure.unwrap().0, "t0");
    let skipped = TargetOutcome::Skipped {
        dependency: "t0".into(),
    };
    assert_eq!(summary.outcomes[1], skipped);
    assert_eq!(summary.outcomes[3], skipped);
    let reasons = project.reasons(&texts);
    assert_eq!(reasons[0], "the last run failed");
    assert_eq!(reasons[2], "");
}

#[test]
fn what_failed_is_tried_again_although_its_inputs_are_the_same() {
    let (project, texts) = (Project::new(), Texts::new(&[&[]]));
    project.ok(&texts);
    texts.set(0, "two");
    texts.fails.lock().unwrap().push(0);
    project.run(&texts, OnFailure::Stop);
    texts.fails.lock().unwrap().clear();
    texts.set(0, "one");
    texts.took();
    assert_eq!(project.ok(&texts), [0]);
}

#[test]
fn a_run_that_is_stopped_while_inputs_are_compared_again_was_interrupted() {
    let (project, texts) = (Project::new(), Texts::new(&[&[]]));
    texts.moves.lock().unwrap().insert(0, "stopped".into());
    let summary = project.run(&texts, OnFailure::Stop);
    assert_eq!(summary.outcomes, [TargetOutcome::Cancelled]);
    let events = project.events.lock().unwrap();
    let warned = events.iter().any(|e| matches!(e, Event::Warning { .. }));
    assert!(!warned, "{events:?}");
    texts.set(0, "one");
    assert_eq!(project.reasons(&texts), ["the last run was interrupted"]);
}

#[test]
fn inputs_that_move_meanwhile_are_not_recorded_and_said_so() {
    let (project, texts) = (Project::new(), Texts::new(&[&[]]));
    texts.moves.lock().unwrap().insert(0, "two".into());
    project.ok(&texts);
    let events = project.events.lock().unwrap();
    let warned = events.iter().any(|e| match e {
        Event::Warning { message, .. } => message.contains("file f0 changed"),
        _ => false,
    });
    assert!(warned, "{events:?}");
    assert_eq!(
        project.reasons(&texts),
        ["inputs changed during the build; result not recorded"]
    );
}

#[test]
fn what_another_target_changes_after_it_was_read_is_told_of_and_not_fresh() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0], &[]]));
    project.ok(&texts);
    texts.set(2, "two");
    let meddled = (1, "changed".to_string());
    texts.meddles.lock().unwrap().insert(2, meddled);
    assert_eq!(project.ok(&texts), [2]);
    let events = project.events.lock().unwrap();
    let warned = |e: &Event| match e {
        Event::Warning { target, message } => {
            target.as_deref() == Some("t1") && message.contains("changed after they were read")
        }
        _ => false,
    };
    assert!(events.iter().any(warned), "{events:?}");
    drop(events);
    let reasons = project.reasons(&texts);
    assert!(reasons[1].contains("inputs changed"), "{reasons:?}");
    assert_eq!((reasons[0].as_str(), reasons[2].as_str()), ("", ""));
    assert_eq!(project.ok(&texts), [1]);
    assert_eq!(project.reasons(&texts), ["", "", ""]);
}

#[test]
fn inputs_are_read_again_only_after_the_work_of_one_that_may_write_files() {
    for (writes_nothing, reads) in [(vec![], 2), (vec![1], 1)] {
        let mut texts = Texts::new(&[&[], &[0]]);
        texts.writes_nothing = writes_nothing;
        let project = Project::new();
        project.ok(&texts);
        texts.set(1, "two");
        texts.reads.lock().unwrap().clear();
        assert_eq!(project.ok(&texts), [1]);
        assert_eq!(texts.reads.lock().unwrap()[&0], reads);
    }
}

#[test]
fn a_missing_output_is_made_again() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0]]));
    project.ok(&texts);
    texts.damaged.lock().unwrap().push(0);
    assert_eq!(project.reasons(&texts)[0], "output is gone");
    assert_eq!(project.ok(&texts), [0]);
}

#[test]
fn what_depends_on_something_stopped_is_stopped_and_not_skipped() {
    let ended = vec![
        queue::Ended::Failed(Failure::new(FailureKind::Cancelled, "cancelled")),
        queue::Ended::Skipped { because: 0 },
    ];
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[0]]));
    let options = Options {
        jobs: 1,
        on_failure: OnFailure::Stop,
        pools: Vec::new(),
        cache: CacheUse::Fresh,
        events: Events::discard(),
        cancel: Cancel::default(),
    };
    options.cancel.cancel();
    let summary = summary(&texts.actions(), ended, &options);
    drop(project);
    assert_eq!(summary.outcomes, vec![TargetOutcome::Cancelled; 2]);
    assert!(summary.failure.is_none());
}

#[test]
fn the_wait_for_an_admission_is_no_work() {
    let (project, mut texts) = (Project::new(), Texts::new(&[&[]]));
    texts.waits = std::time::Duration::from_millis(600);
    project.run(&texts, OnFailure::KeepGoing);
    let took = project
        .events
        .lock()
        .unwrap()
        .iter()
        .find_map(|event| match event {
            Event::TargetFinished { took, .. } => Some(*took),
            _ => None,
        });
    assert!(took.unwrap() < texts.waits, "{took:?}");
    let state = State::open(project.directory.path(), &key(), &project.lock).unwrap();
    assert!(state.took("t0").unwrap() < texts.waits);
}

#[test]
fn a_cancelled_run_starts_nothing() {
    let (project, texts) = (Project::new(), Texts::new(&[&[], &[]]));
    let state = State::open(project.directory.path(), &key(), &project.lock).unwrap();
    let options = Options {
        jobs: 1,
        on_failure: OnFailure::KeepGoing,
        pools: Vec::new(),
        cache: CacheUse::Fresh,
        events: Events::discard(),
        cancel: Cancel::default(),
    };
    options.cancel.cancel();
    let summary = execute(&texts.actions(), &texts, &state, &options);
    assert!(summary.cancelled && texts.took().is_empty());
}
