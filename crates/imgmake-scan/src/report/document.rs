//! What the formats of reports have in common.

use crate::findings::{Finding, printable_line};
use crate::policy::{Judged, Judgement};
use crate::verdict::{ImageVerdict, PlatformVerdict, Verdict};
use imgmake_oci::image::Digest;

/// What every document says of itself.
pub(super) struct Header<'a> {
    pub target: &'a str,
    pub scanner: &'a str,
    pub created: String,
}

/// Every finding with the image and manifest that it belongs to.
pub(super) fn each(
    verdict: &Verdict,
) -> impl Iterator<Item = (&ImageVerdict, &PlatformVerdict, &Judged)> {
    verdict.images.iter().flat_map(|image| {
        let platforms = image.platforms.iter();
        platforms.flat_map(move |p| p.findings.iter().map(move |f| (image, p, f)))
    })
}

pub(super) fn word(judgement: &Judgement) -> (&'static str, &str) {
    match judgement {
        Judgement::Refused(why) => ("refused", why),
        Judgement::Tolerated(why) => ("tolerated", why),
        Judgement::Ignored(why) => ("ignored", why),
    }
}

/// A text of an image, as a reader's terminal may get it.
pub(super) fn shown(text: &str) -> String {
    printable_line(text)
}

/// By what it was judged, a line each.
pub(super) fn sentences(verdict: &Verdict) -> Vec<String> {
    let bases = verdict.bases.iter();
    bases.map(|basis| basis.sentence(verdict.at)).collect()
}

/// One line about a finding.
pub(super) fn sentence(finding: &Finding) -> String {
    let mut text = finding.id.clone();
    if !finding.package.is_empty() {
        text += &format!(" in {} {}", finding.package, finding.version);
    }
    if let Some(fixed) = &finding.fixed {
        text += &format!(", fixed in {fixed}");
    }
    if !finding.title.is_empty() {
        text += &format!(": {}", finding.title);
    }
    text
}

/// A version 8 UUID of some text: documents want one, and equal verdicts must
/// give equal documents.
pub(super) fn uuid(of: &str) -> String {
    let mut bytes: [u8; 16] = blake3::hash(of.as_bytes()).as_bytes()[..16]
        .try_into()
        .expect("a hash has 32 bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// Files of an image that tell of packages and were not read: a document without them is not whole.
pub(super) fn unread<'v>(verdict: &'v Verdict, image: &Digest) -> &'v [String] {
    let inventory = verdict.inventories.get(image);
    inventory.map_or(&[], |inventory| &inventory.unread)
}
