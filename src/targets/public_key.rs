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
    let meta = fs::metadata(path).map_err(|error| plain(&error))?;
    // A pipe would be waited for.
    if !meta.is_file() || meta.len() > LARGEST {
        return Err("this is not a file with a key".to_string());
    }
    let pem = fs::read(path).map_err(|error| plain(&error))?;
    PublicKey::from_pem(&pem).map_err(|error| error.to_string())
}
