//! `build` targets: from a Dockerfile or from steps.

use std::collections::BTreeMap;

use super::check::{check_annotations, check_path};
use super::context::DecodeContext;
use super::diagnostic::{Diagnostic, Severity};
use super::fields::{Fields, twice};
use super::image_name::{check_image, check_platforms};
use super::limits;
use super::named_contexts;
use super::remote::remote_kind;
use super::steps::{self, STEPS};
use super::tree::Node;
use super::types::*;

/// The values of `network`.
pub const NETWORKS: [&str; 4] = ["default", "none", "host", "isolated"];

impl Manifest {
    /// `network` of every build target, whatever the text says. Nothing else has one, so
    /// other targets stay as they are.
    pub fn set_network(&mut self, network: &str) {
        for target in &mut self.targets {
            if let TargetKind::Build(build) = &mut target.kind {
                build.network = Some(Spanned {
                    value: network.to_string(),
                    span: Span::default(),
                });
            }
        }
    }
}

pub(super) fn build(fields: &mut Fields) -> Option<BuildTarget> {
    let context = fields.text("context");
    if let Some(context) = &context {
        check_context(context, fields.cx);
    }
    let recipe = recipe(fields, context.as_ref());
    let contexts = named_contexts::contexts(fields);
    let args = unique(fields.map_or_environment("args"));
    let labels = unique(fields.map("labels"));
    let annotations = unique(fields.map("annotations"));
    let platforms = fields.texts("platforms");
    check_platforms(&platforms, fields.cx);
    check_annotations(&annotations, &platforms, fields.cx);
    let secrets = fields.all_texts("secrets");
    let ssh = ssh(fields);
    let tags = fields.all_texts("tags");
    tags.iter().for_each(|tag| check_image(tag, fields.cx));
    let tar = tar(fields, &platforms);
    let layout = fields.text("layout");
    if let Some(layout) = &layout {
        check_path(layout, fields.cx);
    }
    let exports = exports(fields);
    let load = load(fields, &platforms);
    let format = fields.text("format");
    let format = format.and_then(|text| fields.cx.choice(&text, &["oci", "docker"]));
    let (compression, compression_level) = compression(fields);
    let network = fields.text("network");
    let network = network.filter(|text| fields.cx.choice(text, &NETWORKS).is_some());
    let limits = limits::limits(fields);
    let mut allow = fields.all_texts("allow");
    allow.retain(|text| fields.cx.choice(text, &["security.insecure"]).is_some());
    let add_hosts = unique(fields.map("add-hosts"));
    check_hosts(&add_hosts, fields.cx);
    let dns = fields.all_texts("dns");
    let dns_search = fields.all_texts("dns-search");
    check_resolver(&dns, &dns_search, fields.cx);
    let trust_ca = fields.all_texts("trust-ca");
    let named = trust_ca.iter().filter(|file| !file.value.is_empty());
    named.for_each(|file| check_path(file, fields.cx));
    let epoch = fields.integer("epoch", 0..=253_402_300_799);
    let also_stages = fields.all_texts("also-stages");
    let squash = fields.flag("squash").unwrap_or(false);
    let ignore_paths = fields.all_texts("ignore-paths");
    check_ignored(&ignore_paths, fields.cx);
    let no_cache = fields.flag("no-cache").unwrap_or(false);
    Some(BuildTarget {
        context,
        recipe: recipe?,
        contexts,
        args,
        labels,
        annotations,
        platforms,
        secrets,
        ssh,
        tags,
        tar,
        layout,
        exports,
        load,
        format: match format {
            Some("docker") => ImageFormat::Docker,
            _ => ImageFormat::Oci,
        },
        compression,
        compression_level,
        network,
        limits,
        allow,
        add_hosts,
        dns,
        dns_search,
        trust_ca,
        epoch,
        also_stages,
        squash,
        ignore_paths,
        no_cache,
    })
}

fn unique(pairs: Vec<(Spanned<String>, Spanned<String>)>) -> BTreeMap<String, Spanned<String>> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.value, value))
        .collect()
}

fn check_context(context: &Spanned<String>, cx: &DecodeContext) {
    if let Some((scheme, _)) = context.value.split_once("://")
        && remote_kind(&context.value).is_none()
    {
        cx.error_help(
            context.span,
            format!("a context cannot be fetched by `{scheme}://`"),
            "a directory, a repository or the URL of an archive is expected here",
            "write `https://host/app.git#ref`, `ssh://git@host/app`, `git@host:app` or `https://host/app.tar.gz`",
        );
    }
    check_path(context, cx);
}

/// Steps, or a Dockerfile; both are an error that shows both places.
fn recipe(fields: &mut Fields, context: Option<&Spanned<String>>) -> Option<RecipeNode> {
    let dockerfile_node = fields.child("dockerfile");
    let from_node = fields.child("from");
    let steps = fields.children_of(&STEPS);
    let stage_node = fields.child("stage");
    let also_node = fields.children("also-stages").next();
    let first_step = from_node
        .into_iter()
        .chain(steps.first().copied())
        .min_by_key(|node| node.span.start);
    if let (Some(dockerfile), Some(step)) =
        (dockerfile_node.or(stage_node).or(also_node), first_step)
    {
        return exclusive(dockerfile, step, fields.cx);
    }
    if first_step.is_some() {
        return from_steps(from_node, &steps, fields);
    }
    let stage = fields.text("stage");
    let is_remote = context.is_some_and(|context| remote_kind(&context.value).is_some());
    let (path, place) = match dockerfile_node {
        Some(node) => dockerfile(node, is_remote, fields.cx)?,
        None => (beside(context, fields.node), place_of(is_remote)),
    };
    check_path(&path, fields.cx);
    Some(RecipeNode::Dockerfile { path, place, stage })
}

fn place_of(is_remote: bool) -> DockerfilePlace {
    match is_remote {
        true => DockerfilePlace::Context,
        false => DockerfilePlace::Project,
    }
}

/// `dockerfile "docker/app.Dockerfile"`: in the context where that is fetched, as Docker has it, unless `(path)` says
/// that the file is one of the project.
fn dockerfile(
    node: &Node,
    is_remote: bool,
    cx: &DecodeContext,
) -> Option<(Spanned<String>, DockerfilePlace)> {
    let mut inner = Fields::new(node, cx);
    let value = inner.required("a string");
    inner.finish();
    let value = value?;
    let place = match &value.ty {
        None => place_of(is_remote),
        Some(ty) => {
            cx.choice(ty, &["path"])?;
            DockerfilePlace::Project
        }
    };
    let path = cx.annotated_text(value)?;
    if path.value.trim().is_empty() {
        cx.error(path.span, "`dockerfile` is empty", "nothing is here");
        return None;
    }
    if place == DockerfilePlace::Context && path.value.starts_with('/') {
        cx.error_help(
            path.span,
            "the Dockerfile is in the context, which is fetched: its path is relative",
            "a path in the context is expected here",
            "write `dockerfile (path)\"…\"` for a file of this project",
        );
    }
    Some((path, place))
}

fn exclusive(dockerfile: &Node, step: &Node, cx: &DecodeContext) -> Option<RecipeNode> {
    let message = "a build has a Dockerfile or steps, and this one has both";
    let label = format!("`{}` belongs to a Dockerfile", dockerfile.name.value);
    let diagnostic = Diagnostic::at(dockerfile.span, message, label);
    let other = format!("`{}` is a step", step.name.value);
    cx.report(
        diagnostic
            .with_related(step.span, other)
            .with_help("remove one of them, or split the target in two"),
    );
    None
}

/// The Dockerfile that `docker build` would take: the one in the context.
fn beside(context: Option<&Spanned<String>>, node: &Node) -> Spanned<String> {
    match context {
        Some(context) if remote_kind(&context.value).is_some() => Spanned {
            value: "Dockerfile".to_string(),
            span: context.span,
        },
        Some(context) if !matches!(context.value.as_str(), "." | "./") => Spanned {
            value: format!("{}/Dockerfile", context.value.trim_end_matches('/')),
            span: context.span,
        },
        Some(context) => Spanned {
            value: "Dockerfile".to_string(),
            span: context.span,
        },
        None => Spanned {
            value: "Dockerfile".to_string(),
            span: node.span,
        },
    }
}

fn from_steps(from: Option<&Node>, steps: &[&Node], fields: &Fields) -> Option<RecipeNode> {
    let cx = fields.cx;
    let Some(from_node) = from else {
        let step = steps
            .first()
            .expect("there is a step, else it is a Dockerfile's build");
        cx.error_help(
            step.name.span,
            "the steps have no base",
            "the first step",
            "begin with `from \"alpine:3.22\"`, or with `from scratch`",
        );
        return None;
    };
    let mut from_fields = Fields::new(from_node, cx);
    let value = from_fields.required("an image or a target");
    from_fields.finish();
    let (from, base) = based_on(value?, cx)?;
    let before = steps
        .iter()
        .find(|step| step.span.start < from_node.span.start);
    if let Some(step) = before {
        let diagnostic =
            Diagnostic::at(from_node.span, "`from` comes before the steps", "too late");
        cx.report(diagnostic.with_related(step.span, "this step comes before it"));
    }
    Some(RecipeNode::Steps {
        from,
        base,
        steps: steps::steps(steps, cx),
    })
}

/// `"alpine"`, `(image)"alpine"` or `(target)base`.
fn based_on(value: &super::tree::Value, cx: &DecodeContext) -> Option<(Spanned<String>, BaseKind)> {
    let kind = match value.ty.as_ref() {
        None => BaseKind::Image,
        Some(ty) => match cx.choice(ty, &["image", "target"])? {
            "target" => BaseKind::Target,
            _ => BaseKind::Image,
        },
    };
    let text = cx.annotated_text(value)?;
    if text.value.trim().is_empty() {
        cx.error(
            text.span,
            "`from` is empty",
            "an image or a target is expected here",
        );
        return None;
    }
    if kind == BaseKind::Image && text.value != "scratch" {
        check_image(&text, cx);
    }
    Some((text, kind))
}

/// `ssh default` or `ssh default deploy="~/.ssh/agent.sock"`
fn ssh(fields: &mut Fields) -> Vec<(Spanned<String>, Option<String>)> {
    let cx = fields.cx;
    let mut found: Vec<(Spanned<String>, Option<String>)> = Vec::new();
    for node in fields.children("ssh") {
        let mut inner = Fields::new(node, cx);
        let agents = cx.list(inner.rest()).into_iter().map(|id| (id, None));
        let sockets = inner.any_props().iter().filter_map(|(id, value)| {
            Some((id.clone(), Some(cx.word(value, "the socket's path")?.value)))
        });
        let all: Vec<_> = agents.chain(sockets).collect();
        if all.is_empty() && cx.errors() == 0 {
            inner.missing("an id, such as `default`");
        }
        for (id, socket) in all {
            match found.iter().find(|(other, _)| other.value == id.value) {
                Some((first, _)) => twice(cx, first.span, &id),
                None => found.push((id, socket)),
            }
        }
        inner.finish();
    }
    found
}

fn tar(fields: &mut Fields, platforms: &[Spanned<String>]) -> Option<TarOutput> {
    let cx = fields.cx;
    let node = fields.child("tar")?;
    let mut inner = Fields::new(node, cx);
    let path = inner.required("a path");
    let said = inner.prop_text("format");
    inner.finish();
    let format = match &said {
        Some(said) => cx.choice(said, &["docker", "oci"])?,
        None => "docker",
    };
    let path = cx.word(path?, "the path")?;
    check_path(&path, cx);
    if let ("docker", [_, second, ..]) = (format, platforms) {
        let span = said.map_or(node.span, |said| said.span);
        // Whoever only lists or draws the project has no use for an error; the build refuses it.
        let mut diagnostic = Diagnostic::at(
            span,
            "a docker archive has only one platform, so it cannot be written",
            "the format is `docker`",
        );
        diagnostic.severity = Severity::Warning;
        cx.report(
            diagnostic
                .with_related(second.span, "a second platform")
                .with_help("write `format=oci`"),
        );
    }
    Some(TarOutput {
        path,
        format: match format {
            "oci" => TarFormat::Oci,
            _ => TarFormat::Docker,
        },
    })
}

/// `export "out/bin"`, `export "files.tar" format=tar`
fn exports(fields: &mut Fields) -> Vec<ExportNode> {
    let cx = fields.cx;
    let nodes: Vec<&Node> = fields.children("export").collect();
    let mut exports: Vec<ExportNode> = Vec::new();
    for node in nodes {
        let mut inner = Fields::new(node, cx);
        let path = inner.required("a path");
        let said = inner.prop_text("format");
        inner.finish();
        let form = match &said {
            Some(said) => match cx.choice(said, &["dir", "tar"]) {
                Some("tar") => ExportForm::Tar,
                Some(_) => ExportForm::Directory,
                None => continue,
            },
            None => ExportForm::Directory,
        };
        let Some(path) = path.and_then(|path| cx.word(path, "the path")) else {
            continue;
        };
        check_path(&path, cx);
        if form == ExportForm::Directory && leads_nowhere(&path.value) {
            cx.error_help(
                path.span,
                "an export needs a separate directory: this one contains the sources",
                "a directory below is expected",
                "write `export \"out\"`",
            );
        }
        if let Some(other) = exports.iter().find(|other| other.path.value == path.value) {
            let message = format!("duplicate export `{}`", path.value);
            cx.report(
                Diagnostic::at(path.span, message, "the same path again")
                    .with_related(other.path.span, "first here"),
            );
            continue;
        }
        exports.push(ExportNode { path, form });
    }
    exports
}

/// `.`, `./`, `..`, `../..`
fn leads_nowhere(path: &str) -> bool {
    let mut parts = path.split('/');
    !path.starts_with('/') && parts.all(|part| ["", ".", ".."].contains(&part))
}

/// `load docker`, `load docker podman`
fn load(fields: &mut Fields, platforms: &[Spanned<String>]) -> Vec<LoadNode> {
    let cx = fields.cx;
    let mut nodes: Vec<LoadNode> = Vec::new();
    for word in fields.all_texts("load") {
        let into = match cx.choice(&word, &["docker", "podman"]) {
            Some("podman") => LoadInto::Podman,
            Some(_) => LoadInto::Docker,
            None => continue,
        };
        if let [_, second, ..] = platforms {
            let message = "a daemon takes an image of one platform";
            let diagnostic = Diagnostic::at(word.span, message, "it is loaded here");
            cx.report(diagnostic.with_related(second.span, "a second platform"));
        }
        let node = LoadNode {
            into,
            without: WithoutDaemon::Fail,
        };
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    nodes
}

/// `add-hosts { db.internal "10.0.0.5" }`
fn check_hosts(hosts: &BTreeMap<String, Spanned<String>>, cx: &DecodeContext) {
    for (name, address) in hosts {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.chars().all(legal) || address.value.parse::<std::net::IpAddr>().is_err() {
            cx.error_help(
                address.span,
                format!("invalid host and address `{name} {:?}`", address.value),
                "an address is expected here",
                "write `name \"10.0.0.5\"`",
            );
        }
    }
}

/// `dns "10.0.0.2"; dns-search "corp.example"`
fn check_resolver(servers: &[Spanned<String>], domains: &[Spanned<String>], cx: &DecodeContext) {
    for server in servers {
        if server.value.parse::<std::net::IpAddr>().is_err() {
            cx.error_help(
                server.span,
                format!("invalid address `{}`", server.value),
                "the IP address of a DNS server is expected here",
                "write `dns \"10.0.0.2\"`",
            );
        }
    }
    for domain in domains {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if domain.value.is_empty() || !domain.value.chars().all(legal) {
            let message = format!("invalid domain `{}`", domain.value);
            cx.error(domain.span, message, "a domain is expected here");
        }
    }
}

/// `ignore-paths "/var/run" "/root/.cache"`
fn check_ignored(paths: &[Spanned<String>], cx: &DecodeContext) {
    for path in paths {
        let names_something = path.value.split('/').any(|part| !matches!(part, "" | "."));
        let climbs = path.value.split('/').any(|part| part == "..");
        if !path.value.starts_with('/') || !names_something || climbs {
            cx.error_help(
                path.span,
                format!("`{}` cannot be ignored", path.value),
                "an absolute path in the image is expected here",
                "write it as \"/var/run\"",
            );
        }
    }
}

/// `compression zstd level=3`
fn compression(fields: &mut Fields) -> (Option<Spanned<String>>, Option<i32>) {
    let cx = fields.cx;
    let Some(node) = fields.child("compression") else {
        return (None, None);
    };
    let mut inner = Fields::new(node, cx);
    let kind = inner
        .required("`gzip`, `zstd` or `none`")
        .and_then(|value| cx.text(value));
    let kind = kind.filter(|kind| cx.choice(kind, &["gzip", "zstd", "none"]).is_some());
    let range = match kind.as_ref().map(|kind| kind.value.as_str()) {
        Some("zstd") => 1..=22,
        Some("none") => 0..=0,
        _ => 1..=12,
    };
    let level = inner
        .prop("level")
        .and_then(|value| cx.integer(value, range));
    inner.finish();
    (kind, level.and_then(|level| i32::try_from(level).ok()))
}
