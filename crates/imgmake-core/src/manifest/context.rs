//! Where decoding stands: the values in scope, the place for messages, and what every
//! attribute needs: a value of one type, interpolated, or a message at its place.

use std::cell::RefCell;
use std::time::Duration;

use super::binding::Refusal;
use super::diagnostic::{Diagnostic, Origin, Severity};
use super::scope::{MOST_TARGETS, Scope};
use super::tree::{Data, Value};
use super::{Span, Spanned, duration, suggest};
use crate::error::ExpressionProblem;

/// Where decoding stands: the values in scope, the place for messages, the node that they are about.
pub(super) struct DecodeContext<'s, 'f> {
    pub scope: &'s Scope<'f>,
    pub diagnostics: &'s RefCell<Vec<Diagnostic>>,
    /// ``target `api`: `` in front of messages, or nothing.
    pub about: String,
    /// The directory of the file, for one that is included.
    directory: &'s str,
}

/// What kind of value stands at a place, for messages.
#[derive(Clone, Copy)]
enum Wanted {
    Text,
    Boolean,
    WholeNumber,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Wanted::Text => "a string",
            Wanted::Boolean => "a boolean",
            Wanted::WholeNumber => "a whole number",
        })
    }
}

impl<'s, 'f> DecodeContext<'s, 'f> {
    pub fn new(
        scope: &'s Scope<'f>,
        diagnostics: &'s RefCell<Vec<Diagnostic>>,
    ) -> DecodeContext<'s, 'f> {
        DecodeContext {
            scope,
            diagnostics,
            about: String::new(),
            directory: "",
        }
    }

    pub fn about(&self, about: String) -> DecodeContext<'s, 'f> {
        DecodeContext {
            scope: self.scope,
            diagnostics: self.diagnostics,
            about,
            directory: self.directory,
        }
    }

    pub fn within(self, directory: &'s str) -> DecodeContext<'s, 'f> {
        DecodeContext { directory, ..self }
    }

    /// The same place, with messages that may yet be thrown away.
    pub fn reporting_to<'d>(
        &self,
        diagnostics: &'d RefCell<Vec<Diagnostic>>,
    ) -> DecodeContext<'d, 'f>
    where
        's: 'd,
    {
        DecodeContext {
            scope: self.scope,
            diagnostics,
            about: String::new(),
            directory: self.directory,
        }
    }

    /// The name by which the whole project knows a target of this file.
    pub fn full_name(&self, name: &str) -> String {
        super::rebase::qualified(self.directory, name)
    }

    pub fn report(&self, mut diagnostic: Diagnostic) {
        diagnostic.message = format!("{}{}", self.about, diagnostic.message);
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    pub fn error(&self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.report(Diagnostic::at(span, message, label));
    }

    pub fn error_help(
        &self,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::at(span, message, label).with_help(help));
    }

    pub fn warn(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let mut diagnostic = Diagnostic::at(span, message, "here").with_help(help);
        diagnostic.severity = Severity::Warning;
        self.report(diagnostic);
    }

    /// Whether a project may have so many targets more. That it may not is told once.
    pub fn count_targets(&self, more: usize, span: Span) -> bool {
        let (before, now) = self.scope.count_targets(more);
        if before <= MOST_TARGETS && now > MOST_TARGETS {
            let diagnostic = Diagnostic::at(
                span,
                format!("the project has more than {MOST_TARGETS} targets"),
                "one too many",
            );
            let help = "members of matrices count, including those that are excluded";
            // Not about the target, which is as good as those before it.
            self.diagnostics
                .borrow_mut()
                .push(diagnostic.with_help(help));
        }
        now <= MOST_TARGETS
    }

    pub fn errors(&self) -> usize {
        self.diagnostics
            .borrow()
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count()
    }

    fn refused(&self, span: Span, refusal: Refusal) {
        if refusal.problem == ExpressionProblem::Reported {
            return;
        }
        let mut diagnostic = Diagnostic::at(span, refusal.problem.to_string(), "used here");
        diagnostic.origin = Origin::Expression;
        diagnostic.help = refusal.help;
        self.report(diagnostic);
    }

    /// A value of a type that was not expected.
    fn mismatch(&self, value: &Value, wanted: Wanted) {
        let got = value.data.kind();
        let message = format!("expected {wanted}, found {got}");
        let diagnostic = Diagnostic::at(value.span, message, format!("{wanted} is expected here"));
        self.report(match (&value.data, wanted) {
            (Data::Integer(_) | Data::Float(_), Wanted::Text) => {
                diagnostic.with_help(format!("put it in quotes: \"{}\"", value.written))
            }
            (Data::Bool(flag), Wanted::Text) => {
                diagnostic.with_help(format!("put it in quotes: \"{flag}\""))
            }
            (Data::Text(text), Wanted::WholeNumber) if text.parse::<f64>().is_ok() => {
                diagnostic.with_help(format!("write it without quotes: {text}"))
            }
            (Data::Text(text), Wanted::Boolean) => match text.as_str() {
                "true" | "yes" | "on" | "1" => diagnostic.with_help("write `#true`"),
                "false" | "no" | "off" | "0" => diagnostic.with_help("write `#false`"),
                _ => diagnostic.with_help("write `#true` or `#false`"),
            },
            _ => diagnostic,
        });
    }

    /// A string as written, without interpolation: names and patterns.
    pub fn plain(&self, value: &Value) -> Option<Spanned<String>> {
        self.untyped(value);
        match &value.data {
            Data::Text(text) => Some(Spanned {
                value: text.clone(),
                span: value.span,
            }),
            _ => {
                self.mismatch(value, Wanted::Text);
                None
            }
        }
    }

    pub fn text(&self, value: &Value) -> Option<Spanned<String>> {
        self.untyped(value);
        self.annotated_text(value)
    }

    /// As [`DecodeContext::text`], where a type annotation is allowed (and read by the caller).
    pub fn annotated_text(&self, value: &Value) -> Option<Spanned<String>> {
        let Data::Text(text) = &value.data else {
            self.mismatch(value, Wanted::Text);
            return None;
        };
        if value.loose {
            return Some(Spanned {
                value: text.clone(),
                span: value.span,
            });
        }
        match self.scope.text(text) {
            Ok(text) => Some(Spanned {
                value: text,
                span: value.span,
            }),
            Err(refusal) => {
                self.refused(value.span, refusal);
                None
            }
        }
    }

    /// A string that must hold something.
    pub fn word(&self, value: &Value, what: &str) -> Option<Spanned<String>> {
        let text = self.text(value)?;
        if text.value.trim().is_empty() {
            self.error(value.span, format!("{what} is empty"), "nothing is here");
            return None;
        }
        Some(text)
    }

    /// All the strings of a list; `"${LIST}"` alone gives the list's items.
    pub fn list(&self, values: &[Value]) -> Vec<Spanned<String>> {
        let mut items = Vec::new();
        for value in values {
            self.untyped(value);
            let Data::Text(text) = &value.data else {
                self.mismatch(value, Wanted::Text);
                continue;
            };
            if value.loose {
                let parts = text.split(',').filter(|part| !part.is_empty());
                items.extend(parts.map(|part| Spanned {
                    value: part.to_string(),
                    span: value.span,
                }));
                continue;
            }
            match self.scope.texts(text) {
                Ok(texts) => items.extend(texts.into_iter().map(|text| Spanned {
                    value: text,
                    span: value.span,
                })),
                Err(refusal) => self.refused(value.span, refusal),
            }
        }
        for item in &items {
            if item.value.is_empty() {
                self.error(item.span, "an empty string in a list", "nothing is here");
            }
        }
        items
    }

    /// `#true`, `#false`, or a string that interpolates to `true` or `false`.
    pub fn boolean(&self, value: &Value) -> Option<bool> {
        self.untyped(value);
        match &value.data {
            Data::Bool(flag) => Some(*flag),
            Data::Text(text) if text.contains("${") || value.loose => {
                let text = self.annotated_text(value)?.value;
                match text.as_str() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => {
                        self.error(
                            value.span,
                            format!("expected a boolean, found \"{text}\""),
                            "neither `true` nor `false`",
                        );
                        None
                    }
                }
            }
            _ => {
                self.mismatch(value, Wanted::Boolean);
                None
            }
        }
    }

    pub fn integer(&self, value: &Value, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        self.untyped(value);
        let number = match &value.data {
            Data::Integer(number) => i64::try_from(*number).ok(),
            Data::Text(text) if text.contains("${") || value.loose => {
                let text = self.annotated_text(value)?.value;
                match text.parse() {
                    Ok(number) => Some(number),
                    Err(_) => {
                        let message = format!("expected a whole number, found \"{text}\"");
                        self.error(value.span, message, "a whole number is expected here");
                        return None;
                    }
                }
            }
            _ => {
                self.mismatch(value, Wanted::WholeNumber);
                return None;
            }
        };
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let message = format!(
                "the number must be between {} and {}",
                range.start(),
                range.end()
            );
            self.error(value.span, message, "out of range");
        }
        fits
    }

    pub fn duration(&self, value: &Value) -> Option<Duration> {
        let text = self.text(value)?;
        let parsed = duration::parse(&text.value);
        if parsed.is_none() {
            self.error_help(
                value.span,
                format!("invalid duration `{}`", text.value),
                "a duration is expected here",
                "write a number and a unit: \"200ms\", \"5s\", \"1m30s\", \"2h\", \"7d\"",
            );
        }
        parsed
    }

    fn untyped(&self, value: &Value) {
        if let Some(ty) = &value.ty {
            self.error_help(
                ty.span,
                format!("unexpected type annotation `({})`", ty.value),
                "not expected here",
                "remove it",
            );
        }
    }

    pub fn choice<'c>(&self, text: &Spanned<String>, choices: &[&'c str]) -> Option<&'c str> {
        let found = choices.iter().find(|choice| **choice == text.value);
        if found.is_none() {
            let help = match suggest::nearest(&text.value, choices.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected {}", suggest::one_of(choices)),
            };
            self.error_help(
                text.span,
                format!("`{}` is not known here", text.value),
                "not known",
                help,
            );
        }
        found.copied()
    }

    /// A name of ours, as the rules want it.
    pub fn name(&self, value: &Value, what: &str) -> Option<Spanned<String>> {
        let name = self.plain(value)?;
        let is_secret = what == SECRET;
        if is_name(&name.value) || is_secret && is_name(&name.value.replace('.', "-")) {
            return Some(name);
        }
        self.error_help(
            name.span,
            format!("`{}` cannot be the name of {what}", name.value),
            "not a name",
            "names have letters, digits, `_` and `-`, and begin with a letter or digit",
        );
        None
    }
}

/// Secrets may have the name of a host within theirs, `GIT_AUTH_TOKEN.example.com`.
pub(super) const SECRET: &str = "a secret";

/// `[A-Za-z0-9][A-Za-z0-9_-]*`
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
