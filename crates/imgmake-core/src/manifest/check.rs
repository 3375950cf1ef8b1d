//! Values that several nodes check alike: paths, patterns, names of variables.

use super::context::DecodeContext;
use super::glob::{Glob, excluded};
use super::types::Spanned;

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
