//! `template` and `inherits`: nodes merged before anything is decoded, so that a
//! template's `${…}` sees the variables and axes of whoever inherits it.
//! Later parents win, then the target itself; maps merge per key, `#null` removes, lists are replaced.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::strings;
use super::steps::STEPS;
use super::suggest;
use super::tree::{Data, Node};

/// Attributes that are maps in every kind of target.
const MAPS: [&str; 6] = [
    "args",
    "labels",
    "annotations",
    "contexts",
    "add-hosts",
    "limits",
];
/// Templates in templates beyond this are a mistake.
const DEEPEST: usize = 32;
/// Nodes that inheriting may copy in total: small sources must not fill the memory.
const MOST_COPIED: usize = 500_000;

pub(super) struct Templates<'n> {
    /// Of the main file, for an included one.
    outer: Option<&'n Templates<'n>>,
    by_name: BTreeMap<&'n str, &'n Node>,
    used: RefCell<BTreeSet<String>>,
    copied: Cell<usize>,
    /// What was not followed to its end may well use more.
    gave_up: Cell<bool>,
    /// By template and kind of target: one that many inherit is put together once.
    resolved: RefCell<BTreeMap<(String, String), Attributes>>,
}

/// `None` of those that inherit too much.
type Attributes = Option<Vec<Node>>;

impl<'n> Templates<'n> {
    pub fn collect(nodes: &'n [Node], outer: Option<&'n Templates<'n>>) -> Templates<'n> {
        let mut by_name = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.name.value == "template") {
            if let Some(Data::Text(name)) = node.args.first().map(|value| &value.data) {
                by_name.entry(name.as_str()).or_insert(node);
            }
        }
        Templates {
            outer,
            by_name,
            used: RefCell::default(),
            copied: Cell::new(0),
            gave_up: Cell::new(false),
            resolved: RefCell::default(),
        }
    }

    /// The node with everything that it inherits.
    pub fn merged<'t>(&self, node: &'t Node, cx: &DecodeContext) -> Cow<'t, Node> {
        match has(node, "inherits") {
            true => Cow::Owned(self.resolve(node, &node.name.value, &mut Vec::new(), cx)),
            false => Cow::Borrowed(node),
        }
    }

    fn resolve(&self, node: &Node, kind: &str, path: &mut Vec<String>, cx: &DecodeContext) -> Node {
        let mut inherited: Vec<Node> = Vec::new();
        let children = node.children.as_deref().unwrap_or_default();
        for parents in children
            .iter()
            .filter(|child| child.name.value == "inherits")
        {
            for parent in strings(parents, cx) {
                if let Some(parent) = self.parent(&parent, kind, path, cx) {
                    inherited = merge(inherited, parent, kind, cx);
                }
            }
        }
        let own = children
            .iter()
            .filter(|child| child.name.value != "inherits");
        let merged = merge(inherited, own.cloned().collect(), kind, cx);
        Node {
            children: Some(merged),
            ..node.clone()
        }
    }

    /// A template's attributes, its own parents' included.
    fn parent(
        &self,
        name: &super::Spanned<String>,
        kind: &str,
        path: &mut Vec<String>,
        cx: &DecodeContext,
    ) -> Option<Vec<Node>> {
        let Some(template) = self.by_name.get(name.value.as_str()) else {
            if let Some(outer) = self.outer {
                return outer.parent(name, kind, path, cx);
            }
            let message = format!("template `{}` not found", name.value);
            let mut diagnostic = Diagnostic::at(name.span, message, "not declared");
            diagnostic.help = suggest::help(&name.value, self.by_name.keys().copied())
                .or_else(|| Some("declare it: `template NAME { … }`".to_string()));
            cx.report(diagnostic);
            return None;
        };
        self.used.borrow_mut().insert(name.value.clone());
        if let Some(from) = path.iter().position(|one| *one == name.value) {
            let mut circle = path[from..].to_vec();
            circle.push(name.value.clone());
            let message = format!("templates inherit each other: {}", circle.join(" -> "));
            cx.error(name.span, message, "leads back to itself");
            return None;
        }
        if path.len() == DEEPEST || self.copied.get() > MOST_COPIED {
            let message = "templates inherit too deeply, or have too many attributes in total";
            cx.error(name.span, message, "here");
            self.gave_up.set(true);
            return None;
        }
        let place = (name.value.clone(), kind.to_string());
        let known = self.resolved.borrow().get(&place).cloned();
        let attributes = match known {
            Some(known) => known,
            None => {
                let resolved = self.attributes(template, kind, path, cx);
                let resolved = Some(resolved).filter(|_| self.copied.get() <= MOST_COPIED);
                let mut all = self.resolved.borrow_mut();
                all.insert(place, resolved.clone());
                resolved
            }
        };
        let attributes = attributes?;
        self.copied
            .set(self.copied.get() + attributes.iter().map(weight).sum::<usize>());
        Some(attributes)
    }

    fn attributes(
        &self,
        template: &Node,
        kind: &str,
        path: &mut Vec<String>,
        cx: &DecodeContext,
    ) -> Vec<Node> {
        path.push(template_name(template));
        let resolved = self.resolve(template, kind, path, cx);
        path.pop();
        let mut attributes = resolved.children.unwrap_or_default();
        // It describes the template.
        attributes.retain(|attribute| attribute.name.value != "desc");
        attributes
    }

    /// A template that nobody inherits is a slip of the pen somewhere else.
    pub fn finish(&self, cx: &DecodeContext) {
        if self.gave_up.get() {
            return;
        }
        let used = self.used.borrow();
        for (name, node) in &self.by_name {
            if !used.contains(*name) {
                let span = node.args.first().map_or(node.name.span, |value| value.span);
                cx.error_help(
                    span,
                    format!("the template `{name}` is never used"),
                    "no target inherits it",
                    format!("write `inherits {name}` in a target, or remove it"),
                );
            }
        }
    }
}

fn template_name(template: &Node) -> String {
    match template.args.first().map(|value| &value.data) {
        Some(Data::Text(name)) => name.clone(),
        _ => String::new(),
    }
}

fn weight(node: &Node) -> usize {
    1 + node.args.len() + node.props.len() + node.children.as_ref().map_or(0, Vec::len)
}

fn has(node: &Node, name: &str) -> bool {
    let mut children = node.children.iter().flatten();
    children.any(|child| child.name.value == name)
}

/// What is replaced together: all steps are one list.
fn slot(name: &str, kind: &str) -> &'static str {
    if kind == "build" && STEPS.contains(&name) {
        return "steps";
    }
    ""
}

fn merge(inherited: Vec<Node>, own: Vec<Node>, kind: &str, cx: &DecodeContext) -> Vec<Node> {
    if inherited.is_empty() {
        return own;
    }
    let is_map = |name: &str| MAPS.contains(&name) || (name == "env" && kind == "run");
    let same = |a: &str, b: &str| a == b || (slot(a, kind) == "steps" && slot(b, kind) == "steps");
    let mut merged: Vec<Node> = Vec::new();
    let mut maps: BTreeMap<String, Node> = BTreeMap::new();
    for parent in inherited {
        let name = parent.name.value.as_str();
        match own.iter().find(|node| same(&node.name.value, name)) {
            None => merged.push(parent),
            Some(_) if is_map(name) => {
                maps.insert(name.to_string(), parent);
            }
            Some(_) => {}
        }
    }
    for node in own {
        match maps.remove(&node.name.value) {
            Some(parent) if !removes(&node) => merged.push(merge_map(parent, node, cx)),
            _ if removes(&node) => {}
            _ => merged.push(node),
        }
    }
    merged
}

/// `tags #null`: without what was inherited.
fn removes(node: &Node) -> bool {
    matches!(node.args.as_slice(), [only] if only.data == Data::Null)
        && node.props.is_empty()
        && node.children.is_none()
}

fn merge_map(parent: Node, own: Node, cx: &DecodeContext) -> Node {
    let mut merged: Vec<(Node, Whose)> = entries(&parent)
        .into_iter()
        .map(|entry| (entry, Whose::Parents))
        .collect();
    for entry in entries(&own) {
        let at = merged
            .iter()
            .position(|(known, _)| known.name.value == entry.name.value);
        match (at, removes(&entry)) {
            (Some(at), true) => {
                merged.remove(at);
            }
            (None, true) => cx.error(
                entry.name.span,
                format!(
                    "`{}` is not inherited, so `#null` removes nothing",
                    entry.name.value
                ),
                "not inherited",
            ),
            (Some(at), false) if merged[at].1 == Whose::Parents => merged[at] = (entry, Whose::Own),
            // A key duplicated in one map is told when the map is read.
            _ => merged.push((entry, Whose::Own)),
        }
    }
    Node {
        props: Vec::new(),
        children: Some(merged.into_iter().map(|(entry, _)| entry).collect()),
        ..own
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Parents,
    Own,
}

/// Properties and children of a map in one form.
fn entries(map: &Node) -> Vec<Node> {
    let props = map.props.iter().map(|(key, value)| Node {
        name: key.clone(),
        ty: None,
        args: vec![value.clone()],
        props: Vec::new(),
        children: None,
        span: key.span,
    });
    props
        .chain(map.children.iter().flatten().cloned())
        .collect()
}
