//! `matrix`: one declaration, several targets; every combination of the axes' values
//! that no `exclude` names, and those that an `include` adds.

use std::collections::{BTreeMap, HashMap};

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::evaluate;
use super::fields::{Fields, strings};
use super::tree::Node;
use super::types::Spanned;

/// More targets than this from one declaration are a mistake; so are more values and exceptions.
const MOST_MEMBERS: usize = 4096;
/// Each member has a value of each axis.
const MOST_AXES: usize = 64;

/// Axis → value, in the order of the file.
pub(super) type Member = Vec<(String, String)>;

struct Axis {
    name: Spanned<String>,
    values: Vec<Spanned<String>>,
}

/// `matrix { py "3.12" "3.13"; flavor slim full; exclude py="3.12" flavor=full }`
pub(super) fn members(node: &Node, cx: &DecodeContext) -> Option<Vec<Member>> {
    let mut fields = Fields::new(node, cx);
    let before = cx.errors();
    let children = fields.any_children().iter();
    let (special, axes): (Vec<&Node>, Vec<&Node>) =
        children.partition(|child| matches!(child.name.value.as_str(), "exclude" | "include"));
    let (excludes, includes): (Vec<&Node>, Vec<&Node>) = special
        .into_iter()
        .partition(|child| child.name.value == "exclude");
    // Before anything is compared with anything else: a file may hold a million of each.
    if let Some(fault) = too_many(&axes, &excludes, &includes) {
        let message = format!("the matrix has more than {fault}");
        cx.error(node.name.span, message, "too large");
        return None;
    }
    let axes = axes_of(&axes, cx);
    if axes.is_empty() {
        fields.missing("at least one axis, such as `py \"3.12\" \"3.13\"`");
    }
    let count = axes
        .iter()
        .try_fold(1usize, |count, axis| count.checked_mul(axis.values.len()))
        .and_then(|count| count.checked_add(includes.len()))
        .filter(|count| *count <= MOST_MEMBERS);
    let Some(count) = count else {
        let message = format!("the matrix has more than {MOST_MEMBERS} members");
        cx.error(node.name.span, message, "too many combinations");
        return None;
    };
    let excludes: Vec<Member> = excludes
        .iter()
        .map(|node| exclude(node, &axes, cx))
        .collect();
    let includes: Vec<Member> = includes
        .iter()
        .map(|node| include(node, &axes, cx))
        .collect();
    fields.finish();
    if cx.errors() > before {
        return None;
    }
    if !cx.count_targets(count, node.name.span) {
        return None;
    }
    let mut members = product(&axes);
    members.retain(|member| {
        let excluded = |exclude: &Member| exclude.iter().all(|pair| member.contains(pair));
        !excludes.iter().any(excluded)
    });
    for (node, member) in including(node).zip(includes) {
        if members.contains(&member) {
            let message = "this member is in the matrix already";
            cx.error(node.span, message, "included a second time");
            return None;
        }
        members.push(member);
    }
    if members.is_empty() {
        cx.error(
            node.name.span,
            "every member of the matrix is excluded",
            "nothing remains",
        );
        return None;
    }
    Some(members)
}

/// What there is too much of.
fn too_many(axes: &[&Node], excludes: &[&Node], includes: &[&Node]) -> Option<String> {
    if axes.len() > MOST_AXES {
        return Some(format!("{MOST_AXES} axes"));
    }
    let is_long = |axis: &&&Node| axis.args.len() > MOST_MEMBERS;
    if let Some(axis) = axes.iter().find(is_long) {
        return Some(format!(
            "{MOST_MEMBERS} values of the axis `{}`",
            axis.name.value
        ));
    }
    [("exclude", excludes), ("include", includes)]
        .into_iter()
        .find(|(_, nodes)| nodes.len() > MOST_MEMBERS)
        .map(|(name, _)| format!("{MOST_MEMBERS} `{name}`"))
}

fn axes_of(nodes: &[&Node], cx: &DecodeContext) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for node in nodes {
        let values = strings(node, cx);
        let mut first = HashMap::new();
        for value in &values {
            match first.get(value.value.as_str()) {
                Some(first) => super::fields::twice(cx, *first, value),
                None => drop(first.insert(value.value.as_str(), value.span)),
            }
        }
        if cx.scope.is_declared(&node.name.value) {
            let message = format!("the axis `{}` has the name of a variable", node.name.value);
            cx.error(node.name.span, message, "rename one of them");
        }
        match axes.iter().find(|axis| axis.name.value == node.name.value) {
            Some(first) => super::fields::twice(cx, first.name.span, &node.name),
            None => axes.push(Axis {
                name: node.name.clone(),
                values,
            }),
        }
    }
    axes
}

/// Values of some axes; a member that has all of them is left out.
fn exclude(node: &Node, axes: &[Axis], cx: &DecodeContext) -> Member {
    let mut fields = Fields::new(node, cx);
    let mut pairs = Member::new();
    for (key, value) in fields.any_props() {
        let Some(value) = cx.text(value) else {
            continue;
        };
        match axes.iter().find(|axis| axis.name.value == key.value) {
            None => {
                let axes = axes.iter().map(|axis| axis.name.value.as_str());
                let message = format!("the matrix has no axis `{}`", key.value);
                let mut diagnostic = Diagnostic::at(key.span, message, "not an axis");
                diagnostic.help = super::suggest::help(&key.value, axes);
                cx.report(diagnostic);
            }
            Some(axis) if !axis.values.iter().any(|one| one.value == value.value) => {
                let values = axis.values.iter().map(|one| one.value.as_str());
                let message = format!("the axis `{}` has no value `{}`", key.value, value.value);
                let mut diagnostic =
                    Diagnostic::at(value.span, message, "this value does not exist");
                diagnostic.help = super::suggest::help(&value.value, values);
                cx.report(diagnostic);
            }
            Some(_) => pairs.push((key.value.clone(), value.value)),
        }
    }
    if node.props.is_empty() {
        fields.missing("at least one `AXIS=VALUE`");
    }
    fields.finish();
    pairs
}

fn including(matrix: &Node) -> impl Iterator<Item = &Node> {
    let children = matrix.children.as_deref().unwrap_or_default().iter();
    children.filter(|child| child.name.value == "include")
}

/// One more member: a value for each axis, which need not be one that the axis has.
fn include(node: &Node, axes: &[Axis], cx: &DecodeContext) -> Member {
    let mut fields = Fields::new(node, cx);
    let mut given = BTreeMap::new();
    for (key, value) in fields.any_props() {
        let Some(value) = cx.text(value) else {
            continue;
        };
        if !axes.iter().any(|axis| axis.name.value == key.value) {
            let axes = axes.iter().map(|axis| axis.name.value.as_str());
            let message = format!("the matrix has no axis `{}`", key.value);
            let mut diagnostic = Diagnostic::at(key.span, message, "not an axis");
            diagnostic.help = super::suggest::help(&key.value, axes);
            cx.report(diagnostic);
        }
        given.insert(key.value.clone(), value.value);
    }
    let mut member = Member::new();
    for axis in axes {
        match given.remove(&axis.name.value) {
            Some(value) => member.push((axis.name.value.clone(), value)),
            None => fields.missing(&format!(
                "`{}=`: a member needs a value of each axis",
                axis.name.value
            )),
        }
    }
    fields.finish();
    member
}

/// The first axis turns slowest.
fn product(axes: &[Axis]) -> Vec<Member> {
    let mut members = vec![Member::new()];
    for axis in axes {
        members = members
            .into_iter()
            .flat_map(|member| {
                axis.values.iter().map(move |value| {
                    let mut member = member.clone();
                    member.push((axis.name.value.clone(), value.value.clone()));
                    member
                })
            })
            .collect();
    }
    members
}

/// Without a `name`: the target's, then every value.
pub(super) fn default_name(target: &str, member: &Member) -> String {
    let parts = member.iter().map(|(_, value)| evaluate::slug(value));
    std::iter::once(target.to_string())
        .chain(parts)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

pub(super) fn bindings(member: &Member) -> BTreeMap<String, String> {
    member.iter().cloned().collect()
}
