//! `requires=">=0.3"`: which imgmake a manifest is written for.

use super::context::DecodeContext;
use super::diagnostic::{Diagnostic, Origin};
use super::types::Spanned;

/// Of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Major, minor and patch; what is not written is 0.
type Version = [u64; 3];

pub(super) fn check(text: &Spanned<String>, cx: &DecodeContext) {
    let own = version(OWN).expect("our version is one");
    match satisfies(own, &text.value) {
        Some(true) => {}
        Some(false) => {
            let message = format!(
                "this manifest requires imgmake {}, and this is {OWN}",
                text.value
            );
            let diagnostic = Diagnostic::at(text.span, message, "another version is required here");
            cx.report(Diagnostic {
                origin: Origin::Requirement,
                ..diagnostic.with_help("install a version that fits")
            });
        }
        None => cx.error_help(
            text.span,
            format!("invalid requirement `{}`", text.value),
            "a version is expected here",
            "write `requires=\">=0.3\"`, or several with commas: `\">=0.3, <2\"`",
        ),
    }
}

/// `None` of what is no requirement.
fn satisfies(own: Version, text: &str) -> Option<bool> {
    let mut all = true;
    for part in text.split(',') {
        let part = part.trim();
        let digits = part.find(|c: char| c.is_ascii_digit())?;
        let (sign, wanted) = part.split_at(digits);
        let wanted = version(wanted)?;
        all &= match sign.trim() {
            ">=" => own >= wanted,
            ">" => own > wanted,
            "<=" => own <= wanted,
            "<" => own < wanted,
            "=" => own == wanted,
            _ => return None,
        };
    }
    Some(all)
}

fn version(text: &str) -> Option<Version> {
    // What follows a release's number says nothing here.
    let text = text.split(['-', '+']).next()?;
    let mut version = [0; 3];
    let mut parts = text.split('.');
    for place in &mut version {
        match parts.next() {
            Some(part) => *place = part.parse().ok()?,
            None => break,
        }
    }
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        let own = [0, 10, 2];
        for (text, answer) in [
            (">=0.3", Some(true)),
            (">=0.10.2", Some(true)),
            (">=0.10.3", Some(false)),
            (">0.9, <1", Some(true)),
            (">0.9, <0.10", Some(false)),
            ("=0.10.2", Some(true)),
            ("<=0.9", Some(false)),
            ("0.3", None),
            ("^0.3", None),
            (">=", None),
            ("", None),
            (">=1.2.3.4", None),
            (">=1.x", None),
        ] {
            assert_eq!(satisfies(own, text), answer, "{text}");
        }
    }
}
