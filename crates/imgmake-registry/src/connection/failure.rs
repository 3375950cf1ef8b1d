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

/// How whoever reads a message calls the settings of a registry, as parts of sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingNames {
    /// After "give the certificate with".
    pub authority: &'static str,
    /// Another way, or nothing.
    pub unverified: &'static str,
    /// Before "if it uses plain HTTP".
    pub plain: &'static str,
    /// After "give one with".
    pub client_certificate: &'static str,
    /// Where a login is given.
    pub credentials: &'static str,
}

const PLUGIN_LOGIN: &str = "set PLUGIN_USERNAME and PLUGIN_PASSWORD, or for the registry of base images PLUGIN_DOCKER_USERNAME and PLUGIN_DOCKER_PASSWORD";

impl Default for SettingNames {
    fn default() -> SettingNames {
        SettingNames::MANIFEST
    }
}

impl SettingNames {
    pub const MANIFEST: SettingNames = SettingNames {
        authority: "`ca`",
        unverified: ", or declare the registry `skip-tls-verify`",
        plain: "declare the registry `insecure`",
        client_certificate: "`client-cert`",
        credentials: "log in with `imgmake login REGISTRY`, or give credentials in the `registry` node",
    };
    pub const KANIKO: SettingNames = SettingNames {
        authority: "`--registry-certificate=HOST=FILE`",
        unverified: ", or use `--skip-tls-verify-registry=HOST`",
        plain: "use `--insecure-registry=HOST`",
        client_certificate: "`--registry-client-cert=HOST=CERTIFICATE,KEY`",
        credentials: "give credentials in `config.json`, in the directory that DOCKER_CONFIG names",
    };
    /// Plugins that are kaniko.
    pub const KANIKO_PLUGIN: SettingNames = SettingNames {
        authority: "PLUGIN_REGISTRY_CERTIFICATE=HOST=FILE",
        unverified: ", or set PLUGIN_SKIP_TLS_VERIFY_REGISTRY=true",
        plain: "set PLUGIN_INSECURE=true",
        client_certificate: "PLUGIN_REGISTRY_CLIENT_CERT=HOST=CERTIFICATE,KEY",
        credentials: PLUGIN_LOGIN,
    };
    /// Plugins that are Docker: it reads the files of its daemon.
    pub const DOCKER_PLUGIN: SettingNames = SettingNames {
        authority: "`/etc/docker/certs.d/HOST/ca.crt` or SSL_CERT_FILE",
        unverified: "",
        plain: "set PLUGIN_INSECURE=true",
        client_certificate: "`client.cert` and `client.key` in `/etc/docker/certs.d/HOST`",
        credentials: PLUGIN_LOGIN,
    };
}

impl TlsFailure {
    /// What its reader can do, with the names of the settings that this reader has.
    pub fn advice(&self, names: &SettingNames) -> Option<String> {
        let SettingNames {
            authority,
            unverified,
            plain,
            client_certificate,
            credentials: _,
        } = names;
        Some(match self {
            TlsFailure::Expired { .. } => {
                "its operator has to renew it, unless the clock of this machine is wrong".into()
            }
            TlsFailure::NotYetValid { .. } => {
                "the clock of this machine, or of who signed it, is wrong".into()
            }
            TlsFailure::WrongName { .. } => {
                format!("use a name that the certificate has{unverified}")
            }
            TlsFailure::SelfSigned { .. } => {
                format!("give this certificate with {authority}{unverified}")
            }
            TlsFailure::UnknownIssuer { .. } => {
                format!("give the issuer's certificate with {authority}{unverified}")
            }
            TlsFailure::NothingTrusted { .. } => {
                "install the system's certificates (`ca-certificates`), or name a bundle with SSL_CERT_FILE".into()
            }
            TlsFailure::NotTls { .. } => format!("{plain} if it uses plain HTTP"),
            TlsFailure::ClientCertificate { .. } => format!("give one with {client_certificate}"),
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
