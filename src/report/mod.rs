//! Events → what people and machines read while a run goes on, and after it.
//!
//! Knows events alone. Progress goes to standard error, results to standard
//! output; with JSON lines, everything goes to standard output.

mod annotation;
mod code_quality;
mod fold;
mod human;
mod json;
mod junit;
mod live;
mod markdown;
mod no_echo;
mod options;
mod plain;
mod summary;
#[cfg(test)]
mod tests;
pub mod timeline;
mod view;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

pub use annotation::{Level, annotation};
pub use human::{bytes, duration, now, short_digest, stage as stage_label};
pub use json::value as event_json;
pub use options::{Folding, Options, Style};
pub use view::Sink;

use crate::wrapped::wrapped;
use imgmake_event::{Event, Events};
use imgmake_guard::printable::{self, Colors};
use summary::Summary;
use view::View;

/// Takes the events of one run. Give [`Reporter::events`] away, then
/// [`Reporter::finish`] when the run is over.
#[derive(Clone)]
pub struct Reporter {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    view: Box<dyn View>,
    summary: Summary,
    results: Sink,
    options: Options,
    begun: Instant,
}

impl Reporter {
    /// Reports go to `progress` and `results`.
    pub fn new(options: Options, progress: Sink, results: Sink) -> Reporter {
        // Shared, since JSON lines are both.
        let results = Shared(Arc::new(Mutex::new(results)));
        let view: Box<dyn View> = match options.style {
            Style::Live => Box::new(live::Live::new(options)),
            Style::Plain => Box::new(plain::Plain::new(options, progress)),
            Style::Json => Box::new(json::Json::new(Box::new(results.clone()))),
            Style::Quiet => Box::new(plain::Plain::quiet(options, progress)),
        };
        let inner = Inner {
            view,
            summary: Summary::default(),
            results: Box::new(results),
            options,
            begun: Instant::now(),
        };
        Reporter {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// To the terminal: standard error and standard output.
    pub fn to_terminal(options: Options) -> Reporter {
        Reporter::new(
            options,
            Box::new(std::io::stderr()),
            Box::new(std::io::stdout()),
        )
    }

    pub fn events(&self) -> Events {
        let inner = Arc::clone(&self.inner);
        Events::to(move |event| {
            let mut inner = inner
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            inner.summary.event(&event);
            inner.view.event(&event);
            if inner.options.annotations {
                inner.annotate(&event);
            }
        })
    }

    /// Shows what was done and where the results are; the failed targets' output
    /// and causes come last, on standard error.
    pub fn finish(&self) {
        let mut inner = self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.view.close();
        let took = inner.begun.elapsed();
        let Inner {
            summary,
            results,
            options,
            ..
        } = &mut *inner;
        match options.style {
            Style::Json => {
                let mut json = summary.json(took);
                json["time"] = human::now().into();
                drop(writeln!(results, "{}", printable::json(&json.to_string())));
            }
            Style::Quiet => tell(&summary.failures(*options), *options),
            Style::Live | Style::Plain => {
                tell(&summary.verdict(*options, took), *options);
                // A closed pipe is no error.
                let made = summary.results(*options);
                drop(results.write_all(printable::text(&made, Colors::Removed).as_bytes()));
                drop(results.flush());
                tell(&summary.failures(*options), *options);
            }
        }
    }
}

impl Reporter {
    /// The run as a page of Markdown: targets, times, digests and sizes, with their change since the
    /// images that the targets had `before`.
    pub fn markdown(&self, before: &BTreeMap<String, u64>) -> String {
        let inner = self.inner();
        markdown::page(&inner.summary, inner.begun.elapsed(), before)
    }

    /// The run as JUnit XML.
    pub fn junit(&self) -> String {
        let inner = self.inner();
        junit::document(&inner.summary, inner.begun.elapsed())
    }

    /// Warnings and failures as GitLab's code quality report.
    pub fn code_quality(&self, manifest: &str) -> String {
        code_quality::document(&self.inner().summary, manifest)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        let inner = self.inner.lock();
        inner.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn tell(text: &str, options: Options) {
    let text = printable::message(text, Colors::when(options.color));
    let columns = match options.style {
        Style::Live => options.width,
        _ => 0,
    };
    let text = wrapped(&text, columns);
    let text = human::stamped(text.as_bytes(), options);
    drop(std::io::stderr().write_all(&text));
}

impl Inner {
    /// Warnings and failures where GitHub shows them: at their lines.
    fn annotate(&mut self, event: &Event) {
        use imgmake_event::TargetOutcome::Failed;
        let (level, title, message) = match event {
            Event::Warning { target, message } => {
                (Level::Warning, target.clone().unwrap_or_default(), message)
            }
            Event::TargetFinished {
                target,
                outcome: Failed { message, .. },
                ..
            } => (Level::Error, target.clone(), message),
            _ => return,
        };
        drop(writeln!(
            self.results,
            "{}",
            annotation(level, &title, message)
        ));
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Sink>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .flush()
    }
}
