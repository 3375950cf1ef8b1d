//! What other builders make of a Dockerfile, where that is not what is made of it here.
//!
//! One table says it: a [`Difference`] has a name, what happens here, what each of the other builders does, and how
//! it shows in a Dockerfile. The cases of `tests/conformance` name its rows, and are built by the other builders.
//!
//! Knows the parsed file, its text and build arguments. Reads no context: where files decide, it says so.

mod builder;
mod difference;
mod sight;
mod table;
#[cfg(test)]
mod tests;

use crate::ast::Dockerfile;

pub use builder::{Builder, Version};
pub use difference::{Difference, Elsewhere, Shown};
use sight::Sight;
pub use sight::{Asked, Place};

/// A difference, found in a file.
pub struct Finding {
    pub place: Place,
    pub difference: &'static Difference,
}

impl Difference {
    /// Every row.
    pub fn all() -> impl Iterator<Item = &'static Difference> {
        table::ALL.into_iter().flatten()
    }

    pub fn named(name: &str) -> Option<&'static Difference> {
        Difference::all().find(|difference| difference.name == name)
    }
}

/// Everything that some of the builders would do differently, in the order of lines. `bytes` are those of the file.
pub fn compare(
    file: &Dockerfile,
    bytes: &[u8],
    asked: &Asked<'_>,
    builders: &[Builder],
) -> Vec<Finding> {
    let sight = Sight::new(file, bytes, asked);
    let mut found: Vec<Finding> = Difference::all()
        .filter(|difference| builders.iter().any(|b| difference.by(*b).is_some()))
        .flat_map(|difference| {
            let mut places = difference.places(&sight);
            places.sort();
            places.dedup();
            let finding = move |place| Finding { place, difference };
            places.into_iter().map(finding)
        })
        .collect();
    found.sort_by_key(|finding| finding.place.line);
    found
}
