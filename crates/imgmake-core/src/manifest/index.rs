//! `index { images NAME…; from image="…" }`: images that are joined into one of several platforms.

use super::check::check_glob;
use super::context::DecodeContext;
use super::fields::{Fields, twice};
use super::image_name::check_image;
use super::tree::Node;
use super::types::{IndexNode, Spanned};

pub(super) fn index(node: &Node, cx: &DecodeContext) -> Option<IndexNode> {
    let mut fields = Fields::new(node, cx);
    let images = fields.texts("images");
    images.iter().for_each(|image| check_glob(image, cx));
    let nodes: Vec<&Node> = fields.children("from").collect();
    let from: Vec<Spanned<String>> = nodes.iter().filter_map(|node| image(node, cx)).collect();
    if nodes.is_empty() && fields.child("images").is_none() {
        fields.missing("`from image=\"…\"` or `images NAME…`, for each platform");
    }
    fields.finish();
    for (at, name) in from.iter().enumerate() {
        if let Some(first) = from[..at].iter().find(|one| one.value == name.value) {
            twice(cx, first.span, name);
        }
    }
    (from.len() == nodes.len()).then_some(IndexNode { images, from })
}

/// `from image="registry.example.com/app:1-amd64"`
fn image(node: &Node, cx: &DecodeContext) -> Option<Spanned<String>> {
    let mut fields = Fields::new(node, cx);
    let image = fields.prop_text("image");
    if !node.props.iter().any(|(key, _)| key.value == "image") {
        fields.missing("`image=\"name\"`");
    }
    fields.finish();
    image.iter().for_each(|name| check_image(name, cx));
    image
}
