//! Everything that a reporter can learn. Every crate may send an [`Event`];
//! none knows who listens.

mod attentive;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What happened. Targets are named as in the manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The plan is made: targets in dependency order.
    Planned { targets: Vec<PlannedTarget> },
    TargetStarted {
        target: String,
        reasons: Vec<String>,
    },
    TargetFinished {
        target: String,
        outcome: TargetOutcome,
        took: Duration,
    },
    /// A step of a target; `id` is unique within the target.
    StepStarted {
        target: String,
        id: u32,
        stage: String,
        text: String,
    },
    StepFinished {
        target: String,
        id: u32,
        outcome: StepOutcome,
        took: Duration,
    },
    /// One line of output of a step or a `run` command, without its newline.
    Output {
        target: String,
        step: Option<u32>,
        stream: Stream,
        line: Vec<u8>,
    },
    /// Bytes moved so far by a transfer; `what` names the blob or the registry for people.
    Progress {
        target: String,
        what: String,
        direction: Direction,
        done: u64,
        total: Option<u64>,
    },
    /// A file, tag or layout that the target produced.
    Produced { target: String, what: Product },
    Warning {
        target: Option<String>,
        message: String,
    },
    Note {
        target: Option<String>,
        message: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTarget {
    pub name: String,
    pub kind: &'static str,
    pub needs: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TargetOutcome {
    Done,
    /// Nothing had changed.
    Fresh,
    /// Made again, to the very outputs that it had.
    Unchanged,
    Failed {
        message: String,
    },
    /// Not tried, because `because` failed.
    Skipped {
        because: String,
    },
    Cancelled,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    Done,
    Cached,
    Failed { message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Pull,
    Push,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Product {
    Image { digest: String, size: u64 },
    Tar { path: String, bytes: u64 },
    Layout { path: String },
    Pushed { reference: String, digest: String },
    Report { path: String },
    File { path: String },
}

/// Where events go. Cheap to clone, callable from any thread.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub fn to(sink: impl Fn(Event) + Send + Sync + 'static) -> Events {
        Events(Arc::new(sink))
    }

    /// For callers that nobody listens to.
    pub fn discard() -> Events {
        Events::to(|_| {})
    }

    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}

pub use attentive::Attentive;

/// Set once, by a signal or by a failure elsewhere; long work looks at it
/// between blocks and steps.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    children: Mutex<Vec<Weak<Flag>>>,
}

impl Flag {
    fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        for child in self.children().iter().filter_map(Weak::upgrade) {
            child.set();
        }
    }

    fn children(&self) -> MutexGuard<'_, Vec<Weak<Flag>>> {
        // A panic cannot leave half a list.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancel {
    pub fn cancel(&self) {
        self.0.set();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// For a part of the work: cancelled with the whole, and alone without it.
    #[must_use]
    pub fn child(&self) -> Cancel {
        let child = Cancel::default();
        let mut children = self.0.children();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child.0));
        // After it is in the list: whoever cancels meanwhile sees it there, or is seen here.
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Whether a cancellation explains that another process ended or failed. A signal for
    /// the whole process group (a terminal's, a batch system's) reaches it as well, and it may be
    /// gone before the signal has been seen here.
    pub fn explains_an_end(&self) -> bool {
        const GRACE: std::time::Duration = std::time::Duration::from_secs(1);
        let since = std::time::Instant::now();
        while !self.is_cancelled() && since.elapsed() < GRACE {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.is_cancelled()
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancelled {
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
}
