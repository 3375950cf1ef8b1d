//! What of a source is in place: each file as it was put there, and whether its content is here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use imgmake_core::files::Signature;
use imgmake_oci::store::Store;
use serde::{Deserialize, Serialize};

/// What was put in place, by the number of its entry.
#[derive(Default, Serialize, Deserialize)]
pub struct Placed(pub BTreeMap<usize, Placement>);

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Placement {
    /// As it was put there.
    pub signature: [u64; 5],
    /// Whether the content is here.
    pub is_filled: bool,
}

pub fn numbers_of(signature: &Signature) -> [u64; 5] {
    let Signature {
        device,
        inode,
        size,
        mtime,
        ctime,
    } = signature;
    let time = |nanos: &i64| u64::from_le_bytes(nanos.to_le_bytes());
    [*device, *inode, *size, time(mtime), time(ctime)]
}

/// What was recorded; `None` for anything else.
pub fn read_record(store: &Store, path: &Path) -> Option<Placed> {
    let content = store.unseal(path, &fs::read(path).ok()?)?;
    postcard::from_bytes(&content).ok()
}

/// # Errors
/// It cannot be written.
pub fn write_record(store: &Store, path: &Path, placed: &Placed) -> Result<()> {
    let content = postcard::to_stdvec(placed).context("a record has numbers")?;
    let sealed = store.seal(path, &content);
    crate::output_file::write_whole(path, &sealed)
        .with_context(|| format!("cannot write `{}`", path.display()))
}
