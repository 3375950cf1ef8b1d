//! The ready queue: actions start as soon as what they need is done, at most `jobs` at once;
//! of several the one with the longest chain behind it, else the first of the plan.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};

use super::action::Action;
use super::failure::Failure;
use super::options::{OnFailure, Options};
use imgmake_event::TargetOutcome;

pub enum Ended {
    Done(TargetOutcome),
    Failed(Failure),
    /// The place of the action whose failure it depends on.
    Skipped {
        because: usize,
    },
    NotTried,
}

struct Queue {
    /// By how long the rest of the run takes from there.
    ready: BTreeSet<(Reverse<u64>, usize)>,
    lengths: Vec<u64>,
    /// How many needs of each action are not done yet.
    waiting_for: Vec<usize>,
    ended: Vec<Option<Ended>>,
    running: usize,
    /// Places left in each pool.
    places: Vec<usize>,
    pools: Vec<Option<usize>>,
    /// Of each action, whether nothing else may work while it does; and whether one of these works.
    alone: Vec<bool>,
    is_taken: bool,
    failed: usize,
    /// Threads that wait for something to become ready.
    idle: usize,
    stopping: bool,
}

/// Calls `attempt` for each action from up to `jobs` threads; one ending for each.
pub fn drain(
    actions: &[Action],
    lengths: Vec<u64>,
    options: &Options,
    attempt: impl Fn(usize) -> Result<TargetOutcome, Failure> + Sync,
) -> Vec<Ended> {
    let dependents = dependents(actions);
    let queue = Mutex::new(Queue::new(actions, lengths, options));
    let changed = Condvar::new();
    let work = || {
        while let Some(action) = next(&queue, &changed, options) {
            let result = attempt(action);
            let mut queue = queue.lock().expect("no thread panics with the queue");
            queue.end(action, result, &dependents, options);
            // Waking nobody costs a system call for each action all the same.
            if queue.idle > 0 {
                changed.notify_all();
            }
        }
    };
    let helpers = options.jobs.min(actions.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(work);
        }
        work();
    });
    let queue = queue.into_inner().expect("no thread panics with the queue");
    let ended = queue.ended.into_iter();
    ended
        .map(|ended| ended.unwrap_or(Ended::NotTried))
        .collect()
}

/// The next action to attempt; `None` when there is no more to be had.
fn next(queue: &Mutex<Queue>, changed: &Condvar, options: &Options) -> Option<usize> {
    let mut queue = queue.lock().expect("no thread panics with the queue");
    loop {
        if queue.stopping || options.cancel.is_cancelled() {
            return None;
        }
        if let Some(action) = queue.start() {
            return Some(action);
        }
        if queue.running == 0 {
            return None;
        }
        queue.idle += 1;
        queue = changed
            .wait(queue)
            .expect("no thread panics with the queue");
        queue.idle -= 1;
    }
}

fn dependents(actions: &[Action]) -> Vec<Vec<usize>> {
    let mut dependents = vec![Vec::new(); actions.len()];
    for (at, action) in actions.iter().enumerate() {
        for need in &action.needs {
            dependents[*need].push(at);
        }
    }
    dependents
}

impl Queue {
    fn new(actions: &[Action], lengths: Vec<u64>, options: &Options) -> Queue {
        let waiting_for: Vec<usize> = actions.iter().map(|a| a.needs.len()).collect();
        Queue {
            ready: (0..actions.len())
                .filter(|at| waiting_for[*at] == 0)
                .map(|at| (Reverse(lengths[at]), at))
                .collect(),
            lengths,
            waiting_for,
            ended: actions.iter().map(|_| None).collect(),
            running: 0,
            places: options.pools.clone(),
            pools: actions.iter().map(|action| action.pool).collect(),
            alone: actions.iter().map(|action| action.alone).collect(),
            is_taken: false,
            failed: 0,
            idle: 0,
            stopping: false,
        }
    }

    /// The first that is ready and has a place in its pool. One that wants to be alone waits until
    /// nothing works.
    fn start(&mut self) -> Option<usize> {
        if self.is_taken {
            return None;
        }
        let has_place = |action: usize| {
            self.pools[action].is_none_or(|pool| self.places[pool] > 0)
                && (!self.alone[action] || self.running == 0)
        };
        let first = self.ready.iter().find(|(_, action)| has_place(*action));
        let first = *first?;
        self.ready.remove(&first);
        let (_, action) = first;
        if let Some(pool) = self.pools[action] {
            self.places[pool] -= 1;
        }
        self.running += 1;
        self.is_taken = self.alone[action];
        Some(action)
    }

    fn end(
        &mut self,
        action: usize,
        result: Result<TargetOutcome, Failure>,
        dependents: &[Vec<usize>],
        options: &Options,
    ) {
        self.running -= 1;
        self.is_taken = false;
        if let Some(pool) = self.pools[action] {
            self.places[pool] += 1;
        }
        match result {
            Ok(outcome) => {
                self.ended[action] = Some(Ended::Done(outcome));
                for dependent in &dependents[action] {
                    self.waiting_for[*dependent] -= 1;
                    if self.waiting_for[*dependent] == 0 {
                        let length = Reverse(self.lengths[*dependent]);
                        self.ready.insert((length, *dependent));
                    }
                }
            }
            Err(failure) => {
                self.ended[action] = Some(Ended::Failed(failure));
                self.failed += 1;
                self.stopping |= match options.on_failure {
                    OnFailure::Stop => true,
                    OnFailure::KeepGoing => false,
                    OnFailure::StopAfter(most) => self.failed >= most,
                };
                self.skip_dependents(action, dependents);
            }
        }
    }

    /// Everything that depends on it, directly or not, will not be tried.
    fn skip_dependents(&mut self, failed: usize, dependents: &[Vec<usize>]) {
        let mut todo = vec![failed];
        while let Some(at) = todo.pop() {
            for dependent in &dependents[at] {
                if self.ended[*dependent].is_none() {
                    self.ended[*dependent] = Some(Ended::Skipped { because: failed });
                    todo.push(*dependent);
                }
            }
        }
    }
}
