//! A row of the table: what happens here, what other builders do, and how it shows.

use super::builder::{Builder, Version};
use super::sight::{Place, Sight};

/// A row of the table.
pub struct Difference {
    /// Small letters and hyphens.
    pub name: &'static str,
    /// What happens here.
    pub here: &'static str,
    pub elsewhere: &'static [Elsewhere],
    pub shown: Shown,
}

/// What one builder does instead.
pub struct Elsewhere {
    pub builder: Builder,
    pub does: &'static str,
    /// The first version known to do as is done here.
    pub until: Option<&'static str>,
}

/// How a difference shows in the text of a Dockerfile.
pub enum Shown {
    /// Wherever this finds something, images or outcomes differ.
    Always(Find),
    /// They differ where the files of the context or the base make them.
    Sometimes(Find),
    /// By files alone, or by what is asked of the build.
    Never,
}

pub type Find = fn(&Sight<'_>) -> Vec<Place>;

impl Elsewhere {
    /// Whether a version of the builder still does so.
    pub fn holds_for(&self, version: &Version) -> bool {
        let until = self.until.and_then(Version::parse);
        until.is_none_or(|until| *version < until)
    }
}

impl Difference {
    /// What some builder does instead, if that is something else.
    pub fn by(&self, builder: Builder) -> Option<&Elsewhere> {
        self.elsewhere.iter().find(|e| e.builder == builder)
    }

    /// Whether files that the Dockerfile does not show decide.
    pub fn depends_on_files(&self) -> bool {
        !matches!(self.shown, Shown::Always(_))
    }

    pub fn places(&self, sight: &Sight<'_>) -> Vec<Place> {
        match self.shown {
            Shown::Always(find) | Shown::Sometimes(find) => find(sight),
            Shown::Never => Vec::new(),
        }
    }
}

pub const fn says(builder: Builder, does: &'static str) -> Elsewhere {
    Elsewhere {
        builder,
        does,
        until: None,
    }
}

/// What a builder did before some version.
pub const fn until(builder: Builder, version: &'static str, does: &'static str) -> Elsewhere {
    Elsewhere {
        builder,
        does,
        until: Some(version),
    }
}
