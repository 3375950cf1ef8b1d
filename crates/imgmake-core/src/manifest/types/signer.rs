//! Who must have signed something.

use serde::{Deserialize, Serialize};

use super::span::{Span, Spanned};

/// Who must have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignerNode {
    /// The file with the public key.
    Key(Spanned<String>),
    Certificate(Box<CertificateNode>),
}

/// Whoever has a certificate with this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateNode {
    /// An address or a URI, as the certificate has it.
    pub identity: Spanned<String>,
    /// Who says that the name is right.
    pub issuer: Spanned<String>,
    /// The file with trusted certificates.
    pub root: Spanned<String>,
    /// The file with the public key of a transparency log, besides those of `root`.
    pub log_key: Option<Spanned<String>>,
}

impl SignerNode {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            SignerNode::Key(key) => key.span,
            SignerNode::Certificate(certificate) => certificate.identity.span,
        }
    }

    /// The files that it names.
    pub fn files(&self) -> Vec<&Spanned<String>> {
        match self {
            SignerNode::Key(key) => vec![key],
            SignerNode::Certificate(certificate) => {
                let log_key = certificate.log_key.iter();
                std::iter::once(&certificate.root).chain(log_key).collect()
            }
        }
    }

    /// The same, to be written from another directory.
    pub fn files_mut(&mut self) -> Vec<&mut Spanned<String>> {
        match self {
            SignerNode::Key(key) => vec![key],
            SignerNode::Certificate(certificate) => {
                let files = [Some(&mut certificate.root), certificate.log_key.as_mut()];
                files.into_iter().flatten().collect()
            }
        }
    }

    /// Whether both name the same.
    pub fn is(&self, other: &SignerNode) -> bool {
        match (self, other) {
            (SignerNode::Key(own), SignerNode::Key(other)) => own.value == other.value,
            (SignerNode::Certificate(own), SignerNode::Certificate(other)) => {
                (&own.identity.value, &own.issuer.value)
                    == (&other.identity.value, &other.issuer.value)
            }
            _ => false,
        }
    }
}
