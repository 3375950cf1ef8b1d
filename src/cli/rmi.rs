//! `rmi` takes names of images out of the store.

use std::collections::BTreeSet;

use super::args::Global;
use super::environment::Environment;
use super::output::print;
use super::trust::open_store;
use crate::exit::{self, Exit};
use crate::targets::images::short_name;
use imgmake_guard::printable;
use imgmake_oci::image::{Descriptor, Digest};

/// The beginning of a digest is one image's; names and patterns mean as many as they match.
fn refuse_several(image: &str, found: &[(String, Descriptor)]) -> Result<(), Exit> {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    let digests: BTreeSet<&Digest> = found.iter().map(|(_, image)| &image.digest).collect();
    let by_digest = digests.iter().all(|digest| digest.hex().starts_with(hex));
    if !by_digest || digests.len() < 2 {
        return Ok(());
    }
    let digests = printable::list(digests);
    let message = format!("`{image}` is the beginning of several images: {digests}");
    Err(Exit::error(exit::FAILED, message).with_help("write more digits"))
}

pub fn rmi(global: &Global, images: &[String], environment: &Environment) -> Result<u8, Exit> {
    let store = open_store(global, environment)?;
    let mut chosen: Vec<(String, Descriptor)> = Vec::new();
    // All are looked for before one is removed.
    for image in images {
        let found = store.matching(image);
        if found.is_empty() {
            let message = format!("image `{image}` not found in the store");
            return Err(Exit::error(exit::FAILED, message)
                .with_help("`imgmake cache` lists the names of its images"));
        }
        refuse_several(image, &found)?;
        chosen.extend(found);
    }
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    chosen.dedup();
    let mut text = String::new();
    for (name, image) in &chosen {
        store.untag(name)?;
        text.push_str(&format!("removed {name} ({})\n", short_name(image)));
    }
    text.push_str("`imgmake gc` removes content that neither a name nor a recent build needs\n");
    print(&text)?;
    Ok(0)
}
