//! Who must have signed: `key="base.pub"`, or the name in a certificate with its issuer and trusted roots.

use super::check::check_path;
use super::fields::Fields;
use super::types::{CertificateNode, SignerNode};

const ROOT: &str = "certificate-root";
const IDENTITY: &str = "certificate-identity";
const ISSUER: &str = "certificate-oidc-issuer";
const LOG_KEY: &str = "rekor-key";

/// `key="base.pub"`, or `certificate-root="trusted_root.json" certificate-identity="…" certificate-oidc-issuer="https://…"`
pub(super) fn signer(fields: &mut Fields, example: &str) -> Option<SignerNode> {
    let cx = fields.cx;
    let names = ["key", ROOT, IDENTITY, ISSUER, LOG_KEY];
    let is_said = names.map(|name| fields.prop(name).is_some());
    let [key, root, identity, issuer, log_key] = names.map(|name| fields.prop_text(name));
    let [has_key, of_certificate @ ..] = is_said;
    let has_certificate = of_certificate.contains(&true);
    for file in [&key, &root, &log_key].into_iter().flatten() {
        check_path(file, cx);
    }
    match (has_key, has_certificate) {
        (true, true) => {
            let first = [&root, &identity, &issuer, &log_key];
            let place = first.into_iter().flatten().next()?;
            let message = "a key and a certificate exclude each other";
            let help = "write one node for each of them";
            cx.error_help(place.span, message, "beside `key=`", help);
            None
        }
        (true, false) => key.map(SignerNode::Key),
        (false, true) => {
            for (name, said) in names[1..4].iter().zip(of_certificate) {
                if !said {
                    fields.missing(&format!(
                        "`{name}=\"…\"` beside the other parts of a certificate"
                    ));
                }
            }
            Some(SignerNode::Certificate(Box::new(CertificateNode {
                identity: identity?,
                issuer: issuer?,
                root: root?,
                log_key,
            })))
        }
        (false, false) => {
            fields.missing(example);
            None
        }
    }
}
