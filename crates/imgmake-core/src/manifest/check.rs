//! Values that several nodes check alike: paths, patterns, names of variables.

use super::context::DecodeContext;
use super::glob::{Glob, excluded};
use super::types::Spanned;
use std::collections::BTreeMap;

use imgmake_oci::image::{AnnotationPlace, Platform};

/// A path that a file system could hold.
pub(super) fn check_path(path: &Spanned<String>, cx: &DecodeContext) {
    if path.value.is_empty() || path.value.contains('\0') {
        cx.error(path.span, "invalid path", "a path is expected here");
    }
}

pub(super) fn check_glob(pattern: &Spanned<String>, cx: &DecodeContext) {
    let text = excluded(&pattern.value).unwrap_or(&pattern.value);
    if let Err(error) = Glob::new(text) {
        let message = format!("invalid pattern `{}`: {error}", pattern.value);
        cx.error(pattern.span, message, "a pattern is expected here");
    }
}

/// `manifest[linux/arm64]:key` is for an image that the target makes.
pub(super) fn check_annotations(
    annotations: &BTreeMap<String, Spanned<String>>,
    platforms: &[Spanned<String>],
    cx: &DecodeContext,
) {
    let made: Vec<Platform> = platforms
        .iter()
        .filter_map(|platform| platform.value.parse().ok())
        .collect();
    for (key, value) in annotations {
        if AnnotationPlace::is_mistaken(key) {
            cx.error_help(
                value.span,
                format!("invalid annotation `{key}`"),
                "the part before `:` is not a level of an image",
                "write `manifest[PLATFORM]:key`, `manifest-descriptor[PLATFORM]:key` or `index:key`",
            );
        }
        let wanted = AnnotationPlace::of(key).platform;
        if let Some(wanted) = wanted
            && !made.is_empty()
            && !made.iter().any(|platform| platform.serves(&wanted))
        {
            let message = format!("annotation `{key}`: the target has no platform `{wanted}`");
            cx.error(
                value.span,
                message,
                "no image of the target has this platform",
            );
        }
    }
}

/// Names of environment variables: what `=` would cut is no name.
pub(super) fn check_label(key: &Spanned<String>, cx: &DecodeContext) {
    if key.value.is_empty() || key.value.contains(['=', '\0']) {
        let message = format!("invalid variable name `{}`", key.value);
        cx.error(key.span, message, "without `=`");
    }
}

pub(super) fn check_labels(pairs: &[(Spanned<String>, Spanned<String>)], cx: &DecodeContext) {
    pairs.iter().for_each(|(key, _)| check_label(key, cx));
}
