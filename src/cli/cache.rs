//! `cache` shows what the store holds.

use serde_json::json;

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::output::{print, print_json};
use super::trust::open_store;
use crate::exit::Exit;
use crate::report::bytes;
use crate::share::{self, source::Sources};
use crate::targets::advisories::{self, Kept};
use crate::targets::images::short_name;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::{CacheMount, Store};

pub fn usage(global: &Global, format: ListFormat, environment: &Environment) -> Result<u8, Exit> {
    let store = open_store(global, environment)?;
    if format == ListFormat::Json {
        print_json(&document(&store)?)?;
        return Ok(0);
    }
    let usage = store.usage();
    let mut text = format!("{}\n", store.root().display());
    for (folder, size, files) in &usage.folders {
        let noun = if *files == 1 { "file" } else { "files" };
        text.push_str(&format!(
            "  {folder:8}  {:>8}  {files} {noun}\n",
            bytes(*size)
        ));
    }
    text.push_str(&format!("  {:8}  {:>8}\n", "all", bytes(usage.bytes())));
    text.push_str(&names(&store.images()));
    text.push_str(&mounts(&store.cache_mounts()));
    text.push_str(&databases(&advisories::kept(&store)?));
    let Sources { count, bytes: size } = share::source::kept(&store)?;
    if count > 0 {
        text.push_str(&format!(
            "files of sources in registries\n  {:>8}  {count}\n",
            bytes(size)
        ));
    }
    print(&text)?;
    Ok(0)
}

fn document(store: &Store) -> Result<String, Exit> {
    let usage = store.usage();
    let folders = usage
        .folders
        .iter()
        .map(|(folder, size, files)| json!({"name": folder, "bytes": size, "files": files}));
    let images = store.images();
    let names = images
        .iter()
        .map(|(name, image)| json!({"name": name, "digest": image.digest}));
    let mounts = store.cache_mounts();
    let mounts = mounts
        .iter()
        .map(|one| json!({"project": one.project, "id": one.id, "bytes": one.bytes}));
    let sources = share::source::kept(store)?;
    let databases = advisories::kept(store)?;
    let databases = databases
        .iter()
        .map(|one| json!({"name": one.name, "bytes": one.bytes}));
    let document = json!({
        "store": store.root(),
        "bytes": usage.bytes(),
        "folders": folders.collect::<Vec<_>>(),
        "images": names.collect::<Vec<_>>(),
        "cache_mounts": mounts.collect::<Vec<_>>(),
        "databases": databases.collect::<Vec<_>>(),
        "sources": {"count": sources.count, "bytes": sources.bytes},
    });
    let text = serde_json::to_string_pretty(&document).expect("strings are JSON");
    Ok(format!("{text}\n"))
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
