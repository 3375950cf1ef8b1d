//! The policy for base images, with the keys that the manifest names.

use std::path::Path;
use std::sync::Mutex;

use crate::exit::{Exit, USAGE};
use crate::targets::{Project, public_key, trusted};
use imgmake_build::{BasePolicy, TrustedCertificate, TrustedKey};
use imgmake_core::manifest::{CertificateNode, Diagnostic, ImagePattern, SignerNode, Spanned};

/// # Errors
/// A key that cannot be read or is invalid, with its place in the manifest.
pub fn read(project: &Project) -> anyhow::Result<BasePolicy> {
    let Some(node) = &project.graph.manifest().settings.bases else {
        return Ok(BasePolicy::default());
    };
    let patterns = node.allow.iter().map(|p| ImagePattern::parse(&p.value));
    let (mut keys, mut certificates) = (Vec::new(), Vec::new());
    for signer in &node.signers {
        match signer {
            SignerNode::Key(file) => keys.push(key(project, file)?),
            SignerNode::Certificate(node) => certificates.push(certificate(project, node)?),
        }
    }
    let first = node.allow.first().map_or(node.span, |first| first.span);
    Ok(BasePolicy {
        allow: patterns
            .collect::<Result<_, _>>()
            .map_err(|(why, _)| anyhow::anyhow!("invalid pattern of image names: {why}"))?,
        place: place(project, first.start),
        keys,
        certificates,
        found_good: Mutex::default(),
    })
}

fn key(project: &Project, file: &Spanned<String>) -> anyhow::Result<TrustedKey> {
    let refused = |label: String| {
        let message = format!("cannot use the key `{}` of `require-signature`", file.value);
        let diagnostic = Diagnostic::at(file.span, message, label).with_help(public_key::EXPECTED);
        anyhow::Error::new(Exit::rendered(USAGE, project.problem(diagnostic)))
    };
    let key = public_key::read(&project.directory.join(&file.value));
    Ok(TrustedKey {
        key: key.map_err(refused)?,
        file: file.value.clone(),
        place: place(project, file.span.start),
    })
}

fn certificate(project: &Project, node: &CertificateNode) -> anyhow::Result<TrustedCertificate> {
    let log_key = node.log_key.as_ref().map(|file| Path::new(&file.value));
    let trusted = trusted(&project.directory, Path::new(&node.root.value), log_key);
    let trusted = trusted.map_err(|why| {
        let message = "cannot use the certificates of `require-signature`";
        let diagnostic = Diagnostic::at(node.root.span, message, why);
        anyhow::Error::new(Exit::rendered(USAGE, project.problem(diagnostic)))
    })?;
    Ok(TrustedCertificate {
        trust: trusted.trust,
        identity: node.identity.value.clone(),
        issuer: node.issuer.value.clone(),
        place: place(project, node.identity.span.start),
    })
}

/// `imgmake.kdl:3`
fn place(project: &Project, at: usize) -> String {
    let place = project.place(at);
    place.unwrap_or_else(|| "the manifest".to_string())
}
