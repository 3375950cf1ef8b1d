//! `cache` shows what the store holds.

use super::args::Global;
use super::environment::Environment;
use super::output::print;
use super::trust::open_store;
use crate::exit::Exit;
use crate::report::bytes;
use crate::targets::advisories::{self, Kept};
use crate::targets::images::short_name;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::CacheMount;

pub fn usage(global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let store = open_store(global, environment)?;
    let usage = store.usage();
    let mut text = format!("{}\n", store.root().display());
    for (folder, size, files) in &usage.folders {
        text.push_str(&format!(
            "  {folder:8}  {:>8}  {files} files\n",
            bytes(*size)
        ));
    }
    text.push_str(&format!("  {:8}  {:>8}\n", "all", bytes(usage.bytes())));
    text.push_str(&names(&store.images()));
    text.push_str(&mounts(&store.cache_mounts()));
    text.push_str(&databases(&advisories::kept(&store)?));
    print(&text)?;
    Ok(0)
}

/// Names of images, each with its digest.
fn names(images: &[(String, Descriptor)]) -> String {
    let mut text = String::new();
    if !images.is_empty() {
        text.push_str("names of images\n");
    }
    for (name, image) in images {
        text.push_str(&format!("  {}  {name}\n", short_name(image)));
    }
    text
}

/// Databases of advisories, each with its size.
fn databases(kept: &[Kept]) -> String {
    let mut text = String::new();
    if !kept.is_empty() {
        text.push_str("databases of advisories\n");
    }
    for one in kept {
        text.push_str(&format!("  {:>8}  {}\n", bytes(one.bytes), one.name));
    }
    text
}

/// Cache mounts by project, each with its size.
fn mounts(caches: &[CacheMount]) -> String {
    let mut text = String::new();
    let mut owner = None;
    for cache in caches {
        if owner != Some(&cache.project) {
            owner = Some(&cache.project);
            let of = cache.project.as_deref().unwrap_or("all projects");
            text.push_str(&format!("cache mounts of {of}\n"));
        }
        let id = match &cache.id {
            Some(id) => id.escape_debug().to_string(),
            None => "(written by an older imgmake)".to_string(),
        };
        text.push_str(&format!("  {:>8}  {id}\n", bytes(cache.bytes)));
    }
    text
}
