//! Why a signature with a certificate does not count.

use jiff::Timestamp;

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is damaged")]
    Damaged,
    #[error("it has no certificate")]
    NoCertificate,
    #[error(
        "its certificate cannot be read, or its key is neither ECDSA P-256 or P-384, Ed25519 nor RSA"
    )]
    Unsupported,
    #[error("its certificate does not lead to a trusted root: {0}")]
    Chain(String),
    #[error("its certificate was not valid at {time}, when it was signed: {why}")]
    Expired { time: Timestamp, why: String },
    #[error("its certificate is not for signatures of documents (key usage)")]
    Usage,
    #[error("its certificate is of {}", list(.0))]
    OtherIdentity(Vec<String>),
    #[error("its certificate was issued for a login at `{0}`")]
    OtherIssuer(String),
    #[error("its certificate does not say who issued it")]
    NoIssuer,
    #[error("no trusted log of certificates has its certificate")]
    NotLogged,
    #[error("it has no entry in a transparency log, so that it is unknown when it was made")]
    NoEntry,
    #[error(
        "its entry in the transparency log has no signed time (timestamps of RFC 3161, and the second version of Rekor, are not supported)"
    )]
    NoPromise,
    #[error("its entry is in a log that is not trusted")]
    OtherLog,
    #[error("its entry in the transparency log is not what the log signed")]
    Entry,
    #[error("its entry in the transparency log is about another signature")]
    OtherEntry,
    #[error("its entry in the transparency log is of the kind `{0}`, which is not supported")]
    EntryKind(String),
    #[error("the signature is not that of its certificate")]
    Signature,
    #[error("it is about another image")]
    OtherImage,
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    match names.is_empty() {
        true => "no address or URI".to_string(),
        false => names.join(", "),
    }
}
