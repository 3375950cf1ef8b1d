//! Diagnostics → text for people, by miette. Knows no terminal: colour and width are told.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use super::Span;
use super::diagnostic::{Diagnostic, Severity};
use super::sources::Sources;

/// Nobody reads further, and a thousand of them have one cause.
const MOST_SHOWN: usize = 50;
/// Of a line, in bytes on either side of a label: generated files have lines of any length.
const WIDEST: usize = 160;

/// Renders diagnostics of one file with miette; [`Sources::render`] does it for several.
/// Ends with a line that counts, when there is more than one.
pub fn render(
    diagnostics: &[Diagnostic],
    file: &str,
    text: &str,
    colour: bool,
    width: usize,
) -> String {
    render_sources(diagnostics, &Sources::new(file, text), colour, width)
}

impl Sources {
    /// Renders diagnostics with miette (the cli calls this once).
    pub fn render(&self, diagnostics: &[Diagnostic], colour: bool, width: usize) -> String {
        render_sources(diagnostics, self, colour, width)
    }
}

fn render_sources(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    colour: bool,
    width: usize,
) -> String {
    let mut theme = match colour {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    theme.characters.error = "error:".to_string();
    theme.characters.warning = "warning:".to_string();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width.clamp(40, 200))
        .with_context_lines(0)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST_SHOWN) {
        let unquoted = unquoted(diagnostic, sources);
        let report = Report {
            diagnostic: unquoted.as_ref().unwrap_or(diagnostic),
            sources,
        };
        let mut one = String::new();
        handler
            .render_report(&mut one, &report)
            .expect("writing to a string does not fail");
        out.push_str(&tidied(&one));
    }
    if diagnostics.len() > MOST_SHOWN {
        out.push_str(&format!("… and {} more\n", diagnostics.len() - MOST_SHOWN));
    }
    let main = sources.files.first().map_or("", |file| file.name.as_str());
    out.push_str(&count(diagnostics, main));
    out
}

/// A mistake in a file outside of the project, without a word of that file: a manifest may
/// name any file of this machine, and the message goes into a log.
fn unquoted(diagnostic: &Diagnostic, sources: &Sources) -> Option<Diagnostic> {
    if let Some((file, line, column)) = sources.place_outside(diagnostic.span.start) {
        let message = format!("{file}:{line}:{column}: this is not understood");
        return Some(Diagnostic {
            severity: diagnostic.severity,
            ..Diagnostic::plain(message).with_help(
                "the file lies outside of the project, so nothing of it is quoted; name it with `-f` to see more",
            )
        });
    }
    let is_outside = |span: &Span| sources.place_outside(span.start).is_some();
    if diagnostic.related.iter().any(|(span, _)| is_outside(span)) {
        let mut shorter = diagnostic.clone();
        shorter.related.retain(|(span, _)| !is_outside(span));
        return Some(shorter);
    }
    None
}

/// miette indents the headline and ends with blank lines.
fn tidied(report: &str) -> String {
    let mut text = String::new();
    for line in report.trim_matches('\n').lines() {
        let line = match text.is_empty() {
            true => line.trim_start(),
            false => line.trim_end(),
        };
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn count(diagnostics: &[Diagnostic], file: &str) -> String {
    let of = |severity| {
        diagnostics
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let plural = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    let parts: Vec<String> = [
        plural(of(Severity::Error), "error"),
        plural(of(Severity::Warning), "warning"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match diagnostics.len() {
        0 | 1 => String::new(),
        _ => format!("{} in {file}\n", parts.join(" and ")),
    }
}

/// miette shows context in whole lines above and below, or none at all; we want exactly
/// the lines that a label touches.
impl SourceCode for Sources {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let file = self.at(span.offset()).ok_or(MietteError::OutOfBounds)?;
        let whole = file.text.as_str();
        let text = whole.as_bytes();
        let start = (span.offset() - file.base).min(text.len());
        let end = start + span.len();
        if end > text.len() {
            // Two labels in two files: each is shown by itself.
            return Err(MietteError::OutOfBounds);
        }
        let newline = |at: &u8| *at == b'\n';
        let line_start = text[..start]
            .iter()
            .rposition(newline)
            .map_or(0, |at| at + 1);
        // A span that ends with its line's end does not touch the next line.
        let last = if end > start { end - 1 } else { end };
        let line_end = text[last..]
            .iter()
            .position(newline)
            .map_or(text.len(), |at| last + at);
        let from = boundary(whole, line_start.max(start.saturating_sub(WIDEST)));
        let to = boundary(whole, line_end.min(end + WIDEST));
        let line = text[..from].iter().filter(|at| newline(at)).count();
        let lines = 1 + text[from..to].iter().filter(|at| newline(at)).count();
        Ok(Box::new(MietteSpanContents::new_named(
            file.name.clone(),
            &text[from..to],
            SourceSpan::new((file.base + from).into(), to - from),
            line,
            start - line_start,
            lines,
        )))
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

struct Report<'d> {
    diagnostic: &'d Diagnostic,
    sources: &'d Sources,
}

impl Report<'_> {
    /// No span and no label: the message is about no place.
    fn has_place(&self) -> bool {
        self.diagnostic.span != Span::default() || !self.diagnostic.label.is_empty()
    }

    fn labelled(&self, span: Span, text: &str) -> LabeledSpan {
        let file = self.sources.at(span.start);
        let limit = file.map_or(0, |file| file.base + file.text.len());
        let start = span.start.min(limit);
        let end = span.end.clamp(start, limit);
        let label = (!text.is_empty()).then(|| text.to_string());
        LabeledSpan::new_with_span(label, SourceSpan::new(start.into(), end - start))
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let main = self.sources.files.first();
        match main.filter(|main| !self.has_place() && !self.diagnostic.message.contains(&main.name))
        {
            // Nothing else says which file is meant.
            Some(main) => write!(f, "{}: {}", main.name, self.diagnostic.message),
            None => f.write_str(&self.diagnostic.message),
        }
    }
}
impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.has_place().then_some(self.sources as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if !self.has_place() {
            return None;
        }
        let first = self.labelled(self.diagnostic.span, &self.diagnostic.label);
        let first =
            LabeledSpan::new_primary_with_span(first.label().map(str::to_string), *first.inner());
        let related = self.diagnostic.related.iter();
        let others = related.map(|(span, text)| self.labelled(*span, text));
        Some(Box::new(std::iter::once(first).chain(others)))
    }
}
