//! Certificates: whom we trust and who we are, by settings and by `certs.d` in
//! Docker's and containers' layout (`*.crt` trusted, `*.cert` with `*.key` ours).
//!
//! Knows PEM files and ureq's TLS settings; knows no registry and no handshake.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::RegistryError;
use super::connection::trust;

/// Files that hold for one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Certificates that are trusted: trusted, or servers' own.
    pub trusted: Vec<PathBuf>,
    pub client: Option<(PathBuf, PathBuf)>,
    pub verification: Verification,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verification {
    #[default]
    Full,
    Off,
}

impl Files {
    /// Adds what `certs.d` says about `host[:port]`; settings come first.
    pub(super) fn with_certs_d(
        mut self,
        host: &str,
        environment: &BTreeMap<String, String>,
    ) -> Files {
        for directory in certs_d(environment) {
            let Ok(entries) = fs::read_dir(directory.join(host)) else {
                continue;
            };
            let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            paths.sort();
            for path in paths {
                match path.extension().and_then(|e| e.to_str()) {
                    Some("crt") => self.trusted.push(path),
                    Some("cert") if self.client.is_none() => {
                        self.client = Some((path.clone(), path.with_extension("key")));
                    }
                    _ => {}
                }
            }
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trusted.is_empty() && self.client.is_none()
    }
}

fn certs_d(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let config = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(environment.get("HOME")?).join(".config")));
    let mut directories = Vec::new();
    if let Some(config) = config {
        directories.push(config.join("containers/certs.d"));
        directories.push(config.join("docker/certs.d"));
    }
    directories.push("/etc/containers/certs.d".into());
    directories.push("/etc/docker/certs.d".into());
    directories
}

/// The settings for connections to the registry itself (`client` included) or to
/// where it redirects.
pub(super) fn tls(
    files: &Files,
    present: Present,
    environment: &BTreeMap<String, String>,
) -> Result<TlsConfig, RegistryError> {
    let mut config = TlsConfig::builder();
    config = match files.verification {
        Verification::Full => config.root_certs(roots(files, environment)?),
        Verification::Off => config.disable_verification(true),
    };
    if let (Some((chain, key)), Present::ClientCertificate) = (&files.client, present) {
        config = config.client_cert(Some(client(chain, key)?));
    }
    Ok(config.build())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    ClientCertificate,
    Nothing,
}

/// The system's certificates, and those of this registry.
fn roots(
    files: &Files,
    environment: &BTreeMap<String, String>,
) -> Result<RootCerts, RegistryError> {
    let mut all =
        trust::system(environment).map_err(|e| RegistryError::configuration(e.to_string()))?;
    for path in &files.trusted {
        let own = certificates(path)?;
        if own.is_empty() {
            return Err(RegistryError::configuration(format!(
                "no PEM certificate found in `{}`",
                path.display()
            )));
        }
        all.extend(own);
    }
    Ok(RootCerts::new_with_certs(&all))
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs::read(path).map_err(|e| {
        RegistryError::configuration(format!(
            "cannot read the certificate file `{}`: {e}",
            path.display()
        ))
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let pem = read(path)?;
    parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(e) => Some(Err(RegistryError::configuration(format!(
                "`{}` is not PEM: {e}",
                path.display()
            )))),
        })
        .collect()
}

fn client(chain: &Path, key: &Path) -> Result<ClientCert, RegistryError> {
    let certificates = certificates(chain)?;
    let refused = |why: &str| {
        RegistryError::configuration(format!(
            "the client certificate `{}` with key `{}` cannot be used: {why}",
            chain.display(),
            key.display()
        ))
    };
    let first = certificates
        .first()
        .ok_or_else(|| refused("the file contains no PEM certificate"))?;
    let private = PrivateKey::from_pem(&read(key)?)
        .map_err(|_| refused("the key file contains no PEM private key"))?;
    let public = public_key(&private)
        .ok_or_else(|| refused("the key is neither RSA, P-256, P-384 nor Ed25519"))?;
    // rustls panics on a pair that does not belong together; a certificate holds
    // its public key as plain bytes, so the pair can be checked beforehand.
    if !first.der().windows(public.len()).any(|w| w == public) {
        return Err(refused("the key belongs to another certificate"));
    }
    Ok(ClientCert::new_with_certs(&certificates, private))
}

/// The public half, as it stands in a certificate.
fn public_key(key: &PrivateKey) -> Option<Vec<u8>> {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING};
    let der = key.der();
    let random = ring::rand::SystemRandom::new();
    let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    if let Ok(pair) = rsa {
        return Some(pair.public_key().as_ref().to_vec());
    }
    for algorithm in [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
    ] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der, &random) {
            return Some(pair.public_key().as_ref().to_vec());
        }
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Some(pair.public_key().as_ref().to_vec());
    }
    // ring reads no SEC1; what openssl writes holds the public point at its end.
    sec1_point(der)
}

fn sec1_point(der: &[u8]) -> Option<Vec<u8>> {
    [97, 65].into_iter().find_map(|length| {
        let point = der.get(der.len().checked_sub(length)?..)?;
        (point.first() == Some(&4)).then(|| point.to_vec())
    })
}
