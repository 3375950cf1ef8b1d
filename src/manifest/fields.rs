//! Reading a node strictly: whatever nobody asked for is an error, and what was
//! asked for is the list that "did you mean" chooses from.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::interpolate::Refusal;
use super::scope::Scope;
use super::tree::{Data, Node, Value};
use super::{Diagnostic, Severity, Span, Spanned, duration, suggest};

/// The label of everything that interpolation refuses.
pub(super) const USED_HERE: &str = "used here";

/// Where decoding stands: the values in scope, the place for messages, the node that they are about.
pub(super) struct Cx<'s, 'f> {
    pub scope: &'s Scope<'f>,
    pub diagnostics: &'s RefCell<Vec<Diagnostic>>,
    /// ``target `api`: `` in front of messages, or nothing.
    pub about: String,
    /// The directory of the file, for one that is included.
    directory: &'s str,
}

impl<'s, 'f> Cx<'s, 'f> {
    pub fn new(scope: &'s Scope<'f>, diagnostics: &'s RefCell<Vec<Diagnostic>>) -> Cx<'s, 'f> {
        Cx {
            scope,
            diagnostics,
            about: String::new(),
            directory: "",
        }
    }

    pub fn about(&self, about: String) -> Cx<'s, 'f> {
        Cx {
            scope: self.scope,
            diagnostics: self.diagnostics,
            about,
            directory: self.directory,
        }
    }

    pub fn within(self, directory: &'s str) -> Cx<'s, 'f> {
        Cx { directory, ..self }
    }

    /// The same place, with messages that may yet be thrown away.
    pub fn reporting_to<'d>(&self, diagnostics: &'d RefCell<Vec<Diagnostic>>) -> Cx<'d, 'f>
    where
        's: 'd,
    {
        Cx {
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

    pub fn errors(&self) -> usize {
        self.diagnostics
            .borrow()
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count()
    }

    fn refused(&self, span: Span, refusal: Refusal) {
        if refusal == Refusal::told_before() {
            return;
        }
        let mut diagnostic = Diagnostic::at(span, refusal.message, USED_HERE);
        diagnostic.help = refusal.help;
        self.report(diagnostic);
    }

    /// A value of a type that was not expected.
    fn mismatch(&self, value: &Value, wanted: &str) {
        let got = value.data.kind();
        let message = format!("expected {wanted}, found {got}");
        let diagnostic = Diagnostic::at(value.span, message, format!("{wanted} is expected here"));
        self.report(match value.data {
            Data::Integer(_) | Data::Float(_) if wanted.contains("string") => {
                diagnostic.with_help(format!("put it in quotes: \"{}\"", value.written))
            }
            Data::Bool(flag) if wanted.contains("string") => {
                diagnostic.with_help(format!("put it in quotes: \"{flag}\""))
            }
            Data::Text(ref text) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
                diagnostic.with_help(format!("write it without quotes: {text}"))
            }
            Data::Text(ref text) if wanted.contains("boolean") => match text.as_str() {
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
                self.mismatch(value, "a string");
                None
            }
        }
    }

    pub fn text(&self, value: &Value) -> Option<Spanned<String>> {
        self.untyped(value);
        self.annotated_text(value)
    }

    /// As [`Cx::text`], where a type annotation is allowed (and read by the caller).
    pub fn annotated_text(&self, value: &Value) -> Option<Spanned<String>> {
        let Data::Text(text) = &value.data else {
            self.mismatch(value, "a string");
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
                self.mismatch(value, "a string");
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
                self.mismatch(value, "a boolean");
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
                self.mismatch(value, "a whole number");
                return None;
            }
        };
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let message = format!(
                "the number must lie between {} and {}",
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
                format!("`{}` is no duration", text.value),
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
                format!("the type annotation `({})` means nothing here", ty.value),
                "not expected here",
                "take it out",
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
        if is_name(&name.value) {
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

/// `[A-Za-z0-9][A-Za-z0-9_-]*`
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// One node while it is read.
pub(super) struct Fields<'n, 'c, 's, 'f> {
    pub node: &'n Node,
    pub cx: &'c Cx<'s, 'f>,
    known_children: Vec<&'static str>,
    known_props: Vec<&'static str>,
    /// Any property is fine: the caller reads them all.
    open_props: bool,
    open_children: bool,
    args: usize,
}

impl<'n, 'c, 's, 'f> Fields<'n, 'c, 's, 'f> {
    pub fn new(node: &'n Node, cx: &'c Cx<'s, 'f>) -> Fields<'n, 'c, 's, 'f> {
        Fields {
            node,
            cx,
            known_children: Vec::new(),
            known_props: Vec::new(),
            open_props: false,
            open_children: false,
            args: 0,
        }
    }

    fn blocks(&self) -> &'n [Node] {
        self.node.children.as_deref().unwrap_or_default()
    }

    /// The child of this name; a second one is an error.
    pub fn child(&mut self, name: &'static str) -> Option<&'n Node> {
        let mut found = self.children(name);
        let first = found.next()?;
        if let Some(second) = found.next() {
            let diagnostic = Diagnostic::at(
                second.name.span,
                format!("`{name}` stands twice"),
                "the second one",
            );
            self.cx
                .report(diagnostic.with_related(first.name.span, "the first one"));
        }
        Some(first)
    }

    /// All children of this name, in order.
    pub fn children(&mut self, name: &'static str) -> impl Iterator<Item = &'n Node> + use<'n> {
        self.known_children.push(name);
        self.blocks()
            .iter()
            .filter(move |node| node.name.value == name)
    }

    /// All children with one of these names, in the order of the file.
    pub fn children_of(&mut self, names: &'static [&'static str]) -> Vec<&'n Node> {
        self.known_children.extend(names);
        let nodes = self.blocks().iter();
        nodes
            .filter(|node| names.contains(&node.name.value.as_str()))
            .collect()
    }

    /// All children, whatever their names.
    pub fn any_children(&mut self) -> &'n [Node] {
        self.open_children = true;
        self.blocks()
    }

    pub fn any_props(&mut self) -> &'n [(Spanned<String>, Value)] {
        self.open_props = true;
        &self.node.props
    }

    pub fn prop(&mut self, name: &'static str) -> Option<&'n Value> {
        self.known_props.push(name);
        let found = self.node.props.iter().find(|(key, _)| key.value == name);
        found.map(|(_, value)| value)
    }

    pub fn arg(&mut self) -> Option<&'n Value> {
        let value = self.node.args.get(self.args);
        self.args += 1;
        value
    }

    /// The next argument, which must be there.
    pub fn required(&mut self, what: &str) -> Option<&'n Value> {
        let found = self.arg();
        if found.is_none() {
            self.missing(what);
        }
        found
    }

    pub fn missing(&self, what: &str) {
        self.cx.error(
            self.node.name.span,
            format!("`{}` needs {what}", self.node.name.value),
            format!("{what} is missing"),
        );
    }

    pub fn rest(&mut self) -> &'n [Value] {
        let rest = self.node.args.get(self.args..).unwrap_or_default();
        self.args = self.node.args.len();
        rest
    }

    /// Reports everything that was not asked for.
    pub fn finish(self) {
        let name = &self.node.name.value;
        if let Some(ty) = &self.node.ty {
            self.cx.error_help(
                ty.span,
                format!("the type annotation `({})` means nothing here", ty.value),
                "not expected here",
                "take it out",
            );
        }
        if let Some(value) = self.node.args.get(self.args) {
            let message = match self.args {
                0 => format!("`{name}` takes no value"),
                1 => format!("`{name}` takes one value"),
                many => format!("`{name}` takes {many} values"),
            };
            self.cx.error(value.span, message, "one too many");
        }
        self.finish_props(name);
        self.finish_children(name);
    }

    fn finish_props(&self, name: &str) {
        for (at, (key, _)) in self.node.props.iter().enumerate() {
            let first = self.node.props[..at]
                .iter()
                .find(|(other, _)| other.value == key.value);
            if let Some((first, _)) = first {
                let message = format!("`{}=` stands twice", key.value);
                let diagnostic = Diagnostic::at(key.span, message, "the second one");
                self.cx
                    .report(diagnostic.with_related(first.span, "the first one"));
                continue;
            }
            if self.open_props || self.known_props.contains(&key.value.as_str()) {
                continue;
            }
            let message = format!("`{name}` has no property `{}`", key.value);
            let mut diagnostic = Diagnostic::at(key.span, message, "not known here");
            diagnostic.help = match self.known_children.contains(&key.value.as_str()) {
                true => Some(format!(
                    "write it as a node: `{name} … {{ {} … }}`",
                    key.value
                )),
                false => suggest::help(&key.value, self.known_props.iter().copied()),
            };
            self.cx.report(diagnostic);
        }
    }

    fn finish_children(&self, name: &str) {
        if self.open_children {
            return;
        }
        let none_known = self.known_children.is_empty();
        if let (true, Some(children)) = (none_known, &self.node.children) {
            let span = children
                .first()
                .map_or(self.node.name.span, |child| child.name.span);
            self.cx.error(
                span,
                format!("`{name}` takes no block"),
                "not expected here",
            );
            return;
        }
        for child in self.blocks() {
            let word = child.name.value.as_str();
            if self.known_children.contains(&word) {
                continue;
            }
            let message = format!("`{name}` has no attribute `{word}`");
            let mut diagnostic = Diagnostic::at(child.name.span, message, "not known here");
            diagnostic.help = match self.known_props.contains(&word) {
                true => Some(format!("write it as a property: `{name} {word}=…`")),
                false => suggest::help(word, self.known_children.iter().copied()),
            };
            self.cx.report(diagnostic);
        }
    }

    // Children that hold one thing.

    pub fn text(&mut self, name: &'static str) -> Option<Spanned<String>> {
        let node = self.child(name)?;
        let mut fields = Fields::new(node, self.cx);
        let value = fields.required("a string");
        fields.finish();
        self.cx.word(value?, &format!("`{name}`"))
    }

    /// One node with one or more strings.
    pub fn texts(&mut self, name: &'static str) -> Vec<Spanned<String>> {
        match self.child(name) {
            Some(node) => strings(node, self.cx),
            None => Vec::new(),
        }
    }

    /// Several nodes with one or more strings each, as one list.
    pub fn all_texts(&mut self, name: &'static str) -> Vec<Spanned<String>> {
        let nodes = self.children(name);
        nodes.flat_map(|node| strings(node, self.cx)).collect()
    }

    /// `name` alone is true; `name #false` is false.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let node = self.child(name)?;
        let mut fields = Fields::new(node, self.cx);
        let value = fields.arg();
        fields.finish();
        match value {
            Some(value) => self.cx.boolean(value),
            None => Some(true),
        }
    }

    pub fn integer(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let node = self.child(name)?;
        let mut fields = Fields::new(node, self.cx);
        let value = fields.required("a whole number");
        fields.finish();
        self.cx.integer(value?, range)
    }

    pub fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let node = self.child(name)?;
        let mut fields = Fields::new(node, self.cx);
        let value = fields.required("a duration");
        fields.finish();
        self.cx.duration(value?)
    }

    /// A block of `KEY "value"` lines (or properties `KEY="value"`), keys unique.
    pub fn map(&mut self, name: &'static str) -> Vec<(Spanned<String>, Spanned<String>)> {
        match self.child(name) {
            Some(node) => pairs(node, self.cx),
            None => Vec::new(),
        }
    }

    pub fn prop_text(&mut self, name: &'static str) -> Option<Spanned<String>> {
        let value = self.prop(name)?;
        self.cx.word(value, &format!("`{name}=`"))
    }

    pub fn prop_duration(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.prop(name)?;
        self.cx.duration(value)
    }

    pub fn prop_boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.prop(name)?;
        self.cx.boolean(value)
    }
}

/// The values of a node that is a list of strings.
pub(super) fn strings(node: &Node, cx: &Cx) -> Vec<Spanned<String>> {
    let mut fields = Fields::new(node, cx);
    let values = fields.rest();
    if values.is_empty() {
        fields.missing("at least one string");
    }
    fields.finish();
    cx.list(values)
}

/// Keys and strings of a map node, from its properties and its block.
pub(super) fn pairs(node: &Node, cx: &Cx) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut fields = Fields::new(node, cx);
    let mut found: Vec<(Spanned<String>, Spanned<String>)> = Vec::new();
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (key, value) in fields.any_props() {
        // A property that stands twice is told by `finish`.
        if seen.insert(&key.value, key.span).is_none() {
            found.push((key.clone(), cx.text(value).unwrap_or_default()));
        }
    }
    for child in fields.any_children() {
        let mut entry = Fields::new(child, cx);
        let value = entry.required("a string");
        entry.finish();
        let value = value.and_then(|value| cx.text(value)).unwrap_or_default();
        match seen.insert(&child.name.value, child.name.span) {
            None => found.push((child.name.clone(), value)),
            Some(first) => twice(cx, first, &child.name),
        }
    }
    if let Some(value) = fields.rest().first() {
        cx.error_help(
            value.span,
            format!("`{}` takes pairs", node.name.value),
            "a value without its name",
            format!("write `{} {{ NAME \"value\" }}`", node.name.value),
        );
    }
    fields.finish();
    found
}

pub(super) fn twice(cx: &Cx, first: Span, second: &Spanned<String>) {
    let message = format!("`{}` stands twice", second.value);
    let diagnostic = Diagnostic::at(second.span, message, "the second one");
    cx.report(diagnostic.with_related(first, "the first one"));
}
