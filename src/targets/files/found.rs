//! A file that a pattern names.

use imgmake_core::files::Signature;
use imgmake_core::fingerprint::{LengthPrefixedHasher, Seen};

/// Paths are bytes: names that only look alike are two.
pub struct Found {
    pub path: Vec<u8>,
    /// `None` of a link that is only a way to others.
    pub hash: Option<[u8; 32]>,
    pub seen: Seen,
    pub is_link: bool,
    /// Of the file that a link leads to.
    pub behind: Option<Seen>,
    /// A link to a directory, whose files count too.
    pub leads_on: bool,
}

impl Found {
    pub fn signature(&self) -> Signature {
        let [device, inode, size] = self.seen.identity;
        Signature {
            device,
            inode,
            size,
            mtime: self.seen.modified,
            ctime: self.seen.changed,
        }
    }

    /// The name for people, and the hash, with the bytes of a name that is no text.
    pub fn named(self) -> Option<(String, [u8; 32])> {
        let hash = self.hash?;
        Some(match String::from_utf8(self.path) {
            Ok(name) => (name, hash),
            Err(error) => {
                let bytes = error.as_bytes();
                let mut hasher = LengthPrefixedHasher::new();
                hasher.bytes(bytes).bytes(&hash);
                (bytes.escape_ascii().to_string(), hasher.finish())
            }
        })
    }
}
