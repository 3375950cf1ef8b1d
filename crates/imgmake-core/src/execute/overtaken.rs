//! When the inputs of each action were read, and when the work of others ended: what was read
//! before may have been changed since by whoever worked then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::options::Options;
use crate::fingerprint::CacheKey;

#[derive(Clone, Copy, Default)]
struct Times {
    /// The last time that the inputs were read, and the key that they gave.
    read: Option<(Instant, CacheKey)>,
    worked: Option<Instant>,
}

pub struct Clock {
    times: Mutex<Vec<Times>>,
}

impl Clock {
    pub fn new(actions: usize) -> Clock {
        Clock {
            times: Mutex::new(vec![Times::default(); actions]),
        }
    }

    /// An action counts as fresh by inputs that were read from then on.
    pub fn read(&self, action: usize, since: Instant, key: CacheKey) {
        self.times()[action].read = Some((since, key));
    }

    /// The work of an action that may write files has ended.
    pub fn worked(&self, action: usize) {
        self.times()[action].worked = Some(Instant::now());
    }

    /// Those that were read before the work of another one ended, and that have moved.
    pub fn overtaken(
        &self,
        options: &Options,
        is_moved: impl Fn(usize, CacheKey) -> bool + Sync,
    ) -> Vec<usize> {
        let suspects = self.suspects();
        let next = AtomicUsize::new(0);
        let moved = Mutex::new(Vec::new());
        let look = || {
            while let Some((action, key)) = suspects.get(next.fetch_add(1, Ordering::Relaxed)) {
                if options.cancel.is_cancelled() {
                    return;
                }
                if is_moved(*action, *key) {
                    let mut moved = moved.lock().expect("no thread panics with the list");
                    moved.push(*action);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..options.jobs.min(suspects.len()) {
                scope.spawn(look);
            }
            look();
        });
        let mut moved = moved.into_inner().expect("no thread panics with the list");
        moved.sort_unstable();
        moved
    }

    fn suspects(&self) -> Vec<(usize, CacheKey)> {
        let times = self.times();
        let mut ends: Vec<(Instant, usize)> = times
            .iter()
            .enumerate()
            .filter_map(|(at, times)| Some((times.worked?, at)))
            .collect();
        ends.sort_unstable();
        // The last two: one of them is somebody else.
        let last = &ends[ends.len().saturating_sub(2)..];
        let is_suspect =
            |at: usize, read: Instant| last.iter().any(|(end, other)| *other != at && *end > read);
        let read = times.iter().enumerate();
        read.filter_map(|(at, times)| {
            let (read, key) = times.read?;
            is_suspect(at, read).then_some((at, key))
        })
        .collect()
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Vec<Times>> {
        self.times.lock().expect("no thread panics with the times")
    }
}
