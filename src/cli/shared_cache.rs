//! Caches in registries: from the manifest's `cache` and from `--cache-from`, `--cache-to`, `--cache-ttl`.

use super::args::RunArgs;
use crate::exit::Exit;
use imgmake_build::cache::{CacheMode, CacheSettings, CacheTo, CachedSteps, OnCacheError};
use imgmake_core::manifest::{
    self, CacheAccess, CacheDepth, CacheNode, CacheOption, CacheRegistry, cache_option, cache_ttl,
};
use imgmake_oci::image::Reference;

/// # Errors
/// A `ref` that does not name an image repository.
pub fn settings(node: &CacheNode) -> anyhow::Result<CacheSettings> {
    let mut settings = CacheSettings {
        ttl: node.ttl,
        steps: CachedSteps {
            run: node.steps.run,
            files: node.steps.copy,
        },
        ..CacheSettings::default()
    };
    for registry in &node.registries {
        let at: Reference = registry
            .reference
            .value
            .parse()
            .map_err(|error| anyhow::anyhow!("the cache's `ref`: {error}"))?;
        if matches!(registry.access, CacheAccess::ReadWrite | CacheAccess::Read) {
            settings.from.push(at.clone());
        }
        if matches!(registry.access, CacheAccess::ReadWrite | CacheAccess::Write) {
            settings.to.push(to(registry, at));
        }
    }
    Ok(settings)
}

fn to(registry: &CacheRegistry, at: Reference) -> CacheTo {
    CacheTo {
        at,
        mode: match registry.mode {
            CacheDepth::Min => CacheMode::Min,
            CacheDepth::Max => CacheMode::Max,
        },
        on_error: match registry.on_error {
            manifest::OnCacheError::Warn => OnCacheError::Warn,
            manifest::OnCacheError::Fail => OnCacheError::Fail,
        },
    }
}

/// What the command line adds.
///
/// # Errors
/// An option that means nothing here.
pub fn of_arguments(args: &RunArgs) -> Result<CacheSettings, Exit> {
    let mut node = CacheNode::default();
    for (name, texts, access) in [
        ("--cache-from", &args.cache_from, CacheAccess::Read),
        ("--cache-to", &args.cache_to, CacheAccess::Write),
    ] {
        for text in texts {
            node.registries.push(registry(name, text, access)?);
        }
    }
    if let Some(text) = &args.cache_ttl {
        let ttl = cache_ttl(text).ok_or_else(|| {
            Exit::usage(format!("invalid duration `--cache-ttl {text}`"))
                .with_help("write it as `12h` or `14d`")
        })?;
        node.ttl = Some(ttl);
    }
    settings(&node).map_err(|error| Exit::usage(error.to_string()))
}

fn registry(name: &str, text: &str, access: CacheAccess) -> Result<CacheRegistry, Exit> {
    match cache_option(text, access) {
        Ok(CacheOption::Registry(registry)) => Ok(registry),
        Ok(CacheOption::Other(kind)) => Err(Exit::usage(format!(
            "`{name} type={kind},…` is a type of cache that imgmake does not support"
        ))
        .with_help(
            "keep the store (`--store`) between runs, or share steps with `type=registry,ref=…`",
        )),
        Err(why) => Err(Exit::usage(format!("`{name}`: {why}"))),
    }
}
