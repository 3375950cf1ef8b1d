//! Names of images, tags, repositories and platforms, checked where they are written.

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::twice;
use super::suggest;
use super::types::Spanned;
use imgmake_oci::image::{Platform, Reference, ReferenceError, TAG_RULE, is_tag};

/// A whole name, as `tags` of a build and `from image=` have it. One without a word is reported
/// as an empty string already.
pub(super) fn check_image(name: &Spanned<String>, cx: &DecodeContext) {
    let text = name.value.as_str();
    let Err(error) = text.parse::<Reference>() else {
        return;
    };
    if text.is_empty() {
        return;
    }
    let (message, label, rule) = match error {
        ReferenceError::Tag { tag, .. } => (
            format!("invalid tag `{tag}`"),
            "of this image".to_string(),
            Some(TAG_RULE.to_string()),
        ),
        ReferenceError::Name { text, reason } => (
            format!("invalid image name `{text}`"),
            reason,
            name_help(&text),
        ),
    };
    let mut diagnostic = Diagnostic::at(name.span, message, label);
    diagnostic.help = variable_help(text).or_else(|| list_help(text)).or(rule);
    cx.report(diagnostic);
}

/// A tag alone, as a destination has it.
pub(super) fn check_tag(tag: &Spanned<String>, cx: &DecodeContext) {
    let text = tag.value.as_str();
    if text.is_empty() || is_tag(text) {
        return;
    }
    let help = variable_help(text).or_else(|| list_help(text));
    cx.error_help(
        tag.span,
        format!("invalid tag `{text}`"),
        "a tag is expected here",
        help.unwrap_or_else(|| TAG_RULE.to_string()),
    );
}

/// A repository without host and tag.
pub(super) fn check_repository(name: &Spanned<String>, cx: &DecodeContext) {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    if name.value.split('/').all(part) {
        return;
    }
    let rule = "it has lower-case letters, digits, `.`, `_`, `-` and `/`; write the tag in `tags`, the host in `registry`";
    cx.error_help(
        name.span,
        format!("invalid repository `{}`", name.value),
        "a repository is expected here",
        variable_help(&name.value).unwrap_or_else(|| rule.to_string()),
    );
}

/// `platforms`: of a known system and processor, and none twice, however it is written.
pub(super) fn check_platforms(platforms: &[Spanned<String>], cx: &DecodeContext) {
    let mut known: Vec<(Platform, &Spanned<String>)> = Vec::new();
    for written in platforms {
        let text = written.value.as_str();
        let parsed = text.parse::<Platform>().ok();
        let parsed = parsed.filter(|one| text.contains('/') && one.is_known());
        let Some(platform) = parsed else {
            if !text.is_empty() {
                unknown_platform(written, cx);
            }
            continue;
        };
        match known.iter().find(|(one, _)| *one == platform) {
            Some((_, first)) if first.value == written.value => twice(cx, first.span, written),
            Some((_, first)) => {
                let message = format!("duplicate platform: `{text}` is `{}`", first.value);
                let diagnostic = Diagnostic::at(written.span, message, "the second one");
                cx.report(diagnostic.with_related(first.span, "the first one"));
            }
            None => known.push((platform, written)),
        }
    }
}

fn unknown_platform(written: &Spanned<String>, cx: &DecodeContext) {
    const USUAL: [&str; 8] = [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/arm/v6",
        "linux/386",
        "linux/ppc64le",
        "linux/s390x",
        "linux/riscv64",
    ];
    let help = variable_help(&written.value).unwrap_or_else(|| {
        suggest::nearest(&written.value, USUAL).map_or_else(
            || "write `os/architecture`, such as \"linux/amd64\" or \"linux/arm/v7\"".to_string(),
            |near| format!("did you mean `{near}`?"),
        )
    });
    let message = format!("invalid platform `{}`", written.value);
    cx.error_help(written.span, message, "not a platform", help);
}

/// What a shell, a template of a CI system or Helm would write.
fn variable_help(text: &str) -> Option<String> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let written = match (text.split_once('$'), text.split_once("{{")) {
        (Some((_, rest)), _) => rest.strip_prefix(['(', '{']).unwrap_or(rest),
        // `{{ .Values.TAG }}`
        (None, Some((_, rest))) => {
            let inner = rest.split("}}").next().unwrap_or_default().trim();
            inner.rsplit('.').next().unwrap_or_default()
        }
        (None, None) => return None,
    };
    let end = written.find(|c| !is_in_name(c)).unwrap_or(written.len());
    let name = &written[..end];
    (!name.is_empty()).then(|| format!("a variable is written `${{{name}}}`"))
}

/// The valid name that was probably meant.
fn name_help(text: &str) -> Option<String> {
    let plain = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    // `localhost:5000:1.0`: host and port have no name after them.
    let host = plain.split_once(':').and_then(|(host, rest)| {
        let (port, tag) = rest.split_once(':')?;
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        is_port.then(|| format!("{host}:{port}/NAME:{tag}"))
    });
    if let Some(name) = host.filter(|_| !plain.contains('/')) {
        return Some(format!("after a port, a name is needed: `{name}`"));
    }
    let is_valid = |name: &&str| name.parse::<Reference>().is_ok();
    let lower = plain.to_lowercase();
    let meant = [plain, &lower].into_iter().find(is_valid)?;
    Some(format!("write `{meant}`"))
}

fn list_help(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let several = parts.len() > 1 && parts.iter().all(|part| !part.is_empty());
    several.then(|| {
        let quoted: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
        format!("write each name as a separate string: {}", quoted.join(" "))
    })
}
