//! What only the caller of lint can know.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks::CheckOptions;
use crate::ignore::Ignore;

/// What only the caller can know. All of it is optional.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `--build-arg`.
    pub build_args: Option<&'a BTreeMap<String, String>>,
    /// `BUILDKIT_DOCKERFILE_CHECK`, which replaces the file's own directive.
    pub check: Option<&'a CheckOptions>,
    /// Environments of base images by stage index. A stage whose base is not listed may know any variable.
    pub base_environments: Option<&'a BTreeMap<usize, BTreeMap<String, String>>>,
    /// ONBUILD triggers of base images by stage index.
    pub base_triggers: Option<&'a BTreeMap<usize, Vec<String>>>,
    /// Bases that came for another platform than was asked for.
    pub base_platforms: &'a [PlatformMismatch],
    /// Names of contexts, which go before images.
    pub contexts: Option<&'a BTreeSet<String>>,
    /// The ignore file of the main context.
    pub ignore: Option<&'a Ignore>,
}

/// For `InvalidBaseImagePlatform`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformMismatch {
    pub stage: usize,
    pub image: String,
    pub expected: String,
    pub actual: String,
}

impl std::fmt::Display for PlatformMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PlatformMismatch {
            image,
            expected,
            actual,
            ..
        } = self;
        write!(
            f,
            "`{image}` is for {actual}, but this build is for {expected}"
        )
    }
}
