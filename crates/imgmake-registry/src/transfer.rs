//! What transfers in both directions share: progress that does not flood its
//! listeners, and several transfers at once.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{OperationContext, RegistryError};
use imgmake_event::{Direction, Event};
use imgmake_oci::store::Damaged;

/// Progress is reported at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// Bytes moved at once; also the bound of what a transfer holds in memory.
pub(super) const BLOCK: usize = 128 << 10;
/// A transfer that came this much further begins to count its attempts anew.
pub(super) const PROGRESS: u64 = 1 << 20;

/// Tells how far one blob is.
pub(super) struct Progress {
    work: OperationContext,
    what: String,
    direction: Direction,
    total: u64,
    last_sent: Option<Instant>,
}

impl Progress {
    pub(super) fn new(
        work: &OperationContext,
        what: String,
        direction: Direction,
        total: u64,
    ) -> Progress {
        Progress {
            work: work.clone(),
            what,
            direction,
            total,
            last_sent: None,
        }
    }

    pub(super) fn at(&mut self, done: u64) {
        let due = self.last_sent.is_none_or(|t| t.elapsed() >= EVERY) || done == self.total;
        if due {
            self.last_sent = Some(Instant::now());
            self.work.events.send(Event::Progress {
                target: self.work.target.clone(),
                what: self.what.clone(),
                direction: self.direction,
                done,
                total: Some(self.total),
            });
        }
    }
}

/// A body on its way out: exactly `left` more bytes, counted, stopped by a
/// cancellation. A file that ends early is an error: the request promised its length.
pub(super) struct Outgoing<R> {
    pub reader: R,
    pub left: u64,
    pub done: u64,
    pub progress: Progress,
}

impl<R: Read> Read for Outgoing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.work.cancel.is_cancelled() {
            let cancelled = RegistryError::from(imgmake_event::Cancelled);
            return Err(io::Error::other(cancelled));
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most]).map_err(|error| {
            match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Damaged>())
            {
                // Nobody tries to send the same again.
                Some(damaged) => io::Error::other(RegistryError::store(damaged.to_string())),
                None => error,
            }
        })?;
        if count == 0 {
            let short =
                RegistryError::store("a blob of the store is shorter than its manifest says");
            return Err(io::Error::other(short));
        }
        self.left -= count as u64;
        self.done += count as u64;
        self.progress.at(self.done);
        Ok(count)
    }
}

/// Runs `act` on every item, at most `connections` at once, on threads of their
/// own: transfers wait, and waiting must not hold up hashing. After a failure
/// nothing new begins; the first failure in the order of the items is returned.
pub(super) fn in_parallel<T: Sync>(
    items: &[T],
    connections: usize,
    act: impl Fn(&T) -> Result<(), RegistryError> + Sync,
) -> Result<(), RegistryError> {
    if items.len() <= 1 || connections <= 1 {
        return items.iter().try_for_each(&act);
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let errors = Mutex::new(Vec::new());
    let work = || {
        while !failed.load(Ordering::SeqCst) {
            let at = next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = items.get(at) else { return };
            if let Err(error) = act(item) {
                failed.store(true, Ordering::SeqCst);
                errors
                    .lock()
                    .expect("pushing to a list does not panic")
                    .push((at, error));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..connections.min(items.len()) {
            scope.spawn(work);
        }
    });
    let mut errors = errors
        .into_inner()
        .expect("pushing to a list does not panic");
    errors.sort_by_key(|(at, _)| *at);
    match errors.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
