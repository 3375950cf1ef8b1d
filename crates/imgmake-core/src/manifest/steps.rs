//! The steps of a build without a Dockerfile: one layer or one change of the config each.

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, pairs, strings};
use super::tree::Node;
use super::types::*;
use imgmake_oci::layer::Chmod;

/// Everything that may follow `from`.
pub(super) const STEPS: [&str; 16] = [
    "copy",
    "layer",
    "file",
    "symlink",
    "mkdir",
    "run",
    "env",
    "user",
    "workdir",
    "expose",
    "entrypoint",
    "cmd",
    "label",
    "volume",
    "stopsignal",
    "healthcheck",
];
/// What changes files: the only steps within a `layer` block.
const IN_A_LAYER: [&str; 4] = ["copy", "file", "symlink", "mkdir"];

pub(super) fn steps(nodes: &[&Node], cx: &DecodeContext) -> Vec<Spanned<StepNode>> {
    let steps = nodes.iter().filter_map(|node| {
        let value = step(node, cx)?;
        Some(Spanned {
            value,
            span: node.span,
        })
    });
    let steps: Vec<Spanned<StepNode>> = steps.collect();
    for name in ["entrypoint", "cmd", "healthcheck", "stopsignal"] {
        let mut same = nodes.iter().filter(|node| node.name.value == name);
        if let (Some(first), Some(second)) = (same.next(), same.next()) {
            let message = format!("duplicate `{name}`: only the last one would have an effect");
            let diagnostic = Diagnostic::at(second.name.span, message, "the second one");
            cx.report(diagnostic.with_related(first.name.span, "the first one"));
        }
    }
    steps
}

fn step(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    Some(match node.name.value.as_str() {
        "copy" => copy(node, cx)?,
        "layer" => layer(node, cx),
        "file" => file(node, cx)?,
        "symlink" => symlink(node, cx)?,
        "mkdir" => mkdir(node, cx)?,
        "run" => StepNode::Run(command(node, cx)?.value),
        "env" => StepNode::Env(map(node, cx)),
        "label" => StepNode::Label(map(node, cx)),
        "user" => StepNode::User(one(node, cx)?.value),
        "workdir" => StepNode::Workdir(one(node, cx)?.value),
        "stopsignal" => StepNode::StopSignal(one(node, cx)?.value),
        "expose" => StepNode::Expose(expose(node, cx)),
        "volume" => StepNode::Volume(list(node, cx)),
        "entrypoint" => StepNode::Entrypoint(argv(node, cx)),
        "cmd" => StepNode::Cmd(argv(node, cx)),
        "healthcheck" => healthcheck(node, cx)?,
        _ => {
            super::fields::not_yet(node, cx);
            return None;
        }
    })
}

fn one(node: &Node, cx: &DecodeContext) -> Option<Spanned<String>> {
    let mut fields = Fields::new(node, cx);
    let value = fields.required("a string");
    fields.finish();
    cx.word(value?, &format!("`{}`", node.name.value))
}

fn list(node: &Node, cx: &DecodeContext) -> Vec<String> {
    strings(node, cx)
        .into_iter()
        .map(|item| item.value)
        .collect()
}

/// Arguments may be empty strings, and the whole list may be empty: `cmd` clears the base's.
fn argv(node: &Node, cx: &DecodeContext) -> Vec<String> {
    let mut fields = Fields::new(node, cx);
    let values = fields.rest();
    fields.finish();
    let texts = values.iter().filter_map(|value| cx.text(value));
    texts.map(|text| text.value).collect()
}

fn map(node: &Node, cx: &DecodeContext) -> Vec<(String, String)> {
    let pairs = pairs(node, cx);
    if pairs.is_empty() {
        Fields::new(node, cx).missing("at least one `NAME=\"value\"`");
    }
    if node.name.value == "env" {
        super::check::check_labels(&pairs, cx);
    }
    pairs
        .into_iter()
        .map(|(key, value)| (key.value, value.value))
        .collect()
}

fn expose(node: &Node, cx: &DecodeContext) -> Vec<String> {
    let ports = strings(node, cx);
    for port in &ports {
        let (number, protocol) = port.value.split_once('/').unwrap_or((&port.value, "tcp"));
        let bound = |text: &str| text.parse::<u16>().is_ok();
        let number = match number.split_once('-') {
            Some((from, to)) => bound(from) && bound(to),
            None => bound(number),
        };
        if !number || !matches!(protocol, "tcp" | "udp" | "sctp") {
            let message = format!("invalid port `{}`", port.value);
            cx.error_help(
                port.span,
                message,
                "not a port",
                "write \"8080\", \"8080/tcp\" or \"53/udp\"",
            );
        }
    }
    ports.into_iter().map(|port| port.value).collect()
}

fn copy(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    let mut fields = Fields::new(node, cx);
    let sources = cx.list(fields.rest());
    let to = fields.prop_text("to");
    if sources.is_empty() && node.args.is_empty() {
        fields.missing("at least one source");
    }
    if !node.props.iter().any(|(key, _)| key.value == "to") {
        fields.missing("`to=\"/path\"`");
    }
    let (mode, owner) = (mode(&mut fields), owner(&mut fields));
    fields.finish();
    let to = to?;
    let into_directory = to.value.ends_with('/') || to.value == ".";
    if sources.len() > 1 && !into_directory {
        let message = "several sources need a directory: `to` must end with `/`";
        cx.error_help(
            to.span,
            message,
            "no directory",
            format!("write \"{}/\"", to.value),
        );
    }
    Some(StepNode::Copy {
        sources,
        to,
        mode,
        owner,
    })
}

fn layer(node: &Node, cx: &DecodeContext) -> StepNode {
    let mut fields = Fields::new(node, cx);
    let children = fields.children_of(&IN_A_LAYER);
    if children.is_empty() {
        fields.missing("a block with `copy`, `file`, `symlink` or `mkdir`");
    }
    fields.finish();
    StepNode::Layer(steps(&children, cx))
}

/// `file "/etc/motd" "hello\n" mode="0644" owner="0:0"`
fn file(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    let mut fields = Fields::new(node, cx);
    let path = fields
        .required("a path")
        .and_then(|value| absolute(value, cx));
    let content = fields
        .required("its content")
        .and_then(|value| cx.text(value));
    let (mode, owner) = (mode(&mut fields), owner(&mut fields));
    fields.finish();
    Some(StepNode::File {
        path: path?,
        content: content?.value,
        mode,
        owner,
    })
}

/// `symlink "/srv/current" to="/srv/v1"`
fn symlink(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    let mut fields = Fields::new(node, cx);
    let path = fields
        .required("a path")
        .and_then(|value| absolute(value, cx));
    let to = fields.prop_text("to");
    if to.is_none() {
        fields.missing("`to=`, what it points to");
    }
    fields.finish();
    Some(StepNode::Symlink {
        path: path?,
        to: to?.value,
    })
}

fn mkdir(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    let mut fields = Fields::new(node, cx);
    let path = fields
        .required("a path")
        .and_then(|value| absolute(value, cx));
    let (mode, owner) = (mode(&mut fields), owner(&mut fields));
    fields.finish();
    Some(StepNode::Mkdir {
        path: path?,
        mode,
        owner,
    })
}

fn absolute(value: &super::tree::Value, cx: &DecodeContext) -> Option<Spanned<String>> {
    let path = cx.word(value, "the path")?;
    if path.value.contains('\0') || path.value.split('/').any(|part| part == "..") {
        cx.error(
            path.span,
            format!("invalid path in an image `{}`", path.value),
            "without `..`",
        );
        return None;
    }
    Some(path)
}

/// Octal (`0644`) or symbolic (`u=rwx,go=rx`), as `COPY --chmod` takes it.
fn mode(fields: &mut Fields) -> Option<String> {
    let mode = fields.prop_text("mode")?;
    if Chmod::parse(&mode.value).is_ok() {
        return Some(mode.value);
    }
    fields.cx.error_help(
        mode.span,
        format!("invalid mode `{}`", mode.value),
        "a mode is expected here",
        "write it in octal, \"0644\", or as chmod does, \"u=rwx,go=rx\"",
    );
    None
}

/// `65532:65532`, `app`, `app:app`.
fn owner(fields: &mut Fields) -> Option<String> {
    let owner = fields.prop_text("owner")?;
    let parts: Vec<&str> = owner.value.split(':').collect();
    let word = |part: &&str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
    };
    if parts.len() <= 2 && parts.iter().all(word) {
        return Some(owner.value);
    }
    fields.cx.error_help(
        owner.span,
        format!("invalid owner `{}`", owner.value),
        "an owner is expected here",
        "write \"user\", \"user:group\" or \"65532:65532\"",
    );
    None
}

/// One string is for the shell, several are the arguments.
pub(super) fn command(node: &Node, cx: &DecodeContext) -> Option<Spanned<CommandNode>> {
    let mut fields = Fields::new(node, cx);
    let values = fields.rest();
    if values.is_empty() {
        fields.missing("a command");
    }
    fields.finish();
    let texts: Vec<Spanned<String>> = values.iter().filter_map(|value| cx.text(value)).collect();
    let first = texts.first()?;
    if texts.len() < values.len() {
        return None;
    }
    if first.value.trim().is_empty() {
        cx.error(first.span, "the command is empty", "nothing is here");
        return None;
    }
    let value = match texts.as_slice() {
        [one] => CommandNode::Shell(one.value.clone()),
        many => CommandNode::Argv(many.iter().map(|text| text.value.clone()).collect()),
    };
    Some(Spanned {
        value,
        span: node.span,
    })
}

/// `healthcheck "curl -f localhost" interval="30s" retries=3`, `healthcheck none`
fn healthcheck(node: &Node, cx: &DecodeContext) -> Option<StepNode> {
    let mut fields = Fields::new(node, cx);
    let texts: Vec<String> = fields
        .rest()
        .iter()
        .filter_map(|value| cx.word(value, "the command"))
        .map(|text| text.value)
        .collect();
    if node.args.is_empty() {
        fields.missing("a command, or `none`");
    }
    let interval = fields.prop_duration("interval");
    let timeout = fields.prop_duration("timeout");
    let start_period = fields.prop_duration("start-period");
    let start_interval = fields.prop_duration("start-interval");
    let retries = fields
        .prop("retries")
        .and_then(|value| cx.integer(value, 1..=1000));
    fields.finish();
    let test = match texts.as_slice() {
        [] => return None,
        [one] if one == "none" || one == "NONE" => HealthcheckTest::None,
        [one] => HealthcheckTest::Shell(one.clone()),
        _ => HealthcheckTest::Argv(texts),
    };
    Some(StepNode::Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries: retries.and_then(|count| u32::try_from(count).ok()),
    })
}
