//! `image=` and `index=`: one of several images of an archive or layout.

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::Fields;
use super::types::{ArchiveImage, Span, Spanned};

/// A number from 1.
pub(super) fn index(fields: &mut Fields) -> Option<(Span, usize)> {
    let cx = fields.cx;
    fields.prop("index").and_then(|value| {
        let number = cx.integer(value, 1..=1_000_000)?;
        Some((value.span, number as usize))
    })
}

pub(super) fn pick(
    image: Option<Spanned<String>>,
    index: Option<(Span, usize)>,
    cx: &DecodeContext,
) -> Option<ArchiveImage> {
    match (image, index) {
        (Some(image), Some((span, _))) => {
            let message = "`image=` and `index=` exclude each other";
            let diagnostic = Diagnostic::at(span, message, "and here");
            cx.report(diagnostic.with_related(image.span, "the image is named here"));
            None
        }
        (Some(image), None) => Some(ArchiveImage::Named(image.value)),
        (None, Some((_, number))) => Some(ArchiveImage::Numbered(number)),
        (None, None) => None,
    }
}
