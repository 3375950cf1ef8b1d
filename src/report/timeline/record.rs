//! Events → spans of time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::human::labeled;
use imgmake_event::{Direction, Event, Events, StepOutcome, TargetOutcome};

/// Steps and transfers; more are counted.
const MOST_PARTS: usize = 50_000;

/// One run; times are those since its beginning.
pub struct Timeline {
    /// In UTC.
    pub began_at: String,
    pub total: Duration,
    /// In the order of the plan.
    pub targets: Vec<TargetSpan>,
    /// Steps and transfers that are not in it.
    pub left_out: usize,
}

pub struct TargetSpan {
    pub name: String,
    pub kind: &'static str,
    /// By their places.
    pub needs: Vec<usize>,
    /// `None` of one that was not begun, such as one that is up to date.
    pub span: Option<Span>,
    pub outcome: Outcome,
    pub reasons: Vec<String>,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Duration,
    pub end: Duration,
}

impl Span {
    pub fn took(self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not ended when the run was.
    Open,
    Done,
    UpToDate,
    Failed,
    Skipped,
    Cancelled,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Open => "not finished",
            Outcome::Done => "done",
            Outcome::UpToDate => "up to date",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
            Outcome::Cancelled => "stopped",
        }
    }
}

/// A step, or a transfer.
pub struct Part {
    pub what: What,
    pub text: String,
    pub span: Span,
    pub state: PartState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Step { stage: String },
    Pull,
    Push,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    Open,
    Done,
    Cached,
    Failed,
    Cancelled,
}

impl PartState {
    pub fn word(self) -> &'static str {
        match self {
            PartState::Open => "not finished",
            PartState::Done => "done",
            PartState::Cached => "cached",
            PartState::Failed => "failed",
            PartState::Cancelled => "stopped",
        }
    }
}

/// Listens to a run.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Recording>>);

struct Recording {
    begun: Instant,
    timeline: Timeline,
    places: HashMap<String, usize>,
    /// Where a step or a transfer of a target is among its parts.
    steps: HashMap<(usize, u32), usize>,
    transfers: HashMap<(usize, bool, String), usize>,
    parts: usize,
}

impl Recorder {
    pub fn start() -> Recorder {
        let now = jiff::Timestamp::now();
        Recorder(Arc::new(Mutex::new(Recording {
            begun: Instant::now(),
            timeline: Timeline {
                began_at: now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
                total: Duration::ZERO,
                targets: Vec::new(),
                left_out: 0,
            },
            places: HashMap::new(),
            steps: HashMap::new(),
            transfers: HashMap::new(),
            parts: 0,
        })))
    }

    /// Hears everything on its way.
    pub fn on_the_way_to(&self, events: Events) -> Events {
        let recording = Arc::clone(&self.0);
        Events::to(move |event| {
            let mut recording = recording
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = recording.begun.elapsed();
            recording.event(now, &event);
            drop(recording);
            events.send(event);
        })
    }

    /// What was heard, now that the run is over.
    pub fn finish(&self) -> Timeline {
        let mut recording = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = recording.begun.elapsed();
        recording.close(now);
        std::mem::replace(
            &mut recording.timeline,
            Timeline {
                began_at: String::new(),
                total: Duration::ZERO,
                targets: Vec::new(),
                left_out: 0,
            },
        )
    }
}

impl Recording {
    fn event(&mut self, now: Duration, event: &Event) {
        match event {
            Event::Planned { targets } => {
                let first = self.timeline.targets.len();
                for (at, target) in targets.iter().enumerate() {
                    self.places.insert(target.name.clone(), first + at);
                }
                for target in targets {
                    let needs = target.needs.iter();
                    self.timeline.targets.push(TargetSpan {
                        name: target.name.clone(),
                        kind: target.kind,
                        needs: needs
                            .filter_map(|need| self.places.get(need).copied())
                            .collect(),
                        span: None,
                        outcome: Outcome::Open,
                        reasons: Vec::new(),
                        parts: Vec::new(),
                    });
                }
            }
            Event::TargetStarted { target, reasons } => {
                if let Some(target) = self.target(target) {
                    target.span = Some(Span {
                        start: now,
                        end: now,
                    });
                    target.reasons.clone_from(reasons);
                }
            }
            Event::TargetFinished {
                target, outcome, ..
            } => {
                if let Some(target) = self.target(target) {
                    if let Some(span) = &mut target.span {
                        span.end = now;
                    }
                    target.outcome = match outcome {
                        TargetOutcome::Done | TargetOutcome::Unchanged => Outcome::Done,
                        TargetOutcome::UpToDate => Outcome::UpToDate,
                        TargetOutcome::Failed { .. } => Outcome::Failed,
                        TargetOutcome::Skipped { .. } => Outcome::Skipped,
                        TargetOutcome::Cancelled => Outcome::Cancelled,
                    };
                }
            }
            Event::StepStarted {
                target,
                id,
                stage,
                platform,
                text,
            } => {
                let what = What::Step {
                    stage: labeled(platform.as_deref(), stage),
                };
                if let Some((place, part)) = self.begin(target, what, text, now) {
                    self.steps.insert((place, *id), part);
                }
            }
            Event::StepFinished {
                target,
                id,
                outcome,
                took,
                ..
            } => {
                let Some(place) = self.places.get(target).copied() else {
                    return;
                };
                if let Some(part) = self.steps.get(&(place, *id)) {
                    let part = &mut self.timeline.targets[place].parts[*part];
                    part.span.end = now;
                    // A step may be announced only when it is over.
                    part.span.start = part.span.start.min(now.saturating_sub(*took));
                    part.state = match outcome {
                        StepOutcome::Done => PartState::Done,
                        StepOutcome::Cached => PartState::Cached,
                        StepOutcome::Failed { .. } => PartState::Failed,
                        StepOutcome::Cancelled => PartState::Cancelled,
                    };
                }
            }
            Event::Progress {
                target,
                what,
                direction,
                done,
                total,
            } => self.progress(now, target, what, *direction, *total == Some(*done)),
            _ => {}
        }
    }

    fn progress(
        &mut self,
        now: Duration,
        target: &str,
        what: &str,
        direction: Direction,
        is_whole: bool,
    ) {
        let Some(place) = self.places.get(target).copied() else {
            return;
        };
        let is_push = direction == Direction::Push;
        let key = (place, is_push, what.to_string());
        let part = match self.transfers.get(&key) {
            Some(part) => *part,
            None => {
                let kind = match is_push {
                    true => What::Push,
                    false => What::Pull,
                };
                let Some((_, part)) = self.begin(target, kind, what, now) else {
                    return;
                };
                self.transfers.insert(key, part);
                part
            }
        };
        let part = &mut self.timeline.targets[place].parts[part];
        part.span.end = now;
        if is_whole {
            part.state = PartState::Done;
        }
    }

    fn target(&mut self, name: &str) -> Option<&mut TargetSpan> {
        let place = *self.places.get(name)?;
        self.timeline.targets.get_mut(place)
    }

    fn begin(
        &mut self,
        target: &str,
        what: What,
        text: &str,
        now: Duration,
    ) -> Option<(usize, usize)> {
        let place = *self.places.get(target)?;
        if self.parts >= MOST_PARTS {
            self.timeline.left_out += 1;
            return None;
        }
        self.parts += 1;
        let parts = &mut self.timeline.targets[place].parts;
        parts.push(Part {
            what,
            text: text.chars().take(500).collect(),
            span: Span {
                start: now,
                end: now,
            },
            state: PartState::Open,
        });
        Some((place, parts.len() - 1))
    }

    fn close(&mut self, now: Duration) {
        self.timeline.total = now;
        for target in &mut self.timeline.targets {
            if target.outcome == Outcome::Open
                && let Some(span) = &mut target.span
            {
                span.end = now;
            }
            let end = target.span.map_or(now, |span| span.end);
            for part in &mut target.parts {
                if part.state == PartState::Open && matches!(part.what, What::Step { .. }) {
                    part.span.end = end;
                }
            }
            // Transfers are never said to be over.
            for part in &mut target.parts {
                if part.state == PartState::Open && !matches!(part.what, What::Step { .. }) {
                    part.state = PartState::Done;
                }
            }
        }
    }
}
