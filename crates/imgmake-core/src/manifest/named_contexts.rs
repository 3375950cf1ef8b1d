//! `contexts` of a `build`: further places that its Dockerfile reads, by name.

use super::archive_image;
use super::check::check_path;
use super::context::DecodeContext;
use super::fields::{Fields, twice};
use super::image_name::check_image;
use super::remote::{RemoteKind, remote_kind};
use super::tree::{Data, Node, Value};
use super::types::{ContextNode, Spanned};

/// `contexts { base (target)base; alpine (image)"alpine:3.22"; proto (path)"../proto"; old (layout)"old" image="1.2"; lib "https://h/lib.git#v1" }`
pub(super) fn contexts(fields: &mut Fields) -> Vec<(Spanned<String>, ContextNode)> {
    let cx = fields.cx;
    let Some(node) = fields.child("contexts") else {
        return Vec::new();
    };
    let mut inner = Fields::new(node, cx);
    let mut contexts: Vec<(Spanned<String>, ContextNode)> = Vec::new();
    for child in inner.any_children() {
        let context = context(child, cx);
        if let Some((first, _)) = contexts
            .iter()
            .find(|(name, _)| name.value == child.name.value)
        {
            twice(cx, first.span, &child.name);
            continue;
        }
        if let Some(context) = context {
            contexts.push((child.name.clone(), context));
        }
    }
    inner.finish();
    contexts
}

fn context(node: &Node, cx: &DecodeContext) -> Option<ContextNode> {
    let mut entry = Fields::new(node, cx);
    let value = entry
        .required("`(target)NAME`, `(image)\"…\"`, `(path)\"…\"`, `(layout)\"…\"` or `(git)\"…\"`");
    let context = value.and_then(|value| place(value, cx));
    let image = entry.prop_text("image");
    let index = archive_image::index(&mut entry);
    entry.finish();
    let chooses = image.as_ref().map(|image| image.span);
    let chooses = chooses.or(index.map(|(span, _)| span));
    match (context?, chooses) {
        (ContextNode::Layout { path, .. }, _) => {
            let pick = archive_image::pick(image, index, cx);
            Some(ContextNode::Layout { path, pick })
        }
        (context, None) => Some(context),
        (_, Some(span)) => {
            let message = "`image=` and `index=` choose from a layout";
            cx.error_help(
                span,
                message,
                "nothing to choose from",
                "write `(layout)\"dir\"`",
            );
            None
        }
    }
}

fn place(value: &Value, cx: &DecodeContext) -> Option<ContextNode> {
    let kinds = ["target", "image", "path", "layout", "git"];
    let Some(ty) = &value.ty else {
        // A repository cannot be taken for anything else.
        if let Data::Text(_) = &value.data
            && let Some(text) = cx.annotated_text(value)
            && remote_kind(&text.value) == Some(RemoteKind::Git)
        {
            return Some(ContextNode::Git(text));
        }
        cx.error_help(
            value.span,
            "a named context needs a type",
            "a type annotation is missing",
            "write `(target)NAME`, `(image)\"alpine:3.22\"`, `(path)\"../dir\"`, `(layout)\"dir\"` or `(git)\"https://…/app.git#ref\"`",
        );
        return None;
    };
    let kind = cx.choice(ty, &kinds)?;
    let text = cx.annotated_text(value)?;
    if text.value.trim().is_empty() {
        cx.error(text.span, format!("the {kind} is empty"), "nothing is here");
        return None;
    }
    Some(match kind {
        "target" => ContextNode::Target(text),
        "image" => {
            check_image(&text, cx);
            ContextNode::Image(text)
        }
        "layout" => {
            check_path(&text, cx);
            ContextNode::Layout {
                path: text,
                pick: None,
            }
        }
        "git" => {
            if remote_kind(&text.value) != Some(RemoteKind::Git) {
                cx.error_help(
                    text.span,
                    format!("`{}` is not the address of a repository", text.value),
                    "a repository is expected here",
                    "write `https://host/app.git#ref`, `ssh://git@host/app` or `git@host:app`; ADD in the Dockerfile fetches files",
                );
                return None;
            }
            ContextNode::Git(text)
        }
        _ => ContextNode::Path(text),
    })
}
