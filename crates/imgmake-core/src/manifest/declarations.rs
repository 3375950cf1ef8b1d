//! The nodes of one file: its targets, groups, templates, secrets and registries.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::condition;
use super::context::{self, DecodeContext};
use super::diagnostic::{Diagnostic, Origin};
use super::duplicates::Names;
use super::fields::{self, Fields};
use super::sets::Sets;
use super::templates::Templates;
use super::tree::{self, Node};
use super::{Group, Manifest, Spanned, Target, TargetKind, build, matrix, settings, suggest};

/// What the manifest is built from, by name, for "unknown node".
const TOP_LEVEL: [&str; 11] = [
    "imgmake", "var", "secret", "registry", "template", "run", "build", "scan", "push", "group",
    "include",
];

/// What one file declares, before it is known where the file lies.
pub(super) fn decode(
    nodes: &[Node],
    templates: &Templates,
    sets: &Sets,
    cx: &DecodeContext,
) -> Included {
    let mut names = Names::default();
    let mut found = Included::default();
    let manifest = &mut found.manifest;
    for node in nodes {
        match node.name.value.as_str() {
            "imgmake" | "var" => {}
            "secret" => {
                let secret = settings::secret(node, cx, &mut names);
                manifest.secrets.extend(secret)
            }
            "registry" => {
                let registry = settings::registry(node, cx, &mut names);
                manifest.registries.extend(registry)
            }
            "group" => manifest.groups.extend(group(node, cx, &mut names)),
            "template" => template(node, cx, &mut names),
            "build" | "run" | "scan" | "push" => {
                let merged = templates.merged(node, &about_target(node, cx));
                targets(&merged, cx, &mut names, sets, manifest);
            }
            "include" => found.includes.extend(include(node, cx)),
            _ => unknown_node(node, cx),
        }
    }
    found
}

/// `include "services/*/imgmake.kdl" "other.kdl"`
fn include(node: &Node, cx: &DecodeContext) -> Vec<Spanned<String>> {
    let patterns = fields::strings(node, cx);
    patterns
        .iter()
        .for_each(|pattern| super::check::check_glob(pattern, cx));
    patterns
}

/// Only the name: the attributes are read where they are inherited.
fn template(node: &Node, cx: &DecodeContext, names: &mut Names) {
    let mut fields = Fields::new(node, cx);
    let name = fields.required("a name");
    fields.any_children();
    fields.finish();
    if let Some(name) = name.and_then(|value| cx.name(value, "a template")) {
        names.book("target", &name, cx);
    }
}

fn unknown_node(node: &Node, cx: &DecodeContext) {
    let name = &node.name.value;
    let help = suggest::help(name, TOP_LEVEL);
    let message = format!("unknown node `{name}`");
    let mut diagnostic = Diagnostic::at(node.name.span, message, "not known here");
    diagnostic.help = help;
    cx.report(diagnostic);
}

fn group(node: &Node, cx: &DecodeContext, names: &mut Names) -> Option<Group> {
    let mut fields = Fields::new(node, cx);
    let name = fields
        .required("a name")
        .and_then(|value| cx.name(value, "a group"));
    let about = name
        .as_ref()
        .map(|name| format!("group `{}`: ", name.value));
    let cx = cx.about(about.unwrap_or_default());
    let members = cx.list(fields.rest());
    let description = fields.prop_text("desc").or_else(|| fields.text("desc"));
    if members.is_empty() && name.is_some() {
        fields.missing("at least one target");
    }
    fields.finish();
    let name = name?;
    names.book("target", &name, &cx);
    Some(Group {
        name,
        description: description.map(|text| text.value),
        members,
    })
}

fn about_target<'s, 'f>(node: &Node, cx: &DecodeContext<'s, 'f>) -> DecodeContext<'s, 'f> {
    match node.args.first().map(|value| &value.data) {
        Some(tree::Data::Text(name)) => cx.about(format!("target `{name}`: ")),
        _ => cx.about(String::new()),
    }
}

/// One target, or the members of its matrix (which answer to its name together, like a group).
fn targets(
    node: &Node,
    cx: &DecodeContext,
    names: &mut Names,
    sets: &Sets,
    manifest: &mut Manifest,
) {
    let mut fields = Fields::new(node, cx);
    let name = fields
        .required("a name")
        .and_then(|value| cx.name(value, "a target"));
    let about = about_target(node, cx);
    fields.cx = &about;
    let matrix = fields.child("matrix");
    let name_node = fields.child("name");
    let Some(name) = name else {
        return;
    };
    let Some(matrix) = matrix else {
        if let Some(name_node) = name_node {
            about.error_help(
                name_node.name.span,
                "`name` belongs to a `matrix`",
                "`matrix` not found",
                "the target's name follows its kind: `build NAME { … }`",
            );
        }
        if !cx.count_targets(1, name.span) {
            return;
        }
        names.book("target", &name, cx);
        return add(node, name, cx, sets, manifest);
    };
    let members = matrix::members(matrix, &about).unwrap_or_default();
    // What each member copies is not as long as the matrix.
    let mut one = node.clone();
    if let Some(children) = &mut one.children {
        children.retain(|child| child.name.value != "matrix");
    }
    let mut group = Vec::new();
    for member in &members {
        cx.scope.set_locals(matrix::bindings(member));
        if let Some(member) = member_name(name_node, &name, member, &about) {
            names.book("target", &member, cx);
            group.push(member.clone());
            add(&one, member, cx, sets, manifest);
        }
    }
    cx.scope.set_locals(BTreeMap::new());
    if !group.is_empty() && !group.iter().any(|member| member.value == name.value) {
        names.book("target", &name, cx);
        manifest.groups.push(Group {
            name,
            description: None,
            members: group,
        });
    }
}

fn member_name(
    node: Option<&Node>,
    target: &Spanned<String>,
    member: &matrix::Member,
    cx: &DecodeContext,
) -> Option<Spanned<String>> {
    let Some(node) = node else {
        return Some(Spanned {
            value: matrix::default_name(&target.value, member),
            span: target.span,
        });
    };
    let mut fields = Fields::new(node, cx);
    let value = fields.required("a name");
    fields.finish();
    let name = cx.word(value?, "`name`")?;
    if !context::is_name(&name.value) {
        cx.error_help(
            name.span,
            format!("`{}` cannot be the name of a target", name.value),
            "not a name",
            "`${slug(…)}` makes one of any text",
        );
        return None;
    }
    Some(name)
}

/// Decodes one target. One whose `if` is false is checked, but its unset variables are no matter.
fn add(
    node: &Node,
    name: Spanned<String>,
    cx: &DecodeContext,
    sets: &Sets,
    manifest: &mut Manifest,
) {
    let full_name = cx.full_name(&name.value);
    let overridden = sets.applied(node, &full_name);
    let own = RefCell::new(Vec::new());
    let inner = cx
        .reporting_to(&own)
        .about(format!("target `{}`: ", name.value));
    let enabled = condition::all_hold(&mut Fields::new(&overridden, &inner));
    let settle = |fields: &mut Fields| sets.settle(&full_name, fields);
    let target = target(&overridden, name.clone(), settle, &inner);
    let mut found = own.into_inner();
    if !enabled {
        found.retain(|one: &Diagnostic| one.origin != Origin::Expression);
        manifest.disabled.push(name);
    } else {
        manifest.targets.extend(target);
    }
    cx.diagnostics.borrow_mut().extend(found);
}

/// What every kind of target has, then the kind's own.
fn target(
    node: &Node,
    name: Spanned<String>,
    settle: impl FnOnce(&mut Fields),
    cx: &DecodeContext,
) -> Option<Target> {
    cx.scope.take_used();
    let mut fields = Fields::new(node, cx);
    fields.arg();
    for read_before in ["if", "matrix", "name", "inherits"] {
        let _ = fields.children(read_before);
    }
    let description = fields.text("desc").map(|text| text.value);
    let needs = fields.all_texts("needs");
    let kind = match node.name.value.as_str() {
        "build" => build::build(&mut fields).map(|build| TargetKind::Build(Box::new(build))),
        "scan" => super::targets::scan(&mut fields).map(TargetKind::Scan),
        "push" => super::targets::push(&mut fields).map(TargetKind::Push),
        _ => super::targets::run(&mut fields).map(TargetKind::Run),
    };
    let attempts = super::attempts::attempts(&mut fields);
    let pool = fields.text("pool");
    settle(&mut fields);
    fields.finish();
    Some(Target {
        name,
        description,
        needs,
        kind: kind?,
        attempts,
        pool,
        used_variables: cx.scope.take_used(),
    })
}

/// What one file declares.
#[derive(Default)]
pub(super) struct Included {
    pub manifest: Manifest,
    pub includes: Vec<Spanned<String>>,
}
