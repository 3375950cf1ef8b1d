//! `var` nodes: types, sources and checks. `--var` > environment > env-file > default.

use std::cell::RefCell;
use std::collections::BTreeMap;

use imgmake_guard::printable;

use super::binding::Binding;
use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, strings};
use super::scope::{Origin, Scope, Slot};
use super::suggest;
use super::tree::{Data, Node, Value};
use super::types::{Spanned, Variable, VariableSource};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    String,
    Bool,
    Number,
    List,
}

impl Type {
    fn named(name: &str) -> Option<Type> {
        Some(match name {
            "string" => Type::String,
            "bool" => Type::Bool,
            "number" => Type::Number,
            "list" | "list<string>" => Type::List,
            _ => return None,
        })
    }

    fn shown(self) -> &'static str {
        match self {
            Type::String => "a string",
            Type::Bool => "`true` or `false`",
            Type::Number => "a number",
            Type::List => "a list",
        }
    }
}

/// A declaration before its value is known.
struct Declared<'n> {
    node: &'n Node,
    name: Spanned<String>,
    ty: Type,
    description: Option<String>,
    env: Option<String>,
    matches: Option<(regex::Regex, String)>,
    one_of: Vec<Spanned<String>>,
    /// A fact of the checkout that goes before the written default.
    git: Option<&'static str>,
}

pub(super) fn resolve(
    nodes: &[&Node],
    scope: &mut Scope,
    diagnostics: &RefCell<Vec<Diagnostic>>,
) -> Vec<Variable> {
    let declared = declarations(nodes, &DecodeContext::new(scope, diagnostics));
    for one in &declared {
        scope.declare(&one.name.value, Slot::Unset);
    }
    let (order, circular) = default_order(&declared, &DecodeContext::new(scope, diagnostics));
    for at in &circular {
        scope.declare(&declared[*at].name.value, Slot::Broken);
    }
    for at in order {
        let one = &declared[at];
        if !circular.contains(&at) {
            let slot = value(one, &DecodeContext::new(scope, diagnostics));
            scope.declare(&one.name.value, slot);
        }
    }
    let shown = |one: &Declared| match scope.get(&one.name.value) {
        Ok(value) => value.shown(),
        Err(_) => String::new(),
    };
    let cx = DecodeContext::new(scope, diagnostics);
    let source = |one: &Declared| match overridden(one, &cx).map(|(_, origin)| origin) {
        Some(Origin::CommandLine) => VariableSource::CommandLine,
        Some(Origin::Environment) => VariableSource::Environment,
        Some(Origin::EnvFile) => VariableSource::EnvFile,
        Some(Origin::Default) | None => VariableSource::Default,
    };
    let variables = declared
        .iter()
        .map(|one| Variable {
            name: one.name.clone(),
            value: shown(one),
            source: source(one),
            description: one.description.clone(),
        })
        .collect();
    scope.take_used();
    variables
}

fn declarations<'n>(nodes: &[&'n Node], cx: &DecodeContext) -> Vec<Declared<'n>> {
    let mut seen: BTreeMap<String, super::Span> = BTreeMap::new();
    let mut declared = Vec::new();
    for node in nodes {
        let Some(one) = declaration(node, cx) else {
            continue;
        };
        match seen.get(&one.name.value) {
            Some(first) => {
                let message = format!("the variable `{}` is declared twice", one.name.value);
                let diagnostic = Diagnostic::at(one.name.span, message, "declared again");
                cx.report(diagnostic.with_related(*first, "first declared here"));
            }
            None => {
                seen.insert(one.name.value.clone(), one.name.span);
                declared.push(one);
            }
        }
    }
    declared
}

fn declaration<'n>(node: &'n Node, cx: &DecodeContext) -> Option<Declared<'n>> {
    let mut fields = Fields::new(node, cx);
    let name = fields
        .required("a name")
        .and_then(|value| cx.name(value, "a variable"));
    fields.rest();
    let ty = variable_type(&mut fields);
    let description = fields.prop_text("desc").or_else(|| fields.text("desc"));
    let env = fields.prop_text("env").map(|text| text.value);
    let matches = fields.child("matches").and_then(|node| pattern(node, cx));
    let one_of = match fields.child("one-of") {
        Some(node) => strings(node, cx),
        None => Vec::new(),
    };
    let git = fields
        .child("default-from")
        .and_then(|node| default_from(node, cx));
    fields.finish();
    Some(Declared {
        node,
        name: name?,
        ty: ty?,
        description: description.map(|text| text.value),
        env,
        matches,
        one_of,
        git,
    })
}

/// `default-from git="short-sha"`: the fact's name.
fn default_from(node: &Node, cx: &DecodeContext) -> Option<&'static str> {
    let mut fields = Fields::new(node, cx);
    let fact = fields.prop_text("git");
    if fact.is_none() {
        fields.missing("`git=\"short-sha\"`");
    }
    fields.finish();
    Some(
        match cx.choice(&fact?, &["sha", "short-sha", "branch", "tag"])? {
            "short-sha" => "short",
            "sha" => "sha",
            "branch" => "branch",
            _ => "tag",
        },
    )
}

/// Said with `type=`, else what the default looks like.
fn variable_type(fields: &mut Fields) -> Option<Type> {
    let values = fields.node.args.get(1..).unwrap_or_default();
    let by_default = match values {
        [one] => match one.data {
            Data::Bool(_) => Type::Bool,
            Data::Integer(_) | Data::Float(_) => Type::Number,
            _ => Type::String,
        },
        [] => Type::String,
        _ => Type::List,
    };
    let Some(said) = fields.prop_text("type") else {
        return Some(by_default);
    };
    match Type::named(&said.value) {
        Some(Type::String | Type::Bool | Type::Number) if values.len() > 1 => {
            let message = format!("a variable of type {} has one default", said.value);
            fields
                .cx
                .error_help(values[1].span, message, "one too many", "write `type=list`");
            None
        }
        Some(ty) => Some(ty),
        None => {
            fields
                .cx
                .choice(&said, &["string", "bool", "number", "list"]);
            None
        }
    }
}

fn pattern(node: &Node, cx: &DecodeContext) -> Option<(regex::Regex, String)> {
    let mut fields = Fields::new(node, cx);
    let value = fields.required("a regular expression");
    fields.finish();
    regular_expression(value?, cx)
}

/// A regular expression, and how it is written.
pub(super) fn regular_expression(
    value: &Value,
    cx: &DecodeContext,
) -> Option<(regex::Regex, String)> {
    // As written: `$` and `{` belong to the expression.
    let text = cx.plain(value)?;
    match regex::RegexBuilder::new(&text.value)
        .size_limit(1 << 20)
        .build()
    {
        Ok(regex) => Some((regex, text.value)),
        Err(error) => {
            let message = format!("invalid regular expression `{}`", text.value);
            let reason = error.to_string();
            let last = reason.lines().last().unwrap_or_default();
            cx.error(text.span, message, last.trim_start_matches("error: "));
            None
        }
    }
}

/// Defaults may use other variables: those come first. A circle is told once, with its path.
fn default_order(declared: &[Declared], cx: &DecodeContext) -> (Vec<usize>, Vec<usize>) {
    let names = declared.iter().enumerate();
    let ids = names
        .map(|(at, one)| (one.name.value.as_str(), at))
        .collect();
    let uses: Vec<Vec<usize>> = declared.iter().map(|one| uses(one, &ids)).collect();
    let mut order = Vec::new();
    let mut circular = Vec::new();
    let mut state = vec![0u8; declared.len()];
    for root in 0..declared.len() {
        // (variable, next use to look at): no recursion, since a manifest may hold thousands.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state[root] == 0 {
            state[root] = 1;
            path.push((root, 0));
        }
        while let Some((at, next)) = path.last().copied() {
            match uses[at].get(next) {
                None => {
                    state[at] = 2;
                    order.push(at);
                    path.pop();
                }
                Some(used) => {
                    path.last_mut().expect("the path is not empty").1 += 1;
                    match state[*used] {
                        0 => {
                            state[*used] = 1;
                            path.push((*used, 0));
                        }
                        1 => circular.extend(circle(&path, *used, declared, cx)),
                        _ => {}
                    }
                }
            }
        }
    }
    (order, circular)
}

/// Tells the circle and gives its members.
fn circle(
    path: &[(usize, usize)],
    to: usize,
    declared: &[Declared],
    cx: &DecodeContext,
) -> Vec<usize> {
    let from = path.iter().position(|(at, _)| *at == to).unwrap_or(0);
    let mut names: Vec<&str> = path[from..]
        .iter()
        .map(|(at, _)| declared[*at].name.value.as_str())
        .collect();
    names.push(&declared[to].name.value);
    let names = printable::listed(&names, " -> ");
    let message = format!("variables depend on each other: {names}");
    cx.error(
        declared[to].name.span,
        message,
        "its default leads back to itself",
    );
    path[from..].iter().map(|(at, _)| *at).collect()
}

fn uses(one: &Declared, ids: &BTreeMap<&str, usize>) -> Vec<usize> {
    let values = one.node.args.iter().skip(1);
    let names = values.flat_map(|value| match &value.data {
        Data::Text(text) => super::interpolate::names(text),
        _ => Vec::new(),
    });
    names
        .filter_map(|name| ids.get(name.as_str()).copied())
        .collect()
}

fn value(one: &Declared, cx: &DecodeContext) -> Slot {
    let cx = cx.about(format!("variable `{}`: ", one.name.value));
    let fact = one.git.and_then(|fact| cx.scope.facts().git.get(fact));
    let (binding, origin) = match overridden(one, &cx) {
        Some((text, origin)) => (typed(one, text, origin, &cx), origin),
        None if fact.is_some() => (fact.cloned().map(Binding::Text), Origin::Default),
        None if one.node.args.len() < 2 => return Slot::Unset,
        None => (default(one, &cx), Origin::Default),
    };
    match binding {
        Some(binding) if check(one, &binding, origin, &cx) => Slot::Value(binding),
        _ => Slot::Broken,
    }
}

fn overridden<'a>(one: &Declared, cx: &'a DecodeContext) -> Option<(&'a str, Origin)> {
    let vars = cx.scope.facts().vars.iter().rev();
    let mut vars = vars.filter(|(name, _)| *name == one.name.value);
    if let Some((_, value)) = vars.next() {
        return Some((value, Origin::CommandLine));
    }
    // `env=` is the more specific wish.
    let said = one
        .env
        .as_deref()
        .and_then(|name| cx.scope.environment(name));
    said.or_else(|| cx.scope.environment(&one.name.value))
}

fn typed(one: &Declared, text: &str, origin: Origin, cx: &DecodeContext) -> Option<Binding> {
    let fine = match one.ty {
        Type::String => Some(Binding::Text(text.to_string())),
        Type::Number => text
            .trim()
            .parse::<f64>()
            .ok()
            .map(|_| Binding::Text(text.trim().to_string())),
        Type::Bool => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Binding::Text("true".to_string())),
            "false" | "0" | "no" | "off" => Some(Binding::Text("false".to_string())),
            _ => None,
        },
        Type::List => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Some(Binding::List(items.map(str::to_string).collect()))
        }
    };
    if fine.is_none() {
        let what = quoted(text, origin);
        let message = format!("{what} {} is not {}", from(one, origin), one.ty.shown());
        cx.error(one.name.span, message, "declared here");
    }
    fine
}

/// Any file may be named as an env-file, and its text may be a secret.
fn quoted(text: &str, origin: Origin) -> String {
    match origin {
        Origin::EnvFile => "the value".to_string(),
        _ => format!("`{text}`"),
    }
}

fn from(one: &Declared, origin: Origin) -> String {
    let name = &one.name.value;
    match origin {
        Origin::CommandLine => format!("of `--var {name}=…`"),
        Origin::Environment => match &one.env {
            Some(env) => format!("of the environment (`{env}` or `{name}`)"),
            None => format!("of the environment variable `{name}`"),
        },
        Origin::EnvFile => format!("of `{name}` in the env-file"),
        Origin::Default => "of the default".to_string(),
    }
}

fn default(one: &Declared, cx: &DecodeContext) -> Option<Binding> {
    let values = one.node.args.get(1..).unwrap_or_default();
    match (one.ty, values) {
        (_, []) => None,
        (Type::List, values) => {
            let items = cx.list(values).into_iter().map(|item| item.value);
            Some(Binding::List(items.collect()))
        }
        (Type::Bool, [value, ..]) => {
            let flag = cx.boolean(value)?;
            Some(Binding::Text(flag.to_string()))
        }
        (Type::Number, [value, ..]) => number(value, cx).map(Binding::Text),
        (Type::String, [value, ..]) => Some(Binding::Text(cx.text(value)?.value)),
    }
}

/// `1.20` would become `1.2`: whoever writes it means a version.
fn number(value: &super::tree::Value, cx: &DecodeContext) -> Option<String> {
    match &value.data {
        Data::Integer(number) => Some(number.to_string()),
        Data::Float(number) if number.to_string() == value.written => Some(number.to_string()),
        Data::Float(number) => {
            cx.error_help(
                value.span,
                format!("KDL reads `{}` as the number {number}", value.written),
                "this would lose digits",
                format!("put it in quotes: \"{}\"", value.written),
            );
            None
        }
        _ => {
            let text = cx.text(value)?.value;
            if text.parse::<f64>().is_err() {
                cx.error(
                    value.span,
                    format!("`{text}` is not a number"),
                    "a number is expected here",
                );
                return None;
            }
            Some(text)
        }
    }
}

fn check(one: &Declared, binding: &Binding, origin: Origin, cx: &DecodeContext) -> bool {
    let items = match binding {
        Binding::Text(text) => std::slice::from_ref(text),
        Binding::List(items) => items.as_slice(),
    };
    let span = match (origin, one.node.args.get(1)) {
        (Origin::Default, Some(value)) => value.span,
        _ => one.name.span,
    };
    let allowed: Vec<&str> = one.one_of.iter().map(|text| text.value.as_str()).collect();
    for item in items {
        if let Some((regex, pattern)) = &one.matches
            && !regex.is_match(item)
        {
            let message = format!(
                "{} {} does not match `{pattern}`",
                quoted(item, origin),
                from(one, origin)
            );
            cx.error(span, message, "declared here");
            return false;
        }
        if !allowed.is_empty() && !allowed.contains(&item.as_str()) {
            let message = format!(
                "{} {} is not allowed",
                quoted(item, origin),
                from(one, origin)
            );
            let mut diagnostic = Diagnostic::at(span, message, "declared here");
            diagnostic.help = suggest::help(item, allowed.iter().copied());
            cx.report(diagnostic);
            return false;
        }
    }
    true
}
