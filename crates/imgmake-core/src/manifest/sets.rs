//! `--set pattern.key[.sub]=value`: an attribute of every matching target, set from outside.

use std::borrow::Cow;
use std::cell::Cell;

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::Fields;
use super::glob::{self, Glob};
use super::suggest;
use super::tree::{Data, Node, Value};
use super::types::{Manifest, Span, Spanned};
use crate::error::SetProblem;

pub(super) struct Sets {
    all: Vec<Set>,
}

struct Set {
    written: String,
    pattern: Glob,
    key: String,
    sub: Option<String>,
    value: String,
    how: How,
    matched: Cell<bool>,
    /// A target that it matches has the attribute, or the pattern is the name of one target.
    taken: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Replace,
    /// `+=`: behind what the list has.
    Append,
}

impl Sets {
    pub fn parse(written: &[String], cx: &DecodeContext) -> Sets {
        let all = written.iter().filter_map(|one| match Set::parse(one) {
            Ok(set) => Some(set),
            Err(problem) => {
                let message = format!("`--set {one}`: {problem}");
                let help =
                    "write `--set 'TARGET.ATTRIBUTE=value'` or `--set 'TARGET.args.NAME=value'`";
                cx.report(Diagnostic::plain(message).with_help(help));
                None
            }
        });
        Sets { all: all.collect() }
    }

    /// The target's node with everything that was set for it.
    pub fn applied<'n>(&self, node: &'n Node, target: &str) -> Cow<'n, Node> {
        let mut changed = Cow::Borrowed(node);
        for set in self.all.iter().filter(|set| set.pattern.matches(target)) {
            set.matched.set(true);
            set.apply(changed.to_mut());
        }
        changed
    }

    /// After everything was read that the kind of target has: a pattern such as `*` means the targets that
    /// have the attribute.
    pub fn settle(&self, target: &str, fields: &mut Fields) {
        let span = span_of(fields.node);
        let matching = || self.all.iter().filter(|set| set.pattern.matches(target));
        for set in matching() {
            let is_named = |one: &Set| !glob::is_pattern(one.pattern.as_str());
            if fields.knows(&set.key) || is_named(set) {
                set.taken.set(true);
            } else if !matching().any(|one| is_named(one) && one.key == set.key) {
                fields.pass_over(&set.key, span);
            }
        }
    }

    /// A `--set` that no target answers to is an error.
    pub fn finish(&self, manifest: &Manifest, cx: &DecodeContext) {
        let (matched, unmatched): (Vec<&Set>, Vec<&Set>) =
            self.all.iter().partition(|set| set.matched.get());
        for set in matched.iter().filter(|set| !set.taken.get()) {
            let (pattern, key) = (set.pattern.as_str(), &set.key);
            let message = format!(
                "`--set {}`: no target that `{pattern}` matches has an attribute `{key}`",
                set.written
            );
            cx.report(Diagnostic::plain(message));
        }
        for set in unmatched {
            let pattern = set.pattern.as_str();
            let message = format!("`--set {}`: no target matches `{pattern}`", set.written);
            let names = manifest
                .targets
                .iter()
                .map(|target| target.name.value.as_str());
            let mut diagnostic = Diagnostic::plain(message);
            diagnostic.help = suggest::help(pattern, names);
            cx.report(diagnostic);
        }
    }
}

impl Set {
    fn parse(written: &str) -> Result<Set, SetProblem> {
        let (path, value) = written.split_once('=').ok_or(SetProblem::NoValue)?;
        let (path, how) = match path.strip_suffix('+') {
            Some(path) => (path, How::Append),
            None => (path, How::Replace),
        };
        let (pattern, attribute) = path.split_once('.').ok_or(SetProblem::NoAttribute)?;
        let (key, sub) = match attribute.split_once('.') {
            Some((key, sub)) => (key, Some(sub.to_string())),
            None => (attribute, None),
        };
        if pattern.is_empty() || key.is_empty() || sub.as_deref() == Some("") {
            return Err(SetProblem::EmptyPart);
        }
        if how == How::Append && sub.is_some() {
            return Err(SetProblem::NoList);
        }
        if matches!(key, "matrix" | "name" | "inherits") {
            return Err(SetProblem::Fixed(key.to_string()));
        }
        Ok(Set {
            written: written.to_string(),
            pattern: Glob::new(pattern)?,
            key: key.to_string(),
            sub,
            value: value.to_string(),
            how,
            matched: Cell::new(false),
            taken: Cell::new(false),
        })
    }

    fn apply(&self, target: &mut Node) {
        let span = span_of(target);
        let is_map = matches!(
            self.key.as_str(),
            "args" | "labels" | "annotations" | "add-hosts" | "limits"
        ) || (self.key == "env"
            && matches!(target.name.value.as_str(), "run" | "build"));
        let children = target.children.get_or_insert_default();
        let last = children
            .iter()
            .rposition(|child| child.name.value == self.key);
        if let (How::Append, Some(last)) = (self.how, last) {
            children[last].args.push(loose(&self.value, span));
            return;
        }
        let Some(sub) = &self.sub else {
            children.retain(|child| child.name.value != self.key);
            children.push(leaf(&self.key, Some(&self.value), span));
            return;
        };
        let known = children
            .iter()
            .position(|child| child.name.value == self.key);
        let at = known.unwrap_or_else(|| {
            children.push(leaf(&self.key, None, span));
            children.len() - 1
        });
        let attribute = &mut children[at];
        attribute.props.retain(|(key, _)| key.value != *sub);
        if is_map {
            let entries = attribute.children.get_or_insert_default();
            entries.retain(|entry| entry.name.value != *sub);
            entries.push(leaf(sub, Some(&self.value), span));
        } else {
            let key = named(sub, span);
            attribute.props.push((key, loose(&self.value, span)));
        }
    }
}

/// Where a message about what was set points to.
fn span_of(target: &Node) -> Span {
    let name = target.args.first();
    name.map_or(target.name.span, |name| name.span)
}

fn named(name: &str, span: Span) -> Spanned<String> {
    Spanned {
        value: name.to_string(),
        span,
    }
}

fn leaf(name: &str, value: Option<&str>, span: Span) -> Node {
    Node {
        name: named(name, span),
        ty: None,
        args: value.map(|value| loose(value, span)).into_iter().collect(),
        props: Vec::new(),
        children: None,
        span,
    }
}

/// Text that may stand for a boolean, a number or a list, as the attribute wants it.
fn loose(value: &str, span: Span) -> Value {
    Value {
        data: Data::Text(value.to_string()),
        ty: None,
        written: value.to_string(),
        span,
        loose: true,
    }
}
