//! Why TLS with a server failed: facts, and the sentence that they make.

use std::fmt;

use jiff::Timestamp;

/// Names that a message lists.
const NAMES: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    Expired {
        host: String,
        since: Timestamp,
    },
    NotYetValid {
        host: String,
        from: Timestamp,
    },
    /// The names that the certificate is for.
    WrongName {
        host: String,
        names: Vec<String>,
    },
    SelfSigned {
        host: String,
        subject: String,
    },
    UnknownIssuer {
        host: String,
        issuer: String,
    },
    /// Another certificate that cannot be a server's.
    Unusable {
        host: String,
        reason: String,
    },
    /// No certificate is trusted here at all.
    NothingTrusted {
        host: String,
    },
    /// What answers does not use TLS.
    NotTls {
        host: String,
    },
    /// It wants a certificate of ours, or another one.
    ClientCertificate {
        host: String,
    },
    /// It ended the handshake with an alert (RFC 8446 §6.2).
    Alert {
        host: String,
        alert: String,
    },
    Handshake {
        host: String,
        detail: String,
    },
}

impl TlsFailure {
    /// What its reader can do.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            TlsFailure::Expired { .. } => {
                "its operator has to renew it, unless the clock of this machine is wrong"
            }
            TlsFailure::NotYetValid { .. } => {
                "the clock of this machine, or of who signed it, is wrong"
            }
            TlsFailure::WrongName { .. } => {
                "use a name that the certificate has, or declare the registry `skip-tls-verify`"
            }
            TlsFailure::SelfSigned { .. } => {
                "give this certificate with `ca`, or declare the registry `skip-tls-verify`"
            }
            TlsFailure::UnknownIssuer { .. } => {
                "give the issuer's certificate with `ca`, or declare the registry `skip-tls-verify`"
            }
            TlsFailure::NothingTrusted { .. } => {
                "install the system's certificates (`ca-certificates`), or name a bundle with SSL_CERT_FILE"
            }
            TlsFailure::NotTls { .. } => "declare the registry `insecure` if it uses plain HTTP",
            TlsFailure::ClientCertificate { .. } => "give one with `client-cert`",
            TlsFailure::Unusable { .. }
            | TlsFailure::Alert { .. }
            | TlsFailure::Handshake { .. } => return None,
        })
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::Expired { host, since } => {
                write!(f, "the certificate of `{host}` expired on {since}")
            }
            TlsFailure::NotYetValid { host, from } => {
                write!(f, "the certificate of `{host}` is not valid before {from}")
            }
            TlsFailure::WrongName { host, names } if names.is_empty() => {
                write!(
                    f,
                    "the certificate of `{host}` contains no host name (subjectAltName)"
                )
            }
            TlsFailure::WrongName { host, names } => {
                let (listed, more) = names.split_at(names.len().min(NAMES));
                let listed: Vec<String> = listed.iter().map(|name| format!("`{name}`")).collect();
                write!(
                    f,
                    "the certificate of `{host}` is for other names: {}",
                    listed.join(", ")
                )?;
                match more.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            TlsFailure::SelfSigned { host, subject } => write!(
                f,
                "the certificate of `{host}` is self-signed{} and not trusted here",
                named(subject)
            ),
            TlsFailure::UnknownIssuer { host, issuer } => write!(
                f,
                "the certificate of `{host}` has an unknown issuer{}",
                named(issuer)
            ),
            TlsFailure::Unusable { host, reason } => {
                write!(f, "invalid certificate of `{host}`: {reason}")
            }
            TlsFailure::NothingTrusted { host } => write!(
                f,
                "the certificate of `{host}` cannot be verified: this machine has no trusted certificates"
            ),
            TlsFailure::NotTls { host } => write!(f, "`{host}` does not use TLS"),
            TlsFailure::ClientCertificate { host } => {
                write!(f, "`{host}` requires a client certificate that it trusts")
            }
            TlsFailure::Alert { host, alert } => {
                write!(f, "`{host}` ended the TLS handshake: {alert}")
            }
            TlsFailure::Handshake { host, detail } => {
                write!(f, "the TLS handshake with `{host}` failed: {detail}")
            }
        }
    }
}

fn named(name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!(" (`{name}`)"),
    }
}

impl std::error::Error for TlsFailure {}
