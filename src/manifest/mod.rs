//! What the user wrote: KDL text → [`Manifest`], every string interpolated, every value
//! with its span, and diagnostics for everything that is wrong in one run.
//! Pure: other files come through a closure, the environment through [`Facts`].
//! Knows nothing of graphs, builders or terminals.

mod build;
mod duration;
mod env_file;
mod fields;
pub mod glob;
#[cfg(test)]
mod golden;
mod interpolate;
mod matrix;
mod render;
mod scope;
mod sets;
mod settings;
mod steps;
pub mod suggest;
mod syntax;
mod targets;
mod templates;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;
pub mod types;
mod variables;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use glob::Glob;
pub use render::render;
pub use syntax::decode;
pub use types::*;

use fields::{Cx, Fields};
use scope::Scope;
use sets::Sets;
use templates::Templates;
use tree::Node;

/// One message about the manifest. Several come out of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// What stands under the span; without one (and without a span) no source is shown.
    pub label: String,
    pub span: Span,
    pub help: Option<String>,
    /// Other places: (span, text)
    pub related: Vec<(Span, String)>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Diagnostic {
    /// An error at a place.
    pub fn at(span: Span, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            label: label.into(),
            span,
            help: None,
            related: Vec::new(),
        }
    }

    /// An error about no place in the text.
    pub fn plain(message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(Span::default(), message, "")
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push((span, text.into()));
        self
    }

    fn moved(mut self, base: usize) -> Diagnostic {
        if self.span != Span::default() {
            self.span = Span::new(self.span.start + base, self.span.end + base);
        }
        self
    }
}

/// Facts that interpolation may use; the cli gathers them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `--var NAME=VALUE`, in order.
    pub vars: Vec<(String, String)>,
    pub environment: BTreeMap<String, String>,
    /// `sha`, `short`, `branch`, `tag` of the checkout, as far as there are any.
    pub git: BTreeMap<String, String>,
    /// `--set pattern.key[.sub]=value`, in order.
    pub sets: Vec<String>,
}

/// What the manifest is built from, by name, for "unknown node".
const TOP_LEVEL: [&str; 11] = [
    "imgmake", "var", "secret", "registry", "template", "run", "build", "scan", "push", "group",
    "include",
];

/// Parses and checks one manifest. `file` is its name for messages; `read` gives env-files (the room itself reads no disk).
/// All errors found are returned together; warnings come with success.
pub fn load(
    file: &str,
    text: &str,
    facts: &Facts,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    let nodes = tree::parse(text, 0)?;
    let diagnostics = RefCell::new(Vec::new());
    let mut manifest = Manifest::default();
    let mut scope = Scope::new(facts);
    if nodes.is_empty() {
        return Err(vec![empty(file)]);
    }
    decode_head(&nodes, &mut scope, &diagnostics, &mut manifest, read);
    decode_targets(&nodes, &scope, &diagnostics, &mut manifest);
    manifest.read_environment = scope.looked_at();
    let mut found = diagnostics.into_inner();
    found.sort_by_key(|one| one.span.start);
    once_each(&mut found);
    if found.iter().any(|one| one.severity == Severity::Error) {
        return Err(found);
    }
    Ok((manifest, found))
}

/// A mistake in a template or a matrix is found once per target; it is told once.
fn once_each(found: &mut Vec<Diagnostic>) {
    let mut seen = std::collections::HashSet::new();
    found.retain(|one| {
        let place = (
            one.span.start,
            one.span.end,
            one.label.clone(),
            one.help.clone(),
        );
        one.span == Span::default() || seen.insert(place)
    });
}

fn empty(file: &str) -> Diagnostic {
    Diagnostic::plain(format!("`{file}` declares nothing"))
        .with_help("declare a target, such as `build app { context \".\" }`, or run `imgmake init`")
}

/// Settings and env-files first, since variables read them; then variables, since all else reads those.
fn decode_head(
    nodes: &[Node],
    scope: &mut Scope,
    diagnostics: &RefCell<Vec<Diagnostic>>,
    manifest: &mut Manifest,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) {
    let settings_nodes: Vec<&Node> = named(nodes, "imgmake").collect();
    if let [first, second, ..] = settings_nodes.as_slice() {
        let cx = Cx::new(scope, diagnostics);
        fields::twice(&cx, first.name.span, &second.name);
    }
    let settings_node = settings_nodes.first().copied();
    let env_files =
        settings_node.map(|node| settings::env_files(node, &Cx::new(scope, diagnostics)));
    for file in env_files.unwrap_or_default() {
        let values = env_file::read(&file, read, &Cx::new(scope, diagnostics));
        manifest.read_files.push(file.path.value);
        // As with docker compose, a later file overrides an earlier one.
        scope.env_file.extend(values);
    }
    let variable_nodes: Vec<&Node> = named(nodes, "var").collect();
    manifest.variables = variables::resolve(&variable_nodes, scope, diagnostics);
    if let Some(node) = settings_node {
        manifest.settings = settings::settings(node, &Cx::new(scope, diagnostics));
    }
}

fn named<'n>(nodes: &'n [Node], name: &'static str) -> impl Iterator<Item = &'n Node> {
    nodes.iter().filter(move |node| node.name.value == name)
}

fn decode_targets(
    nodes: &[Node],
    scope: &Scope,
    diagnostics: &RefCell<Vec<Diagnostic>>,
    manifest: &mut Manifest,
) {
    let cx = Cx::new(scope, diagnostics);
    let mut names = Names::default();
    let templates = Templates::collect(nodes);
    let sets = Sets::parse(&scope.facts().sets, &cx);
    for node in nodes {
        match node.name.value.as_str() {
            "imgmake" | "var" => {}
            "secret" => manifest
                .secrets
                .extend(settings::secret(node, &cx, &mut names)),
            "registry" => manifest
                .registries
                .extend(settings::registry(node, &cx, &mut names)),
            "group" => manifest.groups.extend(group(node, &cx, &mut names)),
            "template" => template(node, &cx, &mut names),
            "build" | "run" | "scan" | "push" => {
                let merged = templates.merged(node, &about_target(node, &cx));
                targets(&merged, &cx, &mut names, &sets, manifest);
            }
            "include" => not_yet(node, &cx),
            _ => unknown_node(node, &cx),
        }
    }
    templates.finish(&cx);
    sets.finish(manifest, &cx);
    let nothing = manifest.targets.is_empty() && manifest.disabled.is_empty();
    if nothing && cx.errors() == 0 {
        cx.report(
            Diagnostic::plain("the manifest declares no target")
                .with_help("declare one, such as `build app { context \".\" }`"),
        );
    }
}

/// Only the name: the attributes are read where they are inherited.
fn template(node: &Node, cx: &Cx, names: &mut Names) {
    let mut fields = Fields::new(node, cx);
    let name = fields.required("a name");
    fields.any_children();
    fields.finish();
    if let Some(name) = name.and_then(|value| cx.name(value, "a template")) {
        names.book("target", &name, cx);
    }
}

fn unknown_node(node: &Node, cx: &Cx) {
    let name = &node.name.value;
    let help = suggest::help(name, TOP_LEVEL);
    let message = format!("there is no node `{name}`");
    let mut diagnostic = Diagnostic::at(node.name.span, message, "not known here");
    diagnostic.help = help;
    cx.report(diagnostic);
}

fn not_yet(node: &Node, cx: &Cx) {
    cx.error(
        node.name.span,
        format!("`{}` is not supported yet", node.name.value),
        "not supported yet",
    );
}

/// Names that are taken, per name space, with the place of the first.
#[derive(Default)]
struct Names {
    taken: BTreeMap<(&'static str, String), Span>,
}

impl Names {
    /// Books a name; one that is taken is told with both places, but kept for further checks.
    fn book(&mut self, space: &'static str, name: &Spanned<String>, cx: &Cx) {
        match self.taken.entry((space, name.value.clone())) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(name.span);
            }
            std::collections::btree_map::Entry::Occupied(taken) if *taken.get() == name.span => cx
                .error_help(
                    name.span,
                    format!("several members of the matrix are named `{}`", name.value),
                    "the same for each of them",
                    "use every axis in `name`, such as `name \"app-${slug(py)}\"`",
                ),
            std::collections::btree_map::Entry::Occupied(taken) => {
                let message = format!("the {space} name `{}` is taken", name.value);
                let diagnostic = Diagnostic::at(name.span, message, "declared again");
                cx.report(
                    diagnostic
                        .with_related(*taken.get(), "first declared here")
                        .with_help("targets, groups and templates share one name space; rename one")
                        .filter_help(space == "target"),
                );
            }
        }
    }
}

impl Diagnostic {
    fn filter_help(mut self, keep: bool) -> Diagnostic {
        if !keep {
            self.help = None;
        }
        self
    }
}

fn group(node: &Node, cx: &Cx, names: &mut Names) -> Option<Group> {
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

fn about_target<'s, 'f>(node: &Node, cx: &Cx<'s, 'f>) -> Cx<'s, 'f> {
    match node.args.first().map(|value| &value.data) {
        Some(tree::Data::Text(name)) => cx.about(format!("target `{name}`: ")),
        _ => cx.about(String::new()),
    }
}

/// One target, or the members of its matrix (which answer to its name together, like a group).
fn targets(node: &Node, cx: &Cx, names: &mut Names, sets: &Sets, manifest: &mut Manifest) {
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
                "there is no `matrix`",
                "the target's name stands behind its kind: `build NAME { … }`",
            );
        }
        names.book("target", &name, cx);
        return add(node, name, cx, sets, manifest);
    };
    let members = matrix::members(matrix, &about).unwrap_or_default();
    let mut group = Vec::new();
    for member in &members {
        cx.scope.set_locals(matrix::bindings(member));
        if let Some(member) = member_name(name_node, &name, member, &about) {
            names.book("target", &member, cx);
            group.push(member.clone());
            add(node, member, cx, sets, manifest);
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
    cx: &Cx,
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
    if !fields::is_name(&name.value) {
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
fn add(node: &Node, name: Spanned<String>, cx: &Cx, sets: &Sets, manifest: &mut Manifest) {
    let overridden = sets.applied(node, &name.value);
    let own = RefCell::new(Vec::new());
    let inner = Cx::new(cx.scope, &own).about(format!("target `{}`: ", name.value));
    let enabled = enabled(&overridden, &inner);
    let target = target(&overridden, name.clone(), &inner);
    let mut found = own.into_inner();
    if !enabled {
        found.retain(|one: &Diagnostic| one.label != fields::USED_HERE);
        manifest.disabled.push(name);
    } else {
        manifest.targets.extend(target);
    }
    cx.diagnostics.borrow_mut().extend(found);
}

fn enabled(node: &Node, cx: &Cx) -> bool {
    let mut fields = Fields::new(node, cx);
    let Some(condition) = fields.child("if") else {
        return true;
    };
    let mut inner = Fields::new(condition, cx);
    let value = inner.required("a boolean, such as `\"${RELEASE}\"`");
    inner.finish();
    value.and_then(|value| cx.boolean(value)).unwrap_or(true)
}

/// What every kind of target has, then the kind's own.
fn target(node: &Node, name: Spanned<String>, cx: &Cx) -> Option<Target> {
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
        "scan" => targets::scan(&mut fields).map(TargetKind::Scan),
        "push" => targets::push(&mut fields).map(TargetKind::Push),
        _ => targets::run(&mut fields).map(TargetKind::Run),
    };
    fields.finish();
    Some(Target {
        name,
        description,
        needs,
        kind: kind?,
        used_variables: cx.scope.take_used(),
    })
}
