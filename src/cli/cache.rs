//! `cache` shows what the store holds, `gc` removes what is old.

use std::time::Duration;

use super::args::Global;
use super::environment::Environment;
use super::output::print;
use super::tools::isolation;
use super::trust::open_store;
use crate::exit::Exit;
use crate::report::bytes;
use imgmake_build::worker::Worker;
use imgmake_oci::store::{CacheMount, Keep};

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
    text.push_str(&mounts(&store.cache_mounts()));
    print(&text)?;
    Ok(0)
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

pub fn gc(
    global: &Global,
    keep: &str,
    max_size: Option<&str>,
    environment: &Environment,
) -> Result<u8, Exit> {
    let younger_than = time_of(keep).ok_or_else(|| {
        Exit::usage(format!("invalid time `--keep {keep}`")).with_help("write `12h`, `7d` or `4w`")
    })?;
    let at_most = max_size
        .map(|text| {
            size_of(text).ok_or_else(|| {
                Exit::usage(format!("invalid size `--max-size {text}`"))
                    .with_help("write `500MB` or `20GB`")
            })
        })
        .transpose()?;
    let store = open_store(global, environment)?;
    let garbage = store.collect(Keep {
        younger_than,
        at_most,
    })?;
    let caches = store.root().join("cache");
    let mounts = garbage.trees.iter().filter(|t| t.starts_with(&caches));
    let mounts = mounts.count();
    let trees = garbage.trees.len() - mounts;
    let leftovers = store.leftovers();
    if trees + mounts + leftovers.len() > 0 {
        let paths: Vec<_> = garbage.trees.into_iter().chain(leftovers).collect();
        Worker::new(store, isolation(environment)?).delete(&paths)?;
    }
    print(&format!(
        "removed {}: {} files, {trees} unpacked layers and {mounts} cache mounts\n",
        bytes(garbage.bytes),
        garbage.files
    ))?;
    Ok(0)
}

fn time_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Duration::from_secs(
        number.parse::<u64>().ok()?.checked_mul(seconds)?,
    ))
}

fn size_of(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let number = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &upper[number.len()..] {
        "" | "B" => 1,
        "K" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_a_number_and_a_unit() {
        assert_eq!(time_of("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(size_of("20gb"), Some(20_000_000_000));
        assert_eq!(size_of("500"), Some(500));
        for text in ["", "d", "7", "7y", "-1d", "99999999999999999999d"] {
            assert_eq!(time_of(text), None, "{text}");
        }
        assert_eq!(size_of("GB"), None);
    }
}
