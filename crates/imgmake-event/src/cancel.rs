//! How a run is ended early: a flag that is set once, and ways to be woken by it.
//!
//! Knows no signal and no work: whoever ends a run sets the flag, whoever works looks at
//! it between blocks and steps, or waits for it beside whatever else it waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long after a cancellation what was begun is cleaned up.
const CLEANUP: Duration = Duration::from_secs(2);

/// Set once, by a signal or by a failure elsewhere; long work looks at it
/// between blocks and steps.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    since: OnceLock<Instant>,
    waiting: Mutex<Waiting>,
    was_set: Condvar,
}

/// Who is to learn of a cancellation.
#[derive(Default)]
struct Waiting {
    children: Vec<Weak<Flag>>,
    wakers: Vec<(u64, Waker)>,
    next: u64,
}

type Waker = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} children, {} wakers",
            self.children.len(),
            self.wakers.len()
        )
    }
}

impl Flag {
    fn set(&self) {
        self.since.get_or_init(Instant::now);
        self.set.store(true, Ordering::SeqCst);
        // After the flag: whoever registers later sees it.
        let (children, wakers) = {
            let mut waiting = self.waiting();
            (
                std::mem::take(&mut waiting.children),
                std::mem::take(&mut waiting.wakers),
            )
        };
        self.was_set.notify_all();
        for child in children.iter().filter_map(Weak::upgrade) {
            child.set();
        }
        for (_, wake) in wakers {
            wake();
        }
    }

    fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave half a list.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancel {
    pub fn cancel(&self) {
        self.0.set();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.is_set()
    }

    /// For a part of the work: it is cancelled with the whole; cancelling it leaves the whole alone.
    #[must_use]
    pub fn child(&self) -> Cancel {
        let child = Cancel::default();
        let mut waiting = self.0.waiting();
        waiting.children.retain(|child| child.strong_count() > 0);
        // The list is read after the flag was set, and both are looked at under its lock.
        match self.is_cancelled() {
            true => child.cancel(),
            false => waiting.children.push(Arc::downgrade(&child.0)),
        }
        drop(waiting);
        child
    }

    /// Whether the cancellation was so long ago that nothing more is cleaned up: whoever cancelled
    /// waits for the end, and what is left is removed by a later run.
    pub fn is_cleanup_over(&self) -> bool {
        let since = self.0.since.get();
        since.is_some_and(|since| since.elapsed() > CLEANUP)
    }

    /// Waits for the cancellation, and not longer than `most`. Whether it came.
    pub fn wait(&self, most: Duration) -> bool {
        let waiting = self.0.waiting();
        let waited = self
            .0
            .was_set
            .wait_timeout_while(waiting, most, |_| !self.0.is_set());
        drop(waited);
        self.is_cancelled()
    }

    /// Calls `wake` once, from the thread that cancels; immediately if the run is cancelled already.
    /// Dropping the returned value takes the registration back.
    pub fn on_cancel(&self, wake: impl FnOnce() + Send + 'static) -> OnCancel {
        let mut waiting = self.0.waiting();
        let id = waiting.next;
        if self.is_cancelled() {
            drop(waiting);
            wake();
        } else {
            waiting.next += 1;
            waiting.wakers.push((id, Box::new(wake)));
        }
        OnCancel {
            flag: Arc::downgrade(&self.0),
            id,
        }
    }

    /// Whether a cancellation explains that another process ended or failed. A signal for
    /// the whole process group (a terminal's, a batch system's) reaches it as well, and it may be
    /// gone before the signal has been seen here.
    pub fn explains_an_end(&self) -> bool {
        const GRACE: Duration = Duration::from_secs(1);
        self.wait(GRACE)
    }

    /// For libraries that look at a flag.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.set
    }

    /// The same reader, which fails with [`Cancelled`] from the cancellation on.
    pub fn reader<R: std::io::Read>(&self, inner: R) -> CancellableReader<R> {
        CancellableReader {
            inner,
            cancel: self.clone(),
        }
    }

    /// # Errors
    /// [`Cancelled`] once somebody has cancelled.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}

/// What [`Cancel::on_cancel`] registered, for as long as it lives.
#[derive(Debug)]
#[must_use = "dropping it takes the registration back"]
pub struct OnCancel {
    flag: Weak<Flag>,
    id: u64,
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        if let Some(flag) = self.flag.upgrade() {
            let unused = {
                let mut waiting = flag.waiting();
                let at = waiting.wakers.iter().position(|(id, _)| *id == self.id);
                at.map(|at| waiting.wakers.swap_remove(at))
            };
            // Outside of the lock: it may hold the last of something.
            drop(unused);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// An error and what it follows from, the outermost first.
pub fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

impl Cancelled {
    /// Whether a cancellation is among what an error follows from.
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        causes(error).any(|cause| {
            cause.is::<Cancelled>() || cause.downcast_ref().is_some_and(Cancelled::ended)
        })
    }

    /// Whether a cancellation ended this input or output, which carries it as its cause.
    pub fn ended(error: &std::io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
    }
}

impl From<Cancelled> for std::io::Error {
    fn from(cancelled: Cancelled) -> std::io::Error {
        std::io::Error::other(cancelled)
    }
}

/// A reader that a cancellation ends: it is asked for before each read.
pub struct CancellableReader<R> {
    inner: R,
    cancel: Cancel,
}

impl<R: std::io::Read> std::io::Read for CancellableReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.check()?;
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cancelled_with_the_whole_and_alone_without_it() {
        let whole = Cancel::default();
        let (first, second) = (whole.child(), whole.child());
        let inner = second.child();
        first.cancel();
        assert!(!whole.is_cancelled() && !second.is_cancelled());
        whole.cancel();
        assert!(second.is_cancelled() && inner.is_cancelled());
        assert!(whole.child().is_cancelled());
    }

    #[test]
    fn a_wait_ends_with_the_cancellation_of_the_whole() {
        let whole = Cancel::default();
        let part = whole.child();
        // Longer than any test: only the cancellation ends it.
        let waiting = std::thread::spawn(move || part.wait(Duration::from_secs(3600)));
        whole.cancel();
        assert!(waiting.join().unwrap());
        assert!(!Cancel::default().wait(Duration::ZERO));
    }

    #[test]
    fn a_waker_is_called_once_and_not_after_it_was_dropped() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let call = |name: &'static str| {
            let calls = calls.clone();
            move || calls.lock().unwrap().push(name)
        };
        let cancel = Cancel::default();
        let before = cancel.child().on_cancel(call("child that is gone"));
        let kept = cancel.on_cancel(call("kept"));
        drop(cancel.on_cancel(call("dropped")));
        assert!(calls.lock().unwrap().is_empty());
        cancel.cancel();
        cancel.cancel();
        let after = cancel.on_cancel(call("late"));
        assert_eq!(*calls.lock().unwrap(), ["kept", "late"]);
        drop((before, kept, after));
    }
}
