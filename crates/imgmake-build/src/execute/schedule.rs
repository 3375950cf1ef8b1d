//! Tasks that wait for each other on a few threads. A task goes as far as it can; where it needs what another
//! one has not finished, it is laid aside and its thread takes the next: a stage whose third step copies from
//! another stage has done its first two by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{BuildError, Result};
use imgmake_event::Cancel;

/// How far a task came.
pub enum Poll<P> {
    Finished,
    /// To go on from `progress` (none: from the start) once those tasks are finished.
    Waits {
        progress: Option<P>,
        needs: BTreeSet<usize>,
    },
}

/// Runs tasks `0..count`, at most `jobs` at once; of those that can go on, the first. `resume` gets a task's
/// number and where it was laid aside. `stop` is set when one fails.
///
/// # Errors
/// Of the task that failed first.
///
/// # Panics
/// When `resume` does, after the others have come to their end.
pub fn run_all<P: Send>(
    count: usize,
    jobs: usize,
    stop: &Cancel,
    resume: impl Fn(usize, Option<P>) -> Result<Poll<P>> + Sync,
) -> Result<()> {
    let schedule = Schedule {
        state: Mutex::new(State {
            waiting: (0..count).map(|task| (task, Waiting::new())).collect(),
            finished: BTreeSet::new(),
            failure: None,
        }),
        changed: Condvar::new(),
        stop,
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| schedule.work(&resume));
        }
        schedule.work(&resume);
    });
    let state = schedule.state.into_inner();
    match state.unwrap_or_else(PoisonError::into_inner).failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

struct Schedule<'a, P> {
    state: Mutex<State<P>>,
    changed: Condvar,
    stop: &'a Cancel,
}

struct State<P> {
    waiting: BTreeMap<usize, Waiting<P>>,
    finished: BTreeSet<usize>,
    failure: Option<BuildError>,
}

struct Waiting<P> {
    progress: Option<P>,
    needs: BTreeSet<usize>,
}

impl<P> Waiting<P> {
    fn new() -> Waiting<P> {
        Waiting {
            progress: None,
            needs: BTreeSet::new(),
        }
    }
}

impl<P> State<P> {
    fn take_ready(&mut self) -> Option<(usize, Waiting<P>)> {
        let ready = |(_, waiting): &(&usize, &Waiting<P>)| waiting.needs.is_subset(&self.finished);
        let task = *self.waiting.iter().find(ready)?.0;
        Some((task, self.waiting.remove(&task)?))
    }

    fn fail(&mut self, stop: &Cancel, error: BuildError) {
        stop.cancel();
        self.failure.get_or_insert(error);
    }
}

impl<P> Schedule<'_, P> {
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        // Held for look-ups only; a panic in between cannot leave half a value.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, resume: &(impl Fn(usize, Option<P>) -> Result<Poll<P>> + Sync)) {
        while let Some((task, waiting)) = self.next() {
            let mut alarm = Alarm {
                schedule: self,
                armed: true,
            };
            let result = resume(task, waiting.progress);
            alarm.armed = false;
            self.file(task, result);
        }
    }

    /// `None` when there is nothing left to begin, now or later.
    fn next(&self) -> Option<(usize, Waiting<P>)> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() || state.waiting.is_empty() {
                self.changed.notify_all();
                return None;
            }
            if let Some(ready) = state.take_ready() {
                return Some(ready);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn file(&self, task: usize, result: Result<Poll<P>>) {
        let mut state = self.lock();
        match result {
            Ok(Poll::Finished) => {
                state.finished.insert(task);
            }
            Ok(Poll::Waits { progress, needs }) => {
                state.waiting.insert(task, Waiting { progress, needs });
            }
            Err(error) => state.fail(self.stop, error),
        }
        self.changed.notify_all();
    }
}

/// A task that panics must not leave the others waiting for it.
struct Alarm<'s, 'a, P> {
    schedule: &'s Schedule<'a, P>,
    armed: bool,
}

impl<P> Drop for Alarm<'_, '_, P> {
    fn drop(&mut self) {
        if self.armed {
            self.schedule
                .lock()
                .fail(self.schedule.stop, BuildError::internal("a task panicked"));
            self.schedule.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_task_goes_on_where_it_was_laid_aside() {
        let order = Mutex::new(Vec::new());
        let resume = |task: usize, progress: Option<&'static str>| {
            order.lock().unwrap().push((task, progress));
            Ok(match (task, progress) {
                (0, None) => Poll::Waits {
                    progress: Some("half"),
                    needs: BTreeSet::from([1]),
                },
                _ => Poll::Finished,
            })
        };
        run_all(2, 1, &Cancel::default(), resume).unwrap();
        let expected = [(0, None), (1, None), (0, Some("half"))];
        assert_eq!(order.into_inner().unwrap(), expected);
    }

    #[test]
    fn tasks_that_need_nothing_run_at_the_same_time() {
        // Each waits for the other: one after the other would never end.
        let both = Barrier::new(2);
        let resume = |_, _: Option<()>| {
            both.wait();
            Ok(Poll::Finished)
        };
        run_all(2, 8, &Cancel::default(), resume).unwrap();
    }

    #[test]
    fn the_first_failure_is_told_and_nothing_new_begins() {
        let begun = AtomicUsize::new(0);
        let stop = Cancel::default();
        let resume = |task: usize, _: Option<()>| -> Result<Poll<()>> {
            begun.fetch_add(1, Ordering::SeqCst);
            Err(BuildError::internal(format!("task {task}")))
        };
        let error = run_all(5, 1, &stop, resume).unwrap_err();
        assert_eq!(error.to_string(), "task 0");
        assert_eq!(begun.into_inner(), 1);
        assert!(stop.is_cancelled());
    }

    #[test]
    fn a_panic_ends_the_run() {
        let resume = |task: usize, progress: Option<()>| match (task, progress) {
            (0, None) => Ok(Poll::Waits {
                progress: Some(()),
                needs: BTreeSet::from([1]),
            }),
            _ => panic!("on purpose"),
        };
        let run = || run_all(2, 2, &Cancel::default(), resume);
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
