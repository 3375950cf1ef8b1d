//! KDL text → plain nodes with byte spans. The only file that knows the kdl crate.
//! Templates, matrices and overrides work on these nodes; decoding reads them.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};

use super::diagnostic::Diagnostic;

use super::{Span, Spanned, foreign, syntax};

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub name: Spanned<String>,
    pub ty: Option<Spanned<String>>,
    pub args: Vec<Value>,
    pub props: Vec<(Spanned<String>, Value)>,
    pub children: Option<Vec<Node>>,
    /// From the name to the last value, without the block.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub data: Data,
    pub ty: Option<Spanned<String>>,
    /// As written, for numbers: `1.20`.
    pub written: String,
    pub span: Span,
    /// From the command line, where everything is text: read as whatever is wanted.
    pub loose: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Text(String),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Null,
}

impl Data {
    pub fn kind(&self) -> &'static str {
        match self {
            Data::Text(_) => "a string",
            Data::Integer(_) | Data::Float(_) => "a number",
            Data::Bool(_) => "a boolean",
            Data::Null => "null",
        }
    }
}

/// Enough for `syntax::DEEPEST` levels in an unoptimized build, many times over.
const PARSER_STACK: usize = 128 << 20;

/// `base` is added to every span: included files are numbered on from the first one.
pub(super) fn parse(text: &str, base: usize) -> Result<Vec<Node>, Vec<Diagnostic>> {
    if let Some(diagnostic) = foreign::language(text) {
        return Err(vec![diagnostic.moved(base)]);
    }
    syntax::check(text).map_err(|diagnostic| vec![diagnostic.moved(base)])?;
    let Some(document) = on_large_stack(text) else {
        let message = format!(
            "this takes longer than {} s to read, the limit",
            LONGEST.as_secs()
        );
        let help = "use variables, templates and matrices instead of repeated nodes";
        return Err(vec![Diagnostic::plain(message).with_help(help)]);
    };
    let document = document.map_err(|error| errors(text, base, &error))?;
    let lower = Lower { text, base };
    Ok(document
        .nodes()
        .iter()
        .map(|node| lower.node(node))
        .collect())
}

/// A text of 8 MB takes a tenth of it on a slow machine.
const LONGEST: Duration = Duration::from_secs(60);

/// The parser recurses; the thread that calls us may have a small stack. `None` when it takes too
/// long: the thread ends with the process.
fn on_large_stack(text: &str) -> Option<Result<KdlDocument, kdl::KdlError>> {
    let (sender, parsed) = std::sync::mpsc::channel();
    let text = text.to_string();
    let parser = std::thread::Builder::new()
        .name("kdl".to_string())
        .stack_size(PARSER_STACK)
        .spawn(move || drop(sender.send(KdlDocument::parse_v2(&text))))
        .expect("a thread for the parser can be started");
    match parsed.recv_timeout(LONGEST) {
        Ok(document) => Some(document),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => match parser.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the parser sends before it ends"),
        },
    }
}

struct Lower<'t> {
    text: &'t str,
    base: usize,
}

impl Lower<'_> {
    fn span(&self, span: miette::SourceSpan) -> Span {
        Span::new(
            self.base + span.offset(),
            self.base + span.offset() + span.len(),
        )
    }

    fn word(&self, identifier: &kdl::KdlIdentifier) -> Spanned<String> {
        Spanned {
            value: identifier.value().to_string(),
            span: self.span(identifier.span()),
        }
    }

    fn node(&self, node: &KdlNode) -> Node {
        let name = self.word(node.name());
        let mut lowered = Node {
            span: name.span,
            name,
            ty: node.ty().map(|ty| self.word(ty)),
            args: Vec::new(),
            props: Vec::new(),
            children: node.children().map(|children| {
                children
                    .nodes()
                    .iter()
                    .map(|node| self.node(node))
                    .collect()
            }),
        };
        for entry in node.entries() {
            let value = self.value(entry);
            lowered.span.end = lowered.span.end.max(value.span.end);
            match entry.name() {
                Some(key) => lowered.props.push((self.word(key), value)),
                None => lowered.args.push(value),
            }
        }
        lowered
    }

    fn value(&self, entry: &KdlEntry) -> Value {
        let written = entry
            .format()
            .map(|format| format.value_repr.clone())
            .unwrap_or_default();
        Value {
            data: match entry.value() {
                KdlValue::String(text) => Data::Text(text.clone()),
                KdlValue::Integer(number) => Data::Integer(*number),
                KdlValue::Float(number) => Data::Float(*number),
                KdlValue::Bool(flag) => Data::Bool(*flag),
                KdlValue::Null => Data::Null,
            },
            ty: entry.ty().map(|ty| self.word(ty)),
            span: self.value_span(entry, &written),
            written,
            loose: false,
        }
    }

    /// An entry's span covers `key=value` and may begin with white space: keep the value alone.
    fn value_span(&self, entry: &KdlEntry, written: &str) -> Span {
        let whole = entry.span();
        let (start, end) = (whole.offset(), whole.offset() + whole.len());
        let slice = self.text.get(start..end).unwrap_or_default();
        match slice.rfind(written).filter(|_| !written.is_empty()) {
            Some(at) => Span::new(
                self.base + start + at,
                self.base + start + at + written.len(),
            ),
            None => Span::new(self.base + start, self.base + end),
        }
    }
}

/// The parser's own messages, each narrowed to the line that it is about.
fn errors(text: &str, base: usize, error: &kdl::KdlError) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = error
        .diagnostics
        .iter()
        .map(|one| {
            let span = narrowed(text, one.span.offset(), one.span.len());
            let message = one
                .message
                .clone()
                .unwrap_or_else(|| "this is not KDL".to_string());
            let mut diagnostic = Diagnostic::at(
                Span::new(base + span.start, base + span.end),
                lower_first(&message),
                one.label.clone().unwrap_or_else(|| "here".to_string()),
            );
            diagnostic.help = one.help.clone();
            diagnostic
        })
        .collect();
    found.sort_by_key(|one| one.span.start);
    found.dedup_by(|a, b| a.span == b.span);
    // Everything after the first few follows from them.
    found.truncate(5);
    found
}

fn lower_first(message: &str) -> String {
    let message = message.trim_end_matches('.');
    if let Some(rest) = message.strip_prefix("matching ") {
        return format!("expected a matching {rest}");
    }
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The first line of the span that holds something, or the line where it begins.
fn narrowed(text: &str, offset: usize, length: usize) -> Span {
    let mut start = floor(text, offset);
    let end = floor(text, offset.saturating_add(length));
    let blank = text[start..end].len() - text[start..end].trim_start().len();
    if start + blank < end {
        start += blank;
    }
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = end.min(line_end).max(start);
    if end > start {
        return Span::new(start, end);
    }
    // Nothing there (the end of a line or of the file): point at the last thing before it.
    let before = text[..start].trim_end().len();
    let from = floor(text, before.saturating_sub(1));
    Span::new(from, before)
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
