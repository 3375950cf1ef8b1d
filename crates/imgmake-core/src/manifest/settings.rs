//! The nodes around the targets: `imgmake`, `secret`, `registry`.

use std::collections::BTreeMap;

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::duplicates::Names;
use super::duration;
use super::env_file;
use super::fields::Fields;
use super::tree::{Node, Value};
use super::types::*;

/// Read before everything else: variables may come from them.
pub(super) fn env_files(node: &Node, cx: &DecodeContext) -> Vec<EnvFile> {
    env_file::declared(&mut Fields::new(node, cx))
}

pub(super) fn settings(node: &Node, cx: &DecodeContext) -> Settings {
    let mut fields = Fields::new(node, cx);
    match fields.prop("version") {
        None => cx.error_help(
            node.name.span,
            "the version of the `imgmake` node is missing",
            "`version=` is missing",
            "write `imgmake version=1 { … }`",
        ),
        Some(value) if value.data != super::tree::Data::Integer(1) => cx.error_help(
            value.span,
            "this imgmake reads version 1 of the manifest",
            "not 1",
            "write `version=1`, or use a newer imgmake",
        ),
        Some(_) => {}
    }
    if let Some(requirement) = fields.prop_text("requires") {
        super::requirement::check(&requirement, cx);
    }
    let jobs = fields.integer("jobs", 1..=4096);
    let epoch = fields.integer("epoch", 0..=253_402_300_799);
    let watch = fields.child("watch").map(|node| watch(node, cx));
    let retry = fields.child("retry").map(|node| retry(node, cx));
    let cache = fields
        .child("cache")
        .map(|node| super::cache::cache(node, cx));
    let cache_mounts = fields
        .child("cache-mounts")
        .map(|node| super::policy::cache_mounts(node, cx));
    let bases = fields
        .child("bases")
        .map(|node| super::policy::bases(node, cx));
    let every_push = fields.text("every-push").and_then(|said| {
        let choice = cx.choice(&said, &["needs-gate"]);
        choice.map(|_| said.span)
    });
    // Decoded by `env_files`.
    let _ = fields.children("env-file");
    let pools = super::attempts::pools(fields.children("pool"), cx);
    let lock = fields.text("lock");
    lock.iter()
        .for_each(|path| super::check::check_path(path, cx));
    fields.finish();
    Settings {
        jobs: jobs.and_then(|jobs| usize::try_from(jobs).ok()),
        epoch,
        watch: watch.unwrap_or_default(),
        retry: retry.unwrap_or_default(),
        cache: cache.unwrap_or_default(),
        cache_mounts: cache_mounts.unwrap_or_default(),
        bases,
        pools,
        lock,
        every_push_needs_gate: every_push,
    }
}

/// `debounce "200ms" max="5s"; on-busy restart; ignore "a" "b"; targets dev`
fn watch(node: &Node, cx: &DecodeContext) -> WatchSettings {
    let mut settings = WatchSettings::default();
    let mut fields = Fields::new(node, cx);
    if let Some(node) = fields.child("debounce") {
        let mut fields = Fields::new(node, cx);
        let value = fields.required("a duration");
        if let Some(debounce) = value.and_then(|value| cx.duration(value)) {
            settings.debounce = debounce;
        }
        settings.max = fields.prop_duration("max").unwrap_or(settings.max);
        fields.finish();
    }
    if let Some(word) = fields.text("on-busy") {
        settings.on_busy = match cx.choice(&word, &["restart", "queue", "ignore"]) {
            Some("queue") => OnBusy::Queue,
            Some("ignore") => OnBusy::Ignore,
            _ => OnBusy::Restart,
        };
    }
    for pattern in fields.all_texts("ignore") {
        super::check::check_glob(&pattern, cx);
        settings.ignore.push(pattern.value);
    }
    settings.targets = fields.all_texts("targets");
    fields.finish();
    settings
}

/// `retry backoff="1s..30s" attempts=5`
fn retry(node: &Node, cx: &DecodeContext) -> Retry {
    let mut settings = Retry::default();
    let mut fields = Fields::new(node, cx);
    if let Some(text) = fields.prop_text("backoff") {
        let range = text.value.split_once("..");
        let range =
            range.and_then(|(from, to)| Some((duration::parse(from)?, duration::parse(to)?)));
        match range.filter(|(from, to)| from <= to) {
            Some(range) => settings.backoff = range,
            None => cx.error_help(
                text.span,
                format!("invalid range of durations `{}`", text.value),
                "a range is expected here",
                "write `backoff=\"1s..30s\"`",
            ),
        }
    }
    if let Some(value) = fields.prop("attempts")
        && let Some(attempts) = cx.integer(value, 1..=100)
    {
        settings.attempts = u32::try_from(attempts).unwrap_or(settings.attempts);
    }
    fields.finish();
    settings
}

/// `secret npm env="NPM_TOKEN"` or `secret netrc file="~/.netrc" optional=#true`; `secret token env="TOKEN" unset="empty"`
pub(super) fn secret(node: &Node, cx: &DecodeContext, names: &mut Names) -> Option<SecretNode> {
    let mut fields = Fields::new(node, cx);
    let name = fields
        .required("a name")
        .and_then(|value| cx.name(value, super::context::SECRET));
    let env = fields.prop_text("env");
    let file = fields.prop_text("file");
    let optional = fields.prop_boolean("optional") == Some(true);
    let unset = fields.prop_text("unset");
    if let Some(unset) = &unset {
        unset_is_empty(unset, optional, env.is_some(), cx);
    }
    let absence = match (optional, unset) {
        (true, _) => Absence::Undeclared,
        (false, Some(_)) => Absence::Empty,
        (false, None) => Absence::Fails,
    };
    let source = match (env, file) {
        (Some(env), None) => Some(SecretFrom::Env(env.value)),
        (None, Some(file)) => Some(SecretFrom::File(file.value)),
        (Some(env), Some(file)) => {
            let diagnostic = Diagnostic::at(file.span, "a secret has one source", "and a file");
            cx.report(diagnostic.with_related(env.span, "a variable"));
            None
        }
        (None, None) => {
            if !node
                .props
                .iter()
                .any(|(key, _)| matches!(key.value.as_str(), "env" | "file"))
            {
                fields.missing("`env=\"NAME\"` or `file=\"path\"`");
            }
            None
        }
    };
    fields.finish();
    let name = name?;
    names.book("secret", &name, cx);
    Some(SecretNode {
        name,
        source: source?,
        absence,
    })
}

/// `unset="empty"`: of a variable alone, and instead of `optional`.
fn unset_is_empty(unset: &Spanned<String>, optional: bool, of_variable: bool, cx: &DecodeContext) {
    if unset.value != "empty" {
        let message = format!("invalid `unset` `{}`", unset.value);
        let help =
            "write `unset=\"empty\"`; `optional=#true` is as if the secret were not declared";
        cx.error_help(unset.span, message, "`empty` is expected here", help);
    } else if optional {
        let message = "`optional` and `unset` exclude each other";
        let help = "with `optional` there is no secret, with `unset=\"empty\"` an empty one";
        cx.error_help(unset.span, message, "leave one of them out", help);
    } else if !of_variable {
        let message = "`unset` is for secrets from variables";
        let help = "`optional=#true` lets a file be missing";
        cx.error_help(unset.span, message, "this secret has no `env=`", help);
    }
}

pub(super) fn registry(node: &Node, cx: &DecodeContext, names: &mut Names) -> Option<RegistryNode> {
    let mut fields = Fields::new(node, cx);
    let name = fields
        .required("a name")
        .and_then(|value| cx.name(value, "a registry"));
    let about = name
        .as_ref()
        .map(|name| format!("registry `{}`: ", name.value));
    let cx = &cx.about(about.unwrap_or_default());
    fields.cx = cx;
    let prefix = fields.required("a prefix, `host[:port][/path]`");
    let prefix = prefix.and_then(|value| prefix_of(value, cx));
    let auth = fields.child("auth").and_then(|node| auth(node, cx));
    let registry = RegistryNode {
        name: name.clone().unwrap_or_default(),
        prefix: prefix.clone().unwrap_or_default(),
        auth: auth.unwrap_or_default(),
        insecure: fields.flag("insecure").unwrap_or(false),
        skip_tls_verify: fields.flag("skip-tls-verify").unwrap_or(false),
        ca: fields.text("ca").map(|text| text.value),
        client_cert: fields
            .child("client-cert")
            .and_then(|node| client_cert(node, cx)),
        concurrency: fields
            .integer("concurrency", 1..=256)
            .and_then(|count| usize::try_from(count).ok()),
        create_repo: fields.flag("create-repo").unwrap_or(false),
        mirrors: fields
            .all_texts("mirrors")
            .into_iter()
            .map(|text| text.value)
            .collect(),
        mirrors_only: fields.flag("mirrors-only").unwrap_or(false),
    };
    fields.finish();
    names.book("registry", &name?, cx);
    prefix.map(|_| registry)
}

fn prefix_of(value: &Value, cx: &DecodeContext) -> Option<Spanned<String>> {
    let mut prefix = cx.word(value, "the registry's prefix")?;
    let scheme = ["https://", "http://", "oci://", "docker://"]
        .into_iter()
        .find(|scheme| prefix.value.starts_with(scheme));
    if let Some(scheme) = scheme {
        cx.error_help(
            prefix.span,
            format!("a registry's prefix has no `{scheme}`"),
            "`host[:port][/path]` is expected here",
            match scheme {
                "http://" => "remove it and add `insecure #true`",
                _ => "remove it",
            },
        );
        return None;
    }
    let trimmed = prefix.value.trim_end_matches('/').to_string();
    let bad = trimmed.split('/').any(str::is_empty)
        || trimmed.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#')
        });
    if bad {
        cx.error(
            prefix.span,
            format!("invalid registry prefix `{}`", prefix.value),
            "`host[:port][/path]` is expected here",
        );
        return None;
    }
    prefix.value = trimmed;
    Some(prefix)
}

fn client_cert(node: &Node, cx: &DecodeContext) -> Option<(String, String)> {
    let mut fields = Fields::new(node, cx);
    let cert = fields.required("the certificate's path");
    let key = fields.prop_text("key");
    if key.is_none() {
        fields.missing("`key=\"path\"`");
    }
    fields.finish();
    Some((cx.word(cert?, "the path")?.value, key?.value))
}

const AUTH: [&str; 7] = [
    "docker-config",
    "anonymous",
    "basic",
    "bearer",
    "aws-ecr",
    "gcp",
    "azure",
];

/// The options of each cloud, and which of them no manifest should hold.
const AWS_ECR: [(&str, Holds); 14] = [
    ("region", Holds::Text),
    ("profile", Holds::Text),
    ("role", Holds::Text),
    ("external-id", Holds::Text),
    ("session-name", Holds::Text),
    ("endpoint", Holds::Text),
    ("sts-endpoint", Holds::Text),
    ("lifecycle-policy", Holds::Text),
    ("repository-policy", Holds::Text),
    ("scan-on-push", Holds::Boolean),
    ("access-key", Holds::Text),
    ("secret-key", Holds::Secret),
    ("session-token", Holds::Secret),
    ("web-identity-token", Holds::Secret),
];
const GCP: [(&str, Holds); 4] = [
    ("key", Holds::Secret),
    ("key-file", Holds::Text),
    ("access-token", Holds::Secret),
    ("endpoint", Holds::Text),
];
const AZURE: [(&str, Holds); 7] = [
    ("tenant", Holds::Text),
    ("client-id", Holds::Text),
    ("client-secret", Holds::Secret),
    ("certificate", Holds::Text),
    ("federated-token", Holds::Secret),
    ("managed-identity", Holds::Boolean),
    ("endpoint", Holds::Text),
];

/// What an option of a cloud is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Boolean,
    Secret,
}

fn auth(node: &Node, cx: &DecodeContext) -> Option<AuthNode> {
    let mut fields = Fields::new(node, cx);
    let kind = fields.required("a kind").and_then(|value| cx.text(value));
    let kind = kind.and_then(|kind| cx.choice(&kind, &AUTH));
    let auth = match kind {
        Some("docker-config") => Some(AuthNode::DockerConfig),
        Some("anonymous") => Some(AuthNode::Anonymous),
        Some("basic") => basic(&mut fields),
        Some("bearer") => credential(&mut fields, "token").map(|token| AuthNode::Bearer { token }),
        Some("aws-ecr") => Some(AuthNode::AwsEcr(options(&mut fields, &AWS_ECR))),
        Some("gcp") => Some(AuthNode::Gcp(options(&mut fields, &GCP))),
        Some("azure") => Some(AuthNode::Azure(options(&mut fields, &AZURE))),
        _ => {
            fields.any_props();
            None
        }
    };
    fields.finish();
    auth
}

fn basic(fields: &mut Fields) -> Option<AuthNode> {
    let user = fields.prop_text("user");
    if user.is_none() {
        fields.missing("`user=`");
    }
    let password = credential(fields, "password");
    Some(AuthNode::Basic {
        user: user?.value,
        password: password?,
    })
}

fn credential(fields: &mut Fields, name: &'static str) -> Option<PasswordFrom> {
    match fields.prop(name) {
        Some(value) => {
            let found = secret_or_text(value, fields.cx)?;
            warn_of_literal(&found, value, fields.cx);
            Some(found)
        }
        None => {
            fields.missing(&format!("`{name}=(secret)NAME`"));
            None
        }
    }
}

fn options(fields: &mut Fields, known: &[(&'static str, Holds)]) -> BTreeMap<String, PasswordFrom> {
    let mut options = BTreeMap::new();
    for (name, holds) in known {
        let Some(value) = fields.prop(name) else {
            continue;
        };
        let found = match holds {
            Holds::Boolean => {
                let value = fields.cx.boolean(value);
                value.map(|value| PasswordFrom::Literal(value.to_string()))
            }
            Holds::Text | Holds::Secret => secret_or_text(value, fields.cx),
        };
        let Some(found) = found else { continue };
        if *holds == Holds::Secret {
            warn_of_literal(&found, value, fields.cx);
        }
        options.insert((*name).to_string(), found);
    }
    options
}

fn secret_or_text(value: &Value, cx: &DecodeContext) -> Option<PasswordFrom> {
    match value.ty.as_ref().map(|ty| ty.value.as_str()) {
        Some("secret") => cx.annotated_text(value).map(PasswordFrom::Secret),
        _ => {
            let text = cx.text(value)?;
            Some(PasswordFrom::Literal(text.value))
        }
    }
}

/// In the file it is seen by whoever reads the repository, in the cache by whoever reads that.
fn warn_of_literal(password: &PasswordFrom, value: &Value, cx: &DecodeContext) {
    if let PasswordFrom::Literal(_) = password {
        cx.warn(
            value.span,
            "the manifest contains a credential",
            "declare `secret NAME env=\"…\"` and write `(secret)NAME` here",
        );
    }
}
