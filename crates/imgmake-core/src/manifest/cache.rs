//! `cache { registry ref="…" }`, and the same as `docker buildx` writes it on a command line.

use std::time::Duration;

use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::duration;
use super::fields::Fields;
use super::tree::Node;
use super::types::*;
use crate::error::CacheOptionProblem;

/// `registry ref="ghcr.io/acme/cache" mode=max access=read; ttl "14d"; steps run copy`
pub(super) fn cache(node: &Node, cx: &DecodeContext) -> CacheNode {
    let mut cache = CacheNode::default();
    let mut fields = Fields::new(node, cx);
    for node in fields.children("registry") {
        cache.registries.extend(registry(node, cx));
    }
    cache.ttl = fields.duration("ttl");
    let steps = fields.texts("steps");
    let known = |step: &Spanned<String>| cx.choice(step, &["run", "copy"]);
    let steps: Vec<&str> = steps.iter().filter_map(known).collect();
    if !steps.is_empty() {
        cache.steps = CacheSteps {
            run: steps.contains(&"run"),
            copy: steps.contains(&"copy"),
        };
    }
    if cache.registries.is_empty() && cx.errors() == 0 {
        fields.missing("`registry ref=\"host/repository\"`");
    }
    fields.finish();
    cache
}

fn registry(node: &Node, cx: &DecodeContext) -> Option<CacheRegistry> {
    let mut fields = Fields::new(node, cx);
    let reference = fields.prop_text("ref");
    let access = fields.prop_text("access");
    let mode = fields.prop_text("mode");
    let on_error = fields.prop_text("on-error");
    if reference.is_none() && cx.errors() == 0 {
        fields.missing("`ref=\"host/repository\"`");
    }
    fields.finish();
    let reference = reference?;
    if let Some(why) = wrong_reference(&reference.value) {
        let message = format!("invalid cache location `{}`: {why}", reference.value);
        let diagnostic = Diagnostic::at(reference.span, message, "a repository is expected here");
        cx.report(diagnostic.with_help("write `ref=\"host/repository\"`"));
        return None;
    }
    let access = access.and_then(|word| cx.choice(&word, &["read-write", "read", "write", "off"]));
    let mode = mode.and_then(|word| cx.choice(&word, &["max", "min"]));
    let on_error = on_error.and_then(|word| cx.choice(&word, &["warn", "fail"]));
    Some(CacheRegistry {
        reference,
        access: match access {
            Some("read") => CacheAccess::Read,
            Some("write") => CacheAccess::Write,
            Some("off") => CacheAccess::Off,
            _ => CacheAccess::ReadWrite,
        },
        mode: match mode {
            Some("min") => CacheDepth::Min,
            _ => CacheDepth::Max,
        },
        on_error: match on_error {
            Some("fail") => OnCacheError::Fail,
            _ => OnCacheError::Warn,
        },
    })
}

/// The grammar of names is `image`'s; here only what no repository's name can have.
fn wrong_reference(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("it is not a name");
    }
    if text.contains("://") {
        return Some("it has a scheme");
    }
    if text.contains('@') {
        return Some("it names one image by its digest");
    }
    // `localhost:5000` alone would be an image of Docker Hub with the tag 5000.
    (!text.trim_end_matches('/').contains('/'))
        .then_some("a repository follows the host, as in `host/repository`")
}

/// One `--cache-from` or `--cache-to`.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheOption {
    Registry(CacheRegistry),
    /// A kind of cache that has no effect here: its name.
    Other(String),
}

/// Reads `REF`, `REF,mode=min` or `type=registry,ref=REF,mode=max,…`, as `docker buildx` writes it.
///
/// # Errors
/// What is wrong, without the text itself: caches of other kinds hold credentials there.
pub fn cache_option(text: &str, access: CacheAccess) -> Result<CacheOption, CacheOptionProblem> {
    let text = text.trim();
    let first = text.split(',').next().unwrap_or_default();
    let plain = !first.contains('=');
    let fields = match plain {
        true => {
            let mut all = vec![("type", "registry"), ("ref", first.trim())];
            if let Some((_, more)) = text.split_once(',') {
                all.extend(fields(more)?);
            }
            all
        }
        false => fields(text)?,
    };
    let field = |name: &str| {
        let found = fields.iter().rev().find(|(key, _)| *key == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    let Some(kind) = field("type") else {
        return Err(CacheOptionProblem::NoType);
    };
    if kind != "registry" {
        return match ["local", "inline", "gha", "s3", "azblob"].contains(&kind) {
            true => Ok(CacheOption::Other(kind.to_string())),
            false => Err(CacheOptionProblem::UnknownType),
        };
    }
    let known = [
        "type",
        "ref",
        "mode",
        "ignore-error",
        "image-manifest",
        "oci-mediatypes",
        "compression",
        "compression-level",
        "force-compression",
        "unpack",
        "registry.insecure",
        // Of caches in buckets; a platform's plugin adds them to every kind.
        "tls_insecure_skip_verify",
        "use_path_style",
    ];
    if let Some((unknown, _)) = fields.iter().find(|(key, _)| !known.contains(key)) {
        return Err(CacheOptionProblem::UnknownKey(unknown.to_string()));
    }
    let reference = field("ref").ok_or(CacheOptionProblem::NoReference)?;
    if let Some(why) = wrong_reference(reference) {
        return Err(CacheOptionProblem::InvalidReference(why));
    }
    Ok(CacheOption::Registry(CacheRegistry {
        reference: Spanned {
            value: reference.to_string(),
            ..Spanned::default()
        },
        access,
        mode: match field("mode") {
            None if plain => CacheDepth::Max,
            // BuildKit's default.
            None | Some("min") => CacheDepth::Min,
            Some("max") => CacheDepth::Max,
            Some(_) => return Err(invalid("mode", "min", "max")),
        },
        on_error: match field("ignore-error") {
            None | Some("true" | "1") => OnCacheError::Warn,
            Some("false" | "0") => OnCacheError::Fail,
            Some(_) => return Err(invalid("ignore-error", "true", "false")),
        },
    }))
}

fn invalid(key: &'static str, one: &'static str, other: &'static str) -> CacheOptionProblem {
    CacheOptionProblem::InvalidValue { key, one, other }
}

fn fields(text: &str) -> Result<Vec<(&str, &str)>, CacheOptionProblem> {
    text.split(',')
        .map(|part| {
            let pair = part.trim().split_once('=');
            pair.ok_or(CacheOptionProblem::NotKeyValue)
        })
        .collect()
}

/// How old an entry may be, as kaniko and our own options write it.
pub fn cache_ttl(text: &str) -> Option<Duration> {
    duration::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(text: &str) -> CacheRegistry {
        match cache_option(text, CacheAccess::Write).unwrap() {
            CacheOption::Registry(registry) => registry,
            CacheOption::Other(kind) => panic!("{kind}"),
        }
    }

    #[test]
    fn options_are_read_as_buildx_writes_them() {
        let max = registry(
            "type=registry,ref=r.io/a/cache:x,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true",
        );
        assert_eq!(
            (max.reference.value.as_str(), max.mode),
            ("r.io/a/cache:x", CacheDepth::Max)
        );
        assert_eq!(max.on_error, OnCacheError::Warn);
        assert_eq!(registry("r.io/a").reference.value, "r.io/a");
        assert_eq!(registry("r.io/a").mode, CacheDepth::Max);
        let min = registry("r.io:5000/a, mode=min,ignore-error=false");
        assert_eq!(
            (min.reference.value.as_str(), min.mode, min.on_error),
            ("r.io:5000/a", CacheDepth::Min, OnCacheError::Fail)
        );
        assert_eq!(registry("type=registry,ref=r.io/a").mode, CacheDepth::Min);
        assert_eq!(
            registry("type=registry,ref=a/b,ignore-error=false").on_error,
            OnCacheError::Fail
        );
        for kind in [
            "local,dest=/tmp/x",
            "inline",
            "gha",
            "s3,bucket=b,secret_access_key=hunter2",
        ] {
            let read = cache_option(&format!("type={kind}"), CacheAccess::Read);
            assert!(matches!(read, Ok(CacheOption::Other(_))), "{kind}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for text in [
            "type=registry",
            "type=s4,secret=hunter2",
            "ref=a/b",
            "type=registry,ref=a/b,mode=most",
            "type=registry,ref=https://a/b",
            "type=registry,ref=a/b,hunter2",
            "type=registry,ref=a/b,modus=max",
            "type=registry,ref=a b",
            "type=registry,ref=a/b@sha256:00",
            "localhost:5000",
            "localhost:5000/",
            "r.io/a,hunter2",
            "r.io/a,mode=most",
        ] {
            let error = cache_option(text, CacheAccess::Read).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
