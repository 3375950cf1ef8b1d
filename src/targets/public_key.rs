//! A public key from a file that the user names.

use std::fs;
use std::path::Path;

use super::failure::plain;
use imgmake_oci::signature::PublicKey;

/// A key file holds a few lines.
const LARGEST: u64 = 64 << 10;
/// For messages.
pub const EXPECTED: &str = "a public key in PEM is expected, as `cosign.pub` is";

/// # Errors
/// It cannot be read, or holds something else: a sentence about it.
pub fn read(path: &Path) -> Result<PublicKey, String> {
    let pem = small(path, LARGEST, "a key")?;
    PublicKey::from_pem(&pem).map_err(|error| error.to_string())
}

/// The bytes of a file that the user names; `what` it holds, for messages.
///
/// # Errors
/// As for [`read`].
pub fn small(path: &Path, largest: u64, what: &str) -> Result<Vec<u8>, String> {
    let meta = fs::metadata(path).map_err(|error| plain(&error))?;
    // A pipe would be waited for.
    if !meta.is_file() || meta.len() > largest {
        return Err(format!("this is not a file with {what}"));
    }
    fs::read(path).map_err(|error| plain(&error))
}
