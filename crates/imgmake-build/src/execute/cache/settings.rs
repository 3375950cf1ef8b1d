//! What a cache in a registry is used for.

use std::time::Duration;

use imgmake_oci::image::Reference;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSettings {
    /// Repositories that are asked, in order.
    pub from: Vec<Reference>,
    pub to: Vec<CacheTo>,
    /// How old an entry may be.
    pub ttl: Option<Duration>,
    pub steps: CachedSteps,
}

impl CacheSettings {
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() && self.to.is_empty()
    }
}

/// A repository that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo {
    pub at: Reference,
    pub mode: CacheMode,
    pub on_error: OnCacheError,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The steps of stages that are in the image.
    Min,
    /// Those of every stage that was built.
    #[default]
    Max,
}

/// What a cache that cannot be written means to the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCacheError {
    #[default]
    Warn,
    Fail,
}

/// Which steps go through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedSteps {
    pub run: bool,
    pub files: bool,
}

impl Default for CachedSteps {
    fn default() -> CachedSteps {
        CachedSteps {
            run: true,
            files: true,
        }
    }
}

impl CachedSteps {
    pub fn holds(self, kind: StepKind) -> bool {
        match kind {
            StepKind::Run => self.run,
            StepKind::Files => self.files,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Run,
    Files,
}
