//! Content digests, `algorithm:hex` (OCI image specification, descriptor.md).

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A validated digest, `sha256:` and 64 or `sha512:` and 128 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: expected `sha256:` and 64 lower-case hex digits")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from_sha256(sha2::Sha256::digest(bytes).into())
    }

    /// Of all that a reader gives.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_reader(reader: &mut impl std::io::Read) -> std::io::Result<Digest> {
        let mut hash = sha2::Sha256::new();
        let mut block = vec![0; 256 << 10];
        loop {
            match reader.read(&mut block) {
                Ok(0) => return Ok(Digest::from_sha256(hash.finalize().into())),
                Ok(read) => hash.update(&block[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn from_sha256(hash: [u8; 32]) -> Digest {
        Digest(format!("sha256:{}", hex::encode(hash)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').expect("a digest holds a colon").0
    }

    pub fn hex(&self) -> &str {
        self.0.split_once(':').expect("a digest holds a colon").1
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let refused = || DigestError {
            text: text.chars().take(160).collect(),
        };
        let (algorithm, hex) = text.split_once(':').ok_or_else(refused)?;
        let expected = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(refused()),
        };
        let lower_hex = hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex.len() != expected || !lower_hex {
            return Err(refused());
        }
        Ok(Digest(text.to_string()))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Digest, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_nothing_is_the_well_known_one() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn what_could_escape_a_blob_directory_is_no_digest() {
        for text in [
            "",
            "sha256:",
            "sha256:../../etc/passwd",
            "md5:00",
            "SHA256:00",
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
