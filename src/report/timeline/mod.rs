//! When what of a run happened: recorded from its events, written as a page or for a trace viewer.
//!
//! ```text
//! record      events → spans of time
//! critical    the chain that the end of the run waited for
//! trace       as Chrome's trace format
//! page        as one HTML file
//!   totals      where time went
//! ```

mod critical;
mod page;
mod record;
mod totals;
mod trace;

use std::ffi::OsStr;
use std::path::Path;

pub use record::{Recorder, Timeline};

/// How a timeline is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Html,
    /// Chrome's trace format, which Perfetto reads too.
    Trace,
}

impl Form {
    /// By the end of a file's name.
    pub fn of(path: &Path) -> Option<Form> {
        match path.extension().and_then(OsStr::to_str) {
            Some("html" | "htm") => Some(Form::Html),
            Some("json") => Some(Form::Trace),
            _ => None,
        }
    }
}

impl Timeline {
    pub fn written(&self, form: Form) -> String {
        match form {
            Form::Html => page::html(self),
            Form::Trace => trace::trace(self),
        }
    }
}
