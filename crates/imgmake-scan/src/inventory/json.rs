//! JSON as package managers write it and read it themselves: with a byte order mark, and with
//! keys that stand twice, of which the last counts.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// # Errors
/// It is not JSON, or not of this shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_value(serde_json::from_slice::<Value>(bytes)?)
}
