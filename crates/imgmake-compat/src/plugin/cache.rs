//! The plugins' caches as a registry cache: kaniko's repository, buildx's `--cache-from` and `--cache-to`.
//! Caches of other kinds save work elsewhere and change no image: leaving one out is a note, not an error.

use std::time::Duration;

use super::Refusal;
use super::family::{EntryPoint, Family};
use super::reader::Reader;
use super::repositories::prefixed;
use crate::error::{invalid, malformed};
use imgmake_core::manifest::{
    CacheAccess, CacheDepth, CacheNode, CacheOption, CacheRegistry, CacheSteps, OnCacheError,
    Spanned, cache_option,
};

/// kaniko's own default: two weeks.
pub(super) const KANIKO_TTL: Duration = Duration::from_secs(14 * 24 * 3600);

/// The cache that the variables of a build ask for.
pub(super) fn cache(
    entry: EntryPoint,
    reader: &Reader,
    repositories: &[String],
    notes: &mut Vec<String>,
) -> Result<CacheNode, Refusal> {
    match entry.family {
        Family::Kaniko => of_kaniko(entry, reader, repositories, notes),
        Family::Buildx => of_buildx(reader, notes),
        Family::Buildah => Ok(CacheNode::default()),
    }
}

fn of_kaniko(
    entry: EntryPoint,
    reader: &Reader,
    repositories: &[String],
    notes: &mut Vec<String>,
) -> Result<CacheNode, Refusal> {
    let steps = CacheSteps {
        run: true,
        copy: reader.flag("PLUGIN_CACHE_COPY_LAYERS"),
    };
    let named = reader.some("PLUGIN_CACHE_REPO");
    if !reader.flag("PLUGIN_ENABLE_CACHE") {
        return Ok(CacheNode::default());
    }
    let repository = match named {
        Some(name) => prefixed(entry, reader, name, true)?,
        None => match repositories.first() {
            Some(repository) => format!("{repository}/cache"),
            None => {
                notes.push("PLUGIN_ENABLE_CACHE: neither PLUGIN_CACHE_REPO nor PLUGIN_REPO is set: steps are kept only in the workspace's store".into());
                return Ok(CacheNode::default());
            }
        },
    };
    Ok(CacheNode {
        registries: vec![repository_of(&repository, CacheAccess::ReadWrite)],
        ttl: Some(ttl(reader)?),
        steps,
    })
}

/// Hours; kaniko's two weeks by default.
pub(super) fn ttl(reader: &Reader) -> Result<Duration, Refusal> {
    let hours = reader.number("PLUGIN_CACHE_TTL").unwrap_or(0);
    match u64::try_from(hours) {
        Ok(0) => Ok(KANIKO_TTL),
        Ok(hours) => Ok(Duration::from_secs(hours.saturating_mul(3600))),
        Err(_) => Err(Refusal::new(
            invalid("number of hours", format!("PLUGIN_CACHE_TTL={hours}")),
            "write a number of hours",
        )),
    }
}

/// A repository for the steps of all stages, as kaniko keeps them.
pub(super) fn repository_of(name: &str, access: CacheAccess) -> CacheRegistry {
    CacheRegistry {
        reference: Spanned {
            value: name.to_string(),
            ..Spanned::default()
        },
        access,
        mode: CacheDepth::Max,
        on_error: OnCacheError::Warn,
    }
}

fn of_buildx(reader: &Reader, notes: &mut Vec<String>) -> Result<CacheNode, Refusal> {
    let mut node = CacheNode::default();
    for (name, access) in [
        ("PLUGIN_CACHE_FROM", CacheAccess::Read),
        ("PLUGIN_CACHE_TO", CacheAccess::Write),
    ] {
        for text in reader.list(name) {
            // Plain references are also written with commas between them.
            let parts: Vec<&str> = match text.contains('=') {
                true => vec![&text],
                false => text.split(',').map(str::trim).collect(),
            };
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                node.registries.extend(option(name, part, access, notes)?);
            }
        }
    }
    Ok(node)
}

/// One `--cache-from` or `--cache-to`, whoever wrote it.
pub(super) fn option(
    name: &str,
    text: &str,
    access: CacheAccess,
    notes: &mut Vec<String>,
) -> Result<Option<CacheRegistry>, Refusal> {
    match cache_option(text, access) {
        Ok(CacheOption::Registry(registry)) => Ok(Some(registry)),
        Ok(CacheOption::Other(kind)) => {
            let why = match kind.as_str() {
                "local" => {
                    "steps are kept in the workspace's store; keep `.imgmake/store` and give a key in IMGMAKE_STATE_KEY, or name a directory outside in IMGMAKE_STORE"
                }
                "inline" => "images carry no cache here; `type=registry,ref=…` shares steps",
                _ => "not a kind of cache here; `type=registry,ref=…` shares steps",
            };
            notes.push(format!("{name}: type={kind} has no effect: {why}"));
            Ok(None)
        }
        Err(why) => Err(Refusal::new(
            malformed(name, why.to_string()),
            "write `type=registry,ref=host/repository`, and `;` between several",
        )),
    }
}

/// Where caches are, as names of images: for credentials and certificates.
pub(super) fn names(node: &CacheNode) -> Vec<String> {
    let registries = node.registries.iter();
    registries.map(|r| r.reference.value.clone()).collect()
}
