//! What the `imgmake` node says about trust: which base images are allowed, and who
//! shares cache mounts. No Dockerfile can say it, since Dockerfiles are what it is about.

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::Fields;
use super::image_pattern::ImagePattern;
use super::signers::signer;
use super::tree::Node;
use super::types::{BasesNode, CacheMounts};

pub(super) fn bases(node: &Node, cx: &DecodeContext) -> BasesNode {
    let mut fields = Fields::new(node, cx);
    let allow = fields.all_texts("allow");
    // An empty one was reported with the list.
    for pattern in allow.iter().filter(|p| !p.value.is_empty()) {
        if let Err((why, help)) = ImagePattern::parse(&pattern.value) {
            let message = format!("invalid pattern of image names `{}`: {why}", pattern.value);
            let diagnostic = Diagnostic::at(pattern.span, message, "a pattern is expected here");
            cx.report(match help.is_empty() {
                true => diagnostic,
                false => diagnostic.with_help(help),
            });
        }
    }
    let mut signers = Vec::new();
    for node in fields.children("require-signature") {
        let mut fields = Fields::new(node, cx);
        signers.extend(signer(&mut fields, "`key=\"base.pub\"`"));
        fields.finish();
    }
    if node.children.as_deref().unwrap_or_default().is_empty() {
        fields.missing("`allow` or `require-signature`");
    }
    fields.finish();
    BasesNode {
        span: node.name.span,
        allow,
        signers,
    }
}

/// `cache-mounts scope=project`
pub(super) fn cache_mounts(node: &Node, cx: &DecodeContext) -> CacheMounts {
    let mut fields = Fields::new(node, cx);
    if fields.prop("scope").is_none() {
        fields.missing("`scope=project` or `scope=user`");
    }
    let scope = fields.prop_text("scope");
    fields.finish();
    match scope.and_then(|word| cx.choice(&word, &["project", "user"])) {
        Some("user") => CacheMounts::User,
        _ => CacheMounts::Project,
    }
}
