//! What a gate lets pass, as a `scan` says it: `fail-on`, `ignore`, `only-new`, and where it reports.

use std::collections::BTreeMap;

use super::check::check_path;
use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, twice};
use super::image_name::check_image;
use super::tree::{Data, Node, Value};
use super::types::{FailOn, IgnoreNode, KindNode, Spanned};

/// The policy of one gate.
pub(super) struct GatePolicy {
    pub fail_on: Vec<FailOn>,
    pub ignores: Vec<IgnoreNode>,
    pub only_new: Option<Spanned<String>>,
    pub epss: Option<Spanned<String>>,
    pub kev: Option<Spanned<String>>,
}

pub(super) fn policy(fields: &mut Fields) -> GatePolicy {
    let cx = fields.cx;
    let lists = Lists {
        epss: fields.text("epss"),
        kev: fields.text("kev"),
    };
    for list in [&lists.epss, &lists.kev].into_iter().flatten() {
        check_path(list, cx);
    }
    let nodes: Vec<&Node> = fields.children("fail-on").collect();
    let fail_on = nodes.iter().map(|node| fail_on(node, &lists, cx));
    GatePolicy {
        fail_on: fail_on.collect(),
        ignores: ignores(fields),
        only_new: only_new(fields),
        epss: lists.epss,
        kev: lists.kev,
    }
}

/// Files that say which vulnerabilities are exploited.
struct Lists {
    epss: Option<Spanned<String>>,
    kev: Option<Spanned<String>>,
}

const SEVERITIES: [&str; 5] = ["negligible", "low", "medium", "high", "critical"];

/// `fail-on severity=high fixable=#true unknown=#false`, `fail-on kind=secret`, `fail-on kev=#true`
fn fail_on(node: &Node, lists: &Lists, cx: &DecodeContext) -> FailOn {
    let mut fields = Fields::new(node, cx);
    let severity = fields.prop_text("severity").and_then(|mut said| {
        said.value = said.value.to_lowercase();
        cx.choice(&said, &SEVERITIES)
    });
    let said = FailOn {
        kind: kind(&mut fields),
        severity: severity.map(str::to_string),
        fixable: fields.prop_boolean("fixable").unwrap_or(false),
        unknown: fields.prop_boolean("unknown").unwrap_or(true),
        older: fields.prop_duration("older"),
        epss: fields.prop("epss").and_then(|value| probability(value, cx)),
        kev: fields.prop_boolean("kev").unwrap_or(false),
    };
    if node.props.is_empty() && node.args.is_empty() {
        fields.missing("`severity=`, `kind=`, `epss=` or `kev=#true`");
    }
    fields.finish();
    for (name, list, is_asked) in [
        ("epss", &lists.epss, said.epss.is_some()),
        ("kev", &lists.kev, said.kev),
    ] {
        let at = node.props.iter().find(|(key, _)| key.value == name);
        if let (true, None, Some((key, _))) = (is_asked, list, at) {
            let message = format!("`{name}=` needs the list");
            let help = format!("name its file in the scan: `{name} \"FILE\"`");
            cx.error_help(key.span, message, "no file is named", help);
        }
    }
    // Nobody publishes these of a password file.
    let of_vulnerabilities = [
        ("fixable", said.fixable),
        ("older", said.older.is_some()),
        ("epss", said.epss.is_some()),
        ("kev", said.kev),
    ];
    let is_about_others = said
        .kind
        .is_some_and(|kind| kind != KindNode::Vulnerability);
    for (name, _) in of_vulnerabilities
        .iter()
        .filter(|(_, is_asked)| is_about_others && *is_asked)
    {
        let at = node.props.iter().find(|(key, _)| key.value == *name);
        if let Some((key, _)) = at {
            let message = format!("`{name}=` is about vulnerabilities");
            cx.error(key.span, message, "not of this kind");
        }
    }
    said
}

const KINDS: [(&str, KindNode); 5] = [
    ("vulnerability", KindNode::Vulnerability),
    ("secret", KindNode::Secret),
    ("misconfiguration", KindNode::Misconfiguration),
    ("license", KindNode::License),
    ("hygiene", KindNode::Hygiene),
];

fn kind(fields: &mut Fields) -> Option<KindNode> {
    let said = fields.prop_text("kind")?;
    let word = fields.cx.choice(&said, &KINDS.map(|(word, _)| word))?;
    let known = KINDS.iter().find(|(known, _)| *known == word);
    known.map(|(_, kind)| *kind)
}

/// From 0 to 1, in millionths; as a number, or as text where a variable gives it.
fn probability(value: &Value, cx: &DecodeContext) -> Option<u32> {
    let said = match &value.data {
        Data::Float(number) => Some(*number),
        Data::Integer(number) => i32::try_from(*number).ok().map(f64::from),
        _ => cx.text(value)?.value.parse().ok(),
    };
    let valid = said.filter(|said| (0.0..=1.0).contains(said));
    if valid.is_none() {
        let message = "invalid probability";
        cx.error_help(value.span, message, "expected 0 to 1", "write `epss=0.1`");
    }
    valid.map(|said| (said * 1e6).round() as u32)
}

fn ignores(fields: &mut Fields) -> Vec<IgnoreNode> {
    let cx = fields.cx;
    let nodes = fields.children("ignore");
    let ignores: Vec<IgnoreNode> = nodes.map(|node| ignore(node, cx)).collect();
    let same = |a: &IgnoreNode, b: &IgnoreNode| {
        a.id.as_ref().map(|id| &id.value) == b.id.as_ref().map(|id| &id.value)
            && (a.kind, &a.package, &a.path) == (b.kind, &b.package, &b.path)
    };
    for (at, rule) in ignores.iter().enumerate() {
        let first = ignores[..at].iter().find(|other| same(other, rule));
        if let (
            Some(IgnoreNode {
                id: Some(first), ..
            }),
            Some(id),
        ) = (first, &rule.id)
        {
            twice(cx, first.span, id);
        }
    }
    ignores
}

/// `ignore "CVE-2025-1234" until="2026-12-31" reason="…"`, `ignore package="left-pad" reason="…"`
fn ignore(node: &Node, cx: &DecodeContext) -> IgnoreNode {
    let mut fields = Fields::new(node, cx);
    let id = fields.arg().and_then(|value| cx.word(value, "the id"));
    let kind = kind(&mut fields);
    let package = fields.prop_text("package");
    let path = fields.prop_text("path");
    let until = fields.prop_text("until");
    let reason = fields.prop_text("reason").map(|text| text.value);
    // What reaches further than one id is explained.
    let is_wide = package.is_some() || path.is_some() || kind.is_some();
    if node.args.is_empty() && package.is_none() && path.is_none() {
        fields.missing("an id, `package=` or `path=`");
    } else if is_wide && reason.as_deref().is_none_or(|text| text.trim().is_empty()) {
        fields.missing("`reason=`");
    }
    fields.finish();
    if let Some(until) = &until
        && !is_day(&until.value)
    {
        let message = format!("invalid date `{}`", until.value);
        cx.error_help(
            until.span,
            message,
            "a date is expected here",
            "write it as \"2026-12-31\"",
        );
    }
    IgnoreNode {
        id,
        kind,
        package: package.map(|text| text.value),
        path: path.map(|text| text.value),
        until,
        reason,
    }
}

/// `db "registry.example.com/acme/advisories:latest"`
pub(super) fn database(fields: &mut Fields) -> Option<Spanned<String>> {
    let cx = fields.cx;
    let advisories = fields.child("advisories");
    let node = fields.child("db");
    if let (Some(first), Some(second)) = (advisories, node) {
        let message = "`advisories` and `db` exclude each other";
        let diagnostic = Diagnostic::at(second.name.span, message, "and here");
        cx.report(diagnostic.with_related(first.name.span, "advisories come from here"));
    }
    let database = fields.text("db")?;
    check_image(&database, cx);
    Some(database)
}

/// `only-new base="registry.example.com/acme/app:latest"`
fn only_new(fields: &mut Fields) -> Option<Spanned<String>> {
    let cx = fields.cx;
    let node = fields.child("only-new")?;
    let mut fields = Fields::new(node, cx);
    let base = fields.prop_text("base");
    if !node.props.iter().any(|(key, _)| key.value == "base") {
        fields.missing("`base=\"IMAGE\"`");
    }
    fields.finish();
    let base = base?;
    check_image(&base, cx);
    Some(base)
}

pub(super) fn reports(fields: &mut Fields) -> BTreeMap<String, Spanned<String>> {
    let cx = fields.cx;
    let mut reports: BTreeMap<String, Spanned<String>> = BTreeMap::new();
    for node in fields.children("report") {
        let mut inner = Fields::new(node, cx);
        for kind in [
            "table",
            "json",
            "sarif",
            "cyclonedx",
            "spdx",
            "junit",
            "html",
            "code-quality",
        ] {
            let Some(path) = inner.prop_text(kind) else {
                continue;
            };
            check_path(&path, cx);
            if let Some(first) = reports.get(kind) {
                let diagnostic =
                    Diagnostic::at(path.span, format!("duplicate `{kind}=`"), "the second one");
                cx.report(diagnostic.with_related(first.span, "the first one"));
            }
            reports.insert(kind.to_string(), path);
        }
        if node.props.is_empty() {
            inner.missing("a format and a path, such as `sarif=\"out/scan.sarif\"`");
        }
        inner.finish();
    }
    reports
}

/// `2026-12-31`, and nothing else.
fn is_day(text: &str) -> bool {
    let day = text.parse::<jiff::civil::Date>();
    day.is_ok_and(|day| day.to_string() == text)
}
