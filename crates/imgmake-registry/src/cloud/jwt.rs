//! JSON web tokens signed with RS256, and RSA keys in PEM.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RsaKeyPair;
use serde_json::Value;
use ureq::tls::PrivateKey;

use super::super::RegistryError;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// `header.claims.signature`.
pub(super) fn signed(
    header: &Value,
    claims: &Value,
    key_pem: &str,
    what: &str,
) -> Result<String, RegistryError> {
    let refused = |why: &str| RegistryError::configuration(format!("{what}: {why}"));
    let key = PrivateKey::from_pem(key_pem.as_bytes())
        .map_err(|_| refused("it contains no PEM private key"))?;
    let pair = RsaKeyPair::from_pkcs8(key.der())
        .or_else(|_| RsaKeyPair::from_der(key.der()))
        .map_err(|_| refused("its private key is not an RSA key of at least 2048 bits"))?;
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &ring::rand::SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .map_err(|_| refused("it cannot sign"))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A number among the claims of a token that somebody else signed.
pub(super) fn claim(token: &str, name: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get(name)?.as_u64()
}
