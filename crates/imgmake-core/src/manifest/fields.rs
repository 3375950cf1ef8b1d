//! Reading a node strictly: whatever nobody asked for is an error, and what was
//! asked for is the list that "did you mean" chooses from.

use std::collections::HashMap;
use std::time::Duration;

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::tree::{Node, Value};
use super::{Span, Spanned, suggest};

/// One node while it is read.
pub(super) struct Fields<'n, 'c, 's, 'f> {
    pub node: &'n Node,
    pub cx: &'c DecodeContext<'s, 'f>,
    known_children: Vec<&'static str>,
    known_props: Vec<&'static str>,
    /// Any property is fine: the caller reads them all.
    open_props: bool,
    open_children: bool,
    /// Children that are no mistake where nobody asks for them.
    optional: Vec<&'n Node>,
    args: usize,
}

impl<'n, 'c, 's, 'f> Fields<'n, 'c, 's, 'f> {
    pub fn new(node: &'n Node, cx: &'c DecodeContext<'s, 'f>) -> Fields<'n, 'c, 's, 'f> {
        Fields {
            node,
            cx,
            known_children: Vec::new(),
            known_props: Vec::new(),
            open_props: false,
            open_children: false,
            optional: Vec::new(),
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
                format!("duplicate `{name}`"),
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

    /// Whether children of this name have been asked for.
    pub fn knows(&self, name: &str) -> bool {
        self.known_children.contains(&name)
    }

    /// A child that is left out where it is not known.
    pub fn pass_over(&mut self, name: &str, span: Span) {
        let mut blocks = self.blocks().iter();
        let found = blocks.find(|child| child.name.value == name && child.name.span == span);
        self.optional.extend(found);
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
                format!("unexpected type annotation `({})`", ty.value),
                "not expected here",
                "remove it",
            );
        }
        if let Some(value) = self.node.args.get(self.args) {
            let message = match self.args {
                0 => format!("`{name}` takes no value"),
                1 => format!("`{name}` takes one value"),
                many => format!("`{name}` takes {many} values"),
            };
            // `context "." tags "a"`: probably another attribute, with its value.
            match self.node.args.get(self.args + 1) {
                Some(_) => self.cx.error_help(
                    value.span,
                    message,
                    "one too many",
                    "if another attribute begins here, write `;` or a new line before it",
                ),
                None => self.cx.error(value.span, message, "one too many"),
            }
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
                let message = format!("duplicate `{}=`", key.value);
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
            let passed_over = self.optional.iter().any(|one| std::ptr::eq(*one, child));
            if passed_over || self.known_children.contains(&word) {
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

    /// The same; `NAME` alone has the value of the environment or of an env-file, and is left out if
    /// neither has one.
    pub fn map_or_environment(
        &mut self,
        name: &'static str,
    ) -> Vec<(Spanned<String>, Spanned<String>)> {
        match self.child(name) {
            Some(node) => pairs_of(node, self.cx, NoValue::Environment),
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
pub(super) fn strings(node: &Node, cx: &DecodeContext) -> Vec<Spanned<String>> {
    let mut fields = Fields::new(node, cx);
    let values = fields.rest();
    if values.is_empty() {
        fields.missing("at least one string");
    }
    fields.finish();
    cx.list(values)
}

/// Keys and strings of a map node, from its properties and its block.
pub(super) fn pairs(node: &Node, cx: &DecodeContext) -> Vec<(Spanned<String>, Spanned<String>)> {
    pairs_of(node, cx, NoValue::Refused)
}

/// What a name without a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoValue {
    Refused,
    Environment,
}

fn pairs_of(
    node: &Node,
    cx: &DecodeContext,
    no_value: NoValue,
) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut fields = Fields::new(node, cx);
    let mut found: Vec<(Spanned<String>, Spanned<String>)> = Vec::new();
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (key, value) in fields.any_props() {
        // A duplicate property is reported by `finish`.
        if seen.insert(&key.value, key.span).is_none() {
            found.push((key.clone(), cx.text(value).unwrap_or_default()));
        }
    }
    for child in fields.any_children() {
        let mut entry = Fields::new(child, cx);
        let value = match entry.arg() {
            None if no_value == NoValue::Environment => {
                let name = &child.name;
                let value = cx.scope.environment(&name.value);
                value.map(|(value, _)| Spanned {
                    value: value.to_string(),
                    span: name.span,
                })
            }
            None => {
                entry.missing("a string");
                Some(Spanned::default())
            }
            Some(value) => Some(cx.text(value).unwrap_or_default()),
        };
        entry.finish();
        match seen.insert(&child.name.value, child.name.span) {
            None => found.extend(value.map(|value| (child.name.clone(), value))),
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

pub(super) fn twice(cx: &DecodeContext, first: Span, second: &Spanned<String>) {
    let message = format!("duplicate `{}`", second.value);
    let diagnostic = Diagnostic::at(second.span, message, "the second one");
    cx.report(diagnostic.with_related(first, "the first one"));
}

pub(super) fn not_yet(node: &Node, cx: &DecodeContext) {
    cx.error(
        node.name.span,
        format!("`{}` is not supported yet", node.name.value),
        "not supported yet",
    );
}
