//! Pushes of cache entries. They have a type of their own, whose only tags are those of entries:
//! nobody gives such a name to an image.

use super::{Client, OperationContext, PushJob, PushPhase, RegistryError};
use imgmake_oci::image::{Descriptor, Reference};
use imgmake_oci::store::Store;

/// `step-`, `index-` or `file-`, then at least 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTag(String);

impl CacheTag {
    /// The tag, if it is one of an entry.
    pub fn parse(text: &str) -> Option<CacheTag> {
        let (kind, key) = text.split_once('-')?;
        let is_kind = matches!(kind, "step" | "index" | "file");
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_key = key.len() >= 64 && key.bytes().all(is_digit);
        (is_kind && is_key).then(|| CacheTag(text.to_string()))
    }
}

/// One entry of a cache.
#[derive(Clone, Debug)]
pub struct CachePush {
    /// Registry and repository; tag and digest are ignored.
    pub to: Reference,
    /// The entry's manifest, in the store.
    pub root: Descriptor,
    pub tag: CacheTag,
    /// Blobs that are not in the store but can be had from there.
    pub sources: Vec<Reference>,
}

impl Client {
    /// Brings an entry and all that it names to a cache.
    ///
    /// # Errors
    /// As for a push of an image.
    pub fn push_cache(
        &self,
        entry: CachePush,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let job = PushJob {
            to: entry.to,
            root: entry.root,
            tags: vec![entry.tag.0],
            sources: entry.sources,
            phase: PushPhase::All,
        };
        self.push(&job, store, work).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_images_are_no_tags_of_entries() {
        let key = "ab".repeat(32);
        for kind in ["step", "index", "file"] {
            assert!(CacheTag::parse(&format!("{kind}-{key}")).is_some());
        }
        for text in ["latest", "1.2", "step-1", "step-", &key] {
            assert_eq!(CacheTag::parse(text), None, "{text}");
        }
        assert_eq!(CacheTag::parse(&format!("release-{key}")), None);
        assert_eq!(
            CacheTag::parse(&format!("step-{}", key.to_uppercase())),
            None
        );
        assert_eq!(CacheTag::parse(&format!("step-{key}-1")), None);
    }
}
