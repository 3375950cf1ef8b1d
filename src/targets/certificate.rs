//! Whoever has a certificate with a certain name, as options and manifests say it.

use std::path::Path;

use jiff::Timestamp;

use super::public_key::small;
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_oci::signature::certificate::{Demanded, Trust};

/// What certificates are verified with.
#[derive(Debug)]
pub struct Trusted {
    pub trust: Trust,
    /// Of the files that say it.
    pub hash: [u8; 32],
}

/// A name that a certificate must have.
#[derive(Debug)]
pub struct Certificate {
    pub trusted: Trusted,
    /// An address or a URI.
    pub identity: String,
    pub issuer: String,
    /// A signature counts whose certificate is valid now.
    pub without_entry: bool,
}

/// Bytes: Sigstore's own file has 7,000.
const LONGEST: u64 = 1 << 20;

/// By files in a directory.
///
/// # Errors
/// A sentence about a file that cannot be used.
pub fn trusted(directory: &Path, root: &Path, log_key: Option<&Path>) -> Result<Trusted, String> {
    let cannot = |what: &str, file: &Path, why: &dyn std::fmt::Display| {
        format!("cannot use the {what} `{}`: {why}", file.display())
    };
    let text = small(&directory.join(root), LONGEST, "certificates");
    let text = text.map_err(|error| cannot("certificates", root, &error))?;
    let mut trust = Trust::read(&text).map_err(|error| cannot("certificates", root, &error))?;
    let mut hasher = LengthPrefixedHasher::new();
    hasher.bytes(&text);
    if let Some(file) = log_key {
        let text = small(&directory.join(file), LONGEST, "a key");
        let text = text.map_err(|error| cannot("key", file, &error))?;
        let added = trust.add_log(&text);
        added.map_err(|error| cannot("key", file, &error))?;
        hasher.bytes(&text);
    }
    Ok(Trusted {
        trust,
        hash: hasher.finish(),
    })
}

impl Certificate {
    /// As messages name it.
    pub fn name(&self) -> String {
        format!("a certificate of `{}` ({})", self.identity, self.issuer)
    }

    pub fn demanded(&self) -> Demanded<'_> {
        Demanded {
            trust: &self.trusted.trust,
            identity: &self.identity,
            issuer: &self.issuer,
            without_entry: self.without_entry.then(Timestamp::now),
        }
    }
}
