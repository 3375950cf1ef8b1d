//! How a push signs what it publishes, and what it says of it: `sign key="cosign.key"`, `attest "cyclonedx"`.

use super::check::check_path;
use super::fields::Fields;
use super::types::{Attestation, SignKey, SignNode};

/// `sign key="cosign.key" password=(secret)NAME`; a key may be a secret as well: `key=(secret)NAME`.
pub(super) fn sign(fields: &mut Fields) -> Option<SignNode> {
    let cx = fields.cx;
    let node = fields.child("sign")?;
    let mut fields = Fields::new(node, cx);
    let key = fields.prop("key");
    if key.is_none() {
        fields.missing("`key=\"FILE\"` or `key=(secret)NAME`");
    }
    let password = fields.prop("password");
    fields.finish();
    let is_secret =
        |value: &super::tree::Value| value.ty.as_ref().is_some_and(|ty| ty.value == "secret");
    let key = key.and_then(|value| match is_secret(value) {
        true => cx.annotated_text(value).map(SignKey::Secret),
        false => cx.text(value).map(SignKey::File),
    });
    if let Some(SignKey::File(path)) = &key {
        check_path(path, cx);
    }
    let password = password.and_then(|value| match is_secret(value) {
        true => cx.annotated_text(value),
        false => {
            cx.error_help(
                value.span,
                "the manifest contains a password",
                "a secret is expected here",
                "declare `secret NAME env=\"…\"` and write `password=(secret)NAME`",
            );
            None
        }
    });
    Some(SignNode {
        key: key?,
        password,
    })
}

/// `attest "cyclonedx" "spdx"`
pub(super) fn attest(fields: &mut Fields) -> Vec<Attestation> {
    let cx = fields.cx;
    let mut found: Vec<Attestation> = Vec::new();
    for kind in fields.texts("attest") {
        let one = match cx.choice(&kind, &["cyclonedx", "spdx"]) {
            Some("cyclonedx") => Attestation::CycloneDx,
            Some(_) => Attestation::Spdx,
            None => continue,
        };
        match found.contains(&one) {
            true => cx.error(
                kind.span,
                format!("duplicate attestation `{}`", kind.value),
                "it is attached once",
            ),
            false => found.push(one),
        }
    }
    found
}
