//! Public keys in PEM: P-256, P-384, Ed25519 and RSA, with the algorithms that cosign uses for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use super::der::{BITS, INTEGER, OBJECT, SEQUENCE, value};

/// A key that signatures are checked with.
pub struct PublicKey {
    /// One of which a signature has.
    algorithms: &'static [Algorithm],
    /// As ring takes it: a point, 32 bytes, or an `RSAPublicKey`.
    bytes: Vec<u8>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PublicKey({:?}, {})",
            self.algorithms,
            hex::encode(&self.bytes)
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it contains no `-----BEGIN PUBLIC KEY-----`")]
    NotFound,
    #[error("it contains a private key; only the signer may have it")]
    Private,
    #[error("it contains several public keys; name each file of one key")]
    Several,
    #[error("its public key is damaged")]
    Damaged,
    #[error("its public key is neither ECDSA P-256 or P-384, Ed25519 nor RSA")]
    Unsupported,
    #[error("its RSA key has {0} bits; at least 2048 and at most 8192 are needed")]
    RsaSize(usize),
}

const BEGIN: &str = "-----BEGIN ";
const PUBLIC: &str = "PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED: &[u8] = &[0x2b, 0x65, 0x70];

type Algorithm = &'static dyn VerificationAlgorithm;
static OF_P256: [Algorithm; 1] = [&ECDSA_P256_SHA256_ASN1];
/// Cosign's older versions hash with SHA-256 whatever the key.
static OF_P384: [Algorithm; 2] = [&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1];
static OF_ED25519: [Algorithm; 1] = [&ED25519];
static OF_RSA: [Algorithm; 1] = [&RSA_PKCS1_2048_8192_SHA256];

impl PublicKey {
    /// A `SubjectPublicKeyInfo` (RFC 5280, 4.1) in PEM, as `cosign.pub` is.
    ///
    /// # Errors
    /// There is none, or it is of a kind that cosign's signatures do not have.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, KeyError> {
        PublicKey::from_der(&PublicKey::der_of(pem)?)
    }

    /// What PEM has of it in DER.
    pub(super) fn der_of(pem: &[u8]) -> Result<Vec<u8>, KeyError> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let mut blocks = text.split(BEGIN).skip(1);
        let body = blocks
            .find_map(|block| block.strip_prefix(PUBLIC))
            .ok_or(KeyError::NotFound)?;
        if blocks.any(|block| block.starts_with(PUBLIC)) {
            return Err(KeyError::Several);
        }
        let (body, _) = body.split_once(END).ok_or(KeyError::Damaged)?;
        let packed: String = body.split_ascii_whitespace().collect();
        STANDARD.decode(packed).map_err(|_| KeyError::Damaged)
    }

    /// The same in DER.
    pub(super) fn from_der(der: &[u8]) -> Result<PublicKey, KeyError> {
        let damaged = KeyError::Damaged;
        let (info, rest) = value(der, SEQUENCE).ok_or(damaged.clone())?;
        let (algorithm, info) = value(info, SEQUENCE).ok_or(damaged.clone())?;
        let (bits, end) = value(info, BITS).ok_or(damaged.clone())?;
        let (kind, parameters) = value(algorithm, OBJECT).ok_or(damaged.clone())?;
        // The first byte counts unused bits, of which a key has none.
        let (Some((0, key)), true, true) = (bits.split_first(), rest.is_empty(), end.is_empty())
        else {
            return Err(damaged);
        };
        let algorithms: &'static [Algorithm] = match kind {
            EC => match value(parameters, OBJECT) {
                Some((P256, [])) if key.len() == 65 && key[0] == 4 => &OF_P256,
                Some((P384, [])) if key.len() == 97 && key[0] == 4 => &OF_P384,
                Some((P256 | P384, _)) => return Err(damaged),
                _ => return Err(KeyError::Unsupported),
            },
            ED if key.len() == 32 => &OF_ED25519,
            ED => return Err(damaged),
            RSA => {
                let bits = rsa_bits(key).ok_or(damaged)?;
                if !(2048..=8192).contains(&bits) {
                    return Err(KeyError::RsaSize(bits));
                }
                &OF_RSA
            }
            _ => return Err(KeyError::Unsupported),
        };
        Ok(PublicKey {
            algorithms,
            bytes: key.to_vec(),
        })
    }

    /// A point of P-256 without compression, as ring has it.
    pub(super) fn of_point(point: &[u8]) -> PublicKey {
        PublicKey {
            algorithms: &OF_P256,
            bytes: point.to_vec(),
        }
    }

    /// What a bundle calls the key: the SHA-256 of it, in base64, as cosign has it.
    pub fn hint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.p256_info());
        STANDARD.encode(digest)
    }

    /// The `SubjectPublicKeyInfo` of a key of P-256.
    fn p256_info(&self) -> Vec<u8> {
        const BEFORE: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        [&BEFORE, self.bytes.as_slice()].concat()
    }

    /// Whether the signature is this key's, of exactly these bytes.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithms.iter().any(|algorithm| {
            let key = UnparsedPublicKey::new(*algorithm, &self.bytes);
            key.verify(message, signature).is_ok()
        })
    }
}

/// The length of an `RSAPublicKey`'s modulus.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (numbers, []) = value(key, SEQUENCE)? else {
        return None;
    };
    let (modulus, _) = value(numbers, INTEGER)?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let zeros = usize::try_from(modulus[first].leading_zeros()).ok()?;
    Some((modulus.len() - first) * 8 - zeros)
}
