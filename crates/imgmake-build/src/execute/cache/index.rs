//! The index of a layer on its way: zstd, bounded when unpacked, and looked at before it is believed.

use std::io::Read;

use crate::error::{BuildError, Context, Result};
use imgmake_oci::layer::{EntryKind, Index};

/// An image of a million files has an index of some 150 MB.
const MOST: u64 = 512 << 20;
const LEVEL: i32 = 3;

pub fn pack(index: &Index) -> Result<Vec<u8>> {
    zstd::bulk::compress(&index.encode(), LEVEL).context("cannot compress the index of a layer")
}

/// # Errors
/// It is no index of this version, or names paths that no layer has.
pub fn unpack(packed: impl Read) -> Result<Index> {
    let mut bytes = Vec::new();
    zstd::stream::Decoder::new(packed)?
        .take(MOST + 1)
        .read_to_end(&mut bytes)
        .context("the index of a layer is damaged")?;
    if bytes.len() as u64 > MOST {
        return Err(BuildError::limit("bytes of the index of a layer", MOST, ""));
    }
    let index = Index::decode(&bytes)?;
    let sorted = index
        .entries
        .is_sorted_by(|a, b| a.entry.path < b.entry.path);
    if !sorted {
        return Err(damaged("its entries are not in order"));
    }
    for found in &index.entries {
        let is_file = matches!(found.entry.kind, EntryKind::File { .. });
        if !is_inside(&found.entry.path) || found.content.is_some() != is_file {
            return Err(damaged("it has an entry that no layer can have"));
        }
        if let EntryKind::HardLink { target } = &found.entry.kind
            && !is_inside(target)
        {
            return Err(damaged("a link leads out of the layer"));
        }
    }
    Ok(index)
}

fn damaged(why: &str) -> BuildError {
    BuildError::damaged("the index of a layer", why)
}

/// Relative, cleaned, as a layer's reader makes them.
fn is_inside(path: &[u8]) -> bool {
    path.is_empty()
        || path
            .split(|b| *b == b'/')
            .all(|part| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use imgmake_oci::layer::{Entry, IndexEntry};

    fn index(paths: &[&str]) -> Index {
        let entry = |path: &&str| IndexEntry {
            entry: Entry {
                path: path.as_bytes().to_vec(),
                ..Entry::directory("x", 0o755)
            },
            content: None,
        };
        Index::new(paths.iter().map(entry).collect())
    }

    #[test]
    fn an_index_comes_back_as_it_was() {
        let index = index(&["", "etc", "etc/x"]);
        assert_eq!(unpack(&*pack(&index).unwrap()).unwrap(), index);
    }

    #[test]
    fn paths_that_lead_out_are_not_believed() {
        for path in ["../etc", "/etc", "a//b", "a/../../b", "a\0b", "a/"] {
            assert!(unpack(&*pack(&index(&[path])).unwrap()).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(unpack(&*bytes));
            drop(unpack(&*zstd::bulk::compress(&[b"imgmake layer index 1\n".as_slice(), &bytes].concat(), 1).unwrap()));
        }
    }
}
