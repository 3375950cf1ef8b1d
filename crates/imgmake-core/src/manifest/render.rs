//! Diagnostics → text for people, as rustc shows its own. Knows no terminal: color and width are
//! given.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::Span;
use super::diagnostic::{Diagnostic, Severity};
use super::sources::{Source, Sources, UNWRITTEN};

/// Nobody reads further, and a thousand of them have one cause.
const MOST_SHOWN: usize = 50;
/// Of a line, in bytes on either side of a label: generated files have lines of any length.
const WIDEST: usize = 160;
/// Of a file that is shown as it is.
const LONGEST_LINE: usize = 1000;

/// Renders diagnostics of one file; [`Sources::render`] does it for several.
/// Ends with a line that counts, when there is more than one.
pub fn render(
    diagnostics: &[Diagnostic],
    file: &str,
    text: &str,
    color: bool,
    width: usize,
) -> String {
    render_sources(diagnostics, &Sources::new(file, text), color, width)
}

impl Sources {
    /// Renders diagnostics, with the lines that they speak of.
    pub fn render(&self, diagnostics: &[Diagnostic], color: bool, width: usize) -> String {
        render_sources(diagnostics, self, color, width)
    }
}

fn render_sources(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    color: bool,
    width: usize,
) -> String {
    let renderer = match color {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let renderer = renderer.term_width(width.clamp(40, 200));
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST_SHOWN) {
        let unquoted = unquoted(diagnostic, sources);
        let diagnostic = unquoted.as_ref().unwrap_or(diagnostic);
        out.push_str(&renderer.render(&[group(diagnostic, sources)]));
        out.push('\n');
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
                "the file is outside of the project, so its text is not shown; name it with `-f` to see it",
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

/// One diagnostic: what is wrong, the places in the order of their files, what to do.
fn group<'d>(diagnostic: &'d Diagnostic, sources: &'d Sources) -> Group<'d> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // No span and no label: the message is about no place.
    let has_place = diagnostic.span != Span::default() || !diagnostic.label.is_empty();
    let main = sources.files.first();
    let is_written = main.is_none_or(|main| main.name != UNWRITTEN);
    let names_file = has_place || main.is_none_or(|main| diagnostic.message.contains(&main.name));
    let title = match main {
        // Nothing else says which file is meant.
        Some(main) if is_written && !names_file => format!("{}: {}", main.name, diagnostic.message),
        _ if !is_written && has_place => format!("{}: {}", diagnostic.message, diagnostic.label),
        _ => diagnostic.message.clone(),
    };
    let mut group = level
        .primary_title(title)
        .elements(std::iter::empty::<Snippet<Annotation>>());
    if has_place && is_written {
        for snippet in snippets(diagnostic, sources) {
            group = group.element(snippet);
        }
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

struct Label<'d> {
    span: Span,
    text: &'d str,
    kind: AnnotationKind,
}

/// A snippet for each file that a label stands in; of a file with lines that nobody can read,
/// one for each label, cut around it.
fn snippets<'d>(
    diagnostic: &'d Diagnostic,
    sources: &'d Sources,
) -> Vec<Snippet<'d, Annotation<'d>>> {
    let first = Label {
        span: diagnostic.span,
        text: &diagnostic.label,
        kind: AnnotationKind::Primary,
    };
    let related = diagnostic.related.iter().map(|(span, text)| Label {
        span: *span,
        text,
        kind: AnnotationKind::Context,
    });
    let mut by_file: Vec<(&Source, Vec<Label>)> = Vec::new();
    for label in std::iter::once(first).chain(related) {
        let Some(file) = sources.at(label.span.start) else {
            continue;
        };
        match by_file
            .iter_mut()
            .find(|(known, _)| known.base == file.base)
        {
            Some((_, labels)) => labels.push(label),
            None => by_file.push((file, vec![label])),
        }
    }
    let mut snippets = Vec::new();
    for (file, labels) in by_file {
        let is_readable = file.text.lines().all(|line| line.len() <= LONGEST_LINE);
        if is_readable {
            let snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
            snippets.push(labels.iter().fold(snippet, |snippet, label| {
                snippet.annotation(annotation(label, file, 0, file.text.len()))
            }));
            continue;
        }
        for label in &labels {
            let (from, to, line) = window(file, label.span);
            let snippet = Snippet::source(&file.text[from..to]).path(file.name.as_str());
            let annotation = annotation(label, file, from, to);
            snippets.push(snippet.line_start(line).annotation(annotation));
        }
    }
    snippets
}

fn annotation<'d>(label: &Label<'d>, file: &Source, from: usize, to: usize) -> Annotation<'d> {
    let within = |at: usize| at.saturating_sub(file.base).clamp(from, to) - from;
    let (start, end) = (within(label.span.start), within(label.span.end));
    let annotation = label.kind.span(start..end.max(start));
    match label.text.is_empty() {
        true => annotation,
        false => annotation.label(label.text),
    }
}

/// The lines that a span touches, cut beyond [`WIDEST`], and the number of the first.
fn window(file: &Source, span: Span) -> (usize, usize, usize) {
    let text = file.text.as_bytes();
    let start = (span.start - file.base).min(text.len());
    let end = (span.end.saturating_sub(file.base)).clamp(start, text.len());
    let newline = |at: &u8| *at == b'\n';
    let line_start = text[..start]
        .iter()
        .rposition(newline)
        .map_or(0, |at| at + 1);
    let line_end = text[end..]
        .iter()
        .position(newline)
        .map_or(text.len(), |at| end + at);
    let from = boundary(&file.text, line_start.max(start.saturating_sub(WIDEST)));
    let to = boundary(&file.text, line_end.min(end + WIDEST));
    let line = 1 + text[..from].iter().filter(|at| newline(at)).count();
    (from, to, line)
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
