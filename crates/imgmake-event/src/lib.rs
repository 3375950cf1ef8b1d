//! Everything that a reporter can learn. Every crate may send an [`Event`];
//! none knows who listens.

mod attentive;
mod cancel;

use std::sync::Arc;
use std::time::Duration;

pub use attentive::{Attentive, CancelFd};
pub use cancel::{Cancel, CancellableReader, Cancelled, OnCancel, causes};

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
        /// Where the target is built for several.
        platform: Option<String>,
        text: String,
    },
    StepFinished {
        target: String,
        id: u32,
        /// Equal for steps with the same result; none where the step has no layer of its own, or failed before.
        key: Option<String>,
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
    UpToDate,
    /// Made again, to the very outputs that it had.
    Unchanged,
    Failed {
        message: String,
        form: MessageForm,
    },
    /// Not run: a target that it depends on failed.
    Skipped {
        dependency: String,
    },
    Cancelled,
}

/// How the message of a failure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// What happened; whose failure it is goes in front.
    Sentence,
    /// With a label, the place in the manifest and perhaps colors: complete as it is.
    Rendered,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    Done,
    Cached,
    Failed {
        message: String,
    },
    /// The run was stopped, or another stage of the target failed, before it was done.
    Cancelled,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
