//! What is in an image: packages with the file and layer that tell of them,
//! secrets, and files that invite trouble. Straight from the layer blobs, each
//! read once; knows no advisory and no policy.

mod apk;
mod berkeley;
mod classify;
mod contents;
mod deno;
mod distribution;
mod dotnet;
mod dpkg;
mod egg;
mod file_id;
mod golang;
mod java;
mod java_manifest;
mod java_properties;
mod json;
mod logged;
mod merge;
mod names;
mod npm;
mod npm_lock;
mod package;
mod php;
mod plug_n_play;
mod pnpm_lock;
mod python;
mod python_lock;
mod randomness;
mod reading;
mod release;
mod rpm;
mod ruby;
mod rust;
mod secret_rules;
mod secrets;
#[cfg(test)]
mod secrets_corpus;
mod sqlite;
mod sqlite_log;
mod systems;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_systems;
mod walk;
mod yarn_lock;

use rayon::prelude::*;

use crate::error::Result;
use imgmake_event::Cancel;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;

pub use contents::{Inventory, Located, OddityRule};
pub use distribution::Distribution;
pub use package::{Package, PackageKind};
pub use secrets::in_text as secrets_in;

/// How many packages one file tells of.
///
/// # Errors
/// It cannot be read at all.
pub fn packages_in(path: &str, content: &[u8]) -> Result<usize> {
    walk::packages_in(path, content)
}

/// How many packages rpm's database and its write-ahead log tell of.
///
/// # Errors
/// One of them is damaged.
pub fn packages_in_logged(database: &[u8], log: &[u8]) -> Result<usize, String> {
    rpm::count_with_log(database, log)
}

/// Takes the inventory of an image from its layers, bottom first.
///
/// # Errors
/// Layers that are missing or damaged; cancellation.
pub fn take(layers: &[Descriptor], store: &Store, cancel: &Cancel) -> Result<Inventory> {
    let read: Result<Vec<walk::LayerFacts>> = layers
        .par_iter()
        .enumerate()
        .map(|(number, layer)| walk::read_layer(number, layer, store, cancel))
        .collect();
    let merged = merge::merge(read?);
    let names = names::of(&merged.view, cancel)?;
    let named: Result<Vec<Vec<walk::Named>>> = merged
        .unread(&names)
        .into_par_iter()
        .map(|(layer, names)| walk::read_named(&layers[layer as usize], &names, store, cancel))
        .collect();
    let pairs = logged::pairs(&names, &merged.view);
    let signs = merged.signs(&names);
    let mut inventory = merged.tell(&names, named?.into_iter().flatten().collect());
    for pair in pairs {
        logged::read(&pair, &mut inventory, layers, store, cancel)?;
    }
    merge::tell_signs(signs, &mut inventory);
    inventory.unread.sort();
    inventory.unread.dedup();
    Ok(inventory)
}
