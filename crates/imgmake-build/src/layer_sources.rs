//! Where layers can be had that an image of ours names but the store may not hold.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::step_key;
use imgmake_oci::image::{Digest, Reference, from_json, to_json};
use imgmake_oci::store::Store;

/// Layer digest -> repository.
pub type Sources = BTreeMap<String, Reference>;

/// # Errors
/// The store cannot be written.
pub fn remember(store: &Store, root: &Digest, sources: &Sources) -> Result<()> {
    if sources.is_empty() {
        return Ok(());
    }
    let texts: BTreeMap<&String, String> =
        sources.iter().map(|(d, r)| (d, r.to_string())).collect();
    Ok(store.put_step(&key(root), &to_json(&texts))?)
}

/// Of an image that was built here; empty where nothing is known.
pub fn of_image(store: &Store, root: &Digest) -> Sources {
    let record = store.hint(&key(root)).unwrap_or_default();
    let texts: BTreeMap<String, String> = from_json(&record).unwrap_or_default();
    texts
        .into_iter()
        .filter_map(|(digest, text)| Some((digest, text.parse().ok()?)))
        .collect()
}

fn key(root: &Digest) -> String {
    step_key::of("sources").text(root.as_str()).hex()
}
