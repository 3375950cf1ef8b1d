//! Private keys in PEM, as cosign writes them: ECDSA P-256 in PKCS #8, plain or encrypted with a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Deserialize;

use super::{PublicKey, secretbox};

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// Nothing of the key itself.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    #[error("it contains no private key in PEM")]
    NotFound,
    #[error("it contains a public key; a signature needs the private one")]
    Public,
    #[error(
        "its key is in the form of `{0}`; `openssl pkcs8 -topk8 -nocrypt` writes it as PKCS #8"
    )]
    OtherForm(String),
    #[error("its key is encrypted, and no password is given")]
    NoPassword,
    #[error("its key cannot be decrypted: the password is wrong, or the file is damaged")]
    WrongPassword,
    #[error("its key is encrypted with {0}, which cosign does not use")]
    UnknownCipher(String),
    #[error("its key is damaged")]
    Damaged,
    #[error("its key is not of the kind ECDSA P-256, which cosign generates")]
    Unsupported,
}

/// What stands in cosign's `ENCRYPTED SIGSTORE PRIVATE KEY`.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}
#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Parameters,
    salt: String,
}
#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "N")]
    n: usize,
    r: usize,
    p: usize,
}
#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

const BEGIN: &str = "-----BEGIN ";
const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];

/// cosign takes 64 MiB (N 65,536, r 8); no file makes us take more than twice that.
const MOST_MEMORY: usize = 128 << 20;

impl SigningKey {
    /// # Errors
    /// There is none, it is of another kind, or the password is not its.
    pub fn from_pem(pem: &[u8], password: Option<&[u8]>) -> Result<SigningKey, SigningKeyError> {
        let text = String::from_utf8_lossy(pem);
        let (label, body) = block(&text).ok_or(SigningKeyError::NotFound)?;
        let packed: String = body.split_ascii_whitespace().collect();
        let bytes = || {
            STANDARD
                .decode(&packed)
                .map_err(|_| SigningKeyError::Damaged)
        };
        match label {
            PLAIN => SigningKey::from_pkcs8(&bytes()?),
            label if ENCRYPTED.contains(&label) => {
                let password = password.ok_or(SigningKeyError::NoPassword)?;
                SigningKey::from_pkcs8(&decrypt(&bytes()?, password)?)
            }
            label if label.ends_with("PUBLIC KEY") => Err(SigningKeyError::Public),
            label if label.ends_with(PLAIN) => Err(SigningKeyError::OtherForm(label.to_string())),
            _ => Err(SigningKeyError::NotFound),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<SigningKey, SigningKeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random)
            .map_err(|_| match der.first() {
                Some(0x30) => SigningKeyError::Unsupported,
                _ => SigningKeyError::Damaged,
            })?;
        Ok(SigningKey { pair, random })
    }

    /// An ECDSA signature of SHA-256 in DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signed = self.pair.sign(&self.random, message);
        // Only a system without a source of randomness fails here, and TLS does not work there.
        signed
            .expect("the system has random numbers")
            .as_ref()
            .to_vec()
    }

    /// What others check its signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey::of_point(self.pair.public_key().as_ref())
    }
}

/// The label and the body of the first block of a PEM file that is no parameter.
fn block(text: &str) -> Option<(&str, &str)> {
    text.split(BEGIN).skip(1).find_map(|block| {
        let (label, rest) = block.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        (label != "EC PARAMETERS").then_some((label, body))
    })
}

fn decrypt(json: &[u8], password: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
    let damaged = |_| SigningKeyError::Damaged;
    let Encrypted {
        kdf,
        cipher,
        ciphertext,
    } = serde_json::from_slice(json).map_err(|_| SigningKeyError::Damaged)?;
    for (name, expected) in [(&kdf.name, "scrypt"), (&cipher.name, "nacl/secretbox")] {
        if name != expected {
            let name = name.chars().take(40).collect::<String>();
            return Err(SigningKeyError::UnknownCipher(
                name.escape_debug().to_string(),
            ));
        }
    }
    let Parameters { n, r, p } = kdf.params;
    let memory = n.checked_mul(r).and_then(|blocks| blocks.checked_mul(128));
    let is_usable = n.is_power_of_two() && n > 1 && r > 0 && (1..=16).contains(&p);
    if !is_usable || memory.is_none_or(|memory| memory > MOST_MEMORY) {
        return Err(SigningKeyError::Damaged);
    }
    let salt = STANDARD.decode(kdf.salt).map_err(damaged)?;
    let nonce = STANDARD.decode(cipher.nonce).map_err(damaged)?;
    let nonce = nonce.try_into().map_err(|_| SigningKeyError::Damaged)?;
    let sealed = STANDARD.decode(ciphertext).map_err(damaged)?;
    let key = secretbox::scrypt(password, &salt, n, r, p);
    secretbox::open(&key, &nonce, &sealed).ok_or(SigningKeyError::WrongPassword)
}
