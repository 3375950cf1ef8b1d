//! Whom certificates are trusted by: authorities in PEM, or Sigstore's `trusted_root.json` with the keys of its logs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::super::{KeyError, PublicKey};

/// What certificates, log entries and their times are verified with.
#[derive(Debug, Default)]
pub struct Trust {
    pub(super) authorities: Vec<Authority>,
    /// Transparency logs of signatures.
    pub(super) logs: Vec<Log>,
    /// Logs of certificates: if there are any, a certificate must be in one.
    pub(super) certificate_logs: Vec<Log>,
}

/// One authority with those between it and its certificates.
#[derive(Debug)]
pub(super) struct Authority {
    pub root: Vec<u8>,
    pub intermediates: Vec<Vec<u8>>,
    pub valid: Period,
}

#[derive(Debug)]
pub(super) struct Log {
    /// SHA-256 of its key.
    pub id: Vec<u8>,
    pub key: PublicKey,
    pub valid: Period,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "PeriodJson")]
pub(super) struct Period {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

#[derive(Deserialize)]
struct PeriodJson {
    start: Option<String>,
    end: Option<String>,
}

impl TryFrom<PeriodJson> for Period {
    type Error = jiff::Error;

    fn try_from(json: PeriodJson) -> Result<Period, jiff::Error> {
        let time = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let (start, end) = (time(json.start)?, time(json.end)?);
        Ok(Period { start, end })
    }
}

impl Period {
    pub fn has(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("it contains neither a certificate in PEM nor a `trusted_root.json` of Sigstore")]
    NotFound,
    #[error("its JSON is not that of a `trusted_root.json` of Sigstore: {0}")]
    Json(String),
    #[error("a certificate in it is damaged")]
    Certificate,
    #[error("it names no certificate authority")]
    NoAuthority,
    #[error("it names the key of a log that is neither ECDSA P-256 or P-384, Ed25519 nor RSA")]
    LogKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustedRoot {
    #[serde(default)]
    tlogs: Vec<LogJson>,
    #[serde(default)]
    ctlogs: Vec<LogJson>,
    #[serde(default)]
    certificate_authorities: Vec<AuthorityJson>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogJson {
    public_key: KeyJson,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyJson {
    raw_bytes: String,
    #[serde(default)]
    valid_for: Period,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityJson {
    cert_chain: ChainJson,
    #[serde(default)]
    valid_for: Period,
}
#[derive(Deserialize)]
struct ChainJson {
    certificates: Vec<CertificateJson>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateJson {
    raw_bytes: String,
}

impl Trust {
    /// A file of certificates in PEM, each of them trusted, or a `trusted_root.json`.
    ///
    /// # Errors
    /// It is neither, or has no authority.
    pub fn read(text: &[u8]) -> Result<Trust, TrustError> {
        let trust = match text.trim_ascii_start().first() {
            Some(b'{') => Trust::of_json(text)?,
            _ => Trust::of_pem(text)?,
        };
        match trust.authorities.iter().all(|one| one.is_readable()) {
            _ if trust.authorities.is_empty() => Err(TrustError::NoAuthority),
            true => Ok(trust),
            false => Err(TrustError::Certificate),
        }
    }

    /// Trusts the transparency log with this key in PEM, too.
    ///
    /// # Errors
    /// It is no key that signatures have.
    pub fn add_log(&mut self, pem: &[u8]) -> Result<(), KeyError> {
        let der = PublicKey::der_of(pem)?;
        self.logs.push(Log {
            id: digest(&SHA256, &der).as_ref().to_vec(),
            key: PublicKey::from_der(&der)?,
            valid: Period::default(),
        });
        Ok(())
    }

    fn of_pem(text: &[u8]) -> Result<Trust, TrustError> {
        let found = certificates(text).ok_or(TrustError::Certificate)?;
        if found.is_empty() {
            return Err(TrustError::NotFound);
        }
        let authority = |root| Authority {
            root,
            intermediates: Vec::new(),
            valid: Period::default(),
        };
        Ok(Trust {
            authorities: found.into_iter().map(authority).collect(),
            ..Trust::default()
        })
    }

    fn of_json(text: &[u8]) -> Result<Trust, TrustError> {
        let root: TrustedRoot =
            serde_json::from_slice(text).map_err(|why| TrustError::Json(why.to_string()))?;
        let authority = |one: AuthorityJson| {
            let mut chain = one.cert_chain.certificates.iter().map(|certificate| {
                let der = STANDARD.decode(&certificate.raw_bytes);
                der.map_err(|_| TrustError::Certificate)
            });
            let mut chain: Vec<Vec<u8>> = chain.by_ref().collect::<Result<_, _>>()?;
            // The root is the last of a chain.
            Ok(Authority {
                root: chain.pop().ok_or(TrustError::NoAuthority)?,
                intermediates: chain,
                valid: one.valid_for,
            })
        };
        let authorities = root.certificate_authorities.into_iter().map(authority);
        Ok(Trust {
            authorities: authorities.collect::<Result<_, _>>()?,
            logs: logs(root.tlogs)?,
            certificate_logs: logs(root.ctlogs)?,
        })
    }
}

impl Authority {
    fn is_readable(&self) -> bool {
        let root = self.root.as_slice().into();
        webpki::anchor_from_trusted_cert(&root).is_ok()
    }
}

fn logs(found: Vec<LogJson>) -> Result<Vec<Log>, TrustError> {
    let log = |one: LogJson| {
        let der = STANDARD.decode(&one.public_key.raw_bytes);
        let der = der.map_err(|_| TrustError::LogKey)?;
        Ok(Log {
            id: digest(&SHA256, &der).as_ref().to_vec(),
            key: PublicKey::from_der(&der).map_err(|_| TrustError::LogKey)?,
            valid: one.public_key.valid_for,
        })
    };
    found.into_iter().map(log).collect()
}

/// The certificates of a PEM file, as DER; `None` for a damaged one.
pub(super) fn certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let text = String::from_utf8_lossy(text);
    let blocks = text.split(BEGIN).skip(1);
    let decode = |block: &str| {
        let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
        let packed: String = body.split_ascii_whitespace().collect();
        STANDARD.decode(packed).ok()
    };
    blocks.map(decode).collect()
}
