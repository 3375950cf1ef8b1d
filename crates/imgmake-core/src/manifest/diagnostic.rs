//! One message about the manifest.

use super::types::Span;

/// One message about the manifest. Several come out of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub(super) origin: Origin,
    pub message: String,
    /// What stands under the span; without one (and without a span) no source is shown.
    pub label: String,
    pub span: Span,
    pub help: Option<String>,
    /// Other places: (span, text)
    pub related: Vec<(Span, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Declaration,
    /// Another imgmake is needed: what this one does not know follows from that.
    Requirement,
    /// A `${…}` that stands for nothing: no matter where a target is switched off.
    Expression,
}

impl Diagnostic {
    /// An error at a place.
    pub fn at(span: Span, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            origin: Origin::Declaration,
            message: message.into(),
            label: label.into(),
            span,
            help: None,
            related: Vec::new(),
        }
    }

    /// An error about no place in the text.
    pub fn plain(message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(Span::default(), message, "")
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push((span, text.into()));
        self
    }

    pub(super) fn moved(mut self, base: usize) -> Diagnostic {
        if self.span != Span::default() {
            self.span = Span::new(self.span.start + base, self.span.end + base);
        }
        self
    }
}
