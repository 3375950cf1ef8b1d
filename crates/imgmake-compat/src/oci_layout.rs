//! `oci-layout://PATH[:TAG][@DIGEST]`: how Docker names an image of a layout.

use imgmake_core::manifest::{ArchiveImage, ContextNode};

use crate::nodes::plain;

/// `None` of what is no such address. A tag may not be told from a path with a colon but by what a tag is.
pub fn context(address: &str) -> Option<ContextNode> {
    let place = address.strip_prefix("oci-layout://")?;
    let (place, digest) = match place.rsplit_once('@') {
        Some((path, digest)) if is_digest(digest) => (path, Some(digest)),
        _ => (place, None),
    };
    let (path, tag) = match place.rsplit_once(':') {
        Some((path, tag)) if imgmake_core::manifest::is_tag(tag) => (path, Some(tag)),
        _ => (place, None),
    };
    let image = digest
        .or(tag)
        .map(|image| ArchiveImage::Named(image.into()));
    Some(ContextNode::Layout {
        path: plain(path),
        pick: image,
    })
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_a_tag_and_a_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (address, path, image) in [
            ("oci-layout:///a/layout", "/a/layout", None),
            ("oci-layout://layout:1.3", "layout", Some("1.3")),
            (
                &format!("oci-layout:///a/@/b@{digest}"),
                "/a/@/b",
                Some(digest.as_str()),
            ),
            (
                &format!("oci-layout://b:1@{digest}"),
                "b",
                Some(digest.as_str()),
            ),
            ("oci-layout:///a/@/b", "/a/@/b", None),
            ("oci-layout://a:b/c", "a:b/c", None),
        ] {
            let pick = image.map(|image| ArchiveImage::Named(image.into()));
            let expected = ContextNode::Layout {
                path: plain(path),
                pick,
            };
            assert_eq!(context(address), Some(expected), "{address}");
        }
        assert_eq!(context("docker-image://a"), None);
    }
}
