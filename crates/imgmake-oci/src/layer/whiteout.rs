//! Whiteouts (OCI layer.md): names in a layer that remove what lies below it.

use super::entry::{join, split};

pub const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// In a directory: nothing of the layers below shines through.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name that begins with `.wh.` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// This path, and all beneath, is gone.
    Removes(Vec<u8>),
    /// What lower layers hold beneath this directory is gone.
    Opaque(Vec<u8>),
    /// aufs' own bookkeeping (`.wh..wh.plnk` and such): no part of the tree.
    Reserved,
}

impl Whiteout {
    /// `None` for an ordinary path.
    pub fn parse(path: &[u8]) -> Option<Whiteout> {
        // Nearly every path ends here.
        if !path
            .windows(WHITEOUT_PREFIX.len())
            .any(|w| w == WHITEOUT_PREFIX)
        {
            return None;
        }
        let (directory, name) = split(path);
        let mut parents = directory.split(|b| *b == b'/');
        if parents.any(|c| c.starts_with(b".wh..wh.")) {
            return Some(Whiteout::Reserved);
        }
        match name.strip_prefix(WHITEOUT_PREFIX)? {
            b".wh..opq" => Some(Whiteout::Opaque(directory.to_vec())),
            b"" | b"." | b".." => Some(Whiteout::Reserved),
            rest if rest.starts_with(b".wh.") => Some(Whiteout::Reserved),
            rest => Some(Whiteout::Removes(join(directory, rest))),
        }
    }
}

/// Whether a name on the way is one that layers keep for whiteouts: nothing of an image can lie there.
pub fn is_reserved(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|name| name.starts_with(WHITEOUT_PREFIX))
}

/// `a/.wh.b` for `a/b`.
pub fn whiteout_path(path: &[u8]) -> Vec<u8> {
    let (directory, name) = split(path);
    join(directory, &[WHITEOUT_PREFIX, name].concat())
}

/// `a/.wh..wh..opq` for `a`.
pub fn opaque_path(directory: &[u8]) -> Vec<u8> {
    join(directory, OPAQUE)
}
