//! How a push signs what it publishes, what it says of it, and what must have been said before:
//! `sign key="cosign.key"`, `attest "cyclonedx"`, `needs-attestation gate key="ci.pub"`.

use super::check::check_path;
use super::context::DecodeContext;
use super::fields::{Fields, twice};
use super::signers::signer;
use super::types::{
    AttestNode, Attestation, NeedsAttestation, PushFrom, SignKey, SignNode, Spanned,
};

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

/// `attest "spdx" "provenance" as="index"` or `"referrers"`, and `builder="https://ci.example.com/runner"`.
pub(super) fn attest(
    fields: &mut Fields,
    from: Option<&PushFrom>,
    sign: Option<&SignNode>,
) -> AttestNode {
    let cx = fields.cx;
    let nodes: Vec<_> = fields.children("attest").collect();
    let mut attest = AttestNode::default();
    for node in nodes {
        let mut fields = Fields::new(node, cx);
        let named = cx.list(fields.rest());
        if node.args.is_empty() {
            fields
                .missing("at least one of \"cyclonedx\", \"spdx\", \"provenance\" and \"verdict\"");
        }
        let place = fields.prop_text("as");
        let place = place.and_then(|place| cx.choice(&place, &["referrers", "index"]));
        let is_index = place == Some("index");
        let builder = fields.prop_text("builder");
        fields.finish();
        let mut says_provenance = false;
        for kind in named {
            let Some(one) = document(&kind, cx) else {
                continue;
            };
            says_provenance |= one == Attestation::Provenance;
            let known = match is_index {
                true => &mut attest.in_index,
                false => &mut attest.documents,
            };
            if known.contains(&one) {
                let message = format!("duplicate attestation `{}`", kind.value);
                cx.error(kind.span, message, "it is attached once");
                continue;
            }
            check_document(one, &kind, is_index, from, sign, cx);
            known.push(one);
        }
        let Some(builder) = builder else {
            continue;
        };
        check_builder(&builder, cx);
        if !says_provenance {
            cx.error_help(
                builder.span,
                "`builder=` is said in provenances, and none is attached",
                "there is no `\"provenance\"` beside it",
                "write `attest \"provenance\" builder=\"…\"`",
            );
        }
        match &attest.builder {
            Some(first) if first.value != builder.value => cx.error(
                builder.span,
                "the builder has two names",
                format!("`{}` is the other one", first.value),
            ),
            _ => attest.builder = Some(builder),
        }
    }
    attest
}

fn check_document(
    one: Attestation,
    kind: &Spanned<String>,
    is_index: bool,
    from: Option<&PushFrom>,
    sign: Option<&SignNode>,
    cx: &DecodeContext,
) {
    if one == Attestation::Provenance && from.is_some_and(|from| !is_built(from)) {
        cx.error_help(
            kind.span,
            "provenance says how an image was built, and this push publishes one that was built elsewhere",
            "only images of `build` targets have one",
            "take `\"provenance\"` out, or push the image with `images NAME`",
        );
    }
    if one == Attestation::Verdict && is_index {
        cx.error_help(
            kind.span,
            "a verdict is signed, and what is in an index is not",
            "only \"cyclonedx\", \"spdx\" and \"provenance\" can be in an index",
            "write it in an `attest` of its own, without `as=\"index\"`",
        );
    } else if one == Attestation::Verdict && sign.is_none() {
        cx.error_help(
            kind.span,
            "a verdict without a signature proves nothing",
            "this push does not `sign`",
            "write `sign key=\"cosign.key\"` beside it",
        );
    }
}

fn document(kind: &Spanned<String>, cx: &DecodeContext) -> Option<Attestation> {
    const ALL: [Attestation; 4] = [
        Attestation::CycloneDx,
        Attestation::Spdx,
        Attestation::Provenance,
        Attestation::Verdict,
    ];
    let word = cx.choice(kind, &ALL.map(Attestation::word))?;
    ALL.into_iter().find(|one| one.word() == word)
}

/// Whether every image of a push was built here.
fn is_built(from: &PushFrom) -> bool {
    match from {
        PushFrom::Images(_) => true,
        PushFrom::Index(index) => index.from.is_empty(),
        PushFrom::Tar { .. } | PushFrom::Image(_) | PushFrom::Stored(_) => false,
    }
}

/// SLSA has a URI here (type `TypeURI`): a scheme, and nothing that a URI has not.
fn check_builder(builder: &Spanned<String>, cx: &DecodeContext) {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    };
    let parts = builder.value.split_once(':');
    let is_uri = parts.is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
        && builder.value.bytes().all(|b| b.is_ascii_graphic());
    if !is_uri {
        cx.error_help(
            builder.span,
            format!("invalid builder `{}`", builder.value),
            "a URI is expected here",
            "write the address of the CI system or of a page about it: `builder=\"https://ci.example.com/runners/1\"`",
        );
    }
}

/// `needs-attestation gate key="ci.pub" max-age="7d" same-db=#true`
pub(super) fn needs_attestations(fields: &mut Fields) -> Vec<NeedsAttestation> {
    let cx = fields.cx;
    let nodes: Vec<_> = fields.children("needs-attestation").collect();
    let mut found: Vec<NeedsAttestation> = Vec::new();
    for node in nodes {
        let mut fields = Fields::new(node, cx);
        let gate = fields.required("the name of a `scan` target");
        let gate = gate.and_then(|value| cx.text(value));
        let signer = signer(&mut fields, "`key=\"FILE\"`, a public key,");
        let max_age = fields.prop_duration("max-age");
        let same_db = fields.prop_boolean("same-db").unwrap_or(false);
        fields.finish();
        let (Some(gate), Some(signer)) = (gate, signer) else {
            continue;
        };
        let known =
            |one: &&NeedsAttestation| one.gate.value == gate.value && one.signer.is(&signer);
        if let Some(first) = found.iter().find(known) {
            twice(cx, first.gate.span, &gate);
            continue;
        }
        found.push(NeedsAttestation {
            gate,
            signer,
            max_age,
            same_db,
        });
    }
    found
}
